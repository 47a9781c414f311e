/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cipher on OpenSSL's libcrypto, for programs with an operating system.
 *
 * Sealing is AES-256-GCM: one pass for secrecy and integrity, and the fastest that processors have
 * instructions for. Its weakness is a nonce that comes twice, and here none does: the version counts all
 * seals under a key, and each configuration has a random key of its own. GCM-SIV, which forgives that
 * mistake, is not in OpenSSL 3.0; XTS has no tag, and a MAC beside it would be a second pass.
 * SP 800-38D, sections 5 and 8.2.1: the nonce is 4 bytes of 0 and the 8 of the version.
 *
 * Images are AES-256-XTS, as the architecture has it: pages are decrypted one at a time, and the tags of
 * all of them are the digests in the header (here SHA-256).
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include <stage2/uv_openssl.h>

/* A key schedule costs as much as some hundred bytes of cipher: it is kept for the next page. */
struct keyed {
	EVP_CIPHER_CTX *ctx;
	bool set;
	uint8_t key[S2_UV_KEY_BYTES];
};

struct s2_uv_openssl {
	struct s2_uv_cipher cipher;
	EVP_CIPHER *gcm;
	EVP_CIPHER *xts;
	EVP_MD *sha;
	EVP_CIPHER_CTX *image;
	EVP_MD_CTX *digest;
	struct keyed seal;
	struct keyed open;
};

static void put64(uint8_t *to, uint64_t value)
{
	s2_uvcb_put64(to, 0, value);
}

static bool set_key(struct s2_uv_openssl *o, struct keyed *keyed, const uint8_t *key, bool encrypt)
{
	if (keyed->set && CRYPTO_memcmp(keyed->key, key, sizeof(keyed->key)) == 0) {
		return true;
	}
	keyed->set = EVP_CipherInit_ex2(keyed->ctx, o->gcm, key, NULL, encrypt, NULL) == 1;
	memcpy(keyed->key, key, sizeof(keyed->key));
	return keyed->set;
}

/* Nonce and additional data. */
static bool start(struct s2_uv_openssl *o, struct keyed *keyed, const uint8_t *key, bool encrypt,
		  uint64_t gpa, uint64_t version)
{
	uint8_t nonce[12] = {0};
	uint8_t bound[16];
	int len;

	put64(nonce + 4, version);
	put64(bound, gpa);
	put64(bound + 8, version);
	return set_key(o, keyed, key, encrypt) &&
	       EVP_CipherInit_ex2(keyed->ctx, NULL, NULL, nonce, encrypt, NULL) == 1 &&
	       EVP_CipherUpdate(keyed->ctx, NULL, &len, bound, sizeof(bound)) == 1;
}

static enum s2_uv_seal seal(void *cookie, const uint8_t *key, uint64_t gpa, uint64_t version,
			    const void *in, void *out, uint8_t *tag)
{
	struct s2_uv_openssl *o = cookie;
	uint8_t none[16];
	int len;
	bool good =
		start(o, &o->seal, key, true, gpa, version) &&
		EVP_CipherUpdate(o->seal.ctx, out, &len, in, (int)S2_PAGE_SIZE) == 1 &&
		EVP_CipherFinal_ex(o->seal.ctx, none, &len) == 1 &&
		EVP_CIPHER_CTX_ctrl(o->seal.ctx, EVP_CTRL_AEAD_GET_TAG, S2_UV_TAG_BYTES, tag) == 1;

	return good ? S2_UV_GOOD : S2_UV_FAILED;
}

static enum s2_uv_seal open_sealed(void *cookie, const uint8_t *key, uint64_t gpa, uint64_t version,
				   const void *in, void *out, const uint8_t *tag)
{
	struct s2_uv_openssl *o = cookie;
	uint8_t copy[S2_UV_TAG_BYTES];
	uint8_t none[16];
	int len;

	memcpy(copy, tag, sizeof(copy));
	if (!start(o, &o->open, key, false, gpa, version) ||
	    EVP_CIPHER_CTX_ctrl(o->open.ctx, EVP_CTRL_AEAD_SET_TAG, S2_UV_TAG_BYTES, copy) != 1 ||
	    EVP_CipherUpdate(o->open.ctx, out, &len, in, (int)S2_PAGE_SIZE) != 1) {
		return S2_UV_FAILED;
	}
	if (EVP_CipherFinal_ex(o->open.ctx, none, &len) == 1) {
		return S2_UV_GOOD;
	}
	OPENSSL_cleanse(out, S2_PAGE_SIZE);
	return S2_UV_FORGED;
}

static bool image(void *cookie, const uint8_t *key, const uint8_t *tweak, bool encrypt,
		  const void *in, void *out)
{
	struct s2_uv_openssl *o = cookie;
	int len;

	return EVP_CipherInit_ex2(o->image, o->xts, key, tweak, encrypt, NULL) == 1 &&
	       EVP_CipherUpdate(o->image, out, &len, in, (int)S2_PAGE_SIZE) == 1;
}

static bool digest(void *cookie, uint8_t *state, const void *data, size_t len)
{
	struct s2_uv_openssl *o = cookie;

	return EVP_DigestInit_ex2(o->digest, o->sha, NULL) == 1 &&
	       EVP_DigestUpdate(o->digest, state, S2_UV_DIGEST_BYTES) == 1 &&
	       EVP_DigestUpdate(o->digest, data, len) == 1 &&
	       EVP_DigestFinal_ex(o->digest, state, NULL) == 1;
}

struct s2_uv_openssl *s2_uv_openssl_new(void)
{
	struct s2_uv_openssl *o = calloc(1, sizeof(*o));

	if (o == NULL) {
		return NULL;
	}
	o->cipher.seal = seal;
	o->cipher.open = open_sealed;
	o->cipher.image = image;
	o->cipher.digest = digest;
	o->cipher.cookie = o;
	o->gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	o->xts = EVP_CIPHER_fetch(NULL, "AES-256-XTS", NULL);
	o->sha = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	o->image = EVP_CIPHER_CTX_new();
	o->digest = EVP_MD_CTX_new();
	o->seal.ctx = EVP_CIPHER_CTX_new();
	o->open.ctx = EVP_CIPHER_CTX_new();
	if (o->gcm == NULL || o->xts == NULL || o->sha == NULL || o->image == NULL ||
	    o->digest == NULL || o->seal.ctx == NULL || o->open.ctx == NULL) {
		s2_uv_openssl_free(o);
		return NULL;
	}
	return o;
}

void s2_uv_openssl_free(struct s2_uv_openssl *o)
{
	if (o == NULL) {
		return;
	}
	EVP_CIPHER_CTX_free(o->open.ctx);
	EVP_CIPHER_CTX_free(o->seal.ctx);
	EVP_MD_CTX_free(o->digest);
	EVP_CIPHER_CTX_free(o->image);
	EVP_MD_free(o->sha);
	EVP_CIPHER_free(o->xts);
	EVP_CIPHER_free(o->gcm);
	OPENSSL_cleanse(o, sizeof(*o));
	free(o);
}

const struct s2_uv_cipher *s2_uv_openssl_cipher(const struct s2_uv_openssl *o)
{
	return &o->cipher;
}

bool s2_uv_openssl_random(void *cookie, void *out, size_t len)
{
	(void)cookie;
	return RAND_priv_bytes(out, (int)len) == 1;
}
