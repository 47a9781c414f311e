/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory for tables. */
#include "walk.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ASAN 1
#endif
#endif

#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
const bool pool_traps = true;
#else
const bool pool_traps = false;
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

#define POOL_BYTES (UINT64_C(512) << 20)
#define POOL_ALIGN (UINT64_C(1) << 20)
#define POOL_POISON 0x6bu
#define POOL_NOBODY UINT32_MAX

static uint32_t pool_grains(size_t size)
{
	return (uint32_t)((size + POOL_GRAIN - 1) / POOL_GRAIN);
}

/* Class 0 holds all that fits in a grain. POOL_CLASSES if size is not that of a table. */
static unsigned pool_class(size_t size)
{
	unsigned c = 0;

	if (size < sizeof(uint64_t) || (size & (size - 1)) != 0) {
		return POOL_CLASSES;
	}
	while (c < POOL_CLASSES && ((size_t)POOL_GRAIN << c) < size) {
		c++;
	}
	return c;
}

static void *map_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		abort();
	}
	return p;
}

static unsigned char *block_memory(const struct pool *p, uint32_t grain)
{
	return p->memory + (size_t)grain * POOL_GRAIN;
}

/* A new block, aligned to its size; POOL_NOBODY if the arena is full. */
static uint32_t pool_carve(struct pool *p, size_t size)
{
	uint32_t grains = pool_grains(size);
	uint32_t at = (p->never_used + grains - 1) & ~(grains - 1);

	if (at + grains > p->grain_count) {
		return POOL_NOBODY;
	}
	p->never_used = at + grains;
	return at;
}

static bool all_poison(const unsigned char *memory, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (memory[i] != POOL_POISON) {
			return false;
		}
	}
	return true;
}

/* The block that has been free for longest. */
static uint32_t pool_reuse(struct pool *p, unsigned c)
{
	struct pool_queue *q = &p->freed[c];
	uint32_t at = q->first;

	q->first = p->block[at].next;
	q->count--;
	ASAN_UNPOISON_MEMORY_REGION(block_memory(p, at), (size_t)POOL_GRAIN << c);
	if (!all_poison(block_memory(p, at), p->block[at].size)) {
		violation(p->machine, "a freed table was written to", "table at %#" PRIx64,
			  p->hpa + (uint64_t)at * POOL_GRAIN);
	}
	return at;
}

static void *alloc_locked(struct pool *p, size_t size)
{
	unsigned c = pool_class(size);
	struct pool_block *b;
	uint64_t *item;
	uint32_t at;

	p->calls++;
	if (p->fail_from != 0 && p->calls >= p->fail_from) {
		return NULL;
	}
	if (c == POOL_CLASSES) {
		violation(p->machine, "asked for a table of a strange size", "%zu bytes", size);
		return NULL;
	}
	at = p->freed[c].count > p->quarantine ? pool_reuse(p, c) : pool_carve(p, size);
	if (at == POOL_NOBODY) {
		return NULL;
	}
	b = &p->block[at];
	b->size = (uint32_t)size;
	b->live = true;
	b->generation++;
	b->pointers = 0;
	b->pass = 0;
	p->live++;
	p->live_bytes += size;
	p->live_max = p->live > p->live_max ? p->live : p->live_max;
	item = (uint64_t *)(void *)block_memory(p, at);
	for (size_t i = 0; i < size / sizeof(*item); i++) {
		item[i] = p->rubbish;
	}
	return item;
}

static void *pool_alloc(void *cookie, size_t size)
{
	struct pool *p = cookie;
	void *table;

	pthread_mutex_lock(&p->machine->lock);
	table = alloc_locked(p, size);
	pthread_mutex_unlock(&p->machine->lock);
	return table;
}

/*
 * The first grain of a live block at this address; POOL_NOBODY, and a violation, if there is none.
 */
static uint32_t pool_owner(struct pool *p, const void *table, size_t size)
{
	size_t offset = (size_t)((const unsigned char *)table - p->memory);
	uint32_t at = (uint32_t)(offset / POOL_GRAIN);
	const char *why = NULL;

	if (table == NULL || offset >= p->size || offset % POOL_GRAIN != 0 ||
	    p->block[at].size == 0) {
		why = "freed what is not a table";
	} else if (!p->block[at].live) {
		why = "freed a table twice";
	} else if (p->block[at].size != size) {
		why = "freed a table with another size";
	}
	if (why != NULL) {
		violation(p->machine, why, "%zu bytes, offset %#zx", size, offset);
		return POOL_NOBODY;
	}
	return at;
}

static void free_locked(struct pool *p, void *table, size_t size)
{
	uint32_t at = pool_owner(p, table, size);
	unsigned c = pool_class(size);
	struct pool_queue *q;

	if (at == POOL_NOBODY) {
		return;
	}
	if (p->block[at].pointers != 0) {
		violation(p->machine, "a table was freed before its flush", "table at %#" PRIx64,
			  p->hpa + (uint64_t)at * POOL_GRAIN);
	}
	p->block[at].live = false;
	p->live--;
	p->live_bytes -= size;
	memset(table, POOL_POISON, size);
	ASAN_POISON_MEMORY_REGION(table, (size_t)POOL_GRAIN << c);
	q = &p->freed[c];
	if (q->count++ == 0) {
		q->first = at;
	} else {
		p->block[q->last].next = at;
	}
	q->last = at;
}

static void pool_free(void *cookie, void *table, size_t size)
{
	struct pool *p = cookie;

	pthread_mutex_lock(&p->machine->lock);
	free_locked(p, table, size);
	pthread_mutex_unlock(&p->machine->lock);
}

void pool_fail(struct pool *p, size_t n)
{
	p->fail_from = n == 0 ? 0 : p->calls + n;
}

struct pool_block *pool_find(const struct pool *p, uint64_t hpa)
{
	uint64_t offset = hpa - p->hpa;
	struct pool_block *b;

	if (offset >= p->size || offset % POOL_GRAIN != 0) {
		return NULL;
	}
	b = &p->block[offset / POOL_GRAIN];
	return b->live ? b : NULL;
}

/* High in the host's memory, so that all bits of addresses of tables matter. */
void pool_init(struct pool *p, struct machine *m)
{
	uint64_t room = UINT64_C(1) << (m->hpa_bits - 3);
	unsigned char *memory;
	size_t head;

	memset(p, 0, sizeof(*p));
	p->machine = m;
	p->size = (size_t)(room < POOL_BYTES ? room : POOL_BYTES);
	memory = map_memory(p->size + POOL_ALIGN);
	head = (size_t)(-(uintptr_t)memory % POOL_ALIGN);
	p->memory = memory + head;
	if (head != 0) {
		munmap(memory, head);
	}
	munmap(p->memory + p->size, POOL_ALIGN - head);
	p->hpa = UINT64_C(3) << (m->hpa_bits - 2);
	p->grain_count = (uint32_t)(p->size / POOL_GRAIN);
	p->block = map_memory(p->grain_count * sizeof(*p->block));
	p->quarantine = 64;
	p->env.alloc = pool_alloc;
	p->env.free = pool_free;
	p->env.cookie = p;
	p->env.hpa_offset = p->hpa - (uint64_t)(uintptr_t)p->memory;
}

void pool_fini(struct pool *p)
{
	/* Not all of it: its shadow would be touched, 64 MiB for each machine. */
	ASAN_UNPOISON_MEMORY_REGION(p->memory, (size_t)p->never_used * POOL_GRAIN);
	munmap(p->memory, p->size);
	munmap(p->block, p->grain_count * sizeof(*p->block));
}
