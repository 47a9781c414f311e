/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's memory: a free list for each size, fed from the top of what was never used. A block that is freed
 * is filled with a value that no format takes for a table or a leaf with sense: a walk through a
 * freed table then ends in a fault, or in a page that is not there.
 */
#include "metal.h"

#define LG2_MIN 12
#define LG2_MAX 22

/* Valid-looking to most formats, so that a walk through it goes astray instead of stopping politely. */
#define FREED UINT64_C(0x0000000badbad0c7)

struct block {
	struct block *next;
};

static uint64_t next, end;
static struct block *spare[LG2_MAX + 1];
static uint64_t used;

void memory_init(uint64_t start, uint64_t stop)
{
	next = (start + PAGE - 1) & ~(PAGE - 1);
	end = stop;
}

static unsigned size_lg2(size_t size)
{
	unsigned lg2 = LG2_MIN;

	while ((size_t)1 << lg2 < size) {
		lg2++;
	}
	MUST(lg2 <= LG2_MAX);
	return lg2;
}

/* Takes from what was never used; what lies before an aligned block goes to the lists. */
static void *take(unsigned lg2)
{
	uint64_t size = UINT64_C(1) << lg2;
	uint64_t at;

	while ((next & (size - 1)) != 0) {
		unsigned part = (unsigned)__builtin_ctzll(next);
		struct block *block = (struct block *)(uintptr_t)next;

		block->next = spare[part];
		spare[part] = block;
		next += UINT64_C(1) << part;
	}
	MUST(next + size <= end);
	at = next;
	next += size;
	return (void *)(uintptr_t)at;
}

void *memory_alloc(size_t size)
{
	unsigned lg2 = size_lg2(size);
	void *block = spare[lg2];

	used += UINT64_C(1) << lg2;
	if (block == NULL) {
		return take(lg2);
	}
	spare[lg2] = spare[lg2]->next;
	return block;
}

void memory_free(void *block, size_t size)
{
	unsigned lg2 = size_lg2(size);
	struct block *head = block;
	uint64_t *word = block;

	for (size_t i = 0; i < (size_t)1 << lg2 >> 3; i++) {
		word[i] = FREED;
	}
	used -= UINT64_C(1) << lg2;
	head->next = spare[lg2];
	spare[lg2] = head;
}

uint64_t memory_used(void)
{
	return used;
}

static void *env_alloc(void *cookie, size_t size)
{
	(void)cookie;
	return memory_alloc(size);
}

static void env_free(void *cookie, void *block, size_t size)
{
	(void)cookie;
	memory_free(block, size);
}

const struct s2_env memory_env = {.alloc = env_alloc, .free = env_free};
