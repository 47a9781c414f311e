/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine's digests and random numbers, what the cipher makes of them, and images. */
#include "cpacf.h"
#include "seal.h"
#include "test_uv.h"

#define OK S2_UVC_RC_EXECUTED

static uint64_t page[3][PAGE / 8];

static void digest(const void *data, size_t len, struct sha512 *s)
{
	sha512_begin(s);
	sha512_end(s, data, len);
}

static bool can(void)
{
	const char *missing = ultravisor_missing();

	if (missing != NULL) {
		test_skip(missing);
	}
	return missing == NULL;
}

/* FIPS 180-4: NIST's examples for SHA-512; RFC 4231, section 4.3. */
void uv_sha512(const struct machine_space *kind)
{
	static const char two_blocks[] = "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
					 "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";
	static const char jefe[] = "what do ya want for nothing?";
	struct sha512 s, parts;

	(void)kind;
	if (!can()) {
		return;
	}
	digest("abc", 3, &s);
	CHECK(s.state[0] == UINT64_C(0xddaf35a193617aba) &&
	      s.state[7] == UINT64_C(0x2a9ac94fa54ca49f));
	digest(two_blocks, 112, &s);
	CHECK(s.state[0] == UINT64_C(0x8e959b75dae313da) &&
	      s.state[7] == UINT64_C(0x5e96e55b874be909));
	digest(NULL, 0, &s);
	CHECK(s.state[0] == UINT64_C(0xcf83e1357eefb8bd) &&
	      s.state[7] == UINT64_C(0xa538327af927da3e));
	hmac_begin(&s, (const uint8_t *)"Jefe", 4);
	hmac_end(&s, (const uint8_t *)"Jefe", 4, jefe, 28);
	CHECK(s.state[0] == UINT64_C(0x164b7a7bfcf819e2) &&
	      s.state[7] == UINT64_C(0x636e070a38bce737));
	/* KIMD and KLMD, and KLMD alone. */
	memset(page[0], 'a', PAGE);
	digest(page[0], PAGE - 1, &s);
	sha512_begin(&parts);
	sha512_blocks(&parts, page[0], 1024);
	sha512_blocks(&parts, page[0], PAGE - 2048);
	sha512_end(&parts, page[0], 1023);
	CHECK(memcmp(s.state, parts.state, sizeof(s.state)) == 0);
	if (kind == machine.space) {
		print("# KM or KMA with AES: %s\n", cpacf_has_aes() ? "yes, and not used" : "no");
	}
}

static bool opens(const uint8_t *key, uint64_t gpa, uint64_t version, const uint8_t *tag)
{
	return seal_cipher.open(NULL, key, gpa, version, page[1], page[2], tag) == S2_UV_GOOD;
}

void uv_seal(const struct machine_space *kind)
{
	uint8_t key[S2_UV_KEY_BYTES], other[S2_UV_KEY_BYTES];
	uint8_t tag[S2_UV_TAG_BYTES];

	(void)kind;
	if (!can()) {
		return;
	}
	trng(key, sizeof(key));
	memcpy(other, key, sizeof(key));
	other[31] ^= 1;
	memset(page[0], 0, PAGE);
	CHECK(seal_cipher.seal(NULL, key, 5 * PAGE, 7, page[0], page[1], tag) == S2_UV_GOOD);
	/* The stream itself: no word of it comes twice. */
	for (size_t i = 0; i < PAGE / 8; i++) {
		for (size_t j = 0; j < i; j++) {
			CHECK(page[1][i] != page[1][j]);
		}
	}
	CHECK(opens(key, 5 * PAGE, 7, tag) && memcmp(page[0], page[2], PAGE) == 0);
	CHECK(!opens(key, 6 * PAGE, 7, tag) && !opens(key, 5 * PAGE, 8, tag));
	CHECK(!opens(other, 5 * PAGE, 7, tag));
	tag[15] ^= 1;
	CHECK(!opens(key, 5 * PAGE, 7, tag));
	tag[15] ^= 1;
	page[1][511] ^= 1;
	CHECK(!opens(key, 5 * PAGE, 7, tag));
}

/* Not a test of randomness: that there are bytes at all, all of them, and each time others. */
void uv_random(const struct machine_space *kind)
{
	(void)kind;
	if (!can()) {
		return;
	}
	memset(page, 0, sizeof(page));
	trng(page[0], 256);
	trng(page[1], 256);
	for (size_t i = 0; i < 256 / 8; i++) {
		CHECK(page[0][i] != 0 && page[1][i] != 0 && page[0][i] != page[1][i]);
	}
	CHECK(page[0][256 / 8] == 0 && page[1][256 / 8] == 0);
}

/* An image of two pages, plain in AT_FREE and the next, encrypted in the two behind. */
static void make_image(void *header)
{
	static const uint64_t tweak[2] = {0x77, 0};
	uint8_t key[S2_UV_IMAGE_KEY_BYTES];
	struct s2_uv_image image;

	trng(key, sizeof(key));
	s2_uv_image_begin(&image, key);
	for (unsigned i = 0; i < 2; i++) {
		const uint64_t own[2] = {tweak[0], i};
		uint64_t *plain = (uint64_t *)(void *)uv_page(AT_FREE + i);

		for (size_t j = 0; j < PAGE / 8; j++) {
			plain[j] = GADDR(1 + i) + 8 * j;
		}
		MUST(s2_uv_image_add(&image, &seal_cipher, s2_gpa(GADDR(1 + i)), own, plain,
				     uv_page(AT_FREE + 2 + i)));
	}
	MUST(s2_uv_image_header(&image, &seal_cipher, t.u.host_key, 1, header));
}

static bool set_params(const void *header, uint16_t rc)
{
	uv_block(S2_UVC_SET_PARAMS);
	s2_uvcb_put64(&t.block, S2_UVCB_HANDLE, t.handle[0]);
	s2_uvcb_put64(&t.block, S2_UVCB_HEADER, (uint64_t)(uintptr_t)header);
	s2_uvcb_put(&t.block, S2_UVCB_HEADER_LEN, 4, S2_UV_HEADER_BYTES);
	return uv_call(rc == OK ? S2_UVC_CC_OK : S2_UVC_CC_ERROR, rc);
}

static bool unpack(unsigned i)
{
	uv_give(0, GADDR(1 + i), AT_FREE + 2 + i);
	uv_block(S2_UVC_UNPACK);
	s2_uvcb_put64(&t.block, S2_UVCB_HANDLE, t.handle[0]);
	s2_uvcb_put64(&t.block, S2_UVCB_GADDR, GADDR(1 + i));
	s2_uvcb_put64(&t.block, S2_UVCB_TWEAK, 0x77);
	s2_uvcb_put64(&t.block, S2_UVCB_TWEAK + 8, i);
	return uv_call(S2_UVC_CC_OK, OK);
}

static void run_image(const struct machine_space *kind, bool tamper)
{
	uint8_t *header;

	if (!uv_begin(kind, 1)) {
		return;
	}
	header = memory_alloc(S2_UV_HEADER_BYTES);
	make_image(header);
	if (tamper) {
		header[PAGE + 100] ^= 1;
		CHECK(set_params(header, S2_UVC_RC_PARAMS_KEY));
		header[PAGE + 100] ^= 1;
		CHECK(host_stores(AT_FREE + 3, 9, 0));
	}
	CHECK(set_params(header, OK) && unpack(0) && unpack(1));
	CHECK(host_absent(AT_FREE + 2) && guest_filled(0, GADDR(1)));
	if (tamper) {
		CHECK(uv_conf(S2_UVC_VERIFY, t.handle[0], S2_UVC_RC_VERIFY));
		CHECK(s2_uvcb_get(&t.block, S2_UVCB_RRC, 2) == S2_UVC_RRC_VERIFY_PAGES);
	} else {
		CHECK(uv_conf(S2_UVC_VERIFY, t.handle[0], OK) && guest_filled(0, GADDR(2)));
	}
	memory_free(header, S2_UV_HEADER_BYTES);
	uv_end();
}

void uv_image(const struct machine_space *kind)
{
	run_image(kind, false);
}

void uv_image_tampered(const struct machine_space *kind)
{
	run_image(kind, true);
}
