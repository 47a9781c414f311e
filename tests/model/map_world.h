/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The world of a model run: a machine, a space on it, the oracle; and what random operations pick
 * from: windows, ranges, runs, rights.
 */
#ifndef TESTS_MODEL_MAP_WORLD_H
#define TESTS_MODEL_MAP_WORLD_H

#include <stdarg.h>

#include "../machine/machine.h"
#include "../machine/numbers.h"
#include "../test_env.h"
#include "map_oracle.h"

#include <stage2/arm64.h>
#include <stage2/mock.h>
#include <stage2/riscv.h>
#include <stage2/s390.h>
#include <stage2/x86.h>

#define LOCKS 8u

struct world {
	const struct machine_variant *variant;
	struct machine m;
	struct s2_config config;
	struct s2_mmu mmu; /* the machine's, perhaps without hooks */
	struct s2_space s;
	struct s2_gather g;
	struct oracle o;
	struct test_env env;
	struct s2_clean clean;
	uint32_t lock[LOCKS];
	const char *doing;
	uint64_t op;	    /* number, over all spaces */
	uint64_t debt;	    /* items that s2_check() may look at by now */
	uint64_t base;	    /* where in host memory runs are put that are to go together */
	unsigned favourite; /* rights that most pages have */
	unsigned prots[16]; /* that can be said, of normal memory */
	unsigned prot_count;
	uint64_t guests;     /* accesses, so far */
	bool hardware_marks; /* some are set by the machine itself */
	bool trace;
	bool each; /* compare everything after each operation, whatever it costs */
};

static inline const struct s2_fmt *world_fmt(enum machine_kind kind)
{
	static const struct s2_fmt *const fmt[MACHINE_KIND_COUNT] = {
		[MACHINE_MOCK] = &s2_fmt_mock,	 [MACHINE_ARM64] = &s2_fmt_arm64,
		[MACHINE_RISCV] = &s2_fmt_riscv, [MACHINE_EPT] = &s2_fmt_ept,
		[MACHINE_NPT] = &s2_fmt_npt,	 [MACHINE_S390] = &s2_fmt_s390,
	};

	return fmt[kind];
}

/* The end of the test. */
static inline void wrong(const struct world *w, const char *format, ...)
	__attribute__((format(printf, 2, 3), noreturn));

static inline void wrong(const struct world *w, const char *format, ...)
{
	char text[300];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	ck_abort_msg("%s, operation %" PRIu64 " (%s): %s", w->variant->name, w->op, w->doing, text);
	abort();
}

static inline void world_trace(const struct world *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static inline void world_trace(const struct world *w, const char *format, ...)
{
	va_list args;

	if (!w->trace) {
		return;
	}
	printf("# %" PRIu64 " %s ", w->op, w->doing);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
}

static inline bool chance(unsigned n)
{
	return flat_below(n) == 0;
}

static inline uint64_t below_u64(uint64_t n)
{
	return (flat_random() << 24 ^ flat_random()) % n;
}

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* What is left of a 2^lg2 part that starts at, or before, n. */
static inline uint64_t room_in(uint64_t n, uint64_t size)
{
	return size - (n & (size - 1));
}

/* log2 of one of the sizes that leaves can have. */
static inline unsigned pick_leaf_lg2(const struct world *w)
{
	uint64_t sizes = s2_space_leaf_sizes(&w->s);
	unsigned n = flat_below((unsigned)__builtin_popcountll(sizes));

	while (n-- > 0) {
		sizes &= sizes - 1;
	}
	return (unsigned)__builtin_ctzll(sizes);
}

static inline const struct window *pick_window(const struct world *w)
{
	return &w->o.window[flat_below(w->o.windows)];
}

/* Pages of one window. */
static inline void pick_pages(const struct world *w, const struct window *win, uint64_t *start,
			      uint64_t *count)
{
	uint64_t align = 1;

	*start = below_u64(win->count);
	switch (flat_below(8)) {
	case 0:
	case 1:
	case 2:
		*count = 1 + flat_below(8);
		break;
	case 3:
		*count = 1 + flat_below(64);
		break;
	case 4:
		*count = 1 + flat_below(700);
		break;
	case 5:
	case 6:
		align = (UINT64_C(1) << pick_leaf_lg2(w)) / S2_PAGE_SIZE;
		*count = align * (1 + flat_below(3));
		break;
	default:
		*count = chance(4) ? win->count : 1 + below_u64(win->count);
		break;
	}
	if (((win->first + *start) & (align - 1)) != 0 && align < win->count) {
		*start = ((win->first + *start) & ~(align - 1)) - win->first;
		*start = *start < win->count ? *start : room_in(win->first, align);
	}
	*start = *start < win->count ? *start : 0;
	*count = min_u64(*count, win->count - *start);
}

static inline struct s2_range pick_range(const struct world *w)
{
	const struct window *from = pick_window(w);
	const struct window *to = pick_window(w);
	uint64_t start, count, last, len;

	pick_pages(w, from, &start, &count);
	if (from >= to || !chance(8)) {
		return s2_range(s2_gpa(window_gpa(from, start)), count * S2_PAGE_SIZE);
	}
	/* From one window to another; not 2^64 bytes, which cannot be said. */
	last = window_gpa(to, below_u64(to->count)) + (S2_PAGE_SIZE - 1);
	last -= last - window_gpa(from, start) == UINT64_MAX ? S2_PAGE_SIZE : 0;
	len = last - window_gpa(from, start) + 1;
	/* 2^64 bytes cannot be said. */
	return s2_range(s2_gpa(window_gpa(from, start)), len != 0 ? len : len - S2_PAGE_SIZE);
}

static inline uint64_t pick_gpa(const struct world *w)
{
	const struct window *win = pick_window(w);
	uint64_t gpa = window_gpa(win, below_u64(win->count)) + flat_below(S2_PAGE_SIZE);

	/* Somewhere else at times. */
	return chance(64) ? below_u64(w->s.last) : gpa;
}

static inline unsigned pick_prot(const struct world *w)
{
	return chance(3) ? w->prots[flat_below(w->prot_count)] : w->favourite;
}

static inline unsigned pick_mem(const struct world *w)
{
	unsigned mem = chance(8) ? flat_below(S2_MEM_COUNT) : S2_MEM_NORMAL;

	return machine_can_say(w->variant, S2_RWX, (enum s2_mem)mem) ? mem : S2_MEM_NORMAL;
}

/* A folio of this order, anywhere in host memory that holds no tables. */
static inline uint64_t pick_folio(const struct world *w, unsigned order)
{
	struct machine_stretch part = chance(4) ? machine_hpa_high(&w->m) : machine_hpa_low(&w->m);
	uint64_t size = S2_PAGE_SIZE << order;
	uint64_t first = (part.start + (size - 1)) & ~(size - 1);

	if (part.last < size - 1 || first > part.last - (size - 1)) {
		return pick_folio(w, order);
	}
	return first + below_u64((part.last - (size - 1) - first) / size + 1) * size;
}

/* A run for these pages, or for the first of them. */
static inline struct s2_run pick_run(const struct world *w, uint64_t gpa, uint64_t count)
{
	static const uint8_t orders[] = {0, 1, 2, 4, 5, 9, 9, 10, 13, 18, 18, 19, 22};
	struct s2_run run = {.gpa = s2_gpa(gpa)};
	const struct map_page *page = oracle_page(&w->o, gpa + below_u64(count) * S2_PAGE_SIZE);
	uint64_t size, folio;
	unsigned order = orders[flat_below(sizeof(orders))];

	if (chance(2)) {
		order = S2_FOLIO_ORDER_MAX - (chance(8) ? flat_below(14) : 0);
		size = S2_PAGE_SIZE << order;
		folio = w->base & ~(size - 1);
	} else {
		size = S2_PAGE_SIZE << order;
		folio = page->prot != 0 && chance(3) ? page->hpa & ~(size - 1)
						     : pick_folio(w, order);
	}
	run.folio_order = (uint8_t)order;
	run.hpa.val = folio + (gpa & (size - 1));
	if (chance(6)) {
		run.hpa.val = folio + below_u64(size / S2_PAGE_SIZE) * S2_PAGE_SIZE;
	} else if (chance(6) && room_in(run.hpa.val, size) > 64 * S2_PAGE_SIZE) {
		run.hpa.val += S2_PAGE_SIZE << flat_below(6);
	}
	run.len = min_u64(count * S2_PAGE_SIZE, room_in(run.hpa.val, size));
	return run;
}

/* Items of all tables that there are, about. */
static inline uint64_t world_items(const struct world *w)
{
	return w->m.pool.live_bytes / sizeof(uint64_t);
}

#endif
