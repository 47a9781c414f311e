/* SPDX-License-Identifier: BSD-2-Clause */
/* The walkers against tables written by hand: pages, sizes, scans; the variants. */
#include "test_walk.h"

#include "../check_main.h"

/* A page at each end and in the middle, and nothing beside it. */
START_TEST(test_pages)
{
	struct hand h;
	struct machine_walk w;
	uint64_t tables[S2_LEVEL_MAX];

	hand_init(&h, &machines[_i]);
	uint64_t gpa[] = {0, last_page(&h), 0x12345000 & last_page(&h)};
	uint64_t hpa[] = {0x7ff000, machine_hpa_high(&h.m).last & ~UINT64_C(0xfff), 0};

	for (size_t i = 0; i < 3; i++) {
		hand_map(&h, 0, gpa[i], hpa[i]);
		machine_walk(&h.m, gpa[i] + 0x123, &w);
		ck_assert_msg(w.fault == MACHINE_OK, "%s: %s", h.m.variant->name, w.why);
		ck_assert_uint_eq(w.hpa, hpa[i] + 0x123);
		ck_assert_uint_eq(w.leaf.lg2, 12);
		ck_assert_uint_eq(w.leaf.prot, S2_RWX);
		ck_assert_uint_eq(w.leaf.mem, S2_MEM_NORMAL);
		ck_assert(w.leaf.accessed && w.leaf.dirty && !w.leaf.group);
		ck_assert_uint_eq(w.steps, h.m.top + 1u);
	}
	machine_walk(&h.m, 0x1000, &w);
	ck_assert_int_eq(w.fault, MACHINE_ABSENT);
	ck_assert_uint_eq(w.step[w.steps - 1].level, 0);
	if (h.m.gpa_bits < 64) {
		machine_walk(&h.m, last_page(&h) + 0x1000, &w);
		ck_assert_int_eq(w.fault, MACHINE_OUTSIDE);
	}
	ck_assert(machine_scan(&h.m, NULL, NULL, tables));
	ck_assert_uint_eq(h.m.pool.live, 1 + tables[0] + tables[1] + tables[2] + tables[3]);
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

/* Every size of single leaves. */
START_TEST(test_sizes)
{
	struct hand h;
	struct machine_walk w;

	hand_init(&h, &machines[_i]);
	for (unsigned level = 1; level < S2_LEVEL_MAX - 1 && level <= h.m.top; level++) {
		uint64_t size = UINT64_C(1) << hand_format(&h)->lg2[level];
		uint64_t gpa = last_page(&h) & ~(size - 1);

		if ((h.m.variant->leaf_sizes & size) == 0) {
			continue;
		}
		hand_map(&h, level, gpa, 0);
		machine_walk(&h.m, last_page(&h), &w);
		ck_assert_msg(w.fault == MACHINE_OK, "%s: %s", h.m.variant->name, w.why);
		ck_assert_uint_eq(w.hpa, last_page(&h) - gpa);
		ck_assert_uint_eq(w.leaf.gpa, gpa);
		ck_assert_uint_eq(w.leaf.hpa, 0);
		ck_assert_uint_eq(UINT64_C(1) << w.leaf.lg2, size);
		ck_assert_uint_eq(w.leaf.prot, S2_RWX);
		ck_assert(machine_scan(&h.m, NULL, NULL, NULL));
		hand_fini(&h);
		hand_init(&h, &machines[_i]);
	}
	hand_ok(&h);
	hand_fini(&h);
}
END_TEST

struct seen {
	size_t count;
	uint64_t gpa, bytes;
};

static bool see(void *cookie, const struct machine_leaf *leaf)
{
	struct seen *s = cookie;

	ck_assert(s->count == 0 || leaf->gpa > s->gpa);
	s->gpa = leaf->gpa;
	s->count++;
	s->bytes += UINT64_C(1) << leaf->lg2;
	return s->count < 20;
}

/* What a scan shows, and what it finds. */
START_TEST(test_scan)
{
	uint64_t tables[S2_LEVEL_MAX], item, table;
	struct seen s = {0, 0, 0};
	struct hand h;

	hand_init(&h, machine_find("mock-48"));
	group_of(&h, 0, 4, 0x4000, 0x4000);
	hand_map(&h, 0, 0x9000, 0);
	hand_map(&h, 1, 0x80000, 0);
	ck_assert(machine_scan(&h.m, see, &s, tables));
	ck_assert_uint_eq(s.count, 3);
	ck_assert_uint_eq(s.bytes, 0x4000 + 0x1000 + 0x80000);
	ck_assert_uint_eq(tables[0], 1);
	ck_assert_uint_eq(tables[1], 1);
	ck_assert_uint_eq(tables[2], 1);
	s.count = 18;
	s.gpa = 0;
	ck_assert(!machine_scan(&h.m, see, &s, NULL));
	hand_ok(&h);

	item = hand_item(&h, 1, 0);
	machine_store(&h.m, item + 16, machine_load(&h.m, item));
	ck_assert(!machine_scan(&h.m, NULL, NULL, NULL));
	hand_violation(&h, "a table is linked twice");
	hand_unmap(&h, 1, 0x100000);
	table = hand_item(&h, 0, 0);
	machine_store(&h.m, table + 200 * 8, 4);
	ck_assert(!machine_scan(&h.m, NULL, NULL, NULL));
	hand_violation(&h, "a table has something behind its items");
	hand_fini(&h);
}
END_TEST

START_TEST(test_scan_outside)
{
	struct hand h;

	hand_init(&h, machine_find("npt-4-1g"));
	machine_store(&h.m, h.root + 2 * 8, 0x1027);
	ck_assert(!machine_scan(&h.m, NULL, NULL, NULL));
	hand_violation(&h, "an item is where the machine never looks");
	hand_fini(&h);
}
END_TEST

/* The variants themselves. */
START_TEST(test_variants)
{
	const struct machine_variant *v = &machines[_i];
	struct s2_config config;
	struct machine m;

	ck_assert_ptr_eq(machine_find(v->name), v);
	machine_init(&m, v, NULL, &config);
	ck_assert_uint_eq(m.top, v->top);
	ck_assert_uint_eq(m.root_items, v->root_items);
	ck_assert_uint_eq(v->group_sizes & ~v->leaf_sizes, 0);
	ck_assert(machine_can_say(v, S2_RWX, S2_MEM_NORMAL));
	ck_assert(!machine_can_say(v, S2_WRITE, S2_MEM_NORMAL));
	ck_assert_uint_eq(machine_hpa_low(&m).last + 1, m.pool.hpa);
	ck_assert_uint_eq(machine_hpa_high(&m).last, UINT64_MAX >> (64 - v->hpa_bits));
	machine_fini(&m);
}
END_TEST

static Suite *walk_suite(void)
{
	Suite *suite = suite_create("machine_walk");
	TCase *tcase = tcase_create("walk");
	int variants = (int)machine_count;

	tcase_add_loop_test(tcase, test_variants, 0, variants);
	tcase_add_loop_test(tcase, test_pages, 0, variants);
	tcase_add_loop_test(tcase, test_sizes, 0, variants);
	tcase_add_test(tcase, test_scan);
	tcase_add_test(tcase, test_scan_outside);
	add_items(tcase);
	add_paths(tcase);
	suite_add_tcase(suite, tcase);
	return suite;
}

int main(void)
{
	return check_main(walk_suite());
}
