/* SPDX-License-Identifier: BSD-2-Clause */
/* Marks of clean folios, and the cache maintenance of a mapping that uses them. */
#include <stage2/clean.h>
#include <stage2/engine/hooks.h>
#include <stage2/run.h>

#include "internal.h"

#define WORD_BITS 64u

static size_t words_size(const struct s2_clean *c)
{
	return (size_t)((c->page_count + WORD_BITS - 1) / WORD_BITS) * sizeof(uint64_t);
}

enum s2_err s2_clean_init(struct s2_clean *c, const struct s2_env *env, s2_hpa_t start,
			  uint64_t len)
{
	enum s2_err err = s2_range_check(s2_range(s2_gpa(start.val), len));

	if (err != S2_OK) {
		return err;
	}
	memset(c, 0, sizeof(*c));
	c->env = *env;
	c->start = start.val >> S2_PAGE_LG2;
	c->page_count = len >> S2_PAGE_LG2;
	for (unsigned i = 0; i < S2_CLEAN_MARK_COUNT; i++) {
		c->bits[i] = env->alloc(env->cookie, words_size(c));
		if (c->bits[i] == NULL) {
			s2_clean_fini(c);
			return S2_ERR_NOMEM;
		}
		memset(c->bits[i], 0, words_size(c));
	}
	return S2_OK;
}

void s2_clean_fini(struct s2_clean *c)
{
	for (unsigned i = 0; i < S2_CLEAN_MARK_COUNT; i++) {
		if (c->bits[i] != NULL) {
			c->env.free(c->env.cookie, c->bits[i], words_size(c));
			c->bits[i] = NULL;
		}
	}
}

/* Bits of one word, of the pages from first to end; and the page where the next word begins. */
static uint64_t word_mask(uint64_t first, uint64_t end, uint64_t *next)
{
	uint64_t start = first / WORD_BITS * WORD_BITS;
	uint64_t mask = ~UINT64_C(0) << (first - start);

	*next = start + WORD_BITS;
	if (end < *next) {
		mask &= ~(~UINT64_C(0) << (end - start));
		*next = end;
	}
	return mask;
}

/* The pages that the object covers, numbered from its start. False: not all are. */
static bool clamp(const struct s2_clean *c, s2_hpa_t start, uint64_t len, uint64_t *first,
		  uint64_t *end)
{
	uint64_t from = start.val >> S2_PAGE_LG2;
	uint64_t to = ((start.val + (len - 1)) >> S2_PAGE_LG2) + 1;
	bool all = from >= c->start && to <= c->start + c->page_count;

	from = from < c->start ? c->start : from;
	to = to > c->start + c->page_count ? c->start + c->page_count : to;
	*first = from < to ? from - c->start : 0;
	*end = from < to ? to - c->start : 0;
	return all;
}

bool s2_clean_test(const struct s2_clean *c, enum s2_clean_mark mark, s2_hpa_t start, uint64_t len)
{
	uint64_t page;
	uint64_t end;

	if (!clamp(c, start, len, &page, &end)) {
		return false;
	}
	while (page < end) {
		uint64_t *word = &c->bits[mark][page / WORD_BITS];
		uint64_t mask = word_mask(page, end, &page);

		if ((__atomic_load_n(word, __ATOMIC_ACQUIRE) & mask) != mask) {
			return false;
		}
	}
	return true;
}

void s2_clean_set(struct s2_clean *c, enum s2_clean_mark mark, s2_hpa_t start, uint64_t len)
{
	uint64_t page;
	uint64_t end;

	clamp(c, start, len, &page, &end);
	while (page < end) {
		uint64_t *word = &c->bits[mark][page / WORD_BITS];

		__atomic_fetch_or(word, word_mask(page, end, &page), __ATOMIC_RELEASE);
	}
}

void s2_clean_forget(struct s2_clean *c, s2_hpa_t start, uint64_t len)
{
	uint64_t first;
	uint64_t end;

	clamp(c, start, len, &first, &end);
	for (unsigned i = 0; i < S2_CLEAN_MARK_COUNT; i++) {
		uint64_t page = first;

		while (page < end) {
			uint64_t *word = &c->bits[i][page / WORD_BITS];

			__atomic_fetch_and(word, ~word_mask(page, end, &page), __ATOMIC_RELEASE);
		}
	}
}

/* Runs one kind of maintenance: for the whole folio and once, if there are marks; else for the run. */
static void maintain(const struct s2_space *s, const struct s2_run *run, enum s2_clean_mark mark,
		     void (*call)(void *, s2_hpa_t, uint64_t), struct s2_gather *g)
{
	struct s2_clean *c = s->config.clean;
	uint64_t size = S2_PAGE_SIZE << run->folio_order;
	s2_hpa_t start = run->hpa;
	uint64_t len = run->len;

	if (call == NULL) {
		return;
	}
	if (c != NULL) {
		start.val &= ~(size - 1);
		len = size;
		if (s2_clean_test(c, mark, start, len)) {
			return;
		}
	}
	call(s->config.mmu_cookie, start, len);
	g->events.cleaned += len;
	if (c != NULL) {
		s2_clean_set(c, mark, start, len);
	}
}

void s2_map_prepare(const struct s2_space *s, const struct s2_run *run, unsigned prot,
		    struct s2_gather *g)
{
	maintain(s, run, S2_CLEAN_DATA, s->config.mmu->clean, g);
	if ((prot & (S2_EXEC | S2_EXEC_USER)) != 0) {
		maintain(s, run, S2_CLEAN_CODE, s->config.mmu->invalidate_code, g);
	}
}

void s2_map_finish(const struct s2_space *s, const struct s2_run *run, unsigned prot)
{
	if (s->config.mmu->mapped != NULL) {
		s->config.mmu->mapped(s->config.mmu_cookie, run, prot);
	}
}
