/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that writes without a TLB: a walk for each write, which sets the marks as the machine would, by
 * compare-and-swap. Three formats of 512 items a table, just as far as that needs it.
 */
#ifndef TESTS_STRESS_GUEST_H
#define TESTS_STRESS_GUEST_H

#include "env.h"

void stress_pause(unsigned n); /* preempt.h */

struct guest_item {
	bool table;
	bool writable;
	uint64_t hpa;
	uint64_t marks; /* bits that a write sets */
};

/* False: nothing is there that the machine could use. */
static inline bool guest_decode(enum guest_kind kind, uint64_t v, unsigned level,
				struct guest_item *out)
{
	const uint64_t hpa_48 = UINT64_C(0x0000fffffffff000);

	out->hpa = kind == GUEST_RISCV ? (v >> 10 & UINT64_C(0xfffffffffff)) << 12 : v & hpa_48;
	switch (kind) {
	case GUEST_ARM64:
		out->table = level > 0 && (v & 2) != 0;
		out->writable = (v & (UINT64_C(1) << 51)) != 0;
		out->marks = 1u << 10 | 1u << 7;
		return (v & 1) != 0;
	case GUEST_EPT:
		out->table = level > 0 && (v & 0x80) == 0;
		out->writable = (v & 2) != 0;
		out->marks = 0x300;
		return (v & 7) != 0;
	case GUEST_RISCV:
		out->table = (v & 0xe) == 0;
		out->writable = (v & 4) != 0;
		out->marks = 0xc0;
		return (v & 1) != 0;
	case GUEST_NONE:
		break;
	}
	return false;
}

/* Returns whether the write was let through. */
static inline bool guest_write(const struct s2_space *s, enum guest_kind kind, uint64_t gpa)
{
	uint64_t *table = s->root;

	for (unsigned level = s->top;; level--) {
		uint64_t index = gpa >> s->fmt->lg2(level);
		uint64_t *item = &table[level == s->top ? index : index & 511];
		uint64_t v = __atomic_load_n(item, __ATOMIC_ACQUIRE);
		struct guest_item is = {.table = false};

		if (!guest_decode(kind, v, level, &is) || (!is.table && !is.writable)) {
			return false;
		}
		if (!is.table) {
			return __atomic_compare_exchange_n(item, &v, v | is.marks, false,
							   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
		}
		table = (uint64_t *)(uintptr_t)is.hpa;
		stress_pause(32);
	}
}

#endif
