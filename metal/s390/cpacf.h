/* SPDX-License-Identifier: BSD-2-Clause */
/* The cryptographic instructions of the processor, as far as the Ultravisor uses them. */
#ifndef METAL_S390_CPACF_H
#define METAL_S390_CPACF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Are these there? By the facilities and then by the query functions. */
bool cpacf_has_sha512(void); /* in KIMD and in KLMD */
bool cpacf_has_trng(void);   /* in PRNO */
/* XTS-AES-256 in KM, or GCM-AES-256 in KMA: uv-sha512 says so, nobody uses it. */
bool cpacf_has_aes(void);

#define SHA512_BLOCK 128
#define SHA512_BYTES 64

/* The parameter block of KLMD-SHA-512, PoP chapter 7, "Compute Last Message Digest". */
struct sha512 {
	uint64_t state[8];
	uint64_t bits[2]; /* of the whole message */
};

void sha512_begin(struct sha512 *s);
/* Whole blocks. */
void sha512_blocks(struct sha512 *s, const void *data, size_t len);
/* What is left, of any length; the digest is in state. */
void sha512_end(struct sha512 *s, const void *data, size_t len);

/* RFC 2104. Keys of at most SHA512_BLOCK bytes; sha512_blocks() in between. */
void hmac_begin(struct sha512 *s, const uint8_t *key, size_t len);
/* data, data_len: as of sha512_end(). */
void hmac_end(struct sha512 *s, const uint8_t *key, size_t len, const void *data, size_t data_len);

/* Conditioned bytes of the true random number generator. */
void trng(void *out, size_t len);

#endif
