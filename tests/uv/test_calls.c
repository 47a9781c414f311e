/* SPDX-License-Identifier: BSD-2-Clause */
/* The call itself, and the commands for configurations and CPUs: each with each of its codes. */
#include "check_main.h"
#include "world.h"

static void fails(struct world *w, uint16_t rc)
{
	ck_assert_int_eq(issue(w, 0), S2_UVC_CC_ERROR);
	ck_assert_uint_eq(w->rc, rc);
	world_check(w);
}

/* The block in which one field is different. */
static void fails_with(struct world *w, size_t offset, uint64_t value, uint16_t rc)
{
	union s2_uvcb good = w->block;

	put(w, offset, value);
	fails(w, rc);
	w->block = good;
}

static const uint16_t host_commands[] = {
	S2_UVC_INIT,	      S2_UVC_CREATE_CONF, S2_UVC_DESTROY_CONF, S2_UVC_DESTROY_CONF_FAST,
	S2_UVC_CREATE_CPU,    S2_UVC_DESTROY_CPU, S2_UVC_IMPORT,       S2_UVC_EXPORT,
	S2_UVC_DESTROY,	      S2_UVC_SET_PARAMS,  S2_UVC_UNPACK,       S2_UVC_VERIFY,
	S2_UVC_CPU_SET_STATE, S2_UVC_UNSHARE_ALL, S2_UVC_PIN,	       S2_UVC_UNPIN,
};

#define HOST_COMMANDS (sizeof(host_commands) / sizeof(host_commands[0]))

START_TEST(lengths)
{
	/* arch/s390/include/asm/uv.h, the sizes of the structures */
	static const uint16_t len[][2] = {
		{0x0001, 0x120}, {0x000f, 0x48}, {0x0100, 0x80}, {0x0101, 0x40}, {0x0102, 0x48},
		{0x0120, 0x60},	 {0x0121, 0x40}, {0x0200, 0x28}, {0x0201, 0x20}, {0x0202, 0x20},
		{0x0300, 0x50},	 {0x0301, 0x50}, {0x0302, 0x40}, {0x0330, 0x50}, {0x0340, 0x40},
		{0x0341, 0x20},	 {0x0342, 0x28}, {0x1000, 0x30}, {0x1001, 0x30}, {0x1020, 0},
		{0x0000, 0},	 {0x0400, 0},
	};

	for (size_t i = 0; i < sizeof(len) / sizeof(len[0]); i++) {
		ck_assert_uint_eq(s2_uvc_len(len[i][0]), len[i][1]);
	}
}
END_TEST

START_TEST(bytes)
{
	uint8_t block[16] = {0};

	s2_uvcb_put(block, 1, 4, UINT64_C(0x11223344));
	ck_assert_mem_eq(block, "\0\x11\x22\x33\x44\0", 6);
	ck_assert_uint_eq(s2_uvcb_get(block, 1, 4), 0x11223344);
	ck_assert_uint_eq(s2_uvcb_get(block, 0, 2), 0x11);
	s2_uvcb_put64(block, 8, UINT64_C(0x8000000000000001));
	ck_assert_uint_eq(block[8], 0x80);
	ck_assert_uint_eq(block[15], 1);
	ck_assert_uint_eq(s2_uvcb_get64(block, 8), UINT64_C(0x8000000000000001));
}
END_TEST

START_TEST(not_initialised)
{
	struct world w;

	world_init(&w);
	for (size_t i = 0; i < HOST_COMMANDS; i++) {
		if (host_commands[i] != S2_UVC_INIT) {
			begin(&w, host_commands[i]);
			fails(&w, S2_UVC_RC_INV_STATE);
		}
	}
	world_fini(&w);
}
END_TEST

START_TEST(header)
{
	static const uint16_t unknown[] = {0, 0x4242, 0x1020, 0x0310, 0x0400, 0x1033, 0x0002};
	struct world w;
	uint64_t handle;

	world_init(&w);
	ck_assert_int_eq(uv_initialise(&w), S2_UVC_CC_OK);
	handle = create(&w, 0);
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		begin(&w, unknown[i]);
		s2_uvcb_put(&w.block, S2_UVCB_LEN, 2, 0x40);
		fails(&w, S2_UVC_RC_INV_CMD);
	}
	begin(&w, S2_UVC_SHARE); /* a guest's */
	fails(&w, S2_UVC_RC_INV_CMD);
	for (size_t i = 0; i < HOST_COMMANDS; i++) {
		uint16_t len = s2_uvc_len(host_commands[i]);

		begin(&w, host_commands[i]);
		ck_assert_int_eq(issue(&w, handle), S2_UVC_CC_ERROR);
		ck_assert_uint_eq(w.rc, S2_UVC_RC_INV_CMD);
		for (int step = -8; step <= 8; step += 16) {
			begin(&w, host_commands[i]);
			s2_uvcb_put(&w.block, S2_UVCB_LEN, 2, (uint64_t)(len + step));
			fails(&w, S2_UVC_RC_INV_LEN);
		}
		begin(&w, host_commands[i]);
		for (size_t size = 0; size < len; size++) {
			ck_assert_int_eq(s2_uvc(&w.uv, 0, &w.block, size), S2_UVC_ADDRESSING);
		}
	}
	begin(&w, S2_UVC_SHARE);
	s2_uvcb_put(&w.block, S2_UVCB_LEN, 2, 0x28);
	ck_assert_int_eq(issue(&w, handle), S2_UVC_CC_ERROR);
	ck_assert_uint_eq(w.rc, S2_UVC_RC_INV_LEN);
	begin(&w, S2_UVC_SHARE);
	ck_assert_int_eq(issue(&w, handle + 1), S2_UVC_CC_ERROR);
	ck_assert_uint_eq(w.rc, S2_UVC_RC_INV_CONF);
	world_fini(&w);
}
END_TEST

static bool offers(const struct world *w, unsigned bit)
{
	return w->block.byte[S2_UVCB_QUERY_CALLS + bit / 8] >> (7 - bit % 8) & 1;
}

START_TEST(query)
{
	struct world w;
	uint64_t handle;
	struct {
		union s2_uvcb block;
		uint8_t more[64];
	} big;

	world_init(&w);
	begin(&w, S2_UVC_QUERY);
	s2_uvcb_put(&w.block, S2_UVCB_LEN, 2, 0xa0);
	fails(&w, S2_UVC_RC_INV_LEN);
	begin(&w, S2_UVC_QUERY);
	s2_uvcb_put(&w.block, S2_UVCB_LEN, 2, 0xa8);
	memset(w.block.byte + 0xa8, 0x77, 8);
	fails(&w, S2_UVC_RC_MORE_DATA);
	ck_assert_uint_eq(s2_uvcb_get64(&w.block, S2_UVCB_QUERY_FEATURES), UINT64_C(1) << 63);
	ck_assert_uint_eq(w.block.byte[0xa8], 0x77);
	begin(&w, S2_UVC_QUERY);
	ck_assert_int_eq(issue(&w, 0), S2_UVC_CC_OK);
	ck_assert_uint_eq(s2_uvcb_get64(&w.block, S2_UVCB_QUERY_GUEST_MAX), w.config.guest_max);
	ck_assert_uint_eq(s2_uvcb_get(&w.block, S2_UVCB_QUERY_CONF_MAX, 4), 3);
	ck_assert_uint_eq(s2_uvcb_get(&w.block, S2_UVCB_QUERY_CPU_MAX, 2), 5);
	/* bits 0-9, 11, 13, 14, 17, 20-23, without the guest's 8 and 9 */
	for (unsigned bit = 0; bit < 64; bit++) {
		bool want = bit < 8 || bit == 11 || bit == 13 || bit == 14 || bit == 17 ||
			    (bit >= 20 && bit < 24);

		ck_assert_int_eq(offers(&w, bit), want);
	}
	/* A longer block than ours: the rest is 0. */
	memset(&big, 0x55, sizeof(big));
	s2_uvcb_begin(&big.block, S2_UVC_QUERY);
	s2_uvcb_put(&big, S2_UVCB_LEN, 2, 0x140);
	ck_assert_int_eq(s2_uvc(&w.uv, 0, &big, sizeof(big)), S2_UVC_CC_OK);
	ck_assert_uint_eq(s2_uvcb_get64(&big, 0x138), 0);
	ck_assert_uint_eq(s2_uvcb_get64(&big, 0x140), UINT64_C(0x5555555555555555));
	ck_assert_int_eq(uv_initialise(&w), S2_UVC_CC_OK);
	handle = create(&w, 0);
	begin(&w, S2_UVC_QUERY);
	ck_assert_int_eq(issue(&w, handle), S2_UVC_CC_OK);
	for (unsigned bit = 0; bit < 64; bit++) {
		ck_assert_int_eq(offers(&w, bit), bit == 0 || bit == 8 || bit == 9);
	}
	ck_assert_uint_eq(s2_uvcb_get64(&w.block, S2_UVCB_QUERY_BASE), 0);
	world_fini(&w);
}
END_TEST

START_TEST(without_images)
{
	struct world w;
	struct s2_uv uv;
	uint8_t *byte = w.block.byte;

	world_init(&w);
	w.cipher.image = NULL;
	ck_assert_int_eq(s2_uv_init(&uv, &w.config), S2_OK);
	begin(&w, S2_UVC_UNPACK);
	ck_assert_int_eq(s2_uvc(&uv, 0, byte, sizeof(w.block)), S2_UVC_CC_ERROR);
	ck_assert_uint_eq(s2_uvcb_get(byte, S2_UVCB_RC, 2), S2_UVC_RC_INV_CMD);
	begin(&w, S2_UVC_QUERY);
	ck_assert_int_eq(s2_uvc(&uv, 0, byte, sizeof(w.block)), S2_UVC_CC_OK);
	ck_assert(!offers(&w, 11) && !offers(&w, 13) && !offers(&w, 14));
	s2_uv_fini(&uv);
	world_fini(&w);
}
END_TEST

START_TEST(initialise)
{
	struct world w;

	world_init(&w);
	ck_assert_int_eq(by_handle(&w, S2_UVC_INIT, 0), S2_UVC_CC_ERROR);
	begin(&w, S2_UVC_INIT);
	put(&w, S2_UVCB_INIT_ORIGIN, HPA(AT_INIT));
	put(&w, S2_UVCB_INIT_LEN, 0x4000);
	fails_with(&w, S2_UVCB_INIT_LEN, 0x3ff8, S2_UVC_RC_INIT_LEN);
	fails_with(&w, S2_UVCB_INIT_ORIGIN, WORLD_LEN, S2_UVC_RC_INIT_ORIGIN);
	fails_with(&w, S2_UVCB_INIT_ORIGIN, HPA(AT_INIT) + 8, S2_UVC_RC_INIT_ORIGIN);
	fails_with(&w, S2_UVCB_INIT_ORIGIN, WORLD_LEN - 0x1000, S2_UVC_RC_INIT_END);
	fails_with(&w, S2_UVCB_INIT_ORIGIN, HPA(8), S2_UVC_RC_INIT_LOW);
	w.no_memory[AT_INIT + 2] = true;
	fails(&w, S2_UVC_RC_STORAGE);
	w.no_memory[AT_INIT + 2] = false;
	for (int n = 0; n < 4; n++) {
		w.hides = n;
		fails(&w, S2_UVC_RC_NOMEM);
	}
	w.hides = -1;
	test_env_fail(&w.env, 1);
	fails(&w, S2_UVC_RC_NOMEM);
	test_env_fail(&w.env, 0);
	ck_assert(is_filled(&w, AT_INIT, 0xdb)); /* as it was */
	ck_assert_int_eq(issue(&w, 0), S2_UVC_CC_OK);
	world_check(&w);
	fails(&w, S2_UVC_RC_INIT_TWICE);
	ck_assert_int_eq(by_page(&w, S2_UVC_EXPORT, AT_INIT), S2_UVC_CC_ERROR);
	ck_assert_uint_eq(w.rc, S2_UVC_RC_OWNED);
	w.memory[HPA(AT_INIT)] = 1;
	s2_uv_fini(&w.uv);
	ck_assert(is_filled(&w, AT_INIT, 0));
	ck_assert_int_eq(s2_uv_init(&w.uv, &w.config), S2_OK);
	world_fini(&w);
}
END_TEST

START_TEST(create_configuration)
{
	struct world w;
	uint64_t handle;

	world_init(&w);
	ck_assert_int_eq(uv_initialise(&w), S2_UVC_CC_OK);
	fill_create(&w, 0);
	fails_with(&w, S2_UVCB_CONF_ORIGIN, w.config.guest_max + 1, S2_UVC_RC_CONF_ORIGIN);
	fails_with(&w, S2_UVCB_CONF_ORIGIN, UINT64_MAX, S2_UVC_RC_CONF_ORIGIN);
	fails_with(&w, S2_UVCB_CONF_ORIGIN, w.config.guest_max - 0xfffff, S2_UVC_RC_CONF_LEN);
	fails_with(&w, S2_UVCB_CONF_LEN, 0, S2_UVC_RC_CONF_LEN);
	fails_with(&w, S2_UVCB_CONF_LEN, UINT64_MAX, S2_UVC_RC_CONF_LEN);
	fails_with(&w, S2_UVCB_CONF_LEN, 0x101000, S2_UVC_RC_ALIGN);
	fails_with(&w, S2_UVCB_CONF_ORIGIN, 0x1000, S2_UVC_RC_ALIGN);
	fails_with(&w, S2_UVCB_CONF_ASCE, ASCE(0) & ~UINT64_C(0x100), S2_UVC_RC_CONF_ASCE);
	fails_with(&w, S2_UVCB_CONF_ASCE, ASCE(0) | 0x20, S2_UVC_RC_CONF_ASCE);
	fails_with(&w, S2_UVCB_CONF_BASE, WORLD_LEN + 8, S2_UVC_RC_CONF_BASE);
	fails_with(&w, S2_UVCB_CONF_BASE, WORLD_LEN - 0x2000, S2_UVC_RC_CONF_BASE);
	fails_with(&w, S2_UVCB_CONF_BASE, 0x1000, S2_UVC_RC_CONF_BASE_LOW);
	fails_with(&w, S2_UVCB_CONF_BASE, HPA(40) + 0x800, S2_UVC_RC_ALIGN);
	fails_with(&w, S2_UVCB_CONF_SCA, 0, S2_UVC_RC_CONF_NO_SCA);
	fails_with(&w, S2_UVCB_CONF_SCA, WORLD_LEN, S2_UVC_RC_CONF_SCA);
	fails_with(&w, S2_UVCB_CONF_VIRT, WORLD_VIRT + HPA(1), S2_UVC_RC_CONF_VIRT_LOW);
	fails_with(&w, S2_UVCB_CONF_VIRT, 0x5000, S2_UVC_RC_STORAGE);
	fails_with(&w, S2_UVCB_CONF_VIRT, WORLD_VIRT + WORLD_LEN, S2_UVC_RC_STORAGE);
	/* twice the same page */
	fails_with(&w, S2_UVCB_CONF_VIRT, WORLD_VIRT + HPA(AT_CONF), S2_UVC_RC_OWNED);
	fails_with(&w, S2_UVCB_CONF_BASE, HPA(AT_INIT), S2_UVC_RC_OWNED);
	w.randoms = 0;
	fails(&w, S2_UVC_RC_CIPHER);
	w.randoms = -1;
	for (int n = 0; n < 6; n++) {
		w.hides = n;
		fails(&w, S2_UVC_RC_NOMEM);
		ck_assert_uint_eq(s2_uvcb_get64(&w.block, S2_UVCB_HANDLE), 0);
	}
	w.hides = -1;
	for (size_t n = 1; n <= 3; n++) {
		size_t live = w.env.live;

		test_env_fail(&w.env, n);
		fails(&w, S2_UVC_RC_NOMEM);
		test_env_fail(&w.env, 0);
		ck_assert_uint_eq(w.env.live, live);
	}
	ck_assert_int_eq(issue(&w, 0), S2_UVC_CC_OK);
	handle = s2_uvcb_get64(&w.block, S2_UVCB_HANDLE);
	ck_assert_uint_ne(handle, 0);
	world_check(&w);
	ck_assert(w.hidden[AT_CONF] && w.hidden[AT_CONF + 3] && w.hidden[AT_CONF + 5]);
	fails(&w, S2_UVC_RC_ASCE_USED);
	fails_with(&w, S2_UVCB_CONF_ASCE, ASCE(5), S2_UVC_RC_OWNED);
	create(&w, 1);
	create(&w, 2);
	fill_create(&w, 3);
	fails(&w, S2_UVC_RC_LIMIT);
	/* Handles are not used again. */
	ck_assert_int_eq(by_handle(&w, S2_UVC_DESTROY_CONF, handle + 1), S2_UVC_CC_ERROR);
	ck_assert_uint_eq(w.rc, S2_UVC_RC_INV_CONF);
	w.memory[HPA(AT_CONF + 4)] = 3;
	ck_assert_int_eq(by_handle(&w, S2_UVC_DESTROY_CONF, handle), S2_UVC_CC_OK);
	ck_assert(is_filled(&w, AT_CONF + 4, 0));
	world_check(&w);
	ck_assert_uint_ne(create(&w, 0), handle);
	ck_assert_int_eq(by_handle(&w, S2_UVC_DESTROY_CONF, handle), S2_UVC_CC_ERROR);
	ck_assert_uint_eq(w.rc, S2_UVC_RC_INV_CONF);
	world_fini(&w);
}
END_TEST

START_TEST(cpus)
{
	struct world w;
	uint64_t handle;
	uint64_t cpu;
	uint64_t other;

	world_init(&w);
	ck_assert_int_eq(uv_initialise(&w), S2_UVC_CC_OK);
	handle = create(&w, 0);
	fill_cpu(&w, 0, handle, 2);
	fails_with(&w, S2_UVCB_CPU_CONF, handle + 1, S2_UVC_RC_INV_CONF);
	fails_with(&w, S2_UVCB_CPU_NUMBER - 6, 6, S2_UVC_RC_CPU_NUMBER);
	fails_with(&w, S2_UVCB_CPU_STORAGE, WORLD_LEN + HPA(1), S2_UVC_RC_CPU_STORAGE);
	fails_with(&w, S2_UVCB_CPU_STORAGE, 0, S2_UVC_RC_CPU_STORAGE_LOW);
	fails_with(&w, S2_UVCB_CPU_STORAGE, HPA(60) + 16, S2_UVC_RC_ALIGN);
	fails_with(&w, S2_UVCB_CPU_STORAGE, HPA(AT_INIT), S2_UVC_RC_OWNED);
	fails_with(&w, S2_UVCB_CPU_STATE, WORLD_LEN, S2_UVC_RC_CPU_STATE);
	test_env_fail(&w.env, 1);
	fails(&w, S2_UVC_RC_NOMEM);
	test_env_fail(&w.env, 0);
	w.hides = 0;
	fails(&w, S2_UVC_RC_NOMEM);
	w.hides = -1;
	ck_assert_int_eq(issue(&w, 0), S2_UVC_CC_OK);
	cpu = s2_uvcb_get64(&w.block, S2_UVCB_HANDLE);
	ck_assert_uint_ne(cpu, 0);
	world_check(&w);
	fails_with(&w, S2_UVCB_CPU_STORAGE, HPA(60), S2_UVC_RC_CPU_DEFINED);
	other = create_cpu(&w, 0, handle, 3);
	ck_assert_uint_ne(cpu, other);
	ck_assert_int_eq(by_handle(&w, S2_UVC_DESTROY_CONF, cpu), S2_UVC_CC_ERROR);
	ck_assert_uint_eq(w.rc, S2_UVC_RC_INV_CONF);
	ck_assert_int_eq(by_handle(&w, S2_UVC_DESTROY_CONF, handle), S2_UVC_CC_ERROR);
	ck_assert_uint_eq(w.rc, S2_UVC_RC_IN_USE);
	ck_assert_int_eq(by_handle(&w, S2_UVC_DESTROY_CONF_FAST, handle), S2_UVC_CC_ERROR);
	ck_assert_uint_eq(w.rc, S2_UVC_RC_IN_USE);
	for (unsigned order = 0; order < 8; order++) {
		bool good = order >= 1 && order <= 3;

		begin(&w, S2_UVC_CPU_SET_STATE);
		put(&w, S2_UVCB_HANDLE, cpu);
		w.block.byte[S2_UVCB_CPU_ORDER] = (uint8_t)order;
		ck_assert_int_eq(issue(&w, 0), good ? S2_UVC_CC_OK : S2_UVC_CC_ERROR);
		ck_assert_uint_eq(w.rc, good	     ? S2_UVC_RC_EXECUTED
					: order == 5 ? S2_UVC_RC_INV_STATE
						     : S2_UVC_RC_CPU_ORDER);
	}
	begin(&w, S2_UVC_CPU_SET_STATE);
	put(&w, S2_UVCB_HANDLE, handle);
	fails(&w, S2_UVC_RC_INV_CPU);
	ck_assert_int_eq(by_handle(&w, S2_UVC_DESTROY_CPU, cpu + 1), S2_UVC_CC_ERROR);
	ck_assert_uint_eq(w.rc, S2_UVC_RC_INV_CPU);
	ck_assert_int_eq(by_handle(&w, S2_UVC_DESTROY_CPU, cpu), S2_UVC_CC_OK);
	ck_assert(is_filled(&w, AT_CONF + 10, 0));
	ck_assert_int_eq(by_handle(&w, S2_UVC_DESTROY_CPU, cpu), S2_UVC_CC_ERROR);
	world_check(&w);
	world_fini(&w); /* takes the other with it */
}
END_TEST

START_TEST(injected)
{
	struct world w;

	world_init(&w);
	w.nth = (struct s2_uv_nth){
		.skip = 1, .count = 2, .cmd = S2_UVC_QUERY, .cc = S2_UVC_CC_BUSY};
	ck_assert_int_eq(uv_initialise(&w), S2_UVC_CC_OK);
	begin(&w, S2_UVC_QUERY);
	ck_assert_int_eq(issue(&w, 0), S2_UVC_CC_OK);
	begin(&w, S2_UVC_QUERY);
	ck_assert_int_eq(issue(&w, 0), S2_UVC_CC_BUSY);
	ck_assert_int_eq(issue(&w, 0), S2_UVC_CC_BUSY);
	ck_assert_int_eq(issue(&w, 0), S2_UVC_CC_OK);
	w.nth = (struct s2_uv_nth){.count = 1, .cc = S2_UVC_CC_ERROR, .rc = 0x8123, .rrc = 0x42};
	fill_create(&w, 0);
	ck_assert_int_eq(issue(&w, 0), S2_UVC_CC_ERROR);
	ck_assert_uint_eq(w.rc, 0x123 | S2_UVC_RC_NEED_DESTROY);
	ck_assert_uint_eq(w.rrc, 0x42);
	w.nth = (struct s2_uv_nth){.count = 1, .cc = S2_UVC_CC_PARTIAL};
	ck_assert_int_eq(issue(&w, 0), S2_UVC_CC_PARTIAL); /* has no parts: nothing */
	world_check(&w);
	ck_assert(!w.hidden[AT_CONF]);
	ck_assert_int_eq(issue(&w, 0), S2_UVC_CC_OK);
	ck_assert_uint_eq(s2_uv_count(&w.uv).cc[S2_UVC_CC_BUSY], 2);
	ck_assert_uint_eq(s2_uv_count(&w.uv).cc[S2_UVC_CC_PARTIAL], 1);
	ck_assert_uint_eq(s2_uv_count(&w.uv).calls, 8);
	world_fini(&w);
}
END_TEST

START_TEST(configs)
{
	struct world w;
	struct s2_uv uv;
	struct s2_uv_config config;
	struct s2_uv_ops ops;

	world_init(&w);
#define REFUSES(change, err)                                     \
	do {                                                     \
		config = w.config;                               \
		ops = *w.config.ops;                             \
		config.ops = &ops;                               \
		change;                                          \
		ck_assert_int_eq(s2_uv_init(&uv, &config), err); \
	} while (0)
	REFUSES(config.ops = NULL, S2_ERR_INVAL);
	REFUSES(config.cipher = NULL, S2_ERR_INVAL);
	REFUSES(config.env.alloc = NULL, S2_ERR_INVAL);
	REFUSES(config.memory_len = 0, S2_ERR_INVAL);
	REFUSES(config.conf_max = 65536, S2_ERR_INVAL);
	REFUSES(ops.page = NULL, S2_ERR_INVAL);
	REFUSES(ops.walk = NULL, S2_ERR_INVAL);
	REFUSES(ops.random = NULL, S2_ERR_INVAL);
	REFUSES(ops.hide = NULL, S2_ERR_INVAL); /* but show */
	REFUSES(config.memory_len = 0x1000, S2_ERR_ALIGN);
	REFUSES(config.memory_start.val = 0x1000, S2_ERR_ALIGN);
	REFUSES(config.memory_start.val = ~UINT64_C(0xfffff), S2_ERR_WRAP);
	for (size_t n = 1; n <= 3; n++) {
		size_t live = w.env.live;

		test_env_fail(&w.env, n);
		REFUSES((void)0, S2_ERR_NOMEM);
		test_env_fail(&w.env, 0);
		ck_assert_uint_eq(w.env.live, live);
	}
	w.randoms = 0;
	REFUSES(config.host_key = NULL, S2_ERR_NOMEM);
	w.randoms = -1;
	config = w.config;
	config.host_key = NULL;
	config.guest_max = config.conf_max = config.budget = 0;
	config.cpu_max = 0;
	ck_assert_int_eq(s2_uv_init(&uv, &config), S2_OK);
	s2_uv_fini(&uv);
	world_fini(&w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("uv calls");
	TCase *tcase = tcase_create("uv calls");

	tcase_add_test(tcase, lengths);
	tcase_add_test(tcase, bytes);
	tcase_add_test(tcase, not_initialised);
	tcase_add_test(tcase, header);
	tcase_add_test(tcase, query);
	tcase_add_test(tcase, without_images);
	tcase_add_test(tcase, initialise);
	tcase_add_test(tcase, create_configuration);
	tcase_add_test(tcase, cpus);
	tcase_add_test(tcase, injected);
	tcase_add_test(tcase, configs);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
