/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside tests/machine: what a format's walker supplies, and what the parts share. */
#ifndef TESTS_MACHINE_WALK_H
#define TESTS_MACHINE_WALK_H

#include "machine.h"

enum item_kind {
	ITEM_NONE = 0,
	ITEM_TABLE = 1,
	ITEM_LEAF = 2,
	ITEM_WRONG = 3,
};

/* What an item says. */
struct item {
	enum item_kind kind;
	const char *why;      /* WRONG */
	uint64_t hpa;	      /* of the table; of the first byte of the leaf, or of its group */
	uint16_t first, last; /* TABLE: items of it that are there; of those of its full size */
	uint8_t prot;	      /* TABLE: rights that it lets pass */
	uint8_t mem;
	bool group;
	bool accessed, dirty; /* of this item; TABLE: accessed only */
	bool faded;
};

#define MARK_ACCESSED 1u
#define MARK_DIRTY 2u

struct machine_ops {
	const char *name;
	bool big_endian;
	bool purges;   /* live items are changed by invalidate and replace only */
	bool one_size; /* the TLB must not hold leaves of other sizes than the tables do */
	/* A mark in one item of a group may keep the machine from setting those of the others. */
	bool any_mark_will_do;
	uint64_t rubbish; /* looks like a leaf, in the processor's byte order */
	uint8_t levels;
	uint8_t lg2[S2_LEVEL_MAX];
	uint8_t items_lg2[S2_LEVEL_MAX]; /* of tables but the root */
	uint8_t group_lg2[S2_LEVEL_MAX];

	/* The level of the root and the number of its items, for m's features and gpa_bits. */
	bool (*start)(const struct machine *m, uint8_t *top, uint64_t *root_items);

	/* index is the item's place in its table. Leaves are checked further by the caller. */
	void (*decode)(const struct machine *m, unsigned level, uint64_t index, uint64_t value,
		       struct item *out);

	/* A value that must be the same for all items of a group; n is the place in the group. */
	uint64_t (*group_same)(const struct machine *m, unsigned level, unsigned n, uint64_t value);

	/* Which marks the machine sets by itself; where it does, the value with them set. */
	unsigned (*marks)(const struct machine *m);
	uint64_t (*set_marks)(const struct machine *m, unsigned level, uint64_t value,
			      unsigned marks);

	/* May the TLB keep that an item is not valid? */
	bool (*caches_none)(const struct machine *m);

	/*
	 * Two valid items that differ: must there have been a break and a flush between? NULL: no.
	 */
	const char *(*must_break)(const struct machine *m, unsigned level, uint64_t old,
				  uint64_t new_value);

	/* The bits of an item that the MMU looks at. For machines that purge. */
	uint64_t (*seen)(const struct machine *m, unsigned level, uint64_t value);

	/* For machines that purge: the item, made invalid. */
	uint64_t (*invalid)(unsigned level, uint64_t value);
};

extern const struct machine_ops ops_mock, ops_arm64, ops_riscv, ops_ept, ops_npt, ops_s390;

/* A table to walk, and what is known of the way to it. */
struct cursor {
	uint64_t table; /* hpa */
	uint16_t first, last;
	uint8_t level;
	uint8_t prot;
};

/* walk.c */
void walk_root(const struct machine *m, struct cursor *c);
enum machine_fault walk_from(struct machine *m, struct cursor c, uint64_t gpa,
			     struct machine_walk *w);
uint64_t gpa_last(const struct machine *m);
uint64_t item_span(const struct machine *m, unsigned level);
uint64_t *item_pointer(const struct machine *m, uint64_t item_hpa);
uint64_t item_to_cpu(const struct machine *m, uint64_t raw);
/* Are the items of the group around this one alike, but for what may differ? */
bool group_agrees(const struct machine *m, unsigned level, uint64_t table, uint64_t index);
void check_visible(struct machine *m, const struct machine_leaf *leaf);

/* The cursor for the table that step k of a walk has led to. */
void walk_next(const struct machine *m, const struct machine_step *step, struct cursor *c);

/* tlb.c */
struct tlb *tlb_new(void);
void tlb_free(struct tlb *t);
void tlb_clear(struct machine *m);
void tlb_refill(struct machine *m);

/* audit.c */
void tlb_flush(struct machine *m, const struct s2_flush *f);
/* Both for what items of this level and range made; tables: also what is below. */
void tlb_check_changes(struct machine *m, unsigned level, struct s2_range range);
void tlb_purge(struct machine *m, unsigned level, struct s2_range range);

/* pool.c */
void pool_init(struct pool *p, struct machine *m);
void pool_fini(struct pool *p);

/* machine.c: why does not depend on the run; the rest goes to the detail. */
void violation(struct machine *m, const char *why, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
const struct machine_ops *ops_of(enum machine_kind kind);

/* set.c */
void set_add(struct machine_set *set, uint64_t start, uint64_t last);
void set_remove(struct machine_set *set, uint64_t start, uint64_t last);
bool set_covers(const struct machine_set *set, uint64_t start, uint64_t last);
void set_free(struct machine_set *set);

static inline uint64_t bits(uint64_t v, unsigned high, unsigned low)
{
	return v >> low & (UINT64_MAX >> (63 - (high - low)));
}

static inline uint64_t mask(unsigned high, unsigned low)
{
	return UINT64_MAX >> (63 - (high - low)) << low;
}

/* The first reason counts. */
static inline void item_wrong(struct item *out, const char *why)
{
	if (out->kind != ITEM_WRONG) {
		out->kind = ITEM_WRONG;
		out->why = why;
	}
}

static inline bool has(const struct machine *m, uint64_t feature)
{
	return (m->features & feature) != 0;
}

#endif
