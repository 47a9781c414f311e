/* SPDX-License-Identifier: BSD-2-Clause */
/* Slices of an arena, each a thread's own: what the owner knows of its pages, and how it is checked. */
#ifndef TESTS_STRESS_SLICE_H
#define TESTS_STRESS_SLICE_H

#include "guest.h"

#define SLICES_MAX 400u
#define COLORS 4u

/* Host memory of a color; the last is shifted by a page, so that no large leaf fits. */
static inline uint64_t color_hpa(unsigned color, uint64_t gpa)
{
	return ((uint64_t)(color + 1) << 36) + gpa + (color == COLORS - 1 ? S2_PAGE_SIZE : 0);
}

static inline struct s2_run color_run(unsigned color, struct s2_range range)
{
	struct s2_run run = {
		range.start,
		s2_hpa(color_hpa(color, range.start.val)),
		range.len,
		S2_FOLIO_ORDER_MAX,
	};

	return run;
}

static const uint8_t prots[] = {S2_RWX, S2_RX, S2_RWX, S2_RW | S2_EXEC | S2_EXEC_USER};

struct slice {
	unsigned first;
	unsigned count;
	unsigned owner;
};

/* What the owner knows of its page. */
struct own_page {
	uint8_t prot; /* 0: not mapped */
	uint8_t color;
	bool dirty; /* must be told */
};

struct disjoint {
	struct arena a;
	struct own_page page[PAGES_MAX];
	struct slice slice[SLICES_MAX];
	unsigned slices;
	bool tables; /* slices are whole leaf tables */
	/*
	 * The guest has written, and the mark was set before this. The lock makes both one step, for
	 * owners who look at the flag, not for the library.
	 */
	bool written[PAGES_MAX];
	bool write_lock;
	unsigned hot; /* where some thread is at work */
	bool stop;
	uint64_t round_seed;
	unsigned ops;
};

struct worker {
	struct disjoint *d;
	unsigned number;
	struct s2_gather g;
	unsigned told_first, told_count; /* of the collect that is under way */
	bool told[PAGES_MAX];
};

static inline void write_lock(struct disjoint *d)
{
	while (__atomic_exchange_n(&d->write_lock, true, __ATOMIC_ACQUIRE)) {
		sched_yield();
	}
}

static inline void write_unlock(struct disjoint *d)
{
	__atomic_store_n(&d->write_lock, false, __ATOMIC_RELEASE);
}

static inline const char *arena_name(const struct arena *a)
{
	return a->backend.variant->name;
}

static inline bool was_written(struct disjoint *d, unsigned page)
{
	bool written;

	write_lock(d);
	written = d->written[page];
	write_unlock(d);
	return written;
}

/* One page of the thread's own. */
static inline void check_own(struct disjoint *d, unsigned page, const char *doing)
{
	const struct own_page *own = &d->page[page];
	uint64_t gpa = page_gpa(&d->a, page);
	bool dirty = own->dirty;
	struct s2_leaf leaf;
	uint64_t hpa;

	if (d->a.backend.variant->guest != GUEST_NONE) {
		dirty = dirty || was_written(d, page);
	}
	if (s2_query(&d->a.s, s2_gpa(gpa), &leaf) != S2_OK) {
		blame("query");
		return;
	}
	hpa = leaf.hpa.val + (gpa - leaf.range.start.val);
	if (leaf.mapped != (own->prot != 0) ||
	    (leaf.mapped && (hpa != color_hpa(own->color, gpa) || leaf.prot != own->prot))) {
		blame("%s, %s: page %u at %#" PRIx64 " is mapped %d to %#" PRIx64
		      " prot %u, not %u %u",
		      arena_name(&d->a), doing, page, gpa, leaf.mapped, hpa, leaf.prot, own->color,
		      own->prot);
	} else if (dirty && !leaf.dirty) {
		blame("%s, %s: page %u at %#" PRIx64 " is not dirty any more", arena_name(&d->a),
		      doing, page, gpa);
	}
}

static inline void check_pages(struct disjoint *d, unsigned first, unsigned count,
			       const char *doing)
{
	for (unsigned i = first; i < first + count && !has_failed(); i++) {
		check_own(d, i, doing);
	}
}

/* What was changed, or the ends of it and some pages between, and what is next to it. */
static inline void check_around(struct disjoint *d, const struct slice *slice, unsigned first,
				unsigned count)
{
	unsigned from = first - slice->first < 4 ? slice->first : first - 4;
	unsigned end = first + count + 4;

	end = end < slice->first + slice->count ? end : slice->first + slice->count;
	for (unsigned page = from; page < end && !has_failed(); page++) {
		if (page - from > 24 && end - page > 24) {
			page += below(16);
		}
		if (page < end) {
			check_own(d, page, "afterwards");
		}
	}
}

static inline void expect(const struct disjoint *d, const char *doing, enum s2_err err,
			  enum s2_err want)
{
	if (err != want) {
		blame("%s, %s: %s", arena_name(&d->a), doing, s2_strerror(err));
	}
}

#endif
