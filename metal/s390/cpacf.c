/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CP Assist for Cryptographic Functions. Function codes are in register 0, the address of the
 * parameter block in register 1; code 0 asks which there are. Condition code 3: go on. PoP
 * chapter 7.
 */
#include "cpacf.h"
#include "s390.h"

#define KM_XTS_AES_256 52
#define KMA_GCM_AES_256 20
#define SHA_512 3
#define PRNO_TRNG 114

struct codes {
	uint64_t mask[2];
};

static bool has(const struct codes *codes, unsigned code)
{
	return codes->mask[code / 64] >> (63 - code % 64) & 1;
}

/* Registers must be even and not 0, for queries too. */
#define QUERY(instruction, codes)                                  \
	do {                                                       \
		register uint64_t r0 __asm__("0") = 0;             \
		register void *r1 __asm__("1") = (codes);          \
		__asm__ volatile(".insn	" instruction              \
				 :                                 \
				 : "d"(r0), "a"(r1)                \
				 : "2", "4", "6", "cc", "memory"); \
	} while (0)

bool cpacf_has_sha512(void)
{
	struct codes kimd = {{0}}, klmd = {{0}};

	if (facility(FACILITY_MSA)) {
		QUERY("rre,0xb93e0000,%%r2,%%r4", &kimd);
		QUERY("rre,0xb93f0000,%%r2,%%r4", &klmd);
	}
	return has(&kimd, SHA_512) && has(&klmd, SHA_512);
}

bool cpacf_has_trng(void)
{
	struct codes prno = {{0}};

	if (facility(FACILITY_MSA5)) {
		QUERY("rre,0xb93c0000,%%r2,%%r4", &prno);
	}
	return has(&prno, PRNO_TRNG);
}

bool cpacf_has_aes(void)
{
	struct codes km = {{0}}, kma = {{0}};

	if (facility(FACILITY_MSA)) {
		QUERY("rre,0xb92e0000,%%r2,%%r4", &km);
	}
	if (facility(FACILITY_MSA8)) {
		QUERY("rrf,0xb9290000,%%r2,%%r4,%%r6,0", &kma);
	}
	return has(&km, KM_XTS_AES_256) || has(&kma, KMA_GCM_AES_256);
}

/* An instruction on data at R2, with their length in R2 + 1. */
#define DIGEST(instruction, s, data, len)                                        \
	do {                                                                     \
		register uint64_t r0 __asm__("0") = SHA_512;                     \
		register struct sha512 *r1 __asm__("1") = (s);                   \
		register const void *r2 __asm__("2") = (data);                   \
		register uint64_t r3 __asm__("3") = (len);                       \
		__asm__ volatile("0:	.insn	rre," instruction ",0,%[r2]\n\t" \
				 "jo	0b"                                         \
				 : [r2] "+a"(r2), "+d"(r3)                       \
				 : "d"(r0), "a"(r1)                              \
				 : "cc", "memory");                              \
	} while (0)

/* FIPS 180-4, section 5.3.5 */
void sha512_begin(struct sha512 *s)
{
	*s = (struct sha512){
		.state = {UINT64_C(0x6a09e667f3bcc908), UINT64_C(0xbb67ae8584caa73b),
			  UINT64_C(0x3c6ef372fe94f82b), UINT64_C(0xa54ff53a5f1d36f1),
			  UINT64_C(0x510e527fade682d1), UINT64_C(0x9b05688c2b3e6c1f),
			  UINT64_C(0x1f83d9abfb41bd6b), UINT64_C(0x5be0cd19137e2179)},
	};
}

void sha512_blocks(struct sha512 *s, const void *data, size_t len)
{
	s->bits[1] += len * 8;
	DIGEST("0xb93e0000", s, data, len);
}

void sha512_end(struct sha512 *s, const void *data, size_t len)
{
	s->bits[1] += len * 8;
	DIGEST("0xb93f0000", s, data, len);
}

/* A block of the key and a byte that is repeated. */
static void pad(struct sha512 *s, const uint8_t *key, size_t len, uint8_t byte)
{
	uint8_t block[SHA512_BLOCK];

	for (size_t i = 0; i < sizeof(block); i++) {
		block[i] = (uint8_t)((i < len ? key[i] : 0) ^ byte);
	}
	sha512_begin(s);
	sha512_blocks(s, block, sizeof(block));
}

void hmac_begin(struct sha512 *s, const uint8_t *key, size_t len)
{
	pad(s, key, len, 0x36);
}

void hmac_end(struct sha512 *s, const uint8_t *key, size_t len, const void *data, size_t data_len)
{
	uint64_t inner[8];

	sha512_end(s, data, data_len);
	memcpy(inner, s->state, sizeof(inner));
	pad(s, key, len, 0x5c);
	sha512_end(s, inner, sizeof(inner));
}

void trng(void *out, size_t len)
{
	register uint64_t r0 __asm__("0") = PRNO_TRNG;
	register void *r2 __asm__("2") = out; /* raw bytes: none */
	register uint64_t r3 __asm__("3") = 0;
	register void *r4 __asm__("4") = out;
	register uint64_t r5 __asm__("5") = len;

	__asm__ volatile("0:	.insn	rre,0xb93c0000,%[r2],%[r4]\n\t"
			 "jo	0b"
			 : [r2] "+a"(r2), "+d"(r3), [r4] "+a"(r4), "+d"(r5)
			 : "d"(r0)
			 : "cc", "memory");
}
