/* SPDX-License-Identifier: BSD-2-Clause */
/* The TLB: marks, strides, ways to an item, groups, of single machines. */
#include "test_tlb.h"

/* Marks that the TLB holds and the tables no longer do. */
START_TEST(test_stale_marks)
{
	static const struct {
		const char *variant;
		uint64_t accessed, dirty; /* to clear; mock: to set accessed */
	} marks[] = {
		{"arm64-40-cont-fwb-ha-hd", 0x400, 0x80},
		{"riscv-sv39x4-svadu", 0x40, 0x80},
		{"ept-4-1g-ad", 0x100, 0x200},
		{"npt-4", 0x20, 0x40},
	};
	struct hand h;
	uint64_t item, v;

	hand_init(&h, machine_find(marks[_i].variant));
	hand_map(&h, 0, 0, 0);
	item = hand_item(&h, 0, 0);
	v = machine_load(&h.m, item) | (_i == 0 ? 1ull << 51 : 0);
	machine_store(&h.m, item, v);
	machine_touch(&h.m, 0);
	machine_store(&h.m, item, v & ~marks[_i].dirty);
	ck_assert_int_eq(hand_access(&h, 0, MACHINE_WRITE), MACHINE_OK);
	ck_assert_uint_eq(machine_load(&h.m, item), v & ~marks[_i].dirty);
	ck_assert(!machine_audit(&h.m));
	hand_violation(&h, "stale: marked dirty");
	hand_flush(&h, S2_FLUSH_LEAF, 0, 0x1000);
	ck_assert(machine_audit(&h.m));
	ck_assert_int_eq(hand_access(&h, 0, MACHINE_WRITE), MACHINE_OK);
	ck_assert_uint_eq(machine_load(&h.m, item), v);
	ck_assert_uint_eq(h.m.stats.marks_dirty, 1);
	machine_store(&h.m, item, v & ~marks[_i].accessed);
	ck_assert(!machine_audit(&h.m));
	hand_violation(&h, "stale: marked accessed");
	h.m.strict_marks = false;
	ck_assert(machine_audit(&h.m));
	hand_fini(&h);
}
END_TEST

/* Flushes that go past entries: strides too long, hints of another level. */
START_TEST(test_stride_and_level)
{
	struct s2_flush f = {S2_FLUSH_LEAF, s2_range(s2_gpa(0), 0x200000), 21, S2_LEVEL_ANY};
	struct hand h;

	hand_init(&h, machine_find("arm64-48"));
	hand_map(&h, 0, 0, 0x1000);
	hand_map(&h, 0, 0x5000, 0x6000);
	machine_touch(&h.m, 0);
	machine_touch(&h.m, 0x5000);
	hand_unmap(&h, 0, 0);
	hand_unmap(&h, 0, 0x5000);
	h.config.mmu->flush(h.config.mmu_cookie, &f, 1);
	ck_assert(machine_audit_range(&h.m, s2_range(s2_gpa(0), 0x1000)));
	ck_assert(!machine_audit(&h.m));
	hand_violation(&h, "stale: translates what is not mapped");
	f.stride_lg2 = 12;
	f.level = 1;
	h.config.mmu->flush(h.config.mmu_cookie, &f, 1);
	ck_assert_uint_eq(h.m.stats.flush_useless, 1);
	ck_assert(!machine_audit(&h.m));
	machine_clear_error(&h.m);
	f.level = 0;
	h.config.mmu->flush(h.config.mmu_cookie, &f, 1);
	ck_assert(machine_audit(&h.m));
	hand_fini(&h);
}
END_TEST

/* Drops pointers to tables, and no leaf but one at 0. */
static void forget_pointers(struct hand *h)
{
	struct s2_flush f = {S2_FLUSH_WALK, s2_range(s2_gpa(0), 0x200000), 21, S2_LEVEL_ANY};

	h->m.speculate = false;
	h->config.mmu->flush(h->config.mmu_cookie, &f, 1);
}

/* The item is what it was, but its table is no longer linked. */
START_TEST(test_unlinked_item)
{
	struct hand h;

	hand_init(&h, machine_find("npt-4"));
	hand_map(&h, 0, 0x5000, 0x6000);
	machine_touch(&h.m, 0x5000);
	ck_assert(machine_audit(&h.m));
	hand_unmap(&h, 1, 0);
	forget_pointers(&h);
	ck_assert_uint_eq(machine_cached(&h.m), 1);
	ck_assert(!machine_audit(&h.m));
	hand_violation(&h, "stale: translates what is not mapped");
	hand_fini(&h);
}
END_TEST

/* The item is what it was, but a pointer on the way to it gives less rights. */
START_TEST(test_narrower_path)
{
	struct hand h;
	uint64_t item;

	hand_init(&h, machine_find("npt-4"));
	hand_map(&h, 0, 0x5000, 0x6000);
	hand_map(&h, 0, 0x6000, 0x6000);
	machine_store(&h.m, hand_item(&h, 0, 0x4000), hand_readonly(&h, 0, 0x4000));
	machine_touch(&h.m, 0x5000);
	machine_touch(&h.m, 0x4000); /* will come first, and is not wrong */
	item = hand_item(&h, 2, 0);
	machine_store(&h.m, item, machine_load(&h.m, item) & ~2ull);
	ck_assert(!machine_audit_range(&h.m, s2_range(s2_gpa(0x7000), 0x1000)));
	hand_violation(&h, "stale: a pointer to a table");
	forget_pointers(&h);
	machine_touch(&h.m, 0x6000);
	ck_assert(machine_audit_range(&h.m, s2_range(s2_gpa(0x6000), 0x1000)));
	ck_assert(!machine_audit(&h.m));
	hand_violation(&h, "stale: more rights than the tables give");
	hand_fini(&h);
}
END_TEST

/* Another table in the place of the one that an item was in is another matter. */
START_TEST(test_reused_table)
{
	struct hand h;
	uint64_t table;

	hand_init(&h, machine_find("arm64-48"));
	h.m.pool.quarantine = 0;
	hand_map(&h, 0, 0x5000, 0x6000);
	machine_touch(&h.m, 0x5000);
	table = hand_item(&h, 0, 0);
	hand_unmap(&h, 1, 0);
	forget_pointers(&h);
	hand_free(&h, 0, table);
	hand_map(&h, 0, 0x205000, 0x7000);
	ck_assert_uint_eq(hand_item(&h, 0, 0x200000), table);
	hand_flush(&h, S2_FLUSH_LEAF, 0x5000, 0x1000);
	ck_assert(machine_audit(&h.m));
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

/* Another kind of memory, where that is no matter of breaks. */
START_TEST(test_stale_kind)
{
	struct hand h;

	hand_init(&h, machine_find("ept-4"));
	hand_map(&h, 0, 0, 0x1000);
	machine_touch(&h.m, 0);
	machine_store(&h.m, hand_item(&h, 0, 0), 0x1047);
	ck_assert(!machine_audit(&h.m));
	hand_violation(&h, "stale: another kind of memory");
	hand_fini(&h);
}
END_TEST

/* What is dropped comes back, but not for ever. */
START_TEST(test_lives)
{
	struct hand h;
	unsigned flushes = 0;

	hand_init(&h, machine_find("npt-4"));
	hand_map(&h, 0, 0x5000, 0x6000);
	machine_touch(&h.m, 0x5000);
	while (machine_cached(&h.m) == 4) {
		hand_flush(&h, S2_FLUSH_LEAF, 0x5000, 0x1000);
		ck_assert_uint_lt(++flushes, 10);
	}
	ck_assert_uint_gt(flushes, 1);
	ck_assert_uint_eq(machine_cached(&h.m), 3);
	hand_fini(&h);
}
END_TEST

/*
 * A group: some machines keep it as a whole, some as pieces, which a flush of another page leaves.
 */
START_TEST(test_group_flush)
{
	unsigned left = 0;
	struct hand h;

	hand_init(&h, machine_find("arm64-39-cont-ttl"));
	h.m.speculate = false;
	for (uint64_t page = 0; page < 16; page++) {
		machine_store(&h.m, hand_item(&h, 0, page << 12),
			      hand_leaf(&h, 0, 0x10000 + (page << 12)) | 1ull << 52);
	}
	for (uint64_t page = 0; page < 16; page++) {
		machine_touch(&h.m, page << 12);
	}
	hand_flush(&h, S2_FLUSH_LEAF, 0x3000, 0x1000);
	for (uint64_t page = 0; page < 16; page++) {
		struct machine_result r;

		ck_assert(machine_access(&h.m, page << 12, MACHINE_READ, &r));
		ck_assert_uint_eq(r.hpa, 0x10000 + (page << 12));
		left += r.cached;
		ck_assert(page != 3 || !r.cached);
	}
	ck_assert(left > 0 && left < 15);
	ck_assert(machine_audit(&h.m));
	machine_store(&h.m, hand_item(&h, 0, 0x7000), 0);
	ck_assert(!machine_audit_range(&h.m, s2_range(s2_gpa(0x1000), 0x1000)));
	hand_violation(&h, "the items of a group do not agree");
	hand_fini(&h);
}
END_TEST

void add_stale(TCase *tcase)
{
	tcase_add_loop_test(tcase, test_stale_marks, 0, 4);
	tcase_add_test(tcase, test_stride_and_level);
	tcase_add_test(tcase, test_unlinked_item);
	tcase_add_test(tcase, test_narrower_path);
	tcase_add_test(tcase, test_reused_table);
	tcase_add_test(tcase, test_stale_kind);
	tcase_add_test(tcase, test_lives);
	tcase_add_test(tcase, test_group_flush);
}
