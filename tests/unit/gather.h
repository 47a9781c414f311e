/* SPDX-License-Identifier: BSD-2-Clause */
/* The space and the gather that the tests of test_gather*.c share, and shorthands for them. */
#ifndef TESTS_UNIT_GATHER_H
#define TESTS_UNIT_GATHER_H

#include <check.h>
#include <string.h>

#include <stage2/map.h>
#include <stage2/mock.h>

extern struct s2_space space;
extern struct s2_gather g;

static inline struct s2_flush flush_of(enum s2_flush_kind kind, uint64_t page, uint64_t count,
				       unsigned stride_lg2, unsigned level)
{
	struct s2_flush flush = {
		.kind = kind,
		.range = s2_range(s2_gpa(page << S2_PAGE_LG2), count << S2_PAGE_LG2),
		.stride_lg2 = (uint8_t)stride_lg2,
		.level = (uint8_t)level,
	};

	return flush;
}

static inline void add(enum s2_flush_kind kind, uint64_t page, uint64_t count, unsigned stride_lg2,
		       unsigned level)
{
	struct s2_flush flush = flush_of(kind, page, count, stride_lg2, level);

	s2_gather_add(&g, &flush);
}

void add_random(TCase *tcase); /* test_gather_random.c */

#endif
