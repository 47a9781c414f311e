/* SPDX-License-Identifier: BSD-2-Clause */
/* The back end, the memory for tables, and the rest: each violation is provoked by hand. */
#include "test_tables.h"

#include <stdlib.h>

#include "../check_main.h"

#define MIB UINT64_C(0x100000)

/* Pages 0 to 7 are mapped to 16 MiB and on. */
static void setup(struct hand *h, int i)
{
	hand_init(h, &machines[i]);
	for (uint64_t page = 0; page < 8; page++) {
		hand_map(h, 0, page << 12, (16 * MIB) + (page << 12));
	}
}

/* Another machine's cookie forgets nothing of this one; one that is nobody's is a violation. */
START_TEST(test_cookie)
{
	struct s2_flush f = {S2_FLUSH_ALL, s2_range(s2_gpa(0), UINT64_C(1) << 48), 12, 0};
	struct hand h, other;
	int nobody = 0;

	hand_init(&h, machine_find("npt-4"));
	hand_init(&other, machine_find("npt-4"));
	hand_map(&h, 0, 0, 0x1000);
	machine_touch(&h.m, 0);
	hand_unmap(&h, 0, 0);
	other.config.mmu->flush(other.config.mmu_cookie, &f, 1);
	ck_assert(!machine_audit(&h.m));
	hand_violation(&h, "stale: translates what is not mapped");
	hand_ok(&other);
	other.config.mmu->flush(&nobody, &f, 1);
	hand_violation(&h, "the back end was called with a strange cookie");
	hand_violation(&other, "the back end was called with a strange cookie");
	h.config.mmu->flush(h.config.mmu_cookie, &f, 1);
	ck_assert(machine_audit(&h.m));
	ck_assert_uint_eq(h.m.stats.flush_ranges[S2_FLUSH_ALL], 1);
	hand_fini(&other);
	hand_fini(&h);
}
END_TEST

/* Flushes that make no sense. */
START_TEST(test_strange_flush)
{
	static const struct {
		struct s2_flush f;
		size_t count;
		const char *why;
	} strange[] = {
		{{S2_FLUSH_LEAF, {{0}, 0x1000}, 12, 0}, 0, "a flush of nothing"},
		{{S2_FLUSH_LEAF, {{0}, 0}, 12, 0}, 1, "a flush of a strange range"},
		{{S2_FLUSH_LEAF, {{0xfffffffff000}, 0x2000}, 12, 0},
		 1,
		 "a flush of a strange range"},
		{{S2_FLUSH_LEAF, {{0xfffffffffffff000}, 0x2000}, 12, 0},
		 1,
		 "a flush of a strange range"},
		{{S2_FLUSH_ALL, {{0}, 0x1000}, 12, 0}, 1, "a flush of all that says a part"},
		{{S2_FLUSH_WALK, {{0}, 0x1000}, 11, 0}, 1, "a flush with a strange stride"},
		{{S2_FLUSH_LEAF, {{0}, 0x1000}, 12, 4}, 1, "a flush with a strange level"},
	};
	struct hand h;

	hand_init(&h, machine_find("arm64-48"));
	h.config.mmu->flush(h.config.mmu_cookie, &strange[_i].f, strange[_i].count);
	hand_violation(&h, strange[_i].why);
	hand_fini(&h);
}
END_TEST

/* s390: the calls that change and purge. */
START_TEST(test_purge)
{
	struct hand h;
	struct s2_place p;
	uint64_t old;

	setup(&h, (int)(machine_find("s390-64") - machines));
	machine_touch_range(&h.m, s2_range(s2_gpa(0), 0x8000));
	p = hand_place(&h, 0, 0x1000);
	h.m.mmu.invalidate(h.config.mmu_cookie, &p, 3);
	ck_assert_uint_eq(machine_load(&h.m, hand_item(&h, 0, 0x3000)), 16 * MIB + 0x3400);
	ck_assert(machine_audit(&h.m));
	ck_assert_int_eq(hand_access(&h, 0x3000, MACHINE_READ), MACHINE_ABSENT);
	ck_assert_int_eq(hand_access(&h, 0x4000, MACHINE_READ), MACHINE_OK);
	h.m.mmu.invalidate(h.config.mmu_cookie, &p, 1);
	ck_assert(machine_ok(&h.m)); /* once more does no harm */
	ck_assert_uint_eq(h.m.stats.invalidate_items, 4);
	ck_assert_uint_eq(h.m.stats.invalidate_idle, 1);
	/* What is invalid may be stored as something else, and only that. */
	machine_store(&h.m, hand_item(&h, 0, 0x2000), 16 * MIB + 0x2200);
	ck_assert(machine_audit(&h.m));
	ck_assert_int_eq(hand_access(&h, 0x2000, MACHINE_READ), MACHINE_OK);
	ck_assert_int_eq(hand_access(&h, 0x2000, MACHINE_WRITE), MACHINE_DENIED);
	machine_store(&h.m, hand_item(&h, 0, 0x4000), 16 * MIB + 0x4200);
	ck_assert(!machine_audit(&h.m));
	hand_violation(&h, "a live item was changed by a plain store");
	machine_store(&h.m, hand_item(&h, 0, 0x4000), 16 * MIB + 0x4000);

	p = hand_place(&h, 0, 0x5000);
	old = machine_load(&h.m, hand_item(&h, 0, 0x5000));
	ck_assert(!h.m.mmu.replace(h.config.mmu_cookie, &p, old ^ 0x200, old | 0x200));
	ck_assert_uint_eq(h.m.stats.replace_lost, 1);
	ck_assert(h.m.mmu.replace(h.config.mmu_cookie, &p, old, old | 0x200));
	ck_assert(machine_audit(&h.m));
	ck_assert_int_eq(hand_access(&h, 0x5000, MACHINE_WRITE), MACHINE_DENIED);
	ck_assert(h.m.mmu.replace(h.config.mmu_cookie, &p, old | 0x200, old | 0x800));
	hand_violation(&h, "s390: translation specification, bit 52 of a page-table entry");
	ck_assert(h.m.mmu.replace(h.config.mmu_cookie, &p, old | 0x800, old));

	/* Bits of software are nobody's business. */
	machine_clear_error(&h.m);
	machine_touch(&h.m, 0x6000);
	machine_store(&h.m, hand_item(&h, 0, 0x6000), 16 * MIB + 0x60ff);
	ck_assert(machine_audit(&h.m));
	hand_fini(&h);
}
END_TEST

/* Calls that come too late, and one that is for pages and not for the leaf around them. */
START_TEST(test_purge_late)
{
	struct hand h;
	struct s2_place p;
	uint64_t item;

	hand_init(&h, machine_find("s390-42-edat2"));
	h.m.speculate = false;
	hand_map(&h, 0, 0, 0x1000);
	item = hand_item(&h, 0, 0);
	p = hand_place(&h, 0, 0);
	machine_touch(&h.m, 0);
	machine_store(&h.m, item, 0x1200);
	h.m.mmu.invalidate(h.config.mmu_cookie, &p, 1);
	hand_violation(&h, "a live item was changed by a plain store");

	p = hand_place(&h, 1, 0);
	h.m.mmu.invalidate(h.config.mmu_cookie, &p, 2);
	hand_violation(&h, "invalidate of what are not all leaves or all tables");

	machine_power_cycle(&h.m);
	item = hand_item(&h, 1, 0);
	machine_store(&h.m, item, 0x400);
	machine_touch(&h.m, 0x5000);
	machine_store(&h.m, item, hand_table(&h, 1, hand_new_table(&h, 0)));
	p = hand_place(&h, 0, 0x5000);
	h.m.mmu.invalidate(h.config.mmu_cookie, &p, 1);
	hand_ok(&h);
	ck_assert(!machine_audit(&h.m));
	hand_violation(&h, "a live item was changed by a plain store");
	hand_fini(&h);
}
END_TEST

START_TEST(test_strange_place)
{
	static const char *const why[] = {"a place is in another table than a walk for its address",
					  "a place is another item than that of its address",
					  "a place is another item than that of its address",
					  "a place has a strange size or address",
					  "a place has a strange size or address",
					  "a place with a strange count"};
	struct hand h;
	struct s2_place p;

	setup(&h, (int)(machine_find("s390-64") - machines));
	p = hand_place(&h, 0, 0x1000);
	p.table.val += _i == 0 ? 4096 : 0;
	p.item += _i == 1;
	p.index += _i == 2;
	p.lg2 = (uint8_t)(p.lg2 + (_i == 3));
	p.gpa.val += _i == 4 ? 0x800 : 0;
	h.m.mmu.invalidate(h.config.mmu_cookie, &p, _i == 5 ? 256 : 1);
	hand_violation(&h, why[_i]);
	hand_fini(&h);
}
END_TEST

/* A table is invalidated as a whole: pointers to it and all that came from it are gone. */
START_TEST(test_purge_table)
{
	struct hand h;
	struct s2_place p;
	uint64_t table;

	setup(&h, (int)(machine_find("s390-42") - machines));
	h.m.speculate = false;
	hand_map(&h, 0, MIB, 0);
	machine_touch_range(&h.m, s2_range(s2_gpa(0), 0x8000));
	machine_touch(&h.m, MIB);
	table = hand_item(&h, 0, 0);
	p = hand_place(&h, 1, 0);
	h.m.mmu.invalidate(h.config.mmu_cookie, &p, 1);
	ck_assert_uint_eq(machine_cached(&h.m), 3);
	hand_free(&h, 0, table);
	ck_assert(machine_audit(&h.m));
	ck_assert_int_eq(hand_access(&h, 0, MACHINE_READ), MACHINE_ABSENT);
	ck_assert_int_eq(hand_access(&h, MIB, MACHINE_READ), MACHINE_OK);
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

/* What is asked of the table allocator. */
START_TEST(test_pool)
{
	struct hand h;
	struct s2_table_env *env;
	void *a, *b, *reused;

	hand_init(&h, machine_find("arm64-48"));
	env = &h.config.tables;
	h.m.pool.quarantine = 1;
	a = env->alloc(env->cookie, 65536);
	b = env->alloc(env->cookie, 64);
	ck_assert_uint_eq((uintptr_t)a % 65536, 0);
	ck_assert_uint_eq(((uintptr_t)a + env->hpa_offset) % 65536, 0);
	ck_assert_uint_eq((uintptr_t)b % 64, 0);
	ck_assert_uint_ne(*(uint64_t *)a, 0);
	ck_assert_uint_eq(h.m.pool.live, 3);
	env->free(env->cookie, b, 128);
	hand_violation(&h, "freed a table with another size");
	env->free(env->cookie, (char *)a + 4096, 4096);
	hand_violation(&h, "freed what is not a table");
	env->free(env->cookie, &h, 4096);
	hand_violation(&h, "freed what is not a table");
	env->free(env->cookie, a, 65536);
	env->free(env->cookie, a, 65536);
	hand_violation(&h, "freed a table twice");
	ck_assert_uint_eq(h.m.pool.live, 2);
	ck_assert_ptr_null(env->alloc(env->cookie, 3000));
	hand_violation(&h, "asked for a table of a strange size");

	b = env->alloc(env->cookie, 65536);
	ck_assert_ptr_ne(a, b);
	env->free(env->cookie, b, 65536);
	reused = env->alloc(env->cookie, 65536);
	ck_assert_ptr_eq(reused, a);
	hand_ok(&h);
	env->free(env->cookie, reused, 65536);
	pool_fail(&h.m.pool, 2);
	ck_assert_ptr_nonnull(env->alloc(env->cookie, 4096));
	ck_assert_ptr_null(env->alloc(env->cookie, 4096));
	ck_assert_ptr_null(env->alloc(env->cookie, 4096));
	pool_fail(&h.m.pool, 0);
	ck_assert_ptr_nonnull(env->alloc(env->cookie, 4096));
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

START_TEST(test_write_after_free)
{
	struct hand h;
	struct s2_table_env *env;
	uint64_t *a;

	if (pool_traps) {
		return;
	}
	hand_init(&h, machine_find("arm64-48"));
	env = &h.config.tables;
	h.m.pool.quarantine = 0;
	a = env->alloc(env->cookie, 4096);
	env->free(env->cookie, a, 4096);
	a[77] = 0;
	ck_assert_ptr_eq(env->alloc(env->cookie, 4096), a);
	hand_violation(&h, "a freed table was written to");
	hand_fini(&h);
}
END_TEST

/* A root that the machine cannot be pointed at. */
START_TEST(test_root)
{
	struct hand h;

	hand_init(&h, machine_find("arm64-43-cont-bbm1-ha"));
	machine_set_root(&h.m, s2_hpa(h.root + 4096));
	hand_violation(&h, "the root is no table, too small, or not aligned");
	machine_set_root(&h.m, s2_hpa(hand_new_table(&h, 0)));
	hand_violation(&h, "the root is no table, too small, or not aligned");
	hand_fini(&h);
}
END_TEST

/* Visible before it was cleaned. */
START_TEST(test_clean)
{
	struct hand h;

	hand_init(&h, machine_find("arm64-48"));
	h.m.need_clean = true;
	h.m.need_code = true;
	h.config.mmu->clean(h.config.mmu_cookie, s2_hpa(0x1000), 0x1000);
	h.config.mmu->invalidate_code(h.config.mmu_cookie, s2_hpa(0x1000), 0x2000);
	hand_map(&h, 0, 0, 0x1000);
	machine_touch(&h.m, 0);
	hand_ok(&h);
	hand_map(&h, 0, 0x5000, 0x2000);
	machine_touch(&h.m, 0x5000);
	hand_violation(&h, "memory is visible that was not cleaned");
	ck_assert(machine_is_clean(&h.m, s2_hpa(0x1800), 0x800, false));
	ck_assert(!machine_is_clean(&h.m, s2_hpa(0x1800), 0x801, false));
	machine_host_wrote(&h.m, s2_hpa(0x1fff), 1);
	h.config.mmu->clean(h.config.mmu_cookie, s2_hpa(0x1000), 0x1000);
	hand_unmap(&h, 0, 0x5000);
	hand_flush(&h, S2_FLUSH_LEAF, 0, 0x6000);
	hand_violation(&h, "memory can be executed that may be cached as older code");
	ck_assert_uint_eq(h.m.stats.clean_bytes, 0x2000);
	ck_assert_uint_eq(h.m.stats.code_calls, 1);
	hand_fini(&h);
}
END_TEST

static unsigned hooked;

static void on_flush(void *cookie, struct machine *m, const struct s2_flush *f, size_t count)
{
	(void)cookie;
	(void)m;
	hooked += f->kind == S2_FLUSH_LEAF && count == 1;
}

static void on_clean(void *cookie, struct machine *m, uint64_t hpa, uint64_t len, bool code)
{
	(void)cookie;
	ck_assert(!machine_is_clean(m, s2_hpa(hpa), len, code));
	hooked += 10;
}

static void on_mapped(void *cookie, struct machine *m, const struct s2_run *run, unsigned prot)
{
	(void)cookie;
	(void)m;
	hooked += run->len == 0x3000 && prot == S2_RW ? 100 : 0;
}

START_TEST(test_hooks)
{
	struct s2_run run = {s2_gpa(0), s2_hpa(0), 0x3000, 2};
	struct hand h;

	hand_init(&h, machine_find("mock-48"));
	h.m.on_flush = on_flush;
	h.m.on_clean = on_clean;
	h.m.on_mapped = on_mapped;
	hand_flush(&h, S2_FLUSH_LEAF, 0, 0x1000);
	h.config.mmu->clean(h.config.mmu_cookie, s2_hpa(0), 0x1000);
	h.config.mmu->invalidate_code(h.config.mmu_cookie, s2_hpa(0), 0x1000);
	h.config.mmu->mapped(h.config.mmu_cookie, &run, S2_RW);
	h.config.mmu->relax(h.config.mmu_cookie);
	ck_assert_uint_eq(hooked, 121);
	ck_assert_uint_eq(h.m.stats.mapped_bytes, 0x3000);
	ck_assert_uint_eq(h.m.stats.relax_calls, 1);
	ck_assert(h.config.mmu->invalidate == NULL);
	ck_assert(h.config.mmu->replace == NULL);
	hand_fini(&h);
}
END_TEST

static uint32_t random_number(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state >> 8;
}

/* Stretches against one flag a byte. */
START_TEST(test_set)
{
	struct hand h;
	bool clean[64] = {false};
	uint32_t state = 1;

	hand_init(&h, machine_find("npt-4"));
	for (int i = 0; i < 20000; i++) {
		uint64_t at = random_number(&state) % 64;
		uint64_t len = 1 + random_number(&state) % (64 - at);
		bool all = true;

		if (random_number(&state) % 2 == 0) {
			len = len > 8 ? 8 : len;
			h.config.mmu->clean(h.config.mmu_cookie, s2_hpa(at), len);
			memset(clean + at, 1, len);
		} else {
			machine_host_wrote(&h.m, s2_hpa(at), len);
			memset(clean + at, 0, len);
		}
		at = random_number(&state) % 64;
		len = 1 + random_number(&state) % (64 - at) % 6;
		for (uint64_t j = at; j < at + len; j++) {
			all = all && clean[j];
		}
		ck_assert_int_eq(machine_is_clean(&h.m, s2_hpa(at), len, false), all);
	}
	hand_fini(&h);
}
END_TEST

/* What the TLB holds against one flag a page: nothing is lost, and nothing stays. */
START_TEST(test_cache)
{
	enum {
		PAGES = 2048
	};
	static bool cached[PAGES];
	struct machine_result r;
	struct hand h;
	uint32_t state = 7;

	memset(cached, 0, sizeof(cached));
	hand_init(&h, machine_find("npt-4"));
	h.m.speculate = false;
	for (uint64_t page = 0; page < PAGES; page++) {
		hand_map(&h, 0, page << 12, page << 12);
	}
	for (int i = 0; i < 20000; i++) {
		uint64_t page = random_number(&state) % PAGES;
		uint64_t count = 1 + random_number(&state) % 200;

		count = count > PAGES - page ? PAGES - page : count;
		if (random_number(&state) % 16 == 0) {
			hand_flush(&h, S2_FLUSH_LEAF, page << 12, count << 12);
			memset(cached + page, 0, count);
		}
		page = random_number(&state) % PAGES;
		ck_assert(machine_access(&h.m, page << 12, MACHINE_READ, &r));
		ck_assert_int_eq(r.cached, cached[page]);
		ck_assert_uint_eq(r.hpa, page << 12);
		cached[page] = true;
	}
	ck_assert(machine_audit(&h.m));
	for (uint64_t page = 0; page < PAGES; page++) {
		hand_unmap(&h, 0, page << 12);
		ck_assert_int_eq(machine_audit_range(&h.m, s2_range(s2_gpa(page << 12), 4096)),
				 !cached[page]);
		hand_flush(&h, S2_FLUSH_LEAF, page << 12, 4096);
		machine_clear_error(&h.m);
	}
	ck_assert(machine_audit(&h.m));
	hand_fini(&h);
}
END_TEST

static Suite *machine_suite(void)
{
	Suite *suite = suite_create("machine");
	TCase *tc = tcase_create("machine");

	tcase_add_test(tc, test_cookie);
	tcase_add_loop_test(tc, test_strange_flush, 0, 7);
	tcase_add_test(tc, test_purge);
	tcase_add_test(tc, test_purge_late);
	tcase_add_loop_test(tc, test_strange_place, 0, 6);
	tcase_add_test(tc, test_purge_table);
	tcase_add_test(tc, test_pool);
	tcase_add_test(tc, test_write_after_free);
	tcase_add_test(tc, test_root);
	tcase_add_test(tc, test_clean);
	tcase_add_test(tc, test_hooks);
	tcase_add_test(tc, test_set);
	tcase_add_test(tc, test_cache);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return check_main(machine_suite());
}
