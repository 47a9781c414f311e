/* SPDX-License-Identifier: BSD-2-Clause */
/* Table memory: one arena, handed out upwards, and stacks of what came back. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

#define SIZE_LG2_MIN 12
#define SIZE_COUNT 8

bool pool_init(struct pool *pool, size_t size)
{
	memset(pool, 0, sizeof(*pool));
	pool->base = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (pool->base == MAP_FAILED) {
		return false;
	}
	pool->size = size;
	pool->used = size;
	for (unsigned i = 0; i < SIZE_COUNT; i++) {
		pool->free[i] = allocate((size >> (SIZE_LG2_MIN + i)) * sizeof(void *));
	}
	pool_refill(pool);
	return true;
}

void pool_fini(struct pool *pool)
{
	munmap(pool->base, pool->size);
	for (unsigned i = 0; i < SIZE_COUNT; i++) {
		free(pool->free[i]);
	}
}

void pool_refill(struct pool *pool)
{
	memset(pool->base, 0xff, pool->used);
	pool->used = 0;
	pool->freed = 0;
	memset(pool->free_count, 0, sizeof(pool->free_count));
}

static unsigned class_of(size_t size)
{
	return (unsigned)__builtin_ctzll(size) - SIZE_LG2_MIN;
}

void *pool_alloc(void *cookie, size_t size)
{
	struct pool *pool = cookie;
	unsigned class = class_of(size);
	size_t at = (pool->used + (size - 1)) & ~(size - 1);

	if (pool->free_count[class] > 0) {
		return pool->free[class][--pool->free_count[class]];
	}
	if (at > pool->size || pool->size - at < size) {
		return NULL;
	}
	pool->used = at + size;
	return pool->base + at;
}

void pool_free(void *cookie, void *table, size_t size)
{
	struct pool *pool = cookie;
	unsigned class = class_of(size);

	pool->free[class][pool->free_count[class]++] = table;
	pool->freed++;
}
