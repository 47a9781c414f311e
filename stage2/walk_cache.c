/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The walk cache: a word for each table of level 0. It has only what is linked: a table is noted by a
 * call whose range it translates some of, and unlinked by one whose range it translates nothing but,
 * and those two do not run at the same time. What it does not have is found by walking.
 */
#include <stage2/engine/hooks.h>
#include <stage2/fmt.h>
#include <stage2/space.h>

#include "internal.h"

S2_COLD size_t s2_walk_cache_words(const struct s2_fmt *fmt, struct s2_range range)
{
	unsigned lg2 = fmt->lg2(1);

	return (size_t)((s2_range_last(range).val >> lg2) - (range.start.val >> lg2) + 1);
}

S2_COLD enum s2_err s2_walk_cache_init(struct s2_space *s)
{
	struct s2_range range = s->config.walk_cache_range;
	unsigned lg2 = s->fmt->lg2(1);
	enum s2_err err;

	if (s->config.walk_cache == NULL) {
		return S2_OK;
	}
	err = s2_space_covers(s, range);
	if (err == S2_OK && s->walk.usable) {
		s->walk_cache = s->config.walk_cache;
		s->walk_cache_lg2 = (uint8_t)lg2;
		s->walk_cache_start = range.start.val >> lg2 << lg2;
		s->walk_cache_len = (uint64_t)s2_walk_cache_words(s->fmt, range) << lg2;
	}
	return err;
}

/* NULL: it has no word for this address. */
static uint64_t **word_of(const struct s2_space *s, uint64_t gpa)
{
	uint64_t offset = gpa - s->walk_cache_start;

	return offset < s->walk_cache_len ? &s->walk_cache[offset >> s->walk_cache_lg2] : NULL;
}

void s2_walk_cache_note(const struct s2_space *s, uint64_t gpa, uint64_t *table)
{
	uint64_t **word = word_of(s, gpa);

	if (word != NULL) {
		__atomic_store_n(word, table, __ATOMIC_RELEASE);
	}
}

void s2_walk_cache_drop(const struct s2_space *s, uint64_t first, uint64_t last)
{
	uint64_t start = s->walk_cache_start;
	uint64_t end = start + (s->walk_cache_len - 1);

	if (s->walk_cache_len == 0 || last < start || first > end) {
		return;
	}
	first = first > start ? first - start : 0;
	last = (last < end ? last : end) - start;
	for (uint64_t i = first >> s->walk_cache_lg2; i <= last >> s->walk_cache_lg2; i++) {
		__atomic_store_n(&s->walk_cache[i], NULL, __ATOMIC_RELAXED);
	}
}

S2_COLD uint64_t *s2_walk_cache_get(const struct s2_space *s, uint64_t gpa)
{
	uint64_t **word = word_of(s, gpa);

	return word != NULL ? __atomic_load_n(word, __ATOMIC_ACQUIRE) : NULL;
}

S2_COLD size_t s2_walk_cache_count(const struct s2_space *s)
{
	size_t count = 0;

	for (uint64_t i = 0; i < s->walk_cache_len >> s->walk_cache_lg2; i++) {
		count += __atomic_load_n(&s->walk_cache[i], __ATOMIC_RELAXED) != NULL;
	}
	return count;
}
