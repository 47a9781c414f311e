/* SPDX-License-Identifier: BSD-2-Clause */
/* The TLB: what is stale, what was not broken, and what is neither. */
#include "test_tables.h"

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

static Suite *tlb_suite(void)
{
	Suite *suite = suite_create("machine_tlb");
	TCase *tc = tcase_create("tlb");
	int variants = (int)machine_count;

	tcase_add_loop_test(tc, test_good, 0, variants);
	tcase_add_loop_test(tc, test_stale_unmap, 0, variants);
	tcase_add_loop_test(tc, test_live_to_live, 0, variants);
	tcase_add_loop_test(tc, test_break_without_flush, 0, variants);
	tcase_add_loop_test(tc, test_rights, 0, variants);
	tcase_add_loop_test(tc, test_free_before_flush, 0, variants);
	tcase_add_loop_test(tc, test_free_after_flush, 0, variants);
	tcase_add_loop_test(tc, test_split, 0, variants);
	tcase_add_loop_test(tc, test_cached_none, 0, variants);
	tcase_add_loop_test(tc, test_cached_no_table, 0, 4);
	tcase_add_loop_test(tc, test_stale_marks, 0, 4);
	tcase_add_test(tc, test_stride_and_level);
	tcase_add_test(tc, test_unlinked_item);
	tcase_add_test(tc, test_narrower_path);
	tcase_add_test(tc, test_reused_table);
	tcase_add_loop_test(tc, test_other_table, 0, 2);
	tcase_add_loop_test(tc, test_table_to_table, 0, 2);
	tcase_add_test(tc, test_changed_before_mark);
	tcase_add_test(tc, test_stale_kind);
	tcase_add_test(tc, test_lives);
	tcase_add_test(tc, test_group_flush);
	tcase_add_loop_test(tc, test_bbm, 0, 4);
	tcase_add_loop_test(tc, test_must_break, 0, 11);
	suite_add_tcase(suite, tc);
	return suite;
}

int main(void)
{
	return check_main(tlb_suite());
}
