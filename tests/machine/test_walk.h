/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the walkers' suite, and what they share. */
#ifndef TESTS_MACHINE_TEST_WALK_H
#define TESTS_MACHINE_TEST_WALK_H

#include "test_tables.h"

#define RWU (S2_RW | S2_EXEC_USER)
#define RWK (S2_RW | S2_EXEC)

static inline uint64_t last_page(const struct hand *h)
{
	return (UINT64_MAX >> (64 - h->m.gpa_bits)) & ~UINT64_C(0xfff);
}

static inline void group_of(struct hand *h, unsigned level, unsigned count, uint64_t gpa,
			    uint64_t hpa)
{
	uint64_t size = UINT64_C(1) << hand_format(h)->lg2[level];

	for (unsigned i = 0; i < count; i++) {
		uint64_t v = hand_leaf(h, level, hpa);

		if (h->m.variant->kind == MACHINE_MOCK) {
			v |= level == 0 ? 0x8000 : 4 | i << 11;
		} else if (h->m.variant->kind == MACHINE_ARM64) {
			v = hand_leaf(h, level, hpa + i * size) | UINT64_C(1) << 52;
		} else {
			v |= UINT64_C(1) << 63 | 8 << 10;
		}
		machine_store(&h->m, hand_item(h, level, gpa + i * size), v);
	}
}

void add_items(TCase *tcase); /* test_walk_items.c */
void add_paths(TCase *tcase); /* test_walk_paths.c */

#endif
