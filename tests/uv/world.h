/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine for the Ultravisor: 2 MiB of memory, address spaces, and hide() that is kept account of. Each
 * callback can be made to fail. Suites are built with the toy cipher, and with OpenSSL's (UV_OPENSSL).
 */
#ifndef TESTS_UV_WORLD_H
#define TESTS_UV_WORLD_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "test_env.h"
#include <stage2/uv.h>
#ifdef UV_OPENSSL
#include <stage2/uv_openssl.h>
#else
#include "toy.h"
#endif

#define WORLD_PAGES 512u
#define WORLD_LEN ((uint64_t)WORLD_PAGES * S2_PAGE_SIZE)
#define WORLD_VIRT UINT64_C(0x3000000000) /* host-virtual address of the first page */
#define WORLD_MAPPINGS 128u

/* Where things are, in pages. */
#define AT_INIT 16u
#define AT_CONF 32u /* and 16 more for each further one */
#define AT_SCA 200u
#define AT_HEADER 210u
#define AT_POOL 256u /* for guests */

#define ASCE(n) (UINT64_C(0x100) | (uint64_t)((n) + 1) << 12)
#define GUEST_LEN (UINT64_C(4) << 20)

#define HPA(page) ((uint64_t)(page) << S2_PAGE_LG2)

struct mapping {
	uint64_t asce;
	uint64_t gaddr;
	unsigned page; /* 0: free */
};

struct world {
	struct test_env env;
	struct s2_uv_config config;
	struct s2_uv uv;
	uint8_t *memory;
	bool hidden[WORLD_PAGES];
	bool no_memory[WORLD_PAGES]; /* page() has none */
	struct mapping mapping[WORLD_MAPPINGS];
	struct s2_uv_nth nth;
	struct s2_uv_cipher cipher;
	const struct s2_uv_cipher *inner;
#ifdef UV_OPENSSL
	struct s2_uv_openssl *openssl;
#endif
	uint64_t random;
	/* This many more succeed; -1: all. */
	int hides;
	int randoms;
	int ciphers;
	union s2_uvcb block;
	uint16_t rc;
	uint16_t rrc;
};

static inline uint8_t *at(struct world *w, unsigned page)
{
	return w->memory + HPA(page);
}

static inline bool spend(int *left)
{
	if (*left == 0) {
		return false;
	}
	*left -= *left > 0;
	return true;
}

static inline void *world_page(void *cookie, s2_hpa_t hpa)
{
	struct world *w = cookie;

	ck_assert_uint_lt(hpa.val, WORLD_LEN);
	ck_assert_uint_eq(hpa.val % S2_PAGE_SIZE, 0);
	return w->no_memory[hpa.val >> 12] ? NULL : w->memory + hpa.val;
}

static inline struct mapping *world_mapping(struct world *w, uint64_t asce, uint64_t gaddr)
{
	for (size_t i = 0; i < WORLD_MAPPINGS; i++) {
		struct mapping *m = &w->mapping[i];

		if (m->page != 0 && m->asce == asce && m->gaddr == gaddr) {
			return m;
		}
	}
	return NULL;
}

static inline bool world_walk(void *cookie, uint64_t asce, uint64_t addr, s2_hpa_t *hpa)
{
	struct world *w = cookie;
	struct mapping *m;

	if (asce == 0) {
		hpa->val = addr - WORLD_VIRT;
		return hpa->val < WORLD_LEN + HPA(8); /* a little beyond memory is mapped, too */
	}
	m = world_mapping(w, asce, addr & ~(S2_PAGE_SIZE - 1));
	if (m != NULL) {
		hpa->val = HPA(m->page) + 1; /* only the page counts */
	}
	return m != NULL;
}

static inline bool world_hide(void *cookie, s2_hpa_t hpa)
{
	struct world *w = cookie;

	ck_assert(!w->hidden[hpa.val >> 12]);
	if (!spend(&w->hides)) {
		return false;
	}
	w->hidden[hpa.val >> 12] = true;
	return true;
}

static inline void world_show(void *cookie, s2_hpa_t hpa)
{
	struct world *w = cookie;

	ck_assert(w->hidden[hpa.val >> 12]);
	w->hidden[hpa.val >> 12] = false;
}

static inline uint64_t world_rand(struct world *w)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return w->random;
}

static inline bool world_random(void *cookie, void *out, size_t len)
{
	struct world *w = cookie;

	for (size_t i = 0; i < len; i++) {
		((uint8_t *)out)[i] = (uint8_t)(world_rand(w) >> 24);
	}
	return spend(&w->randoms);
}

static inline int world_inject(void *cookie, uint16_t cmd, uint16_t *rc, uint16_t *rrc)
{
	return s2_uv_nth(&((struct world *)cookie)->nth, cmd, rc, rrc);
}

/* The cipher, failing when it is told to, and writing into out when it fails. */
static inline enum s2_uv_seal world_seal(void *cookie, const uint8_t *key, uint64_t gpa,
					 uint64_t version, const void *in, void *out, uint8_t *tag)
{
	struct world *w = cookie;

	memset(out, 0xee, S2_PAGE_SIZE);
	return spend(&w->ciphers)
		       ? w->inner->seal(w->inner->cookie, key, gpa, version, in, out, tag)
		       : S2_UV_FAILED;
}

static inline enum s2_uv_seal world_open(void *cookie, const uint8_t *key, uint64_t gpa,
					 uint64_t version, const void *in, void *out,
					 const uint8_t *tag)
{
	struct world *w = cookie;

	memset(out, 0xee, S2_PAGE_SIZE);
	return spend(&w->ciphers)
		       ? w->inner->open(w->inner->cookie, key, gpa, version, in, out, tag)
		       : S2_UV_FAILED;
}

static inline bool world_image(void *cookie, const uint8_t *key, const uint8_t *tweak, bool encrypt,
			       const void *in, void *out)
{
	struct world *w = cookie;

	return spend(&w->ciphers) &&
	       w->inner->image(w->inner->cookie, key, tweak, encrypt, in, out);
}

static inline bool world_digest(void *cookie, uint8_t *state, const void *data, size_t len)
{
	struct world *w = cookie;

	return spend(&w->ciphers) && w->inner->digest(w->inner->cookie, state, data, len);
}

static inline const uint8_t *world_host_key(void)
{
	static const uint8_t key[S2_UV_KEY_BYTES] = {7, 8, 9};

	return key;
}

static inline void world_init(struct world *w)
{
	static const struct s2_uv_ops ops = {
		.page = world_page,
		.walk = world_walk,
		.hide = world_hide,
		.show = world_show,
		.random = world_random,
		.inject = world_inject,
	};

	memset(w, 0, sizeof(*w));
	test_env_init(&w->env);
	w->memory = malloc(WORLD_LEN);
	ck_assert_ptr_nonnull(w->memory);
	memset(w->memory, 0xdb, WORLD_LEN);
	w->random = UINT64_C(0x9e3779b97f4a7c15);
	w->hides = w->randoms = w->ciphers = -1;
#ifdef UV_OPENSSL
	w->openssl = s2_uv_openssl_new();
	ck_assert_ptr_nonnull(w->openssl);
	w->inner = s2_uv_openssl_cipher(w->openssl);
#else
	w->inner = toy_cipher();
#endif
	w->cipher.seal = world_seal;
	w->cipher.open = world_open;
	w->cipher.image = world_image;
	w->cipher.digest = world_digest;
	w->cipher.cookie = w;
	w->config.env = w->env.env;
	w->config.ops = &ops;
	w->config.cookie = w;
	w->config.cipher = &w->cipher;
	w->config.host_key = world_host_key();
	w->config.memory_len = WORLD_LEN;
	w->config.guest_max = (UINT64_C(1) << 32) - 1;
	w->config.init_min = HPA(12);
	w->config.lowcore_len = HPA(2);
	w->config.conf_max = 3;
	w->config.cpu_max = 5;
	w->config.budget = 2;
	ck_assert_int_eq(s2_uv_init(&w->uv, &w->config), S2_OK);
}

/* Nothing may be left: no memory, no hidden page. */
static inline void world_fini(struct world *w)
{
	s2_uv_fini(&w->uv);
	ck_assert_uint_eq(w->env.live, 0);
	for (unsigned i = 0; i < WORLD_PAGES; i++) {
		ck_assert(!w->hidden[i]);
	}
#ifdef UV_OPENSSL
	s2_uv_openssl_free(w->openssl);
#endif
	free(w->memory);
}

static inline void put(struct world *w, size_t offset, uint64_t value)
{
	s2_uvcb_put64(&w->block, offset, value);
}

/* What must hold after every call: what is hidden is what the host may not touch. */
static inline void world_check(struct world *w)
{
	unsigned wrong = 0; /* an assertion of its own for each page would take seconds */

	ck_assert(s2_uv_check(&w->uv));
	for (unsigned i = 0; i < WORLD_PAGES; i++) {
		wrong += s2_uv_host_access(&w->uv, s2_hpa(HPA(i) + 5)) != (w->hidden[i] ? 0x3d : 0);
	}
	ck_assert_uint_eq(wrong, 0);
}

static inline int issue(struct world *w, uint64_t guest)
{
	union s2_uvcb before = w->block;
	int cc = s2_uvc(&w->uv, guest, &w->block, sizeof(w->block));

	w->rc = (uint16_t)s2_uvcb_get(&w->block, S2_UVCB_RC, 2);
	w->rrc = (uint16_t)s2_uvcb_get(&w->block, S2_UVCB_RRC, 2);
	if (cc == S2_UVC_CC_OK) {
		ck_assert_uint_eq(w->rc, S2_UVC_RC_EXECUTED);
	} else if (cc != S2_UVC_CC_ERROR) {
		ck_assert_mem_eq(&before, &w->block, sizeof(before));
	}
	return cc;
}

static inline void begin(struct world *w, uint16_t cmd)
{
	s2_uvcb_begin(&w->block, cmd);
}

/* Commands with one address or handle. */
static inline int by_handle(struct world *w, uint16_t cmd, uint64_t handle)
{
	begin(w, cmd);
	put(w, S2_UVCB_HANDLE, handle);
	return issue(w, 0);
}

static inline int by_page(struct world *w, uint16_t cmd, unsigned page)
{
	return by_handle(w, cmd, HPA(page));
}

static inline int by_gaddr(struct world *w, uint16_t cmd, uint64_t handle, uint64_t gaddr)
{
	bool guest = cmd == S2_UVC_SHARE || cmd == S2_UVC_UNSHARE;

	begin(w, cmd);
	put(w, S2_UVCB_HANDLE, guest ? 0 : handle);
	put(w, S2_UVCB_GADDR, gaddr);
	return issue(w, guest ? handle : 0);
}

static inline int uv_initialise(struct world *w)
{
	begin(w, S2_UVC_INIT);
	put(w, S2_UVCB_INIT_ORIGIN, HPA(AT_INIT));
	put(w, S2_UVCB_INIT_LEN, 0x4000);
	return issue(w, 0);
}

static inline void fill_create(struct world *w, unsigned n)
{
	begin(w, S2_UVC_CREATE_CONF);
	put(w, S2_UVCB_CONF_BASE, HPA(AT_CONF + 16 * n));
	put(w, S2_UVCB_CONF_VIRT, WORLD_VIRT + HPA(AT_CONF + 16 * n + 4));
	put(w, S2_UVCB_CONF_LEN, GUEST_LEN);
	put(w, S2_UVCB_CONF_SCA, HPA(AT_SCA));
	put(w, S2_UVCB_CONF_ASCE, ASCE(n));
}

/* A configuration; its handle. */
static inline uint64_t create(struct world *w, unsigned n)
{
	fill_create(w, n);
	ck_assert_int_eq(issue(w, 0), S2_UVC_CC_OK);
	return s2_uvcb_get64(&w->block, S2_UVCB_HANDLE);
}

static inline void fill_cpu(struct world *w, unsigned n, uint64_t handle, unsigned number)
{
	begin(w, S2_UVC_CREATE_CPU);
	put(w, S2_UVCB_CPU_CONF, handle);
	put(w, S2_UVCB_CPU_STORAGE, HPA(AT_CONF + 16 * n + 8 + number));
	put(w, S2_UVCB_CPU_STATE, HPA(AT_SCA + 1));
	s2_uvcb_put(&w->block, S2_UVCB_CPU_NUMBER, 2, number);
}

static inline uint64_t create_cpu(struct world *w, unsigned n, uint64_t handle, unsigned number)
{
	fill_cpu(w, n, handle, number);
	ck_assert_int_eq(issue(w, 0), S2_UVC_CC_OK);
	return s2_uvcb_get64(&w->block, S2_UVCB_HANDLE);
}

/* Maps a guest page, or, with page 0, takes the mapping away. */
static inline void map(struct world *w, unsigned n, uint64_t gaddr, unsigned page)
{
	struct mapping *m = world_mapping(w, ASCE(n), gaddr);

	for (size_t i = 0; m == NULL && i < WORLD_MAPPINGS; i++) {
		m = w->mapping[i].page == 0 ? &w->mapping[i] : NULL;
	}
	ck_assert_ptr_nonnull(m);
	m->asce = ASCE(n);
	m->gaddr = gaddr;
	m->page = page;
}

static inline void fill(struct world *w, unsigned page, uint8_t byte)
{
	memset(at(w, page), byte, S2_PAGE_SIZE);
}

static inline bool is_filled(struct world *w, unsigned page, uint8_t byte)
{
	const uint8_t *memory = at(w, page);

	for (size_t i = 0; i < S2_PAGE_SIZE; i++) {
		if (memory[i] != byte) {
			return false;
		}
	}
	return true;
}

/* A page of a guest, mapped and imported, with a byte in it. */
static inline void give(struct world *w, unsigned n, uint64_t handle, uint64_t gaddr, unsigned page,
			uint8_t byte)
{
	map(w, n, gaddr, page);
	ck_assert_int_eq(by_gaddr(w, S2_UVC_IMPORT, handle, gaddr), S2_UVC_CC_OK);
	ck_assert_int_eq(s2_uv_guest_access(&w->uv, handle, s2_gpa(gaddr), s2_hpa(HPA(page))), 0);
	fill(w, page, byte);
}

#endif
