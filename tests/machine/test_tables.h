/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables built by hand, so that the machine can be tested without the library. Items are written as
 * numbers here, and not with the names that the walkers use.
 */
#ifndef TESTS_MACHINE_TEST_TABLES_H
#define TESTS_MACHINE_TEST_TABLES_H

#include <check.h>
#include <string.h>

#include "machine.h"

struct hand {
	struct machine m;
	struct s2_config config;
	uint64_t root; /* hpa */
};

struct hand_format {
	uint8_t lg2[5];
	uint16_t items[5];
	uint32_t bytes[5];
	uint64_t none[5];
};

static const struct hand_format hand_formats[] = {
	[MACHINE_MOCK] = {{12, 19, 29, 35},
			  {128, 1024, 64},
			  {4096, 8192, 8192},
			  {0, 0x401, 0x10, 0}},
	[MACHINE_ARM64] = {{12, 21, 30, 39},
			   {512, 512, 512, 512},
			   {4096, 4096, 4096, 4096},
			   {0, 0, 0, 0}},
	[MACHINE_RISCV] = {{12, 21, 30, 39, 48},
			   {512, 512, 512, 512, 512},
			   {4096, 4096, 4096, 4096, 4096},
			   {0, 0, 0, 0, 0}},
	[MACHINE_EPT] = {{12, 21, 30, 39, 48},
			 {512, 512, 512, 512, 512},
			 {4096, 4096, 4096, 4096, 4096},
			 {0, 0, 0, 0, 0}},
	[MACHINE_NPT] = {{12, 21, 30, 39, 48},
			 {512, 512, 512, 512, 512},
			 {4096, 4096, 4096, 4096, 4096},
			 {0, 0, 0, 0, 0}},
	[MACHINE_S390] = {{12, 20, 31, 42, 53},
			  {256, 2048, 2048, 2048, 2048},
			  {4096, 16384, 16384, 16384, 16384},
			  {0x400, 0x20, 0x24, 0x28, 0x2c}},
};

static inline const struct hand_format *hand_format(const struct hand *h)
{
	return &hand_formats[h->m.variant->kind];
}

/* A leaf with all rights, normal memory, accessed and dirty. */
static inline uint64_t hand_leaf(const struct hand *h, unsigned level, uint64_t hpa)
{
	static const uint64_t mock[] = {0x20f04, 0x8000000000000001, 0x5e3};

	switch (h->m.variant->kind) {
	case MACHINE_MOCK:
		if (level == 1) {
			return mock[1] | (0x1fffffff - (hpa >> 19)) << 14;
		}
		return mock[level] | (level == 0 ? hpa >> 12 << 26 : hpa >> 29 << 45);
	case MACHINE_ARM64:
		hpa = (hpa & 0x3ffffffffffff) | (hpa >> 50 << 8);
		hpa |= (h->m.features & 1) != 0 ? 0 : 0x300;   /* LPA2 has no SH */
		hpa |= (h->m.features & 2) != 0 ? 0x18 : 0x3c; /* FWB */
		return hpa | 0x4c1 | (level == 0 ? 2 : 0);
	case MACHINE_RISCV:
		return hpa >> 2 | 0xdf;
	case MACHINE_EPT:
		return hpa | 0x737 | (level == 0 ? 0 : 0x80);
	case MACHINE_NPT:
		return hpa | 0x67 | (level == 0 ? 0 : 0x80);
	case MACHINE_S390:
		return hpa | (level == 0 ? 0 : 0x400 | (level - 1) << 2);
	case MACHINE_KIND_COUNT:
		break;
	}
	return 0;
}

/* A leaf with all rights but to write. */
static inline uint64_t hand_readonly(const struct hand *h, unsigned level, uint64_t hpa)
{
	static const uint64_t mock[] = {0x200, UINT64_C(2) << 56, 0x40};
	uint64_t leaf = hand_leaf(h, level, hpa);

	switch (h->m.variant->kind) {
	case MACHINE_MOCK:
		return leaf ^ mock[level];
	case MACHINE_ARM64:
		return leaf & ~UINT64_C(0x80);
	case MACHINE_RISCV:
		return leaf & ~UINT64_C(4);
	case MACHINE_EPT:
	case MACHINE_NPT:
		return leaf & ~UINT64_C(2);
	case MACHINE_S390:
		return leaf | 0x200;
	case MACHINE_KIND_COUNT:
		break;
	}
	return 0;
}

/* A pointer to a table of the level below. */
static inline uint64_t hand_table(const struct hand *h, unsigned level, uint64_t hpa)
{
	switch (h->m.variant->kind) {
	case MACHINE_MOCK:
		if (level == 1) {
			return 0x8000000000000080 | hpa << 4;
		}
		return level == 2 ? hpa << 16 | 1 : 0x4000000000000000 | hpa >> 1;
	case MACHINE_ARM64:
		return (hpa & 0x3ffffffffffff) | hpa >> 50 << 8 | 3;
	case MACHINE_RISCV:
		return hpa >> 2 | 1;
	case MACHINE_EPT:
		return hpa | 0x507;
	case MACHINE_NPT:
		return hpa | 0x27;
	case MACHINE_S390:
		return hpa | (level == 1 ? 0 : (level - 1) << 2 | 3);
	case MACHINE_KIND_COUNT:
		break;
	}
	return 0;
}

/* An empty table; its hpa. */
static inline uint64_t hand_alloc(struct hand *h, unsigned level, size_t items, size_t bytes)
{
	uint64_t *table = h->config.tables.alloc(h->config.tables.cookie, bytes);
	uint64_t hpa = (uint64_t)(uintptr_t)table + h->config.tables.hpa_offset;

	ck_assert_ptr_nonnull(table);
	memset(table, 0, bytes);
	for (size_t i = 0; i < items; i++) {
		machine_store(&h->m, hpa + i * 8, hand_format(h)->none[level]);
	}
	return hpa;
}

static inline uint64_t hand_new_table(struct hand *h, unsigned level)
{
	return hand_alloc(h, level, hand_format(h)->items[level], hand_format(h)->bytes[level]);
}

static inline void hand_free(struct hand *h, unsigned level, uint64_t hpa)
{
	void *table = (void *)(uintptr_t)(hpa - h->config.tables.hpa_offset);

	h->config.tables.free(h->config.tables.cookie, table, hand_format(h)->bytes[level]);
}

static inline void hand_init(struct hand *h, const struct machine_variant *v)
{
	size_t bytes = v->root_items * 8 < 4096 ? 4096 : v->root_items * 8;

	machine_init(&h->m, v, NULL, &h->config);
	h->root = hand_alloc(h, v->top, v->root_items, bytes);
	machine_set_root(&h->m, s2_hpa(h->root));
	ck_assert_msg(machine_ok(&h->m), "%s", machine_error_detail(&h->m));
}

static inline void hand_fini(struct hand *h)
{
	machine_fini(&h->m);
}

/* The hpa of the item of this level for an address; tables on the way there are made. */
static inline uint64_t hand_item(struct hand *h, unsigned level, uint64_t gpa)
{
	const struct hand_format *f = hand_format(h);
	uint64_t item = h->root + (gpa >> f->lg2[h->m.top]) * 8;
	unsigned at = h->m.top;

	while (at > level) {
		struct machine_walk w;
		uint64_t table = 0;

		machine_walk(&h->m, gpa, &w);
		for (unsigned i = 0; i < w.steps; i++) {
			table = w.step[i].level == at - 1 ? w.step[i].table : table;
		}
		if (table == 0) {
			table = hand_new_table(h, at - 1);
			machine_store(&h->m, item, hand_table(h, at, table));
		}
		at--;
		item = table + (gpa >> f->lg2[at]) % f->items[at] * 8;
	}
	return item;
}

static inline void hand_map(struct hand *h, unsigned level, uint64_t gpa, uint64_t hpa)
{
	machine_store(&h->m, hand_item(h, level, gpa), hand_leaf(h, level, hpa));
}

static inline void hand_unmap(struct hand *h, unsigned level, uint64_t gpa)
{
	machine_store(&h->m, hand_item(h, level, gpa), hand_format(h)->none[level]);
}

static inline void hand_flush(struct hand *h, enum s2_flush_kind kind, uint64_t gpa, uint64_t len)
{
	struct s2_flush f = {kind, s2_range(s2_gpa(gpa), len), 12, S2_LEVEL_ANY};

	h->config.mmu->flush(h->config.mmu_cookie, &f, 1);
}

/* What the back end is told of a place. */
static inline struct s2_place hand_place(struct hand *h, unsigned level, uint64_t gpa)
{
	const struct hand_format *f = hand_format(h);
	uint64_t item = hand_item(h, level, gpa);
	struct s2_place p = {.gpa = s2_gpa(gpa), .level = (uint8_t)level, .lg2 = f->lg2[level]};
	uint64_t number = gpa >> f->lg2[level];

	p.index = (uint32_t)(level == h->m.top ? number : number % f->items[level]);
	p.table = s2_hpa(item - p.index * UINT64_C(8));
	p.item = (uint64_t *)(uintptr_t)(item - h->config.tables.hpa_offset);
	return p;
}

static inline void hand_ok(struct hand *h)
{
	ck_assert_msg(machine_ok(&h->m), "%s", machine_error_detail(&h->m));
}

/* The first violation was this one; forgets it. */
static inline void hand_violation(struct hand *h, const char *why)
{
	ck_assert_msg(strcmp(machine_error(&h->m), why) == 0, "expected: %s; got %s", why,
		      machine_error_detail(&h->m));
	machine_clear_error(&h->m);
}

static inline enum machine_fault hand_access(struct hand *h, uint64_t gpa,
					     enum machine_access access)
{
	struct machine_result r;

	machine_access(&h->m, gpa, access, &r);
	return r.fault;
}

#endif
