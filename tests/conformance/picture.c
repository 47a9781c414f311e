/* SPDX-License-Identifier: BSD-2-Clause */
/* Pictures: text, hashes and copies. */
#include "picture.h"

#include <stdlib.h>
#include <string.h>

struct text {
	char *at;
	size_t len, room;
};

static void text_line(void *cookie, const char *line)
{
	struct text *text = cookie;
	size_t len = strlen(line);

	if (text->len + len + 2 > text->room) {
		text->room = (text->len + len + 2) * 2;
		text->at = realloc(text->at, text->room);
		must(text->at != NULL);
	}
	memcpy(text->at + text->len, line, len);
	memcpy(text->at + text->len + len, "\n", 2);
	text->len += len + 1;
}

char *dump_text(void)
{
	struct text text = {.room = 256};

	text.at = calloc(1, text.room);
	must(text.at != NULL);
	s2_dump(&b.s, text_line, &text);
	return text.at;
}

static uint64_t hash(uint64_t h, const uint64_t *word, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		h = (h ^ word[i]) * UINT64_C(0x9e3779b97f4a7c15);
		h ^= h >> 29;
	}
	return h;
}

static uint64_t hash_tables(void)
{
	const struct pool *pool = &b.m.pool;
	uint64_t h = 0;

	for (uint32_t i = 0; i < pool->never_used; i++) {
		const struct pool_block *block = &pool->block[i];

		if (block->size != 0 && block->live) {
			h = hash(h ^ i,
				 (const uint64_t *)(const void *)(pool->memory +
								  (size_t)i * POOL_GRAIN),
				 block->size / sizeof(uint64_t));
		}
	}
	return h;
}

void picture_take(struct picture *p)
{
	memset(p, 0, sizeof(*p));
	p->tables = hash_tables();
	memcpy(&p->gather, &b.g, sizeof(b.g));
	s2_space_events(&b.s, &p->events);
	p->stats = b.m.stats;
	p->live = b.m.pool.live;
}

void picture_check(const struct picture *p)
{
	struct picture now;

	picture_take(&now);
	must_eq(now.tables, p->tables);
	must_eq(now.live, p->live);
	must(memcmp(&now.gather, &p->gather, sizeof(now.gather)) == 0);
	must(memcmp(&now.events, &p->events, sizeof(now.events)) == 0);
	must_eq(now.stats.flush_calls, p->stats.flush_calls);
	must_eq(now.stats.invalidate_calls, p->stats.invalidate_calls);
	must_eq(now.stats.replace_calls, p->stats.replace_calls);
	must_eq(now.stats.clean_calls, p->stats.clean_calls);
	must_eq(now.stats.code_calls, p->stats.code_calls);
	must_eq(now.stats.mapped_calls, p->stats.mapped_calls);
}
