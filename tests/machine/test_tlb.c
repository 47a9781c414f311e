/* SPDX-License-Identifier: BSD-2-Clause */
/* The TLB: what it keeps, and what is stale after changes as all machines know them. */
#include "test_tlb.h"

#include "../check_main.h"

#define MIB UINT64_C(0x100000)

static bool purges(const struct hand *h)
{
	return h->m.variant->kind == MACHINE_S390;
}

static bool must_break(const struct hand *h)
{
	return h->m.variant->kind == MACHINE_ARM64 || h->m.variant->kind == MACHINE_MOCK;
}

/* Pages 0 to 7 are mapped to 16 MiB and on. */
static void setup(struct hand *h, int i)
{
	hand_init(h, &machines[i]);
	for (uint64_t page = 0; page < 8; page++) {
		hand_map(h, 0, page << 12, (16 * MIB) + (page << 12));
	}
}

/* None of this is a violation: unmap, flush, map elsewhere, flush. */
START_TEST(test_good)
{
	struct hand h;
	struct machine_result r;
	struct s2_place p;

	setup(&h, _i);
	machine_touch_range(&h.m, s2_range(s2_gpa(0x1000), 0x4000));
	ck_assert(machine_access(&h.m, 0x2345, MACHINE_READ, &r));
	ck_assert(r.cached);
	ck_assert_uint_eq(r.hpa, 16 * MIB + 0x2345);
	ck_assert_uint_gt(machine_cached(&h.m), 6);
	p = hand_place(&h, 0, 0x2000);
	if (purges(&h)) {
		h.m.mmu.invalidate(h.config.mmu_cookie, &p, 1);
		hand_map(&h, 0, 0x2000, 32 * MIB);
	} else {
		hand_unmap(&h, 0, 0x2000);
		hand_flush(&h, S2_FLUSH_LEAF, 0x2000, 0x1000);
		ck_assert_int_eq(hand_access(&h, 0x2000, MACHINE_READ), MACHINE_ABSENT);
		hand_map(&h, 0, 0x2000, 32 * MIB);
		hand_flush(&h, S2_FLUSH_LEAF, 0x2000, 0x1000);
	}
	ck_assert(machine_audit(&h.m));
	ck_assert(machine_access(&h.m, 0x2000, MACHINE_READ, &r));
	ck_assert_uint_eq(r.hpa, 32 * MIB);
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

/* Unmapped, and used as if it were not. */
START_TEST(test_stale_unmap)
{
	struct machine_result r;
	struct hand h;

	setup(&h, _i);
	machine_touch(&h.m, 0x2000);
	hand_unmap(&h, 0, 0x2000);
	ck_assert(machine_access(&h.m, 0x2000, MACHINE_WRITE, &r));
	ck_assert(r.cached);
	ck_assert(machine_ok(&h.m));
	ck_assert(machine_audit_range(&h.m, s2_range(s2_gpa(0x3000), 0x1000)));
	ck_assert(!machine_audit(&h.m));
	hand_violation(&h, purges(&h) ? "a live item was changed by a plain store"
				      : "stale: translates what is not mapped");
	hand_flush(&h, S2_FLUSH_LEAF, 0x1000, 0x1000);
	hand_flush(&h, S2_FLUSH_LEAF, 0x3000, 0x1000);
	ck_assert(!machine_audit_range(&h.m, s2_range(s2_gpa(0x2000), 0x1000)));
	machine_clear_error(&h.m);
	hand_flush(&h, S2_FLUSH_LEAF, 0x2000, 0x1000);
	machine_clear_error(&h.m);
	ck_assert(machine_audit(&h.m));
	hand_fini(&h);
}
END_TEST

/* One live leaf in the place of another. */
START_TEST(test_live_to_live)
{
	struct hand h;

	setup(&h, _i);
	machine_touch(&h.m, 0x2000);
	hand_map(&h, 0, 0x2000, 32 * MIB);
	hand_flush(&h, S2_FLUSH_LEAF, 0x2000, 0x1000);
	if (purges(&h)) {
		hand_violation(&h, "a live item was changed by a plain store");
	} else if (h.m.variant->kind == MACHINE_MOCK) {
		hand_violation(&h, "live to live: no break before the make");
	} else if (must_break(&h)) {
		hand_violation(&h, "live to live: another address, no break");
	}
	ck_assert(machine_audit(&h.m));
	hand_map(&h, 0, 0x2000, 48 * MIB);
	ck_assert(!machine_audit(&h.m));
	if (!purges(&h) && !must_break(&h)) {
		hand_violation(&h, "stale: another address");
	}
	hand_fini(&h);
}
END_TEST

/* A break with its flush, but the machine looked in between, at half of it: speculation. */
START_TEST(test_break_without_flush)
{
	struct hand h;

	setup(&h, _i);
	machine_touch(&h.m, 0x2000);
	hand_unmap(&h, 0, 0x2000);
	hand_map(&h, 0, 0x2000, 32 * MIB);
	hand_flush(&h, S2_FLUSH_LEAF, 0x2000, 0x1000);
	ck_assert_int_eq(machine_ok(&h.m), !purges(&h) && !must_break(&h));
	machine_clear_error(&h.m);
	machine_power_cycle(&h.m);
	ck_assert_uint_eq(machine_cached(&h.m), 0);

	/* A flush in the wrong order: what is dropped comes back at once. */
	machine_touch(&h.m, 0x3000);
	hand_flush(&h, S2_FLUSH_LEAF, 0x3000, 0x1000);
	hand_map(&h, 0, 0x3000, 32 * MIB);
	ck_assert(!machine_audit(&h.m));
	hand_fini(&h);
}
END_TEST

/* Less rights must be flushed, more rights need not. */
START_TEST(test_rights)
{
	struct machine_result r;
	struct hand h;
	uint64_t item;

	setup(&h, _i);
	item = hand_item(&h, 0, 0x2000);
	machine_store(&h.m, item, hand_readonly(&h, 0, 16 * MIB + 0x2000));
	machine_touch(&h.m, 0x2000);
	ck_assert_int_eq(hand_access(&h, 0x2000, MACHINE_WRITE), MACHINE_DENIED);
	machine_store(&h.m, item, hand_leaf(&h, 0, 16 * MIB + 0x2000));
	ck_assert(!machine_access(&h.m, 0x2000, MACHINE_WRITE, &r));
	ck_assert(r.fault == MACHINE_DENIED && r.cached && r.spurious);
	if (!purges(&h)) {
		ck_assert(machine_audit(&h.m));
		ck_assert_uint_gt(h.m.stats.spurious, 0);
		hand_flush(&h, S2_FLUSH_LEAF, 0x2000, 0x1000);
		ck_assert_int_eq(hand_access(&h, 0x2000, MACHINE_WRITE), MACHINE_OK);
		machine_store(&h.m, item, hand_readonly(&h, 0, 16 * MIB + 0x2000));
		ck_assert(!machine_audit(&h.m));
		hand_violation(&h, "stale: more rights than the tables give");
		hand_flush(&h, S2_FLUSH_LEAF, 0x2000, 0x1000);
	}
	hand_fini(&h);
}
END_TEST

static void unlink_table(struct hand *h, uint64_t *table)
{
	struct s2_place p = hand_place(h, 1, 0);

	*table = hand_item(h, 0, 0);
	if (purges(h)) {
		h->m.mmu.invalidate(h->config.mmu_cookie, &p, 1);
	}
	machine_store(&h->m, hand_item(h, 1, 0), hand_format(h)->none[1]);
}

/* A table is unlinked, and freed before the machine has forgotten it. */
START_TEST(test_free_before_flush)
{
	struct hand h;
	uint64_t table;

	setup(&h, _i);
	machine_touch(&h.m, 0x2000);
	unlink_table(&h, &table);
	if (!purges(&h)) {
		hand_flush(&h, S2_FLUSH_LEAF, 0, 0x8000);
		ck_assert(!machine_audit(&h.m));
		hand_violation(&h, "stale: a pointer to a table");
		hand_free(&h, 0, table);
		hand_violation(&h, "a table was freed before its flush");
		ck_assert(!machine_audit(&h.m));
		hand_violation(&h, "stale: a pointer to a freed table");
		ck_assert_int_eq(hand_access(&h, 0x6000, MACHINE_READ), MACHINE_WRONG);
		hand_violation(&h, "a pointer to a table leads to memory that is none");
		hand_flush(&h, S2_FLUSH_WALK, 0, 0x8000);
	} else {
		hand_free(&h, 0, table);
	}
	ck_assert(machine_audit(&h.m));
	ck_assert_int_eq(hand_access(&h, 0x6000, MACHINE_READ), MACHINE_ABSENT);
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

/* The same as it should be. */
START_TEST(test_free_after_flush)
{
	struct hand h;
	uint64_t table;

	setup(&h, _i);
	machine_touch_range(&h.m, s2_range(s2_gpa(0), 0x8000));
	unlink_table(&h, &table);
	if (!purges(&h)) {
		hand_flush(&h, S2_FLUSH_WALK, 0, UINT64_C(1) << hand_format(&h)->lg2[1]);
	}
	hand_free(&h, 0, table);
	ck_assert(machine_audit(&h.m));
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

/* A large leaf is split with the same translations, one page of it taken out. */
START_TEST(test_split)
{
	struct hand h;
	uint64_t size, item, table;

	hand_init(&h, &machines[_i]);
	size = UINT64_C(1) << hand_format(&h)->lg2[1];
	if ((h.m.variant->leaf_sizes & size) == 0 || purges(&h)) {
		hand_fini(&h);
		return;
	}
	item = hand_item(&h, 1, 0);
	hand_map(&h, 1, 0, 64 * MIB);
	machine_touch(&h.m, 0x5000);
	table = hand_new_table(&h, 0);
	for (uint64_t page = 0; page < size; page += 0x1000) {
		machine_store(&h.m, table + page / 512, hand_leaf(&h, 0, 64 * MIB + page));
	}
	machine_store(&h.m, item, hand_table(&h, 1, table));
	if (must_break(&h) && ((h.m.features & 0x80) == 0 || (h.m.features & 0x20) != 0)) {
		ck_assert(!machine_audit(&h.m)); /* not arm64 with BBM2, or it with HD */
		machine_clear_error(&h.m);
	} else if (h.m.variant->kind == MACHINE_ARM64) {
		ck_assert(!machine_audit(&h.m));
		hand_violation(&h, "stale: another size");
	} else {
		ck_assert(machine_audit(&h.m));
		hand_unmap(&h, 0, size - 0x1000);
		ck_assert(!machine_audit(&h.m));
		hand_violation(&h, "stale: translates what is not mapped");
	}
	hand_flush(&h, S2_FLUSH_LEAF, size - 0x1000, 0x1000);
	machine_clear_error(&h.m);
	ck_assert(machine_audit(&h.m));
	hand_fini(&h);
}
END_TEST

/* "Not valid" may be cached. */
START_TEST(test_cached_none)
{
	struct machine_result r;
	struct hand h;

	setup(&h, _i);
	machine_touch(&h.m, 0x9000);
	hand_map(&h, 0, 0x9000, 0);
	if (!machine_caches_none(h.m.variant)) {
		ck_assert(machine_access(&h.m, 0x9000, MACHINE_READ, &r));
		ck_assert(machine_audit(&h.m));
	} else {
		ck_assert(!machine_access(&h.m, 0x9000, MACHINE_READ, &r));
		ck_assert(r.fault == MACHINE_ABSENT && r.cached && r.spurious);
		ck_assert(!machine_audit(&h.m));
		hand_violation(&h, "stale: not valid, of what is mapped");
		hand_flush(&h, S2_FLUSH_LEAF, 0x9000, 0x1000);
		ck_assert(machine_audit(&h.m));
		ck_assert(machine_access(&h.m, 0x9000, MACHINE_READ, &r));
	}
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

/* That a table is not there, too; and if asked to, that is a matter of walks. */
START_TEST(test_cached_no_table)
{
	struct hand h;

	hand_init(&h, machine_find(_i < 2 ? "riscv-sv39x4-plain" : "mock-39-flush"));
	h.m.strict_absent = _i % 2 != 0;
	machine_touch(&h.m, 0x9000);
	hand_map(&h, 0, 0x9000, 0);
	hand_flush(&h, S2_FLUSH_LEAF, 0x9000, 0x1000);
	ck_assert_int_eq(machine_audit(&h.m), _i % 2 == 0);
	machine_clear_error(&h.m);
	hand_flush(&h, S2_FLUSH_WALK, 0x9000, 0x1000);
	ck_assert(machine_audit(&h.m));
	hand_fini(&h);
}
END_TEST

static Suite *tlb_suite(void)
{
	Suite *suite = suite_create("machine_tlb");
	TCase *tcase = tcase_create("tlb");
	int variants = (int)machine_count;

	tcase_add_loop_test(tcase, test_good, 0, variants);
	tcase_add_loop_test(tcase, test_stale_unmap, 0, variants);
	tcase_add_loop_test(tcase, test_live_to_live, 0, variants);
	tcase_add_loop_test(tcase, test_break_without_flush, 0, variants);
	tcase_add_loop_test(tcase, test_rights, 0, variants);
	tcase_add_loop_test(tcase, test_free_before_flush, 0, variants);
	tcase_add_loop_test(tcase, test_free_after_flush, 0, variants);
	tcase_add_loop_test(tcase, test_split, 0, variants);
	tcase_add_loop_test(tcase, test_cached_none, 0, variants);
	tcase_add_loop_test(tcase, test_cached_no_table, 0, 4);
	add_stale(tcase);
	add_breaks(tcase);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	return check_main(tlb_suite());
}
