/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deeds: everything of map.h that changes something, each with a scene to do it in. For tests of what
 * holds for all of them: failing allocations, budgets.
 */
#ifndef TESTS_CONFORMANCE_DEED_H
#define TESTS_CONFORMANCE_DEED_H

#include "bench.h"

struct deed {
	const char *name;
	void (*scene)(void); /* in an empty space */
	/* budget is NULL, or of a deed that takes one. */
	enum s2_err (*run)(struct s2_budget *budget);
	bool budget;   /* it takes one */
	bool in_steps; /* the leaves are the same in the end, in however many steps */
	bool large;    /* needs leaves that are larger than a page */
	/* Tables that are enough for it, by what the library says; NULL: it needs none. */
	struct s2_table_count (*bound)(void);
};

extern const struct deed deeds[];
extern const unsigned deed_count;

#endif
