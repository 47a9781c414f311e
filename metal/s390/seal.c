/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cipher. QEMU has no AES instructions, and this is a construction for a machine without them,
 * from the SHA-512 that it does have (KIMD and KLMD):
 *
 *   two keys	HMAC-SHA-512(the configuration's key, 1) and (..., 2): to encrypt, and for tags
 *   encryption	exclusive or with SHA-512(key, address, version, counter), 64 bytes a counter. All
 *		that is hashed has one length: nobody can continue a digest to another one.
 *   tag	HMAC-SHA-512(key, address, version, the encrypted page), the first 16 bytes
 *
 * A version is used once with a key: no part of the stream comes twice. The tag is checked before
 * anything is decrypted. It is no standard, and nobody but us has looked at it. A machine with AES
 * should have GCM here.
 */
#include "seal.h"
#include "cpacf.h"
#include "s390.h"

#define STREAMS (S2_PAGE_SIZE / SHA512_BYTES)

/* Of pages that may begin anywhere. */
typedef uint64_t __attribute__((aligned(1), may_alias)) word;

struct keys {
	uint64_t encrypt[8];
	uint64_t tag[8];
};

/* What a block of the stream is the digest of. */
struct stream {
	uint64_t key[8];
	uint64_t bound[2]; /* address and version, or a tweak */
	uint64_t counter;
};

/* The compiler does not know that keys are looked for in what is left on stacks. */
static void forget(void *secret, size_t len)
{
	memset(secret, 0, len);
	__asm__ volatile("" : : "a"(secret) : "memory");
}

static void derive(const uint8_t *key, uint64_t purpose, uint64_t *out)
{
	uint64_t block[1] = {purpose};
	struct sha512 s;

	hmac_begin(&s, key, S2_UV_KEY_BYTES);
	hmac_end(&s, key, S2_UV_KEY_BYTES, block, sizeof(block));
	memcpy(out, s.state, sizeof(s.state));
	forget(&s, sizeof(s));
}

static void make_keys(const uint8_t *key, struct keys *keys)
{
	derive(key, 1, keys->encrypt);
	derive(key, 2, keys->tag);
}

/* There and back. */
static void encrypt(struct stream *stream, const word *in, word *out)
{
	struct sha512 s;

	for (; stream->counter < STREAMS; stream->counter++) {
		sha512_begin(&s);
		sha512_end(&s, stream, sizeof(*stream));
		for (size_t i = 0; i < SHA512_BYTES / 8; i++) {
			*out++ = *in++ ^ s.state[i];
		}
	}
	forget(&s, sizeof(s));
}

static void encrypt_page(const struct keys *keys, uint64_t gpa, uint64_t version, const void *in,
			 void *out)
{
	struct stream stream = {.bound = {gpa, version}};

	memcpy(stream.key, keys->encrypt, sizeof(stream.key));
	encrypt(&stream, in, out);
	forget(&stream, sizeof(stream));
}

static void make_tag(const struct keys *keys, uint64_t gpa, uint64_t version, const void *sealed,
		     uint8_t *tag)
{
	const uint8_t *key = (const uint8_t *)keys->tag;
	uint64_t bound[SHA512_BLOCK / 8] = {gpa, version};
	struct sha512 s;

	hmac_begin(&s, key, sizeof(keys->tag));
	sha512_blocks(&s, bound, sizeof(bound));
	hmac_end(&s, key, sizeof(keys->tag), sealed, S2_PAGE_SIZE);
	memcpy(tag, s.state, S2_UV_TAG_BYTES);
}

static enum s2_uv_seal seal(void *cookie, const uint8_t *key, uint64_t gpa, uint64_t version,
			    const void *in, void *out, uint8_t *tag)
{
	struct keys keys;

	(void)cookie;
	make_keys(key, &keys);
	encrypt_page(&keys, gpa, version, in, out);
	make_tag(&keys, gpa, version, out, tag);
	forget(&keys, sizeof(keys));
	return S2_UV_GOOD;
}

/* In a time that does not tell how much of it is right. */
static bool is_tag(const uint8_t *a, const uint8_t *b)
{
	unsigned differ = 0;

	for (size_t i = 0; i < S2_UV_TAG_BYTES; i++) {
		differ |= a[i] ^ b[i];
	}
	return differ == 0;
}

static enum s2_uv_seal open_sealed(void *cookie, const uint8_t *key, uint64_t gpa, uint64_t version,
				   const void *in, void *out, const uint8_t *tag)
{
	uint8_t right[S2_UV_TAG_BYTES];
	struct keys keys;
	bool good;

	(void)cookie;
	make_keys(key, &keys);
	make_tag(&keys, gpa, version, in, right);
	good = is_tag(right, tag);
	if (good) {
		encrypt_page(&keys, gpa, version, in, out);
	}
	forget(&keys, sizeof(keys));
	return good ? S2_UV_GOOD : S2_UV_FORGED;
}

/*
 * Unlike XTS, a stream gives two pages away that have the same tweak: who makes images gives each
 * page of a key a tweak of its own.
 */
static bool image(void *cookie, const uint8_t *key, const uint8_t *tweak, bool encrypting,
		  const void *in, void *out)
{
	struct stream stream = {.counter = 0};

	(void)cookie;
	(void)encrypting;
	memcpy(stream.key, key, sizeof(stream.key));
	memcpy(stream.bound, tweak, sizeof(stream.bound));
	encrypt(&stream, in, out);
	forget(&stream, sizeof(stream));
	return true;
}

/* SHA-512(state, SHA-512(data)), the first half. */
static bool digest(void *cookie, uint8_t *state, const void *data, size_t len)
{
	uint8_t both[S2_UV_DIGEST_BYTES + SHA512_BYTES];
	struct sha512 s;

	(void)cookie;
	sha512_begin(&s);
	sha512_end(&s, data, len);
	memcpy(both, state, S2_UV_DIGEST_BYTES);
	memcpy(both + S2_UV_DIGEST_BYTES, s.state, SHA512_BYTES);
	sha512_begin(&s);
	sha512_end(&s, both, sizeof(both));
	memcpy(state, s.state, S2_UV_DIGEST_BYTES);
	return true;
}

const struct s2_uv_cipher seal_cipher = {
	.seal = seal,
	.open = open_sealed,
	.image = image,
	.digest = digest,
};
