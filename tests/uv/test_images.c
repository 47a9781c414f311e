/* SPDX-License-Identifier: BSD-2-Clause */
/* Images: made, unpacked, verified; and what is wrong with them is said. */
#include "check_main.h"
#include "world.h"

#define G(n) ((uint64_t)(n) << S2_PAGE_LG2)
#define P(n) (AT_POOL + (n))
#define PAGES 3u
#define TWEAK UINT64_C(0x1234567800000000)

struct boot {
	struct world w;
	uint64_t handle;
	struct s2_uv_image image;
	uint8_t packed[PAGES][S2_PAGE_SIZE];
	uint8_t header[S2_UV_HEADER_BYTES];
};

/* Byte i of page n. */
static uint8_t content(unsigned n, size_t i)
{
	return (uint8_t)(n * 50 + i * 7 + i / 256);
}

static bool is_content(struct boot *b, unsigned n)
{
	for (size_t i = 0; i < S2_PAGE_SIZE; i++) {
		if (at(&b->w, P(n))[i] != content(n, i)) {
			return false;
		}
	}
	return true;
}

static void make_header(struct boot *b)
{
	ck_assert(s2_uv_image_header(&b->image, b->w.inner, world_host_key(), 77, b->header));
	memcpy(at(&b->w, AT_HEADER), b->header, sizeof(b->header));
}

static void start(struct boot *b)
{
	uint8_t key[S2_UV_IMAGE_KEY_BYTES];
	uint8_t plain[S2_PAGE_SIZE];

	memset(b, 0, sizeof(*b));
	world_init(&b->w);
	ck_assert_int_eq(uv_initialise(&b->w), S2_UVC_CC_OK);
	b->handle = create(&b->w, 0);
	for (size_t i = 0; i < sizeof(key); i++) {
		key[i] = (uint8_t)(i * 3);
	}
	s2_uv_image_begin(&b->image, key);
	for (unsigned n = 0; n < PAGES; n++) {
		const uint64_t tweak[2] = {TWEAK, G(n)};

		for (size_t i = 0; i < sizeof(plain); i++) {
			plain[i] = content(n, i);
		}
		ck_assert(s2_uv_image_add(&b->image, b->w.inner, s2_gpa(G(n)), tweak, plain,
					  b->packed[n]));
		memcpy(at(&b->w, P(n)), b->packed[n], S2_PAGE_SIZE);
		map(&b->w, 0, G(n), P(n));
	}
	make_header(b);
}

static int set_params(struct boot *b)
{
	begin(&b->w, S2_UVC_SET_PARAMS);
	put(&b->w, S2_UVCB_HANDLE, b->handle);
	put(&b->w, S2_UVCB_HEADER, WORLD_VIRT + HPA(AT_HEADER));
	s2_uvcb_put(&b->w.block, S2_UVCB_HEADER_LEN, 4, S2_UV_HEADER_BYTES);
	return issue(&b->w, 0);
}

static int unpack(struct boot *b, uint64_t gaddr, uint64_t tweak0, uint64_t tweak1)
{
	begin(&b->w, S2_UVC_UNPACK);
	put(&b->w, S2_UVCB_HANDLE, b->handle);
	put(&b->w, S2_UVCB_GADDR, gaddr);
	put(&b->w, S2_UVCB_TWEAK, tweak0);
	put(&b->w, S2_UVCB_TWEAK + 8, tweak1);
	return issue(&b->w, 0);
}

static void expect(struct boot *b, int cc, uint16_t rc, uint16_t rrc)
{
	ck_assert_int_eq(cc, rc == S2_UVC_RC_EXECUTED ? S2_UVC_CC_OK : S2_UVC_CC_ERROR);
	ck_assert_uint_eq(b->w.rc, rc);
	ck_assert_uint_eq(b->w.rrc, rrc);
	world_check(&b->w);
}

START_TEST(boots)
{
	struct boot b;
	uint64_t cpu;

	start(&b);
	expect(&b, by_handle(&b.w, S2_UVC_VERIFY, b.handle), S2_UVC_RC_INV_STATE, 0);
	expect(&b, unpack(&b, G(0), TWEAK, G(0)), S2_UVC_RC_INV_STATE, 0);
	expect(&b, set_params(&b), S2_UVC_RC_EXECUTED, 0);
	expect(&b, set_params(&b), S2_UVC_RC_INV_STATE, 0);
	cpu = create_cpu(&b.w, 0, b.handle, 0);
	for (unsigned n = 0; n < PAGES; n++) {
		expect(&b, unpack(&b, G(n), TWEAK, G(n)), S2_UVC_RC_EXECUTED, 0);
		ck_assert(b.w.hidden[P(n)]);
		ck_assert(is_content(&b, n));
	}
	ck_assert_uint_eq(s2_uv_count(&b.w.uv).unpacked, PAGES);
	expect(&b, unpack(&b, G(0), TWEAK, G(0)), S2_UVC_RC_RESIDENT, 0);
	begin(&b.w, S2_UVC_CPU_SET_STATE);
	put(&b.w, S2_UVCB_HANDLE, cpu);
	b.w.block.byte[S2_UVCB_CPU_ORDER] = S2_UV_CPU_LOAD;
	expect(&b, issue(&b.w, 0), S2_UVC_RC_INV_STATE, 0);
	expect(&b, by_handle(&b.w, S2_UVC_VERIFY, b.handle), S2_UVC_RC_EXECUTED, 0);
	begin(&b.w, S2_UVC_CPU_SET_STATE);
	put(&b.w, S2_UVCB_HANDLE, cpu);
	b.w.block.byte[S2_UVCB_CPU_ORDER] = S2_UV_CPU_LOAD;
	expect(&b, issue(&b.w, 0), S2_UVC_RC_EXECUTED, 0);
	expect(&b, by_handle(&b.w, S2_UVC_VERIFY, b.handle), S2_UVC_RC_INV_STATE, 0);
	expect(&b, unpack(&b, G(4), TWEAK, G(4)), S2_UVC_RC_INV_STATE, 0);
	expect(&b, set_params(&b), S2_UVC_RC_INV_STATE, 0);
	expect(&b, by_page(&b.w, S2_UVC_EXPORT, P(1)), S2_UVC_RC_EXECUTED, 0);
	expect(&b, by_gaddr(&b.w, S2_UVC_IMPORT, b.handle, G(1)), S2_UVC_RC_EXECUTED, 0);
	ck_assert_uint_eq(at(&b.w, P(1))[9], content(1, 9));
	world_fini(&b.w);
}
END_TEST

enum wrong {
	FEWER,
	MORE,
	ORDER,
	ADDRESS,
	TWEAKED,
	CHANGED,
	WRONG_COUNT
};

START_TEST(does_not_verify)
{
	static const uint16_t reason[] = {
		S2_UVC_RRC_VERIFY_COUNT,     S2_UVC_RRC_VERIFY_COUNT,  S2_UVC_RRC_VERIFY_ADDRESSES,
		S2_UVC_RRC_VERIFY_ADDRESSES, S2_UVC_RRC_VERIFY_TWEAKS, S2_UVC_RRC_VERIFY_PAGES,
	};
	enum wrong wrong = (enum wrong)_i;
	struct boot b;

	start(&b);
	expect(&b, set_params(&b), S2_UVC_RC_EXECUTED, 0);
	at(&b.w, P(1))[5] ^= wrong == CHANGED;
	map(&b.w, 0, G(8), P(2));
	for (unsigned i = 0; i < PAGES - (wrong == FEWER); i++) {
		unsigned n = wrong == ORDER ? PAGES - 1 - i : i;
		uint64_t gaddr = wrong == ADDRESS && n == 2 ? G(8) : G(n);

		expect(&b, unpack(&b, gaddr, TWEAK, G(n) + (wrong == TWEAKED)), S2_UVC_RC_EXECUTED,
		       0);
	}
	if (wrong == MORE) {
		map(&b.w, 0, G(9), P(9));
		expect(&b, unpack(&b, G(9), TWEAK, G(9)), S2_UVC_RC_EXECUTED, 0);
	}
	expect(&b, by_handle(&b.w, S2_UVC_VERIFY, b.handle), S2_UVC_RC_VERIFY, reason[wrong]);
	/* That was the only chance. */
	expect(&b, by_handle(&b.w, S2_UVC_VERIFY, b.handle), S2_UVC_RC_INV_STATE, 0);
	world_fini(&b.w);
}
END_TEST

START_TEST(headers)
{
	struct boot b;
	uint8_t *header;

	start(&b);
	header = at(&b.w, AT_HEADER);
	begin(&b.w, S2_UVC_SET_PARAMS);
	put(&b.w, S2_UVCB_HANDLE, b.handle);
	put(&b.w, S2_UVCB_HEADER, WORLD_VIRT + HPA(AT_HEADER));
	s2_uvcb_put(&b.w.block, S2_UVCB_HEADER_LEN, 4, S2_UV_HEADER_BYTES - 8);
	expect(&b, issue(&b.w, 0), S2_UVC_RC_PARAMS_CORRUPT, 0x31);
	s2_uvcb_put(&b.w.block, S2_UVCB_HEADER_LEN, 4, S2_UV_HEADER_BYTES);
	put(&b.w, S2_UVCB_HANDLE, 3);
	expect(&b, issue(&b.w, 0), S2_UVC_RC_INV_CONF, 0);
	put(&b.w, S2_UVCB_HANDLE, b.handle);
	put(&b.w, S2_UVCB_HEADER, 0x1000);
	expect(&b, issue(&b.w, 0), S2_UVC_RC_PARAMS_ACCESS, 0);
	put(&b.w, S2_UVCB_HEADER, WORLD_VIRT + WORLD_LEN - 0x1000); /* ends outside */
	expect(&b, issue(&b.w, 0), S2_UVC_RC_PARAMS_ACCESS, 0);
	put(&b.w, S2_UVCB_HEADER, WORLD_VIRT + HPA(AT_INIT)); /* is not the host's */
	expect(&b, issue(&b.w, 0), S2_UVC_RC_PARAMS_ACCESS, 0);
	b.w.no_memory[AT_HEADER + 1] = true;
	expect(&b, set_params(&b), S2_UVC_RC_PARAMS_ACCESS, 0);
	b.w.no_memory[AT_HEADER + 1] = false;
	header[0] ^= 1;
	expect(&b, set_params(&b), S2_UVC_RC_PARAMS_VERSION, 1);
	header[0] ^= 1;
	header[9] ^= 1;
	expect(&b, set_params(&b), S2_UVC_RC_PARAMS_VERSION, 1);
	header[9] ^= 1;
	header[15] ^= 8;
	expect(&b, set_params(&b), S2_UVC_RC_PARAMS_CORRUPT, 0x31);
	header[15] ^= 8;
	header[0x17] ^= 1;
	expect(&b, set_params(&b), S2_UVC_RC_PARAMS_FLAGS, 0x30);
	header[0x17] ^= 1;
	for (size_t i = 0x18; i < S2_UV_HEADER_BYTES; i += i == 0x2f ? 0xfd1 : i < 0x30 ? 1 : 101) {
		header[i] ^= 0x10;
		expect(&b, set_params(&b), S2_UVC_RC_PARAMS_KEY, 5);
		header[i] ^= 0x10;
	}
	b.w.ciphers = 0;
	expect(&b, set_params(&b), S2_UVC_RC_CIPHER, 0);
	b.w.ciphers = -1;
	test_env_fail(&b.w.env, 1);
	expect(&b, set_params(&b), S2_UVC_RC_NOMEM, 0);
	test_env_fail(&b.w.env, 0);
	/* It need not begin with a page. */
	memmove(header + 100, header, S2_UV_HEADER_BYTES);
	begin(&b.w, S2_UVC_SET_PARAMS);
	put(&b.w, S2_UVCB_HANDLE, b.handle);
	put(&b.w, S2_UVCB_HEADER, WORLD_VIRT + HPA(AT_HEADER) + 100);
	s2_uvcb_put(&b.w.block, S2_UVCB_HEADER_LEN, 4, S2_UV_HEADER_BYTES);
	expect(&b, issue(&b.w, 0), S2_UVC_RC_EXECUTED, 0);
	world_fini(&b.w);
}
END_TEST

START_TEST(unpack_codes)
{
	struct boot b;

	start(&b);
	expect(&b, set_params(&b), S2_UVC_RC_EXECUTED, 0);
	expect(&b, unpack(&b, GUEST_LEN, 0, 0), S2_UVC_RC_GADDR, 0);
	b.handle++;
	expect(&b, unpack(&b, G(0), TWEAK, 0), S2_UVC_RC_INV_CONF, 0);
	b.handle--;
	expect(&b, unpack(&b, 8, 0, 0), S2_UVC_RC_ALIGN, 0);
	expect(&b, unpack(&b, G(7), 0, 0), S2_UVC_RC_NOT_MAPPED, 0);
	b.w.hides = 0;
	expect(&b, unpack(&b, G(0), TWEAK, 0), S2_UVC_RC_NOMEM, 0);
	b.w.hides = -1;
	for (int n = 0; n < 4; n++) { /* one image, three digests */
		b.w.ciphers = n;
		expect(&b, unpack(&b, G(0), TWEAK, 0), S2_UVC_RC_CIPHER, 0);
		ck_assert_mem_eq(at(&b.w, P(0)), b.packed[0], S2_PAGE_SIZE);
	}
	b.w.ciphers = -1;
	/* None of that was counted: it still verifies. */
	for (unsigned n = 0; n < PAGES; n++) {
		expect(&b, unpack(&b, G(n), TWEAK, G(n)), S2_UVC_RC_EXECUTED, 0);
	}
	/* A page that is away was there, too. */
	expect(&b, by_page(&b.w, S2_UVC_EXPORT, P(0)), S2_UVC_RC_EXECUTED, 0);
	expect(&b, unpack(&b, G(0), TWEAK, G(0)), S2_UVC_RC_RESIDENT, 0);
	expect(&b, by_handle(&b.w, S2_UVC_VERIFY, b.handle + 1), S2_UVC_RC_INV_CONF, 0);
	expect(&b, by_handle(&b.w, S2_UVC_VERIFY, b.handle), S2_UVC_RC_EXECUTED, 0);
	world_fini(&b.w);
}
END_TEST

START_TEST(making)
{
	const uint64_t tweak[2] = {1, 2};
	struct s2_uv_image before;
	struct boot b;

	start(&b);
	before = b.image;
	for (int n = 0; n < 4; n++) {
		b.w.ciphers = n;
		ck_assert(!s2_uv_image_add(&b.image, &b.w.cipher, s2_gpa(0), tweak, b.packed[0],
					   b.packed[1]));
		ck_assert_mem_eq(&before, &b.image, sizeof(before));
	}
	b.w.ciphers = 0;
	ck_assert(!s2_uv_image_header(&b.image, &b.w.cipher, world_host_key(), 1, b.header));
	world_fini(&b.w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("uv images");
	TCase *tcase = tcase_create("uv images");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, boots);
	tcase_add_loop_test(tcase, does_not_verify, 0, WRONG_COUNT);
	tcase_add_test(tcase, headers);
	tcase_add_test(tcase, unpack_codes);
	tcase_add_test(tcase, making);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
