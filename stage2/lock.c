/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks of spaces that have them: a word for each 2 MiB chunk, modulo their number. Always taken in
 * the order of the words, so that two calls cannot wait for each other.
 */
#include "internal.h"

#define CHUNK_LG2 21

/* The words that a range needs: one or two stretches, in order. */
struct words {
	size_t first[2];
	size_t end[2];
};

static struct words words_of(const struct s2_space *s, struct s2_range range)
{
	size_t count = s->config.lock_count;
	uint64_t first = range.start.val >> CHUNK_LG2;
	uint64_t last = s2_range_last(range).val >> CHUNK_LG2;
	struct words words = {{0, 0}, {count, 0}};

	if (last - first < count - 1) {
		size_t from = (size_t)first & (count - 1);
		size_t to = (size_t)last & (count - 1);

		if (from <= to) {
			words.first[0] = from;
			words.end[0] = to + 1;
		} else {
			words.end[0] = to + 1;
			words.first[1] = from;
			words.end[1] = count;
		}
	}
	return words;
}

static void take(const struct s2_space *s, uint32_t *lock)
{
	while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE) != 0) {
		while (__atomic_load_n(lock, __ATOMIC_RELAXED) != 0) {
			if (s->config.mmu->relax != NULL) {
				s->config.mmu->relax(s->config.mmu_cookie);
			}
		}
	}
}

void s2_lock(const struct s2_space *s, struct s2_range range)
{
	struct words words;

	if (s->config.lock == NULL) {
		return;
	}
	words = words_of(s, range);
	for (unsigned part = 0; part < 2; part++) {
		for (size_t i = words.first[part]; i < words.end[part]; i++) {
			take(s, &s->config.lock[i]);
		}
	}
}

void s2_unlock(const struct s2_space *s, struct s2_range range)
{
	struct words words;

	if (s->config.lock == NULL) {
		return;
	}
	words = words_of(s, range);
	for (unsigned part = 0; part < 2; part++) {
		for (size_t i = words.first[part]; i < words.end[part]; i++) {
			__atomic_store_n(&s->config.lock[i], 0, __ATOMIC_RELEASE);
		}
	}
}
