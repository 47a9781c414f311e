/* SPDX-License-Identifier: BSD-2-Clause */
/* The map of a chunk: sixteen codes in a word, compared and counted by words. And maps in hand. */
#include "internal.h"

void s2_track_map_fill(struct s2_track_map *map, unsigned start, unsigned end, unsigned code)
{
	while (start < end) {
		unsigned next = start - start % S2_WORD_PAGES + S2_WORD_PAGES;
		uint64_t *word = &map->word[start / S2_WORD_PAGES];
		uint64_t mask = UINT64_MAX << s2_word_shift(start);

		if (next > end) {
			mask &= ~(UINT64_MAX << s2_word_shift(end));
			next = end;
		}
		*word = (*word & ~mask) | (s2_code_word(code) & mask);
		start = next;
	}
}

/* How many codes of a word, from the lowest on, are 0. Not all of them. */
static unsigned zeros(uint64_t word)
{
	unsigned page = 0;

	for (unsigned half = S2_WORD_PAGES / 2; half > 0; half /= 2) {
		if ((word & ((UINT64_C(1) << half * 4) - 1)) == 0) {
			word >>= half * 4;
			page += half;
		}
	}
	return page;
}

unsigned s2_track_map_stretch(const struct s2_track_map *map, unsigned start, unsigned end)
{
	uint64_t alike = s2_code_word(s2_track_map_get(map, start));
	uint64_t differ = (map->word[start / S2_WORD_PAGES] ^ alike) >> s2_word_shift(start);

	while (differ == 0) {
		start += S2_WORD_PAGES - start % S2_WORD_PAGES;
		if (start >= end) {
			return end;
		}
		differ = map->word[start / S2_WORD_PAGES] ^ alike;
	}
	start += zeros(differ);
	return start < end ? start : end;
}

void s2_track_map_count(const struct s2_track_map *map, unsigned start, unsigned end,
			uint64_t count[S2_CODE_COUNT])
{
	while (start < end) {
		uint64_t word = map->word[start / S2_WORD_PAGES] >> s2_word_shift(start);
		unsigned left = S2_WORD_PAGES - start % S2_WORD_PAGES;

		left = left < end - start ? left : end - start;
		start += left;
		if (left == S2_WORD_PAGES && s2_word_is_alike(word)) {
			count[word & 0xfu] += S2_WORD_PAGES;
			continue;
		}
		for (; left > 0; left--, word >>= 4) {
			count[word & 0xfu]++;
		}
	}
}

/* Is one of eight words another than this? */
static bool eight_differ(const uint64_t *word, uint64_t alike)
{
	return ((word[0] ^ alike) | (word[1] ^ alike) | (word[2] ^ alike) | (word[3] ^ alike) |
		(word[4] ^ alike) | (word[5] ^ alike) | (word[6] ^ alike) | (word[7] ^ alike)) != 0;
}

bool s2_track_map_is_uniform(const struct s2_track_map *map, unsigned page)
{
	uint64_t alike = s2_code_word(s2_track_map_get(map, page));

	if (map->word[page / S2_WORD_PAGES] != alike) {
		return false;
	}
	for (unsigned i = 0; i < S2_MAP_WORDS; i += 8) {
		if (eight_differ(&map->word[i], alike)) {
			return false;
		}
	}
	return true;
}

enum s2_err s2_pool_fill(struct s2_pool *pool, const struct s2_env *env, unsigned count)
{
	pool->count = 0;
	while (pool->count < count) {
		struct s2_track_map *map = env->alloc(env->cookie, sizeof(*map));

		if (map == NULL) {
			s2_pool_drain(pool, env);
			return S2_ERR_NOMEM;
		}
		pool->map[pool->count++] = map;
	}
	return S2_OK;
}

void s2_pool_drain(struct s2_pool *pool, const struct s2_env *env)
{
	while (pool->count > 0) {
		env->free(env->cookie, pool->map[--pool->count], sizeof(struct s2_track_map));
	}
}

struct s2_track_map *s2_pool_take(struct s2_pool *pool)
{
	if (pool->count == 0) {
		/* The reservation was too small: our own bug. There is no truth to go on with. */
		__builtin_trap();
	}
	return pool->map[--pool->count];
}

void s2_pool_give(struct s2_pool *pool, const struct s2_env *env, struct s2_track_map *map)
{
	if (pool->count < S2_POOL_MAX) {
		pool->map[pool->count++] = map;
	} else {
		env->free(env->cookie, map, sizeof(*map));
	}
}
