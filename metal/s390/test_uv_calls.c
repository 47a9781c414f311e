/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls: what they are answered, when they are right, wrong, too early, and hindered. */
#include "test_uv.h"

#define OK S2_UVC_RC_EXECUTED

static uint64_t bits(const uint8_t *bit, size_t count)
{
	uint64_t mask = 0;

	for (size_t i = 0; i < count; i++) {
		mask |= UINT64_C(1) << (63 - bit[i]);
	}
	return mask;
}

void uv_query(const struct machine_space *kind)
{
	static const uint8_t host[] = {0, 1, 2, 3, 4, 5, 6, 7, 11, 13, 14, 17, 20, 21, 22, 23};
	static const uint8_t guest[] = {0, 8, 9};

	if (!uv_begin(kind, 1)) {
		return;
	}
	uv_block(S2_UVC_QUERY);
	CHECK(uv_call(S2_UVC_CC_OK, OK));
	CHECK(s2_uvcb_get64(&t.block, S2_UVCB_QUERY_CALLS) == bits(host, sizeof(host)));
	CHECK(s2_uvcb_get64(&t.block, S2_UVCB_QUERY_BASE) == 0x4000);
	CHECK(s2_uvcb_get64(&t.block, S2_UVCB_QUERY_CONF_BASE) == CONF_BASE_PAGES * PAGE);
	CHECK(s2_uvcb_get64(&t.block, S2_UVCB_QUERY_CPU) == PAGE);
	CHECK(s2_uvcb_get64(&t.block, S2_UVCB_QUERY_GUEST_MAX) == (UINT64_C(1) << 42) - 1);
	CHECK(s2_uvcb_get(&t.block, S2_UVCB_QUERY_CONF_MAX, 4) == 64);
	uv_block(S2_UVC_QUERY);
	s2_uvcb_put(&t.block, S2_UVCB_LEN, 2, 0xa8);
	CHECK(uv_call(S2_UVC_CC_ERROR, S2_UVC_RC_MORE_DATA));
	CHECK(s2_uvcb_get64(&t.block, S2_UVCB_QUERY_CALLS) == bits(host, sizeof(host)));
	uv_block(S2_UVC_QUERY);
	s2_uvcb_put(&t.block, S2_UVCB_LEN, 2, 0xa0);
	CHECK(uv_call(S2_UVC_CC_ERROR, S2_UVC_RC_INV_LEN));
	CHECK(uv_guest_call(0, S2_UVC_QUERY, 0, S2_UVC_CC_OK, OK));
	CHECK(guest_sees(0, BLOCK_GADDR + S2_UVCB_QUERY_CALLS, bits(guest, sizeof(guest))));
	uv_end();
}

static bool init(uint64_t origin, uint64_t len, uint16_t rc)
{
	uv_block(S2_UVC_INIT);
	s2_uvcb_put64(&t.block, S2_UVCB_INIT_ORIGIN, origin);
	s2_uvcb_put64(&t.block, S2_UVCB_INIT_LEN, len);
	return uv_call(rc == OK ? S2_UVC_CC_OK : S2_UVC_CC_ERROR, rc);
}

void uv_init(const struct machine_space *kind)
{
	uint64_t origin;

	if (!uv_begin(kind, 0)) {
		return;
	}
	origin = (uint64_t)(uintptr_t)uv_page(AT_INIT);
	uv_conf_block(0);
	CHECK(uv_call(S2_UVC_CC_ERROR, S2_UVC_RC_INV_STATE));
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, GADDR(1), S2_UVC_RC_INV_STATE));
	CHECK(init(origin, 0x3000, S2_UVC_RC_INIT_LEN));
	CHECK(init(origin + 8, 0x4000, S2_UVC_RC_INIT_ORIGIN));
	CHECK(init(machine.ram_size, 0x4000, S2_UVC_RC_INIT_ORIGIN));
	CHECK(init(machine.ram_size - PAGE, 0x4000, S2_UVC_RC_INIT_END));
	CHECK(init(0, 0x4000, S2_UVC_RC_INIT_LOW));
	/* The machine cannot hide what it does not show to the host. */
	CHECK(init(origin - 0x4000, 0x4000, S2_UVC_RC_NOMEM));
	CHECK(host_stores(AT_INIT, 0, 1));
	CHECK(init(origin, 0x4000, OK));
	CHECK(init(origin, 0x4000, S2_UVC_RC_INIT_TWICE));
	CHECK(host_absent(AT_INIT) && host_absent(AT_INIT + 3) && host_stores(AT_INIT + 4, 0, 1));
	uv_end();
}

/* CREATE_CONF with one field that is wrong. */
static bool create(size_t field, uint64_t value, uint16_t rc)
{
	uv_conf_block(0);
	if (field != 0) {
		s2_uvcb_put64(&t.block, field, value);
	}
	return uv_call(rc == OK ? S2_UVC_CC_OK : S2_UVC_CC_ERROR, rc);
}

void uv_create(const struct machine_space *kind)
{
	uint64_t base, asce, handle;

	if (!uv_begin(kind, 0)) {
		return;
	}
	base = (uint64_t)(uintptr_t)uv_page(AT_CONF);
	CHECK(init((uint64_t)(uintptr_t)uv_page(AT_INIT), 0x4000, OK));
	uv_conf_block(0);
	asce = s2_uvcb_get64(&t.block, S2_UVCB_CONF_ASCE);
	CHECK(create(S2_UVCB_CONF_ORIGIN, UINT64_C(1) << 42, S2_UVC_RC_CONF_ORIGIN));
	CHECK(create(S2_UVCB_CONF_LEN, 0, S2_UVC_RC_CONF_LEN));
	CHECK(create(S2_UVCB_CONF_LEN, UINT64_C(1) << 42, S2_UVC_RC_CONF_LEN));
	CHECK(create(S2_UVCB_CONF_LEN, PAGE, S2_UVC_RC_ALIGN));
	CHECK(create(S2_UVCB_CONF_ASCE, asce & ~UINT64_C(0x100), S2_UVC_RC_CONF_ASCE));
	CHECK(create(S2_UVCB_CONF_ASCE, asce | 0x20, S2_UVC_RC_CONF_ASCE));
	CHECK(create(S2_UVCB_CONF_BASE, machine.ram_size, S2_UVC_RC_CONF_BASE));
	CHECK(create(S2_UVCB_CONF_BASE, 0, S2_UVC_RC_CONF_BASE_LOW));
	CHECK(create(S2_UVCB_CONF_BASE, base + 8, S2_UVC_RC_ALIGN));
	CHECK(create(S2_UVCB_CONF_SCA, 0, S2_UVC_RC_CONF_NO_SCA));
	CHECK(create(S2_UVCB_CONF_SCA, machine.ram_size, S2_UVC_RC_CONF_SCA));
	CHECK(create(S2_UVCB_CONF_VIRT, 0, S2_UVC_RC_CONF_VIRT_LOW));
	CHECK(create(S2_UVCB_CONF_VIRT, machine.ram_size, S2_UVC_RC_STORAGE));
	/* Storage that is donated already; what was taken before that is noticed is shown again. */
	CHECK(create(S2_UVCB_CONF_VIRT, base, S2_UVC_RC_OWNED));
	CHECK(host_stores(AT_CONF, 0, 1));
	CHECK(create(0, 0, OK));
	handle = s2_uvcb_get64(&t.block, S2_UVCB_HANDLE);
	CHECK(handle != 0);
	CHECK(create(0, 0, S2_UVC_RC_ASCE_USED));
	CHECK(host_absent(AT_CONF) && host_absent(AT_CONF + CONF_BASE_PAGES));
	CHECK(uv_conf(S2_UVC_DESTROY_CONF, handle, OK));
	CHECK(host_sees_zeros(AT_CONF) && host_sees_zeros(AT_CONF + CONF_BASE_PAGES));
	uv_end();
}

static bool create_cpu(unsigned number, unsigned page, uint16_t rc)
{
	uv_block(S2_UVC_CREATE_CPU);
	s2_uvcb_put64(&t.block, S2_UVCB_CPU_CONF, t.handle[0]);
	s2_uvcb_put64(&t.block, S2_UVCB_CPU_STORAGE, (uint64_t)(uintptr_t)uv_page(page));
	s2_uvcb_put(&t.block, S2_UVCB_CPU_NUMBER, 2, number);
	s2_uvcb_put64(&t.block, S2_UVCB_CPU_STATE, (uint64_t)(uintptr_t)uv_page(AT_SCA + 1));
	return uv_call(rc == OK ? S2_UVC_CC_OK : S2_UVC_CC_ERROR, rc);
}

static bool set_state(uint64_t cpu, uint8_t order, uint16_t rc)
{
	uv_block(S2_UVC_CPU_SET_STATE);
	s2_uvcb_put64(&t.block, S2_UVCB_HANDLE, cpu);
	t.block.byte[S2_UVCB_CPU_ORDER] = order;
	return uv_call(rc == OK ? S2_UVC_CC_OK : S2_UVC_CC_ERROR, rc);
}

void uv_cpus(const struct machine_space *kind)
{
	uint64_t cpu;

	if (!uv_begin(kind, 1)) {
		return;
	}
	CHECK(create_cpu(248, AT_CPU, S2_UVC_RC_CPU_NUMBER));
	CHECK(create_cpu(0, AT_CPU, OK));
	cpu = s2_uvcb_get64(&t.block, S2_UVCB_HANDLE);
	CHECK(create_cpu(0, AT_CPU + 1, S2_UVC_RC_CPU_DEFINED));
	CHECK(create_cpu(1, AT_CPU, S2_UVC_RC_OWNED));
	CHECK(host_absent(AT_CPU));
	CHECK(set_state(cpu, S2_UV_CPU_OPERATING, OK));
	CHECK(set_state(cpu, S2_UV_CPU_LOAD, S2_UVC_RC_INV_STATE));
	CHECK(set_state(cpu, 77, S2_UVC_RC_CPU_ORDER));
	CHECK(set_state(t.handle[0], S2_UV_CPU_STOPPED, S2_UVC_RC_INV_CPU));
	/* A guest that may run keeps its pages. */
	CHECK(uv_host(S2_UVC_DESTROY, AT_BLOCK, S2_UVC_RC_IN_USE));
	CHECK(uv_conf(S2_UVC_DESTROY_CONF, t.handle[0], S2_UVC_RC_IN_USE));
	CHECK(uv_conf(S2_UVC_DESTROY_CONF_FAST, t.handle[0], S2_UVC_RC_IN_USE));
	CHECK(uv_conf(S2_UVC_DESTROY_CPU, cpu, OK));
	CHECK(uv_conf(S2_UVC_DESTROY_CPU, cpu, S2_UVC_RC_INV_CPU));
	CHECK(host_sees_zeros(AT_CPU));
	CHECK(uv_host(S2_UVC_DESTROY, AT_BLOCK, OK));
	CHECK(create_cpu(0, AT_CPU, S2_UVC_RC_INV_STATE));
	uv_end();
}

void uv_destroy(const struct machine_space *kind)
{
	if (!uv_begin(kind, 2)) {
		return;
	}
	CHECK(uv_import(0, GADDR(1), AT_FREE) && guest_fills(0, GADDR(1)));
	CHECK(uv_import(1, GADDR(1), AT_FREE + 1) && guest_fills(1, GADDR(1)));
	CHECK(uv_conf(S2_UVC_DESTROY_CONF, t.handle[0], OK));
	CHECK(host_sees_zeros(AT_FREE) && host_sees_zeros(AT_BLOCK));
	CHECK(host_sees_zeros(AT_CONF) && host_stores(AT_FREE, 0, 5));
	CHECK(uv_conf(S2_UVC_DESTROY_CONF, t.handle[0], S2_UVC_RC_INV_CONF));
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, GADDR(1), S2_UVC_RC_INV_CONF));
	CHECK(host_absent(AT_FREE + 1) && guest_filled(1, GADDR(1)));
	uv_end();
}

/* Its pages stay hidden until each is seen to. */
void uv_destroy_fast(const struct machine_space *kind)
{
	if (!uv_begin(kind, 1)) {
		return;
	}
	CHECK(uv_import(0, GADDR(1), AT_FREE) && guest_fills(0, GADDR(1)));
	CHECK(uv_conf(S2_UVC_DESTROY_CONF_FAST, t.handle[0], OK));
	CHECK(host_absent(AT_FREE) && host_absent(AT_BLOCK) && host_sees_zeros(AT_CONF));
	CHECK(s2_uv_host_access(&t.u.uv, s2_hpa((uint64_t)(uintptr_t)uv_page(AT_FREE))) == 0x3d);
	CHECK(uv_host(S2_UVC_DESTROY, AT_FREE, OK) && host_sees_zeros(AT_FREE));
	CHECK(uv_host(S2_UVC_EXPORT, AT_BLOCK, OK) && host_sees_zeros(AT_BLOCK));
	uv_end();
}

void uv_busy(const struct machine_space *kind)
{
	if (!uv_begin(kind, 1)) {
		return;
	}
	uv_give(0, GADDR(1), AT_FREE);
	uv_block(S2_UVC_IMPORT);
	s2_uvcb_put64(&t.block, S2_UVCB_HANDLE, t.handle[0]);
	s2_uvcb_put64(&t.block, S2_UVCB_GADDR, GADDR(1));
	t.u.nth = (struct s2_uv_nth){.count = 2, .cmd = S2_UVC_IMPORT, .cc = S2_UVC_CC_BUSY};
	CHECK(uv_call(S2_UVC_CC_BUSY, 0) && uv_call(S2_UVC_CC_BUSY, 0));
	CHECK(s2_uv_state(&t.u.uv, t.handle[0], s2_gpa(GADDR(1))) == S2_UV_NONE);
	CHECK(host_stores(AT_FREE, 0, 1));
	CHECK(uv_call(S2_UVC_CC_OK, OK));
	CHECK(host_absent(AT_FREE) && guest_fills(0, GADDR(1)));
	/* The guest's own, too: its cc is that of the instruction that it executes. */
	t.u.nth = (struct s2_uv_nth){.count = 1, .cmd = S2_UVC_SHARE, .cc = S2_UVC_CC_BUSY};
	CHECK(uv_guest_call(0, S2_UVC_SHARE, GADDR(1), S2_UVC_CC_BUSY, 0));
	CHECK(host_absent(AT_FREE));
	t.u.nth = (struct s2_uv_nth){
		.skip = 1, .count = 1, .cc = S2_UVC_CC_ERROR, .rc = 0x7abc, .rrc = 0x12};
	CHECK(uv_conf(S2_UVC_UNSHARE_ALL, t.handle[0], OK));
	CHECK(uv_host(S2_UVC_EXPORT, AT_FREE, 0x7abc));
	CHECK(s2_uvcb_get(&t.block, S2_UVCB_RRC, 2) == 0x12);
	CHECK(host_absent(AT_FREE) && guest_filled(0, GADDR(1)));
	CHECK(uv_host(S2_UVC_EXPORT, AT_FREE, OK));
	uv_end();
}

/* One page a call: the same call again goes on, and others wait or are refused. */
void uv_partial(const struct machine_space *kind)
{
	if (!uv_begin(kind, 1)) {
		return;
	}
	for (unsigned i = 0; i < 6; i++) {
		CHECK(uv_import(0, GADDR(1 + i), AT_FREE + i) && guest_fills(0, GADDR(1 + i)));
	}
	for (unsigned i = 0; i < 3; i++) {
		CHECK(uv_guest_call(0, S2_UVC_SHARE, GADDR(1 + i), S2_UVC_CC_OK, OK));
	}
	t.u.nth = (struct s2_uv_nth){
		.count = UINT64_MAX, .cmd = S2_UVC_UNSHARE_ALL, .cc = S2_UVC_CC_PARTIAL};
	uv_block(S2_UVC_UNSHARE_ALL);
	s2_uvcb_put64(&t.block, S2_UVCB_HANDLE, t.handle[0]);
	CHECK(uv_call(S2_UVC_CC_PARTIAL, 0) && uv_call(S2_UVC_CC_PARTIAL, 0));
	CHECK(uv_guest_call(0, S2_UVC_SHARE, GADDR(4), S2_UVC_CC_BUSY, 0));
	CHECK(uv_conf(S2_UVC_UNSHARE_ALL, t.handle[0], OK));
	t.u.nth.cmd = S2_UVC_DESTROY_CONF;
	uv_block(S2_UVC_DESTROY_CONF);
	s2_uvcb_put64(&t.block, S2_UVCB_HANDLE, t.handle[0]);
	CHECK(uv_call(S2_UVC_CC_PARTIAL, 0));
	CHECK(host_sees_zeros(AT_BLOCK) && host_absent(AT_FREE + 3));
	CHECK(uv_conf(S2_UVC_DESTROY_CONF_FAST, t.handle[0], S2_UVC_RC_NO_RESUME));
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, GADDR(1), S2_UVC_RC_INV_STATE));
	uv_block(S2_UVC_DESTROY_CONF);
	s2_uvcb_put64(&t.block, S2_UVCB_HANDLE, t.handle[0]);
	CHECK(uv_call(S2_UVC_CC_PARTIAL, 0) && uv_call(S2_UVC_CC_PARTIAL, 0));
	CHECK(host_sees_zeros(AT_FREE + 4) && host_absent(AT_FREE + 5));
	CHECK(uv_call(S2_UVC_CC_OK, OK) && host_sees_zeros(AT_FREE + 5));
	uv_end();
}

static bool paddr(uint16_t cmd, uint64_t address, uint16_t rc)
{
	uv_block(cmd);
	s2_uvcb_put64(&t.block, S2_UVCB_PADDR, address);
	return uv_call(S2_UVC_CC_ERROR, rc);
}

static void bad_commands(void)
{
	uv_block(S2_UVC_IMPORT);
	s2_uvcb_put(&t.block, S2_UVCB_CMD, 2, 0x0999);
	CHECK(uv_call(S2_UVC_CC_ERROR, S2_UVC_RC_INV_CMD));
	CHECK(uv_gaddr(S2_UVC_SHARE, 0, GADDR(0), S2_UVC_RC_INV_CMD));
	CHECK(uv_gaddr(S2_UVC_UNSHARE, 0, GADDR(0), S2_UVC_RC_INV_CMD));
	CHECK(uv_guest_call(0, S2_UVC_IMPORT, GADDR(1), S2_UVC_CC_ERROR, S2_UVC_RC_INV_CMD));
	for (uint64_t len = 0; len <= 0x30; len += 8) {
		uv_block(S2_UVC_IMPORT);
		s2_uvcb_put(&t.block, S2_UVCB_LEN, 2, len == 0x28 ? 0x24 : len);
		CHECK(uv_call(S2_UVC_CC_ERROR, S2_UVC_RC_INV_LEN));
	}
}

static void bad_handles(void)
{
	static const uint16_t conf[] = {
		S2_UVC_DESTROY_CONF, S2_UVC_DESTROY_CONF_FAST, S2_UVC_IMPORT, S2_UVC_UNPIN,
		S2_UVC_UNSHARE_ALL,  S2_UVC_SET_PARAMS,	       S2_UVC_UNPACK, S2_UVC_VERIFY};
	const uint64_t bad[] = {0, t.handle[0] + 1, t.handle[0] + 0x10000, ~t.handle[0]};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		for (size_t j = 0; j < sizeof(conf) / sizeof(*conf); j++) {
			CHECK(uv_conf(conf[j], bad[i], S2_UVC_RC_INV_CONF));
		}
		CHECK(uv_conf(S2_UVC_DESTROY_CPU, bad[i], S2_UVC_RC_INV_CPU));
	}
}

void uv_errors(const struct machine_space *kind)
{
	uint64_t pool;

	if (!uv_begin(kind, 1)) {
		return;
	}
	pool = (uint64_t)(uintptr_t)uv_page(0);
	bad_commands();
	bad_handles();
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, TEST_GPA - PAGE, S2_UVC_RC_GADDR));
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, TEST_GPA + GUEST_LEN, S2_UVC_RC_GADDR));
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, GADDR(1) + 8, S2_UVC_RC_ALIGN));
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, GADDR(1), S2_UVC_RC_NOT_MAPPED));
	uv_give(0, GADDR(1), AT_CONF);
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, GADDR(1), S2_UVC_RC_OWNED));
	CHECK(uv_gaddr(S2_UVC_UNPIN, 0, GADDR(0), S2_UVC_RC_NOT_PINNED));
	CHECK(paddr(S2_UVC_EXPORT, pool + 8, S2_UVC_RC_ALIGN));
	CHECK(paddr(S2_UVC_EXPORT, machine.ram_size, S2_UVC_RC_STORAGE));
	CHECK(paddr(S2_UVC_EXPORT, pool + AT_CONF * PAGE, S2_UVC_RC_OWNED));
	CHECK(paddr(S2_UVC_DESTROY, pool + AT_INIT * PAGE, S2_UVC_RC_OWNED));
	CHECK(paddr(S2_UVC_PIN, pool + AT_FREE * PAGE, S2_UVC_RC_NOT_SHARED));
	CHECK(paddr(S2_UVC_PIN, pool + AT_BLOCK * PAGE, S2_UVC_RC_NOT_SHARED));
	CHECK(uv_guest_call(0, S2_UVC_SHARE, GADDR(0) + 8, S2_UVC_CC_ERROR, S2_UVC_RC_ALIGN));
	CHECK(uv_guest_call(0, S2_UVC_SHARE, 0, S2_UVC_CC_ERROR, S2_UVC_RC_GADDR));
	CHECK(host_absent(AT_BLOCK) && host_absent(AT_CONF) && host_absent(AT_INIT));
	uv_end();
}

/* Blocks that are not where a block can be: program exceptions. */
void uv_no_block(const struct machine_space *kind)
{
	union s2_uvcb *last = (union s2_uvcb *)(uintptr_t)(machine.ram_size - 16);
	uint64_t calls;

	if (!uv_begin(kind, 1)) {
		return;
	}
	calls = s2_uv_count(&t.u.uv).calls;
	uv_block(S2_UVC_QUERY);
	CHECK(uvc(t.block.byte + 4) == -PROGRAM_SPECIFICATION);
	CHECK(uvc((void *)(uintptr_t)machine.ram_size) == S2_UVC_ADDRESSING);
	memcpy(last, &t.block, 8);
	CHECK(uvc(last) == S2_UVC_ADDRESSING);
	/* And of a guest: what its host has to see to. */
	CHECK(ultravisor_guest(&t.u, &t.guest[0], t.handle[0], GADDR(1)) == S2_UVC_TRANSLATION);
	uv_give(0, GADDR(1), AT_FREE);
	CHECK(ultravisor_guest(&t.u, &t.guest[0], t.handle[0], GADDR(1)) == S2_UVC_NON_SECURE);
	CHECK(ultravisor_guest(&t.u, &t.guest[0], t.handle[0], GADDR(0) + 4) ==
	      -PROGRAM_SPECIFICATION);
	CHECK(s2_uv_count(&t.u.uv).calls == calls);
	uv_end();
}
