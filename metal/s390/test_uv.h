/* SPDX-License-Identifier: BSD-2-Clause */
/* For the tests of the Ultravisor: a host, its guests, and calls by the real instruction. */
#ifndef METAL_S390_TEST_UV_H
#define METAL_S390_TEST_UV_H

#include "ultravisor.h"

/* The pool, by page. */
#define POOL_PAGES 256u
#define AT_INIT 0u
#define AT_CONF 8u /* and 8 for each further one: base storage, then variable storage */
#define CONF_BASE_PAGES 4u
#define AT_CPU 32u
#define AT_SCA 40u
#define AT_BLOCK 48u /* and 1 for each further guest */
#define AT_FREE 64u  /* the tests' */

/* Guest storage. Its first page has the guest's control blocks and is secure. */
#define GUEST_LEN (UINT64_C(4) << 20)
#define GADDR(n) (TEST_GPA + (uint64_t)(n)*PAGE)
#define BLOCK_GADDR GADDR(0)

struct uv_test {
	struct ultravisor u;
	struct world host;
	struct world guest[ULTRAVISOR_GUESTS];
	uint64_t handle[ULTRAVISOR_GUESTS];
	union s2_uvcb block;
};

extern struct uv_test t;

/*
 * Everything but INIT; and, if there are to be guests, INIT and so many configurations. False:
 * skipped, the machine cannot.
 */
bool uv_begin(const struct machine_space *kind, unsigned guests);
void uv_end(void);

char *uv_page(unsigned page); /* of the pool */

/* Calls of the host: in t.block, which uv_block() has begun. Do the codes come that should? */
void uv_block(uint16_t cmd);
bool uv_call(int cc, uint16_t rc);
/* EXECUTED comes with condition code 0, all other return codes with 1. */
bool uv_conf(uint16_t cmd, uint64_t handle, uint16_t rc);
bool uv_gaddr(uint16_t cmd, unsigned guest, uint64_t gaddr, uint16_t rc);
bool uv_host(uint16_t cmd, unsigned page, uint16_t rc);
/* CREATE_CONF with everything right, not yet called. */
void uv_conf_block(unsigned guest);

/* A call of the guest; cc may be below 0, see ultravisor_guest(). rc: with cc 0 and 1. */
bool uv_guest_call(unsigned guest, uint16_t cmd, uint64_t gaddr, int cc, uint16_t rc);

/* Which page of the pool the guest has at gaddr. */
void uv_give(unsigned guest, uint64_t gaddr, unsigned page);
void uv_take(unsigned guest, uint64_t gaddr);
/* Gives it and imports it. */
bool uv_import(unsigned guest, uint64_t gaddr, unsigned page);

/* Words, read and written by the programs under DAT. */
bool guest_sees(unsigned guest, uint64_t gaddr, uint64_t value);
bool guest_stores(unsigned guest, uint64_t gaddr, uint64_t value);
bool guest_fills(unsigned guest, uint64_t gaddr); /* each word of a page with its address */
bool guest_filled(unsigned guest, uint64_t gaddr);
bool guest_absent(unsigned guest, uint64_t gaddr);
bool host_sees(unsigned page, unsigned word, uint64_t value);
bool host_stores(unsigned page, unsigned word, uint64_t value);
bool host_absent(unsigned page);
bool host_sees_zeros(unsigned page);

/* test_uv_calls.c */
void uv_query(const struct machine_space *kind);
void uv_init(const struct machine_space *kind);
void uv_create(const struct machine_space *kind);
void uv_cpus(const struct machine_space *kind);
void uv_destroy(const struct machine_space *kind);
void uv_destroy_fast(const struct machine_space *kind);
void uv_busy(const struct machine_space *kind);
void uv_partial(const struct machine_space *kind);
void uv_errors(const struct machine_space *kind);
void uv_no_block(const struct machine_space *kind);

/* test_uv_pages.c */
void uv_imports(const struct machine_space *kind);
void uv_export(const struct machine_space *kind);
void uv_tamper(const struct machine_space *kind);
void uv_replay(const struct machine_space *kind);
void uv_owners(const struct machine_space *kind);
void uv_share(const struct machine_space *kind);
void uv_pin(const struct machine_space *kind);
void uv_unshare_all(const struct machine_space *kind);
void uv_destroy_page(const struct machine_space *kind);

/* test_uv_engine.c */
void uv_engine(const struct machine_space *kind);
void uv_engine_busy(const struct machine_space *kind);

/* test_uv_seal.c */
void uv_sha512(const struct machine_space *kind);
void uv_seal(const struct machine_space *kind);
void uv_random(const struct machine_space *kind);
void uv_image(const struct machine_space *kind);
void uv_image_tampered(const struct machine_space *kind);

#endif
