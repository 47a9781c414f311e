/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A toy cipher: it has the shape of one and gives no protection whatever. For machines without libcrypto
 * in the tests, and nowhere else.
 */
#ifndef TESTS_UV_TOY_H
#define TESTS_UV_TOY_H

#include <string.h>

#include <stage2/uv.h>

static inline uint64_t toy_mix(uint64_t value)
{
	value ^= value >> 33;
	value *= UINT64_C(0xff51afd7ed558ccd);
	value ^= value >> 29;
	value *= UINT64_C(0xc4ceb9fe1a85ec53);
	return value ^ value >> 32;
}

static inline uint64_t toy_hash(uint64_t state, const void *data, size_t len)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i < len; i++) {
		state = toy_mix(state ^ byte[i]) + i;
	}
	return state;
}

static inline void toy_stream(uint64_t seed, const void *in, void *out)
{
	for (size_t i = 0; i < S2_PAGE_SIZE; i++) {
		((uint8_t *)out)[i] =
			(uint8_t)(((const uint8_t *)in)[i] ^ (toy_mix(seed + i / 8) >> i % 8 * 8));
	}
}

static inline uint64_t toy_seed(const uint8_t *key, uint64_t gpa, uint64_t version)
{
	return toy_mix(toy_mix(toy_hash(1, key, S2_UV_KEY_BYTES) ^ gpa) ^ version);
}

static inline void toy_tag(uint64_t seed, const void *sealed, uint8_t *tag)
{
	s2_uvcb_put64(tag, 0, toy_hash(seed, sealed, S2_PAGE_SIZE));
	s2_uvcb_put64(tag, 8, toy_mix(seed ^ s2_uvcb_get64(tag, 0)));
}

static inline enum s2_uv_seal toy_seal(void *cookie, const uint8_t *key, uint64_t gpa,
				       uint64_t version, const void *in, void *out, uint8_t *tag)
{
	(void)cookie;
	toy_stream(toy_seed(key, gpa, version), in, out);
	toy_tag(toy_seed(key, gpa, version), out, tag);
	return S2_UV_GOOD;
}

static inline enum s2_uv_seal toy_open(void *cookie, const uint8_t *key, uint64_t gpa,
				       uint64_t version, const void *in, void *out,
				       const uint8_t *tag)
{
	uint8_t right[S2_UV_TAG_BYTES];

	(void)cookie;
	toy_tag(toy_seed(key, gpa, version), in, right);
	toy_stream(toy_seed(key, gpa, version), in, out);
	return memcmp(right, tag, sizeof(right)) == 0 ? S2_UV_GOOD : S2_UV_FORGED;
}

static inline bool toy_image(void *cookie, const uint8_t *key, const uint8_t *tweak, bool encrypt,
			     const void *in, void *out)
{
	(void)cookie;
	(void)encrypt;
	toy_stream(toy_hash(toy_hash(2, key, S2_UV_IMAGE_KEY_BYTES), tweak, 16), in, out);
	return true;
}

static inline bool toy_digest(void *cookie, uint8_t *state, const void *data, size_t len)
{
	(void)cookie;
	for (size_t i = 0; i < S2_UV_DIGEST_BYTES; i += 8) {
		s2_uvcb_put64(state, i, toy_hash(s2_uvcb_get64(state, i) + i, data, len));
	}
	return true;
}

static inline const struct s2_uv_cipher *toy_cipher(void)
{
	static const struct s2_uv_cipher cipher = {
		.seal = toy_seal,
		.open = toy_open,
		.image = toy_image,
		.digest = toy_digest,
	};

	return &cipher;
}

#endif
