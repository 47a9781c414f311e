/* SPDX-License-Identifier: BSD-2-Clause */
/* The TLB: what must be broken before it is made anew. */
#include "test_tlb.h"

/* arm64: what is live was split, and the pages changed in the new table, with no flush between. */
START_TEST(test_other_table)
{
	struct hand h;
	uint64_t table;

	hand_init(&h, machine_find("arm64-44-bbm2"));
	hand_map(&h, 1, 0, 0x200000);
	machine_touch(&h.m, 0x5000);
	table = hand_new_table(&h, 0);
	machine_store(&h.m, table + 5 * 8, hand_leaf(&h, 0, (_i == 0 ? 0x205000 : 0x305000)));
	machine_store(&h.m, hand_item(&h, 1, 0), hand_table(&h, 1, table));
	hand_flush(&h, S2_FLUSH_LEAF, 0, 0x200000);
	if (_i != 0) {
		hand_violation(&h, "live to live: in another table, no break");
	}
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

/*
 * One table in the place of another: there may have been a leaf between, where that needs no break.
 */
START_TEST(test_table_to_table)
{
	struct hand h;

	hand_init(&h, machine_find(_i == 0 ? "arm64-44-bbm2" : "arm64-42-bbm1"));
	hand_map(&h, 0, 0, 0x1000);
	machine_touch(&h.m, 0);
	machine_store(&h.m, hand_item(&h, 1, 0), hand_table(&h, 1, hand_new_table(&h, 0)));
	hand_flush(&h, S2_FLUSH_WALK, 0, 0x200000);
	if (_i != 0) {
		hand_violation(&h, "live to live: another table, no break");
	}
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

/* A write that has to mark the item looks at it again, and finds another one. */
START_TEST(test_changed_before_mark)
{
	struct hand h;
	uint64_t item;

	hand_init(&h, machine_find("arm64-40-cont-fwb-ha-hd"));
	item = hand_item(&h, 0, 0);
	machine_store(&h.m, item, 0x0008000000001000 | 0x75b);
	machine_touch(&h.m, 0);
	machine_store(&h.m, item, 0x0008000000002000 | 0x75b);
	ck_assert_int_eq(hand_access(&h, 0, MACHINE_WRITE), MACHINE_OK);
	hand_violation(&h, "live to live: another address, no break");
	hand_fini(&h);
}
END_TEST

/* arm64: what each level of support for changing sizes lets pass. */
START_TEST(test_bbm)
{
	static const struct {
		const char *variant;
		bool faded, contiguous; /* may these replace a live leaf */
	} bbm[] = {{"arm64-39-cont-ttl", false, false},
		   {"arm64-43-cont-bbm1-ha", true, true},
		   {"arm64-35-cont-bbm2", true, true},
		   {"arm64-52-all", false, false}};
	struct hand h;
	uint64_t block, table, v;

	hand_init(&h, machine_find(bbm[_i].variant));
	block = hand_item(&h, 1, 0);
	v = hand_leaf(&h, 1, 0);
	table = hand_item(&h, 0, 0x400000);
	if (_i != 0) {
		machine_store(&h.m, block, v);
		machine_touch(&h.m, 0);
		machine_store(&h.m, block, v | 1 << 16);
		hand_flush(&h, S2_FLUSH_LEAF, 0, 0x200000);
		hand_ok(&h);
		machine_store(&h.m, block, hand_table(&h, 1, table));
		hand_flush(&h, S2_FLUSH_LEAF, 0, 0x200000);
		ck_assert_int_eq(machine_ok(&h.m), bbm[_i].faded);
		machine_clear_error(&h.m);
	}
	machine_store(&h.m, block, v);
	machine_power_cycle(&h.m);
	machine_touch(&h.m, 0);
	for (uint64_t i = 0; i < 16; i++) {
		machine_store(&h.m, block + i * 8, hand_leaf(&h, 1, i << 21) | 1ull << 52);
	}
	hand_flush(&h, S2_FLUSH_LEAF, 0, 0x200000);
	ck_assert_int_eq(machine_ok(&h.m), bbm[_i].contiguous);
	machine_clear_error(&h.m);
	machine_store(&h.m, block, 0);
	hand_flush(&h, S2_FLUSH_LEAF, 0, 0x200000);
	ck_assert(machine_ok(&h.m));
	ck_assert_int_eq(hand_access(&h, 0x200000, MACHINE_READ), MACHINE_WRONG);
	hand_violation(&h, "the items of a group do not agree");
	hand_fini(&h);
}
END_TEST

/* arm64 and riscv: kinds of memory, tables for tables, N. */
START_TEST(test_must_break)
{
	static const struct {
		const char *variant;
		unsigned level;
		uint64_t from, to;
		const char *why;
	} change[] = {
		{"arm64-48", 0, 0x7ff, 0x7d7, "live to live: another kind of memory, no break"},
		{"arm64-48", 0, 0x7ff, 0x6ff, "live to live: another kind of memory, no break"},
		{"arm64-48", 0, 0x7ff, 0x04800000000007ff, NULL},
		{"arm64-48", 0, 0x7ff, 0x004000000000077f, NULL},
		{"arm64-48", 1, 0x7fd, 0x7ff, "live to live: leaf and table, no break"},
		{"arm64-44-bbm2", 0, 0x7ff, 0x17ff, "live to live: another address, no break"},
		{"arm64-44-bbm2", 1, 0x7fd, 0x7ff, NULL},
		{"riscv-sv39x4-svnapot", 0, 0x20df, 0x80000000000020df,
		 "live to live: N, no break"},
		{"riscv-sv39x4-svnapot", 0, 0x20df, 0x40df, NULL},
		{"ept-4", 0, 0x1037, 0x2047, NULL},
		{"npt-4", 1, 0x2000e7, 0x4000e7, NULL},
	};
	struct hand h;
	uint64_t item;

	hand_init(&h, machine_find(change[_i].variant));
	h.m.speculate = false;
	item = hand_item(&h, change[_i].level, 0);
	machine_store(&h.m, item, change[_i].from);
	machine_touch(&h.m, 0);
	machine_store(&h.m, item, change[_i].to);
	hand_flush(&h, S2_FLUSH_WALK, 0, 0x200000);
	if (change[_i].why != NULL) {
		hand_violation(&h, change[_i].why);
	}
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

void add_breaks(TCase *tcase)
{
	tcase_add_loop_test(tcase, test_other_table, 0, 2);
	tcase_add_loop_test(tcase, test_table_to_table, 0, 2);
	tcase_add_test(tcase, test_changed_before_mark);
	tcase_add_loop_test(tcase, test_bbm, 0, 4);
	tcase_add_loop_test(tcase, test_must_break, 0, 11);
}
