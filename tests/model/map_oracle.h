/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The naive model of a space: windows of guest-physical memory, one structure a page. Nothing is
 * mapped outside the windows. Written from the text of map.h.
 */
#ifndef TESTS_MODEL_MAP_ORACLE_H
#define TESTS_MODEL_MAP_ORACLE_H

#include <stage2/map.h>

#include "flat.h"

#define WINDOWS_MAX 3u

/* Bounds of the marks: what must be told, and what may be. */
#define MUST_DIRTY 1u
#define MAY_DIRTY 2u
#define MUST_YOUNG 4u
#define MAY_YOUNG 8u
#define FRESH (MUST_DIRTY | MAY_DIRTY | MUST_YOUNG | MAY_YOUNG)

struct map_page {
	uint64_t hpa;
	uint8_t prot; /* 0: not mapped */
	uint8_t mem;
	uint8_t marks;
	/*
	 * Numbers of the last sync before the page got another translation or other rights, and
	 * before its marks were cleared: until the next sync a guest may not have noticed.
	 */
	uint32_t changed;
	uint32_t cleared;
	uint32_t aged;
};

/* Pages first to first + count - 1 of the guest. */
struct window {
	uint64_t first;
	uint64_t count;
	struct map_page *page;
};

struct oracle {
	struct window window[WINDOWS_MAX]; /* in order of address */
	unsigned windows;
	uint32_t sync; /* number of the next sync, from 1 on */
};

static inline uint64_t window_gpa(const struct window *w, uint64_t index)
{
	return (w->first + index) * S2_PAGE_SIZE;
}

static inline struct s2_range window_range(const struct window *w)
{
	return s2_range(s2_gpa(window_gpa(w, 0)), w->count * S2_PAGE_SIZE);
}

/* The part of a window that lies in the range, as page indexes; false if there is none. */
static inline bool window_part(const struct window *w, struct s2_range range, uint64_t *start,
			       uint64_t *end)
{
	uint64_t first = range.start.val / S2_PAGE_SIZE;
	uint64_t last = s2_range_last(range).val / S2_PAGE_SIZE;

	if (first > w->first + (w->count - 1) || last < w->first) {
		return false;
	}
	*start = first > w->first ? first - w->first : 0;
	*end = last - w->first < w->count ? last - w->first + 1 : w->count;
	return true;
}

static inline const struct window *oracle_window(const struct oracle *o, uint64_t gpa)
{
	for (unsigned i = 0; i < o->windows; i++) {
		if (gpa / S2_PAGE_SIZE - o->window[i].first < o->window[i].count) {
			return &o->window[i];
		}
	}
	return NULL;
}

/* NULL outside the windows. */
static inline struct map_page *oracle_page(const struct oracle *o, uint64_t gpa)
{
	const struct window *w = oracle_window(o, gpa);

	return w == NULL ? NULL : &w->page[gpa / S2_PAGE_SIZE - w->first];
}

static inline bool page_alike(const struct map_page *a, const struct map_page *b)
{
	return a->prot == b->prot && a->mem == b->mem;
}

/* Does page b, pages behind a, go on with what a is? Holes go on with holes. */
static inline bool page_goes_on(const struct map_page *a, const struct map_page *b, uint64_t pages)
{
	if (a->prot == 0 || b->prot == 0) {
		return a->prot == b->prot;
	}
	return page_alike(a, b) && a->hpa + pages * S2_PAGE_SIZE == b->hpa;
}

/* Calls visit for each page of the windows that lies in the range. */
typedef void map_page_fn(struct oracle *o, struct map_page *page, unsigned arg);

static inline void oracle_each(struct oracle *o, struct s2_range range, map_page_fn *visit,
			       unsigned arg)
{
	for (unsigned i = 0; range.len != 0 && i < o->windows; i++) {
		uint64_t start, end;

		if (!window_part(&o->window[i], range, &start, &end)) {
			continue;
		}
		for (; start < end; start++) {
			visit(o, &o->window[i].page[start], arg);
		}
	}
}

static inline void page_unmap(struct oracle *o, struct map_page *page, unsigned arg)
{
	(void)arg;
	if (page->prot != 0) {
		page->prot = 0;
		page->marks = 0;
		page->changed = o->sync;
		page->cleared = o->sync;
	}
}

static inline void page_protect(struct oracle *o, struct map_page *page, unsigned prot)
{
	if (page->prot != 0 && page->prot != prot) {
		page->prot = (uint8_t)prot;
		page->changed = o->sync;
	}
}

static inline void page_clear_dirty(struct oracle *o, struct map_page *page, unsigned arg)
{
	(void)arg;
	page->marks &= (uint8_t) ~(MUST_DIRTY | MAY_DIRTY);
	page->cleared = o->sync;
}

static inline void page_clear_young(struct oracle *o, struct map_page *page, unsigned arg)
{
	(void)arg;
	page->marks &= (uint8_t) ~(MUST_YOUNG | MAY_YOUNG);
	page->aged = o->sync;
}

static inline void page_set_marks(struct oracle *o, struct map_page *page, unsigned marks)
{
	(void)o;
	if (page->prot != 0) {
		page->marks |= (uint8_t)marks;
	}
}

/* Is something else there already? */
static inline bool run_exists(const struct oracle *o, const struct s2_run *run, struct s2_range in,
			      unsigned prot, unsigned mem)
{
	for (uint64_t at = 0; at < run->len; at += S2_PAGE_SIZE) {
		const struct map_page *page = oracle_page(o, run->gpa.val + at);
		uint64_t gpa = run->gpa.val + at;

		if (gpa < in.start.val || gpa > s2_range_last(in).val) {
			continue;
		}
		if (page->prot != 0 &&
		    (page->hpa != run->hpa.val + at || page->prot != prot || page->mem != mem)) {
			return true;
		}
	}
	return false;
}

static inline void run_map(const struct oracle *o, const struct s2_run *run, struct s2_range in,
			   unsigned prot, unsigned mem)
{
	for (uint64_t at = 0; in.len != 0 && at < run->len; at += S2_PAGE_SIZE) {
		struct map_page *page = oracle_page(o, run->gpa.val + at);
		uint64_t gpa = run->gpa.val + at;

		if (gpa < in.start.val || gpa > s2_range_last(in).val || page->prot != 0) {
			continue;
		}
		page->hpa = run->hpa.val + at;
		page->prot = (uint8_t)prot;
		page->mem = (uint8_t)mem;
		page->marks = FRESH;
		page->changed = o->sync;
		page->cleared = o->sync;
	}
}

/* Is all of the range mapped, alike, and contiguous from an hpa aligned to its length? */
static inline bool oracle_is_run(const struct oracle *o, struct s2_range range)
{
	const struct window *w = oracle_window(o, range.start.val);
	const struct map_page *page;
	uint64_t pages = range.len / S2_PAGE_SIZE;
	uint64_t start;

	if (w == NULL || oracle_window(o, s2_range_last(range).val) != w) {
		return false;
	}
	start = range.start.val / S2_PAGE_SIZE - w->first;
	page = &w->page[start];
	if (page->prot == 0 || (page->hpa & (range.len - 1)) != 0) {
		return false;
	}
	for (uint64_t i = 1; i < pages; i++) {
		if (!page_goes_on(page, &page[i], i)) {
			return false;
		}
	}
	return true;
}

#endif
