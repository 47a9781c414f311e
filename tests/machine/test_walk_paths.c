/* SPDX-License-Identifier: BSD-2-Clause */
/* The walkers: groups, what the levels above take away, and marks. */
#include "test_walk.h"

/* A whole group, then each way to spoil it. */
START_TEST(test_groups)
{
	static const struct {
		const char *variant;
		unsigned level, count;
	} groups[] = {{"mock-48", 0, 4},	  {"mock-48", 1, 8},	    {"arm64-52-all", 0, 16},
		      {"arm64-52-all", 1, 16},	  {"arm64-34-cont", 1, 16}, {"arm64-52-all", 2, 16},
		      {"riscv-sv39x4-all", 0, 16}};
	const unsigned level = groups[_i].level, count = groups[_i].count;
	struct machine_walk w;
	struct hand h;
	uint64_t size, gpa, item, good;

	hand_init(&h, machine_find(groups[_i].variant));
	size = UINT64_C(1) << hand_format(&h)->lg2[level];
	gpa = (last_page(&h) & ~(count * size - 1)) - count * size;
	group_of(&h, level, count, gpa, count * size);
	for (unsigned i = 0; i < count; i++) {
		machine_walk(&h.m, gpa + i * size + 0x42, &w);
		ck_assert_msg(w.fault == MACHINE_OK, "%s", w.why);
		ck_assert(w.leaf.group);
		ck_assert_uint_eq(w.hpa, (count + i) * size + 0x42);
		ck_assert_uint_eq(w.leaf.gpa, gpa);
		ck_assert_uint_eq(w.leaf.hpa, count * size);
		ck_assert_uint_eq(UINT64_C(1) << w.leaf.lg2, count * size);
	}
	ck_assert(machine_scan(&h.m, NULL, NULL, NULL));
	for (unsigned i = 0; i < count; i++) {
		item = hand_item(&h, level, gpa + i * size);
		good = machine_load(&h.m, item);
		machine_store(&h.m, item, hand_format(&h)->none[level]);
		machine_walk(&h.m, gpa + (i + 1) % count * size, &w);
		ck_assert_int_eq(w.fault, MACHINE_WRONG);
		machine_store(&h.m, item, hand_leaf(&h, level, (count + i) * size));
		machine_walk(&h.m, gpa + (i + 1) % count * size, &w);
		ck_assert_int_eq(w.fault, MACHINE_WRONG);
		ck_assert(!machine_scan(&h.m, NULL, NULL, NULL));
		machine_clear_error(&h.m);
		machine_store(&h.m, item, good);
	}
	hand_ok(&h);
	group_of(&h, level, count, gpa, (count + 1) * size);
	machine_walk(&h.m, gpa, &w);
	ck_assert_msg(w.fault == MACHINE_WRONG || h.m.variant->kind == MACHINE_RISCV, "aligned?");
	hand_fini(&h);
}
END_TEST

/* A contiguous group that is larger than the guest's memory, and one too high for its level. */
START_TEST(test_group_size)
{
	struct machine_walk w;
	struct hand h;

	hand_init(&h, machine_find("arm64-52-lpa2-cont"));
	group_of(&h, 3, 16, 0, 0);
	machine_walk(&h.m, 0, &w);
	ck_assert_str_eq(w.why, "arm64: there are no contiguous leaves of this size");
	hand_fini(&h);
}
END_TEST

/* Rights that a pointer to a table takes away, where formats have that. */
START_TEST(test_path_rights)
{
	static const struct {
		const char *variant;
		unsigned level;
		uint64_t clear, set;
		unsigned prot;
	} path[] = {
		{"ept-4", 1, 2, 0, S2_RX},	    {"ept-4", 3, 4, 0, S2_RW},
		{"ept-4-ad-mbe", 2, 0x400, 0, RWK}, {"npt-4", 1, 2, 0, S2_RX},
		{"npt-4", 3, 0, 1ull << 63, S2_RW}, {"npt-4", 2, 4, 0, 0},
		{"s390-64", 1, 0, 0x200, S2_RX},    {"s390-64", 4, 0, 0x200, S2_RX},
	};
	struct machine_walk w;
	struct hand h;
	uint64_t item;

	hand_init(&h, machine_find(path[_i].variant));
	hand_map(&h, 0, 0, 0x1000);
	item = hand_item(&h, path[_i].level, 0);
	machine_store(&h.m, item, (machine_load(&h.m, item) & ~path[_i].clear) | path[_i].set);
	machine_walk(&h.m, 0, &w);
	ck_assert_int_eq(w.fault, MACHINE_OK);
	ck_assert_uint_eq(w.leaf.prot, path[_i].prot);
	hand_fini(&h);
}
END_TEST

/* s390: a table of which only the middle is there. */
START_TEST(test_s390_length)
{
	struct machine_walk w;
	struct hand h;
	uint64_t item;

	hand_init(&h, machine_find("s390-42"));
	hand_map(&h, 0, UINT64_C(600) << 20, 0x1000);
	item = hand_item(&h, 2, 0);
	machine_store(&h.m, item, (machine_load(&h.m, item) & ~3ull) | 0x40 | 1);
	machine_walk(&h.m, UINT64_C(600) << 20, &w);
	ck_assert_int_eq(w.fault, MACHINE_OK);
	machine_store(&h.m, item, (machine_load(&h.m, item) & ~0xc3ull) | 0x80 | 2);
	machine_walk(&h.m, UINT64_C(600) << 20, &w);
	ck_assert_int_eq(w.fault, MACHINE_ABSENT);
	machine_store(&h.m, item, machine_load(&h.m, item) & ~0xc3ull);
	machine_walk(&h.m, UINT64_C(600) << 20, &w);
	ck_assert_int_eq(w.fault, MACHINE_ABSENT);
	ck_assert(!machine_scan(&h.m, NULL, NULL, NULL));
	hand_violation(&h, "an item is where the machine never looks");
	hand_fini(&h);
}
END_TEST

/* A page table where a segment table should be. */
START_TEST(test_small_table)
{
	struct machine_walk w;
	struct hand h;

	hand_init(&h, machine_find("s390-42"));
	machine_store(&h.m, hand_item(&h, 2, 0), hand_table(&h, 2, hand_new_table(&h, 0)));
	machine_walk(&h.m, UINT64_C(600) << 20, &w);
	ck_assert_int_eq(w.fault, MACHINE_WRONG);
	ck_assert_str_eq(w.why, "a table is too small");
	ck_assert(!machine_scan(&h.m, NULL, NULL, NULL));
	hand_violation(&h, "a table is too small");
	hand_fini(&h);
}
END_TEST

/* Whoever sets the marks. */
START_TEST(test_marks)
{
	static const struct {
		const char *variant;
		uint64_t clean; /* neither accessed nor dirty, else with all rights */
		uint64_t read, written;
		enum machine_fault on_read, on_write;
	} marks[] = {
		{"mock-48", 0x10f04, 0x10f04, 0x10f04, MACHINE_NOT_ACCESSED, MACHINE_NOT_ACCESSED},
		{"mock-48", 0xf04, 0xf04, 0xf04, MACHINE_OK, MACHINE_NOT_DIRTY},
		{"mock-48-marks-flush", 0x10f04, 0xf04, 0x20f04, MACHINE_OK, MACHINE_OK},
		{"arm64-48", 0x3ff, 0x3ff, 0x3ff, MACHINE_NOT_ACCESSED, MACHINE_NOT_ACCESSED},
		{"arm64-36-ha-xnx", 0x3ff, 0x7ff, 0x7ff, MACHINE_OK, MACHINE_OK},
		{"arm64-48", 0x800000000077f, 0x800000000077f, 0x800000000077f, MACHINE_OK,
		 MACHINE_DENIED},
		{"arm64-40-cont-fwb-ha-hd", 0x800000000035b, 0x800000000075b, 0x80000000007db,
		 MACHINE_OK, MACHINE_OK},
		{"riscv-sv39x4-plain", 0x1f, 0x1f, 0x1f, MACHINE_NOT_ACCESSED,
		 MACHINE_NOT_ACCESSED},
		{"riscv-sv39x4-plain", 0x5f, 0x5f, 0x5f, MACHINE_OK, MACHINE_NOT_DIRTY},
		{"riscv-sv39x4-svadu", 0x1f, 0x5f, 0xdf, MACHINE_OK, MACHINE_OK},
		{"ept-4", 0x37, 0x37, 0x37, MACHINE_OK, MACHINE_OK},
		{"ept-4-1g-ad", 0x37, 0x137, 0x337, MACHINE_OK, MACHINE_OK},
		{"npt-4", 0x07, 0x27, 0x67, MACHINE_OK, MACHINE_OK},
	};
	struct hand h;
	uint64_t item;

	hand_init(&h, machine_find(marks[_i].variant));
	item = hand_item(&h, 0, 0);
	machine_store(&h.m, item, marks[_i].clean);
	machine_touch(&h.m, 0);
	ck_assert_uint_eq(machine_load(&h.m, item), marks[_i].clean);
	ck_assert_int_eq(hand_access(&h, 0, MACHINE_READ), marks[_i].on_read);
	ck_assert_uint_eq(machine_load(&h.m, item), marks[_i].read);
	ck_assert_int_eq(hand_access(&h, 0, MACHINE_WRITE), marks[_i].on_write);
	ck_assert_uint_eq(machine_load(&h.m, item), marks[_i].written);
	ck_assert(machine_audit(&h.m));
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

/* Pointers to tables are marked too, on x86. */
START_TEST(test_table_marks)
{
	static const char *const name[] = {"ept-4-1g-ad", "npt-4"};
	const uint64_t mark = _i == 0 ? 0x100 : 0x20;
	struct hand h;
	uint64_t item;

	hand_init(&h, machine_find(name[_i]));
	hand_map(&h, 0, 0, 0);
	item = hand_item(&h, 2, 0);
	machine_store(&h.m, item, machine_load(&h.m, item) & ~mark);
	ck_assert_int_eq(hand_access(&h, 0, MACHINE_READ), MACHINE_OK);
	ck_assert_uint_ne(machine_load(&h.m, item) & mark, 0);
	hand_fini(&h);
}
END_TEST

/* In a group: hardware may leave it at one mark (arm64), or sets that of the item used. */
START_TEST(test_group_marks)
{
	static const struct {
		const char *variant;
		uint64_t cleared, mark;
		bool one_will_do;
	} groups[] = {
		{"arm64-40-cont-fwb-ha-hd", 0x480, 0x400, true},
		{"riscv-sv39x4-svnapot-svadu", 0xc0, 0x40, false},
	};
	struct machine_walk w;
	struct hand h;

	hand_init(&h, machine_find(groups[_i].variant));
	group_of(&h, 0, 16, 0, 0x10000);
	for (uint64_t i = 0; i < 16; i++) {
		uint64_t item = hand_item(&h, 0, i << 12);
		uint64_t v = machine_load(&h.m, item) & ~groups[_i].cleared;

		machine_store(&h.m, item, _i == 0 ? v | 1ull << 51 : v);
	}
	machine_walk(&h.m, 0, &w);
	ck_assert(w.fault == MACHINE_OK && !w.leaf.accessed && !w.leaf.dirty);
	ck_assert_int_eq(hand_access(&h, 0x3000, MACHINE_WRITE), MACHINE_OK);
	machine_walk(&h.m, 0, &w);
	ck_assert(w.fault == MACHINE_OK && w.leaf.accessed && w.leaf.dirty);
	ck_assert_int_eq(hand_access(&h, 0x5000, MACHINE_READ), MACHINE_OK);
	ck_assert(((machine_load(&h.m, hand_item(&h, 0, 0x5000)) & groups[_i].mark) != 0) !=
		  groups[_i].one_will_do);
	ck_assert(machine_audit(&h.m));
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

void add_paths(TCase *tcase)
{
	tcase_add_loop_test(tcase, test_groups, 0, 7);
	tcase_add_test(tcase, test_group_size);
	tcase_add_loop_test(tcase, test_path_rights, 0, 8);
	tcase_add_test(tcase, test_s390_length);
	tcase_add_test(tcase, test_small_table);
	tcase_add_loop_test(tcase, test_marks, 0, 13);
	tcase_add_loop_test(tcase, test_table_marks, 0, 2);
	tcase_add_loop_test(tcase, test_group_marks, 0, 2);
}
