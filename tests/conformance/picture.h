/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two ways to hold on to what is there. A picture is everything to the last byte, to show that a call
 * has changed nothing. A view is what a guest sees, which a test edits to what it must become.
 */
#ifndef TESTS_CONFORMANCE_PICTURE_H
#define TESTS_CONFORMANCE_PICTURE_H

#include "bench.h"

/* Text, a line for each of s2_dump(). To be freed. */
char *dump_text(void);

struct picture {
	uint64_t tables; /* a hash of all live memory of the pool, spare tables and all */
	struct s2_gather gather;
	struct s2_events events;
	struct machine_stats stats; /* of the back end: no call */
	size_t live;
};

void picture_take(struct picture *p);

/* Fails the test if anything is not as it was. */
void picture_check(const struct picture *p);

/* The call fails with this error, and has changed nothing. */
#define must_refuse(call, err)           \
	do {                             \
		struct picture before_;  \
		picture_take(&before_);  \
		must_err(call, err);     \
		picture_check(&before_); \
	} while (0)

/* Bytes that are contiguous in both spaces, with equal rights and kind, whatever the leaves. */
struct piece {
	uint64_t gpa, last, hpa;
	unsigned prot, mem;
};

struct view {
	struct piece *piece;
	size_t count, room;
};

/* What the walker has seen in the last settle(). All leaves must be accessed and dirty. */
void view_take(struct view *v);
void view_free(struct view *v);

/* Edits: as if the range were unmapped; had these rights, where it is mapped; were mapped to hpa. */
void view_clear(struct view *v, uint64_t gpa, uint64_t len);
void view_protect(struct view *v, uint64_t gpa, uint64_t len, unsigned prot);
void view_map(struct view *v, uint64_t gpa, uint64_t hpa, uint64_t len, unsigned prot,
	      enum s2_mem mem);

/* Settles, and fails the test if the walker does not see this. */
void view_check(const struct view *v);

/* For settle(): what is seen from now on, leaf by leaf. */
void view_begin(void);
void view_see(const struct machine_leaf *leaf);

#endif
