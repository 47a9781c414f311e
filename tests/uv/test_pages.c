/* SPDX-License-Identifier: BSD-2-Clause */
/* The moves of pages: what they do, every code, what a host may try, and failures at every step. */
#include "check_main.h"
#include "world.h"

#define G(n) ((uint64_t)(n) << S2_PAGE_LG2)
#define P(n) (AT_POOL + (n))

struct guest {
	struct world w;
	uint64_t handle;
	uint64_t other;
};

static void start(struct guest *g)
{
	world_init(&g->w);
	ck_assert_int_eq(uv_initialise(&g->w), S2_UVC_CC_OK);
	g->handle = create(&g->w, 0);
	g->other = create(&g->w, 1);
}

static void expect(struct world *w, int cc, uint16_t rc)
{
	ck_assert_int_eq(cc, rc == S2_UVC_RC_EXECUTED ? S2_UVC_CC_OK : S2_UVC_CC_ERROR);
	ck_assert_uint_eq(w->rc, rc);
	world_check(w);
}

static void expect_state(struct guest *g, uint64_t gaddr, enum s2_uv_state state)
{
	ck_assert_int_eq(s2_uv_state(&g->w.uv, g->handle, s2_gpa(gaddr)), state);
	world_check(&g->w);
}

static int access_at(struct guest *g, uint64_t handle, uint64_t gaddr, unsigned page)
{
	return s2_uv_guest_access(&g->w.uv, handle, s2_gpa(gaddr), s2_hpa(HPA(page)));
}

START_TEST(there_and_back)
{
	struct guest g;
	struct world *w = &g.w;

	start(&g);
	map(w, 0, G(3), P(1));
	fill(w, P(1), 0x99);
	ck_assert_int_eq(access_at(&g, g.handle, G(3), P(1)), 0x3e);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(3)), S2_UVC_RC_EXECUTED);
	ck_assert(is_filled(w, P(1), 0)); /* not what the host had in it */
	expect_state(&g, G(3), S2_UV_SECURE);
	fill(w, P(1), 0x31);
	ck_assert_int_eq(s2_uv_host_access(&w->uv, s2_hpa(HPA(P(1)) + 77)), 0x3d);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(3)), S2_UVC_RC_EXECUTED); /* is there */
	ck_assert(is_filled(w, P(1), 0x31));
	expect(w, by_page(w, S2_UVC_EXPORT, P(1)), S2_UVC_RC_EXECUTED);
	expect_state(&g, G(3), S2_UV_EXPORTED);
	ck_assert_int_eq(s2_uv_host_access(&w->uv, s2_hpa(HPA(P(1)))), 0);
	ck_assert(!is_filled(w, P(1), 0x31));
	expect(w, by_page(w, S2_UVC_EXPORT, P(1)), S2_UVC_RC_EXECUTED); /* nothing to do */
	/* The host moves it elsewhere. */
	memcpy(at(w, P(2)), at(w, P(1)), S2_PAGE_SIZE);
	map(w, 0, G(3), P(2));
	ck_assert_int_eq(access_at(&g, g.handle, G(3), P(2)), 0x3e);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(3)), S2_UVC_RC_EXECUTED);
	ck_assert(is_filled(w, P(2), 0x31));
	ck_assert_uint_eq(s2_uv_count(&w->uv).imports, 2);
	ck_assert_uint_eq(s2_uv_count(&w->uv).first_imports, 1);
	ck_assert_uint_eq(s2_uv_count(&w->uv).exports, 1);
	world_fini(w);
}
END_TEST

/* The same contents are not the same twice, nor at two addresses, nor for two guests. */
START_TEST(sealed_differently)
{
	struct guest g;
	struct world *w = &g.w;

	start(&g);
	give(w, 0, g.handle, G(0), P(0), 5);
	give(w, 0, g.handle, G(1), P(1), 5);
	give(w, 1, g.other, G(0), P(2), 5);
	for (unsigned i = 0; i < 3; i++) {
		expect(w, by_page(w, S2_UVC_EXPORT, P(i)), S2_UVC_RC_EXECUTED);
	}
	memcpy(at(w, P(3)), at(w, P(0)), S2_PAGE_SIZE);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	expect(w, by_page(w, S2_UVC_EXPORT, P(0)), S2_UVC_RC_EXECUTED);
	for (unsigned i = 0; i < 4; i++) {
		for (unsigned j = 0; j < i; j++) {
			ck_assert_mem_ne(at(w, P(i)), at(w, P(j)), S2_PAGE_SIZE);
		}
	}
	world_fini(w);
}
END_TEST

static void refused(struct guest *g, uint64_t gaddr, unsigned page)
{
	uint8_t before[S2_PAGE_SIZE];
	uint64_t count = s2_uv_count(&g->w.uv).refused;

	memcpy(before, at(&g->w, page), sizeof(before));
	expect(&g->w, by_gaddr(&g->w, S2_UVC_IMPORT, g->handle, gaddr), S2_UVC_RC_SEAL);
	ck_assert_mem_eq(before, at(&g->w, page), sizeof(before));
	ck_assert_uint_eq(s2_uv_count(&g->w.uv).refused, count + 1);
	expect_state(g, gaddr, S2_UV_EXPORTED);
}

START_TEST(tampered)
{
	struct guest g;
	struct world *w = &g.w;

	start(&g);
	give(w, 0, g.handle, G(0), P(0), 1);
	expect(w, by_page(w, S2_UVC_EXPORT, P(0)), S2_UVC_RC_EXECUTED);
	for (size_t bit = 0; bit < S2_PAGE_SIZE * 8; bit += bit < 64 || bit > 32700 ? 1 : 509) {
		at(w, P(0))[bit / 8] ^= (uint8_t)(1 << bit % 8);
		refused(&g, G(0), P(0));
		at(w, P(0))[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	ck_assert(is_filled(w, P(0), 1));
	world_fini(w);
}
END_TEST

START_TEST(replayed)
{
	struct guest g;
	struct world *w = &g.w;
	uint8_t new[S2_PAGE_SIZE];

	start(&g);
	give(w, 0, g.handle, G(0), P(0), 1);
	expect(w, by_page(w, S2_UVC_EXPORT, P(0)), S2_UVC_RC_EXECUTED);
	memcpy(at(w, P(9)), at(w, P(0)), S2_PAGE_SIZE);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	fill(w, P(0), 2);
	expect(w, by_page(w, S2_UVC_EXPORT, P(0)), S2_UVC_RC_EXECUTED);
	memcpy(new, at(w, P(0)), sizeof(new));
	memcpy(at(w, P(0)), at(w, P(9)), S2_PAGE_SIZE);
	refused(&g, G(0), P(0));
	memcpy(at(w, P(0)), new, sizeof(new));
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	ck_assert(is_filled(w, P(0), 2));
	world_fini(w);
}
END_TEST

START_TEST(moved)
{
	struct guest g;
	struct world *w = &g.w;

	start(&g);
	give(w, 0, g.handle, G(0), P(0), 1);
	give(w, 0, g.handle, G(1), P(1), 1);
	give(w, 1, g.other, G(0), P(2), 1);
	for (unsigned i = 0; i < 3; i++) {
		expect(w, by_page(w, S2_UVC_EXPORT, P(i)), S2_UVC_RC_EXECUTED);
	}
	map(w, 0, G(0), P(1)); /* the neighbour's */
	refused(&g, G(0), P(1));
	map(w, 0, G(0), P(2)); /* the same address of another guest */
	refused(&g, G(0), P(2));
	map(w, 0, G(0), P(0));
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	world_fini(w);
}
END_TEST

START_TEST(import_codes)
{
	struct guest g;
	struct world *w = &g.w;

	start(&g);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle + 7, G(0)), S2_UVC_RC_INV_CONF);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, GUEST_LEN), S2_UVC_RC_GADDR);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, ~G(0)), S2_UVC_RC_GADDR);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, 8), S2_UVC_RC_ALIGN);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_NOT_MAPPED);
	map(w, 0, G(0), WORLD_PAGES);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_STORAGE);
	map(w, 0, G(0), AT_INIT);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_OWNED);
	map(w, 0, G(0), P(0));
	w->no_memory[P(0)] = true;
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_STORAGE);
	w->no_memory[P(0)] = false;
	w->hides = 0;
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_NOMEM);
	w->hides = -1;
	give(w, 1, g.other, G(0), P(1), 1);
	map(w, 0, G(0), P(1));
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_OWNED);
	ck_assert_int_eq(access_at(&g, g.handle, G(0), P(1)), 0x3f);
	ck_assert_int_eq(access_at(&g, g.other, G(1), P(1)), 0x3f);
	give(w, 0, g.handle, G(0), P(0), 1);
	map(w, 0, G(0), P(2));
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_RESIDENT);
	ck_assert_int_eq(access_at(&g, g.handle, G(0), P(2)), 0x3f);
	map(w, 0, G(1), P(0));
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(1)), S2_UVC_RC_OWNED);
	w->ciphers = 0;
	expect(w, by_page(w, S2_UVC_EXPORT, P(0)), S2_UVC_RC_CIPHER);
	ck_assert(is_filled(w, P(0), 1));
	w->ciphers = 1;
	expect(w, by_page(w, S2_UVC_EXPORT, P(0)), S2_UVC_RC_EXECUTED);
	map(w, 0, G(0), P(0));
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_CIPHER);
	w->ciphers = -1;
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	ck_assert(is_filled(w, P(0), 1));
	world_fini(w);
}
END_TEST

/* Memory runs out in the first import in a MiB: at either table. */
START_TEST(import_nomem)
{
	for (size_t n = 1; n <= 2; n++) {
		struct guest g;

		start(&g);
		map(&g.w, 0, G(0), P(0));
		test_env_fail(&g.w.env, n);
		expect(&g.w, by_gaddr(&g.w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_NOMEM);
		test_env_fail(&g.w.env, 0);
		give(&g.w, 0, g.handle, G(0), P(0), 3);
		world_fini(&g.w);
	}
}
END_TEST

START_TEST(page_codes)
{
	static const uint16_t commands[] = {S2_UVC_EXPORT, S2_UVC_DESTROY, S2_UVC_PIN};
	struct guest g;
	struct world *w = &g.w;

	start(&g);
	for (size_t i = 0; i < 3; i++) {
		expect(w, by_page(w, commands[i], WORLD_PAGES), S2_UVC_RC_STORAGE);
		expect(w, by_handle(w, commands[i], HPA(P(0)) + 8), S2_UVC_RC_ALIGN);
		expect(w, by_page(w, commands[i], AT_CONF), S2_UVC_RC_OWNED);
		/* a page of the host */
		expect(w, by_page(w, commands[i], P(0)),
		       commands[i] == S2_UVC_PIN ? S2_UVC_RC_NOT_SHARED : S2_UVC_RC_EXECUTED);
	}
	ck_assert(is_filled(w, P(0), 0xdb));
	expect(w, by_gaddr(w, S2_UVC_UNPIN, g.handle + 7, G(0)), S2_UVC_RC_INV_CONF);
	expect(w, by_gaddr(w, S2_UVC_UNPIN, g.handle, GUEST_LEN), S2_UVC_RC_GADDR);
	expect(w, by_gaddr(w, S2_UVC_UNPIN, g.handle, 1), S2_UVC_RC_ALIGN);
	expect(w, by_gaddr(w, S2_UVC_UNPIN, g.handle, G(0)), S2_UVC_RC_NOT_PINNED);
	expect(w, by_handle(w, S2_UVC_UNSHARE_ALL, 99), S2_UVC_RC_INV_CONF);
	expect(w, by_handle(w, S2_UVC_DESTROY_CONF_FAST, 99), S2_UVC_RC_INV_CONF);
	expect(w, by_gaddr(w, S2_UVC_SHARE, g.handle, GUEST_LEN), S2_UVC_RC_GADDR);
	expect(w, by_gaddr(w, S2_UVC_SHARE, g.handle, 4), S2_UVC_RC_ALIGN);
	expect(w, by_gaddr(w, S2_UVC_UNSHARE, g.handle, GUEST_LEN), S2_UVC_RC_GADDR);
	expect(w, by_gaddr(w, S2_UVC_UNSHARE, g.handle, 4), S2_UVC_RC_ALIGN);
	world_fini(w);
}
END_TEST

START_TEST(share_and_unshare)
{
	struct guest g;
	struct world *w = &g.w;

	start(&g);
	/* What is not there has to come first. */
	ck_assert_int_eq(by_gaddr(w, S2_UVC_SHARE, g.handle, G(0)), S2_UVC_NON_SECURE);
	expect(w, by_gaddr(w, S2_UVC_UNSHARE, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	give(w, 0, g.handle, G(0), P(0), 0x41);
	expect(w, by_page(w, S2_UVC_PIN, P(0)), S2_UVC_RC_NOT_SHARED);
	expect(w, by_gaddr(w, S2_UVC_SHARE, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	expect(w, by_gaddr(w, S2_UVC_SHARE, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	expect_state(&g, G(0), S2_UV_SHARED);
	ck_assert_int_eq(s2_uv_host_access(&w->uv, s2_hpa(HPA(P(0)))), 0);
	ck_assert_int_eq(access_at(&g, g.handle, G(0), P(0)), 0);
	ck_assert(is_filled(w, P(0), 0x41));
	/* Neither export nor destroy takes from the guest what it shares. */
	expect(w, by_page(w, S2_UVC_EXPORT, P(0)), S2_UVC_RC_EXECUTED);
	expect(w, by_page(w, S2_UVC_DESTROY, P(0)), S2_UVC_RC_EXECUTED);
	ck_assert(is_filled(w, P(0), 0x41));
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_SHARED);
	expect(w, by_page(w, S2_UVC_PIN, P(0)), S2_UVC_RC_EXECUTED);
	expect(w, by_page(w, S2_UVC_PIN, P(0)), S2_UVC_RC_EXECUTED);
	expect_state(&g, G(0), S2_UV_PINNED);
	expect(w, by_gaddr(w, S2_UVC_SHARE, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_RC_SHARED);
	ck_assert_int_eq(by_gaddr(w, S2_UVC_UNSHARE, g.handle, G(0)), S2_UVC_NOTIFICATION);
	expect_state(&g, G(0), S2_UV_PINNED);
	/* Nobody else gets a pinned page. */
	map(w, 1, G(0), P(0));
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.other, G(0)), S2_UVC_RC_OWNED);
	expect(w, by_page(w, S2_UVC_EXPORT, P(0)), S2_UVC_RC_EXECUTED);
	expect(w, by_gaddr(w, S2_UVC_UNPIN, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	expect(w, by_gaddr(w, S2_UVC_UNPIN, g.handle, G(0)), S2_UVC_RC_NOT_PINNED);
	w->hides = 0;
	ck_assert_int_eq(by_gaddr(w, S2_UVC_UNSHARE, g.handle, G(0)), S2_UVC_CC_BUSY);
	expect_state(&g, G(0), S2_UV_SHARED);
	w->hides = -1;
	expect(w, by_gaddr(w, S2_UVC_UNSHARE, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	expect_state(&g, G(0), S2_UV_SECURE);
	ck_assert(is_filled(w, P(0), 0x41));
	expect(w, by_page(w, S2_UVC_EXPORT, P(0)), S2_UVC_RC_EXECUTED);
	ck_assert_int_eq(by_gaddr(w, S2_UVC_SHARE, g.handle, G(0)), S2_UVC_NON_SECURE);
	expect(w, by_gaddr(w, S2_UVC_UNSHARE, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	expect_state(&g, G(0), S2_UV_EXPORTED);
	world_fini(w);
}
END_TEST

/* A shared page is the host's to move, and becomes secure where it is then. */
START_TEST(shared_pages_move)
{
	struct guest g;
	struct world *w = &g.w;

	start(&g);
	give(w, 0, g.handle, G(0), P(0), 1);
	expect(w, by_gaddr(w, S2_UVC_SHARE, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	memcpy(at(w, P(1)), at(w, P(0)), S2_PAGE_SIZE);
	map(w, 0, G(0), P(1));
	expect(w, by_page(w, S2_UVC_PIN, P(1)), S2_UVC_RC_NOT_SHARED); /* not yet known */
	ck_assert_int_eq(access_at(&g, g.handle, G(0), P(1)), 0);
	expect(w, by_page(w, S2_UVC_PIN, P(0)), S2_UVC_RC_NOT_SHARED);
	expect(w, by_page(w, S2_UVC_PIN, P(1)), S2_UVC_RC_EXECUTED);
	expect(w, by_gaddr(w, S2_UVC_UNPIN, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	map(w, 0, G(0), 0);
	w->mapping[0].page = 0;
	ck_assert_int_eq(by_gaddr(w, S2_UVC_UNSHARE, g.handle, G(0)), S2_UVC_TRANSLATION);
	map(w, 0, G(0), WORLD_PAGES);
	ck_assert_int_eq(by_gaddr(w, S2_UVC_UNSHARE, g.handle, G(0)), S2_UVC_VIOLATION);
	give(w, 1, g.other, G(5), P(5), 6);
	map(w, 0, G(0), P(5));
	ck_assert_int_eq(by_gaddr(w, S2_UVC_UNSHARE, g.handle, G(0)), S2_UVC_VIOLATION);
	ck_assert_int_eq(access_at(&g, g.handle, G(0), P(5)), 0x3f);
	map(w, 0, G(0), AT_INIT);
	ck_assert_int_eq(access_at(&g, g.handle, G(0), AT_INIT), 0x3d);
	expect_state(&g, G(0), S2_UV_SHARED);
	map(w, 0, G(0), 300); /* in a MiB that is known */
	expect(w, by_gaddr(w, S2_UVC_UNSHARE, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	expect_state(&g, G(0), S2_UV_SECURE);
	ck_assert_int_eq(access_at(&g, g.handle, G(0), 300), 0);
	/* Another guest imports a page that this one shares: it is the other's then. */
	expect(w, by_gaddr(w, S2_UVC_SHARE, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	map(w, 1, G(6), 300);
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.other, G(6)), S2_UVC_RC_EXECUTED);
	ck_assert(is_filled(w, 300, 0));
	expect_state(&g, G(0), S2_UV_SHARED);
	ck_assert_int_eq(by_gaddr(w, S2_UVC_UNSHARE, g.handle, G(0)), S2_UVC_VIOLATION);
	/* Outside its storage, and without a configuration, a guest is like its host. */
	ck_assert_int_eq(access_at(&g, g.handle, GUEST_LEN, 300), 0x3d);
	ck_assert_int_eq(access_at(&g, 12345, G(0), P(0)), 0);
	world_fini(w);
}
END_TEST

START_TEST(destroy_page)
{
	struct guest g;
	struct world *w = &g.w;
	uint64_t cpu;

	start(&g);
	cpu = create_cpu(w, 0, g.handle, 0);
	give(w, 0, g.handle, G(0), P(0), 1);
	/* A guest that can run keeps what it has. */
	expect(w, by_page(w, S2_UVC_DESTROY, P(0)), S2_UVC_RC_IN_USE);
	ck_assert(is_filled(w, P(0), 1));
	expect(w, by_handle(w, S2_UVC_DESTROY_CPU, cpu), S2_UVC_RC_EXECUTED);
	expect(w, by_page(w, S2_UVC_DESTROY, P(0)), S2_UVC_RC_EXECUTED);
	ck_assert(is_filled(w, P(0), 0));
	expect_state(&g, G(0), S2_UV_NONE);
	/* and one that has lost something, does not run. */
	fill_cpu(w, 0, g.handle, 0);
	expect(w, issue(w, 0), S2_UVC_RC_INV_STATE);
	world_fini(w);
}
END_TEST

START_TEST(destroy_in_parts)
{
	struct guest g;
	struct world *w = &g.w;
	int partial = 0;

	start(&g);
	for (unsigned i = 0; i < 7; i++) {
		/* in two MiB, with a third between them that nobody used */
		give(w, 0, g.handle, G(i < 4 ? i : 600 + i), P(i), 0x11);
	}
	give(w, 0, g.handle, G(9), P(9), 0x11);
	expect(w, by_gaddr(w, S2_UVC_SHARE, g.handle, G(9)), S2_UVC_RC_EXECUTED);
	while (by_handle(w, S2_UVC_DESTROY_CONF, g.handle) == S2_UVC_CC_PARTIAL) {
		partial++;
		world_check(w);
		ck_assert_uint_eq(s2_uv_count(&w->uv).cleared, (uint64_t)partial * 2);
		expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(50)), S2_UVC_RC_INV_STATE);
		expect(w, by_handle(w, S2_UVC_DESTROY_CONF_FAST, g.handle), S2_UVC_RC_NO_RESUME);
	}
	ck_assert_int_eq(partial, 3); /* two at a time */
	ck_assert_uint_eq(w->rc, S2_UVC_RC_EXECUTED);
	world_check(w);
	for (unsigned i = 0; i < 7; i++) {
		ck_assert(is_filled(w, P(i), 0));
	}
	ck_assert(is_filled(w, P(9), 0x11)); /* the host has seen it */
	ck_assert(is_filled(w, AT_CONF, 0));
	world_fini(w);
}
END_TEST

START_TEST(destroy_fast)
{
	struct guest g;
	struct world *w = &g.w;

	start(&g);
	for (unsigned i = 0; i < 4; i++) {
		give(w, 0, g.handle, G(i), P(i), 0x22);
	}
	expect(w, by_gaddr(w, S2_UVC_SHARE, g.handle, G(3)), S2_UVC_RC_EXECUTED);
	expect(w, by_page(w, S2_UVC_PIN, P(3)), S2_UVC_RC_EXECUTED);
	expect(w, by_handle(w, S2_UVC_DESTROY_CONF_FAST, g.handle), S2_UVC_RC_EXECUTED);
	ck_assert(is_filled(w, AT_CONF, 0));
	/* Its pages stay out of reach until each is cleared, one way or the other. */
	ck_assert_int_eq(s2_uv_host_access(&w->uv, s2_hpa(HPA(P(0)))), 0x3d);
	ck_assert_int_eq(access_at(&g, g.other, G(0), P(0)), 0x3d);
	expect_state(&g, G(0), S2_UV_NONE);
	map(w, 1, G(0), P(0));
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.other, G(0)), S2_UVC_RC_OWNED);
	expect(w, by_page(w, S2_UVC_DESTROY, P(0)), S2_UVC_RC_EXECUTED);
	expect(w, by_page(w, S2_UVC_EXPORT, P(1)), S2_UVC_RC_EXECUTED);
	ck_assert(is_filled(w, P(0), 0) && is_filled(w, P(1), 0));
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.other, G(0)), S2_UVC_RC_EXECUTED);
	/* What was shared is the host's. */
	expect(w, by_page(w, S2_UVC_PIN, P(3)), S2_UVC_RC_NOT_SHARED);
	map(w, 1, G(3), P(3));
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.other, G(3)), S2_UVC_RC_EXECUTED);
	s2_uv_fini(&w->uv); /* clears the last of them */
	ck_assert(is_filled(w, P(2), 0));
	ck_assert_int_eq(s2_uv_init(&w->uv, &w->config), S2_OK);
	world_fini(w);
}
END_TEST

START_TEST(unshare_all)
{
	struct guest g;
	struct world *w = &g.w;
	int partial = 0;

	start(&g);
	for (unsigned i = 0; i < 6; i++) {
		give(w, 0, g.handle, G(i < 3 ? i : 1000 + i), P(i), 0x33);
		if (i != 0) {
			expect(w, by_gaddr(w, S2_UVC_SHARE, g.handle, G(i < 3 ? i : 1000 + i)),
			       S2_UVC_RC_EXECUTED);
		}
	}
	expect(w, by_page(w, S2_UVC_PIN, P(4)), S2_UVC_RC_EXECUTED);
	while (by_handle(w, S2_UVC_UNSHARE_ALL, g.handle) == S2_UVC_CC_PARTIAL) {
		partial++;
		/* Everybody else waits. */
		ck_assert_int_eq(by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_CC_BUSY);
		ck_assert_int_eq(by_gaddr(w, S2_UVC_SHARE, g.handle, G(0)), S2_UVC_CC_BUSY);
		ck_assert_int_eq(by_gaddr(w, S2_UVC_UNSHARE, g.handle, G(5)), S2_UVC_CC_BUSY);
		ck_assert_int_eq(by_handle(w, S2_UVC_DESTROY_CONF, g.handle), S2_UVC_CC_BUSY);
		world_check(w);
	}
	ck_assert_int_eq(partial, 2);
	expect_state(&g, G(0), S2_UV_SECURE);
	for (unsigned i = 1; i < 6; i++) {
		expect_state(&g, G(i < 3 ? i : 1000 + i), S2_UV_NONE);
		ck_assert_int_eq(s2_uv_host_access(&w->uv, s2_hpa(HPA(P(i)))), 0);
	}
	expect(w, by_gaddr(w, S2_UVC_IMPORT, g.handle, G(1)), S2_UVC_RC_EXECUTED);
	ck_assert(is_filled(w, P(1), 0));
	expect(w, by_handle(w, S2_UVC_UNSHARE_ALL, g.handle), S2_UVC_RC_EXECUTED);
	world_fini(w);
}
END_TEST

/*
 * A life of a guest, in which call n is answered in another way than it would be, or one callback fails
 * for the n-th time. Who only issues the call again until it works comes to the same end.
 */
enum how {
	HOW_BUSY,
	HOW_PARTIAL,
	HOW_ERROR,
	HOW_HIDE,
	HOW_CIPHER,
	HOW_RANDOM,
	HOW_MEMORY,
	HOW_COUNT
};

static unsigned tries;

static void until_done(struct world *w, uint64_t guest, enum how how)
{
	union s2_uvcb block = w->block;

	for (int i = 0; issue(w, guest) != S2_UVC_CC_OK; i++) {
		ck_assert_int_lt(i, 10);
		tries++;
		world_check(w);
		w->block = block;
		/* The fault is over. */
		w->hides = how == HOW_HIDE ? -1 : w->hides;
		w->ciphers = how == HOW_CIPHER ? -1 : w->ciphers;
		w->randoms = how == HOW_RANDOM ? -1 : w->randoms;
		test_env_fail(&w->env, 0);
	}
	world_check(w);
}

static void forward(struct world *w, uint16_t cmd, uint64_t handle, uint64_t gaddr, enum how how)
{
	bool guest = cmd == S2_UVC_SHARE || cmd == S2_UVC_UNSHARE;

	begin(w, cmd);
	put(w, S2_UVCB_HANDLE, guest ? 0 : handle);
	if (gaddr != 1) {
		put(w, S2_UVCB_GADDR, gaddr);
	}
	until_done(w, guest ? handle : 0, how);
}

static void life(struct world *w, enum how how)
{
	uint64_t handle;
	uint64_t cpu;

	begin(w, S2_UVC_INIT);
	put(w, S2_UVCB_INIT_ORIGIN, HPA(AT_INIT));
	put(w, S2_UVCB_INIT_LEN, 0x4000);
	until_done(w, 0, how);
	fill_create(w, 0);
	until_done(w, 0, how);
	handle = s2_uvcb_get64(&w->block, S2_UVCB_HANDLE);
	fill_cpu(w, 0, handle, 0);
	until_done(w, 0, how);
	cpu = s2_uvcb_get64(&w->block, S2_UVCB_HANDLE);
	for (unsigned i = 0; i < 4; i++) {
		map(w, 0, G(i), P(i));
		forward(w, S2_UVC_IMPORT, handle, G(i), how);
		fill(w, P(i), (uint8_t)(i + 1));
	}
	forward(w, S2_UVC_EXPORT, HPA(P(0)), 1, how);
	forward(w, S2_UVC_IMPORT, handle, G(0), how);
	ck_assert(is_filled(w, P(0), 1));
	for (unsigned i = 0; i < 3; i++) {
		forward(w, S2_UVC_SHARE, handle, G(i), how);
	}
	forward(w, S2_UVC_PIN, HPA(P(0)), 1, how);
	forward(w, S2_UVC_UNPIN, handle, G(0), how);
	forward(w, S2_UVC_UNSHARE, handle, G(0), how);
	ck_assert(is_filled(w, P(0), 1));
	forward(w, S2_UVC_UNSHARE_ALL, handle, 1, how);
	ck_assert_int_eq(s2_uv_state(&w->uv, handle, s2_gpa(G(2))), S2_UV_NONE);
	forward(w, S2_UVC_DESTROY_CPU, cpu, 1, how);
	forward(w, S2_UVC_DESTROY, HPA(P(0)), 1, how);
	forward(w, S2_UVC_DESTROY_CONF, handle, 1, how);
	ck_assert(is_filled(w, P(0), 0) && is_filled(w, P(3), 0));
}

START_TEST(at_every_step)
{
	enum how how = (enum how)_i;
	bool reached = true;
	unsigned n = 0;

	for (; reached; n++) {
		struct world w;

		world_init(&w);
		w.nth = (struct s2_uv_nth){.skip = n, .count = how <= HOW_ERROR};
		w.nth.cc = how == HOW_BUSY	? S2_UVC_CC_BUSY
			   : how == HOW_PARTIAL ? S2_UVC_CC_PARTIAL
						: S2_UVC_CC_ERROR;
		w.nth.rc = 0x1ff;
		w.hides = how == HOW_HIDE ? (int)n : -1;
		w.ciphers = how == HOW_CIPHER ? (int)n : -1;
		w.randoms = how == HOW_RANDOM ? (int)n : -1;
		if (how == HOW_MEMORY) {
			test_env_fail(&w.env, n + 1);
		}
		life(&w, how);
		/* Was there an n-th at all? */
		reached = how <= HOW_ERROR    ? w.nth.count == 0
			  : how == HOW_HIDE   ? w.hides < 0
			  : how == HOW_CIPHER ? w.ciphers < 0
			  : how == HOW_RANDOM ? w.randoms < 0
					      : w.env.fail_from == 0;
		test_env_fail(&w.env, 0);
		world_fini(&w);
	}
	ck_assert_uint_ge(n, how == HOW_RANDOM ? 2 : 3);
	ck_assert_uint_ge(tries, n - 2);
}
END_TEST

/* The guest waits while there is no memory for what the host did. */
START_TEST(unshare_nomem)
{
	struct guest g;
	struct world *w = &g.w;

	start(&g);
	give(w, 0, g.handle, G(0), 100, 7);
	expect(w, by_gaddr(w, S2_UVC_SHARE, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	map(w, 0, G(0), P(0)); /* in a MiB where nothing was yet */
	test_env_fail(&w->env, 1);
	ck_assert_int_eq(by_gaddr(w, S2_UVC_UNSHARE, g.handle, G(0)), S2_UVC_CC_BUSY);
	expect_state(&g, G(0), S2_UV_SHARED);
	test_env_fail(&w->env, 0);
	expect(w, by_gaddr(w, S2_UVC_UNSHARE, g.handle, G(0)), S2_UVC_RC_EXECUTED);
	/* s2_uv_check() sees a donated page that nobody remembers. */
	w->uv.init_count--;
	ck_assert(!s2_uv_check(&w->uv));
	w->uv.init_count++;
	world_fini(w);
}
END_TEST

/* An embedder that does not hide pages asks at each access. */
START_TEST(without_hiding)
{
	struct guest g;
	struct world *w = &g.w;
	struct s2_uv_ops ops;

	start(&g);
	s2_uv_fini(&w->uv);
	ops = *w->config.ops;
	ops.hide = NULL;
	ops.show = NULL;
	ops.inject = NULL;
	w->config.ops = &ops;
	ck_assert_int_eq(s2_uv_init(&w->uv, &w->config), S2_OK);
	ck_assert_int_eq(uv_initialise(w), S2_UVC_CC_OK);
	g.handle = create(w, 0);
	map(w, 0, G(0), P(0));
	ck_assert_int_eq(by_gaddr(w, S2_UVC_IMPORT, g.handle, G(0)), S2_UVC_CC_OK);
	ck_assert_int_eq(s2_uv_host_access(&w->uv, s2_hpa(HPA(P(0)))), 0x3d);
	ck_assert_int_eq(by_page(w, S2_UVC_EXPORT, P(0)), S2_UVC_CC_OK);
	ck_assert_int_eq(s2_uv_host_access(&w->uv, s2_hpa(HPA(P(0)))), 0);
	ck_assert(s2_uv_check(&w->uv));
	world_fini(w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("uv pages");
	TCase *tcase = tcase_create("uv pages");

	tcase_set_timeout(tcase, 120);
	tcase_add_test(tcase, there_and_back);
	tcase_add_test(tcase, sealed_differently);
	tcase_add_test(tcase, tampered);
	tcase_add_test(tcase, replayed);
	tcase_add_test(tcase, moved);
	tcase_add_test(tcase, import_codes);
	tcase_add_test(tcase, import_nomem);
	tcase_add_test(tcase, page_codes);
	tcase_add_test(tcase, share_and_unshare);
	tcase_add_test(tcase, shared_pages_move);
	tcase_add_test(tcase, destroy_page);
	tcase_add_test(tcase, destroy_in_parts);
	tcase_add_test(tcase, destroy_fast);
	tcase_add_test(tcase, unshare_all);
	tcase_add_loop_test(tcase, at_every_step, 0, HOW_COUNT);
	tcase_add_test(tcase, unshare_nomem);
	tcase_add_test(tcase, without_hiding);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
