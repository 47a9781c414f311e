/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows about the tracker of page states. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define CHUNK_LG2 21
#define CHUNK_PAGES 512

/* Short operations are repeated so that the clock can see them. */
#define ROUNDS 64

/* Maps in hand: giving and taking one costs next to nothing, and is counted. */
struct memory {
	void **spare;
	size_t spare_count;
	size_t spare_size;
	uint64_t bytes;
};

struct work {
	const struct setup *setup;
	struct memory memory;
	struct s2_track track;
	uint64_t size; /* of what is tracked */
	bool open;
	uint8_t *flat;	 /* the limit: four bits a page */
	uint64_t *word;	 /* one a chunk */
	uint32_t *chunk; /* shuffled */
	uint32_t *even;	 /* the pages with even numbers, shuffled */
	uint8_t lg2;
	unsigned sum;
	unsigned failed;
};

static void *track_alloc(void *cookie, size_t size)
{
	struct memory *memory = cookie;

	memory->bytes += size;
	if (memory->spare_count > 0 && memory->spare_size == size) {
		return memory->spare[--memory->spare_count];
	}
	return malloc(size);
}

static void track_free(void *cookie, void *ptr, size_t size)
{
	struct memory *memory = cookie;

	memory->bytes -= size;
	if (memory->spare_size == size) {
		memory->spare[memory->spare_count++] = ptr;
	} else {
		free(ptr);
	}
}

static struct s2_range all_of(const struct work *w)
{
	return s2_range(s2_gpa(GUEST_GPA), w->size);
}

static struct s2_range page_of(uint64_t page)
{
	return s2_range(s2_gpa(GUEST_GPA + (page << S2_PAGE_LG2)), S2_PAGE_SIZE);
}

static uint64_t page_count(const struct work *w)
{
	return w->size >> S2_PAGE_LG2;
}

static uint64_t chunk_count(const struct work *w)
{
	return w->size >> CHUNK_LG2;
}

static void move(struct work *w, struct s2_range range, enum s2_move how)
{
	w->failed += s2_track_move(&w->track, range, how, false) != S2_OK;
}

/* What a map's size is shows when one is made. */
static void fill_spare(struct work *w)
{
	struct memory *memory = &w->memory;
	uint64_t before = memory->bytes;
	size_t size;

	move(w, page_of(0), S2_SHARE);
	size = (size_t)(memory->bytes - before);
	move(w, page_of(0), S2_UNSHARE);
	memory->spare = allocate((size_t)(chunk_count(w) + 16) * sizeof(void *));
	while (memory->spare_count < chunk_count(w) + 16) {
		void *map = allocate(size);

		memset(map, 0xff, size);
		memory->spare[memory->spare_count++] = map;
	}
	memory->spare_size = size;
}

static void shuffle_chunks(struct work *w)
{
	uint64_t count = chunk_count(w);
	uint64_t seen = 0;

	/* The order in which the first page of each chunk comes in the order of pages. */
	w->chunk = allocate((size_t)count * sizeof(*w->chunk));
	for (uint64_t i = 0; i < w->setup->memory / S2_PAGE_SIZE && seen < count; i++) {
		if (w->setup->order[i] % CHUNK_PAGES == 0) {
			w->chunk[seen++] = w->setup->order[i] / CHUNK_PAGES;
		}
	}
}

/* All pages secure: every chunk is uniform. */
static void open_track(struct work *w, const struct setup *setup, uint64_t size)
{
	struct s2_env env = {.alloc = track_alloc, .free = track_free, .cookie = &w->memory};

	memset(w, 0, sizeof(*w));
	w->setup = setup;
	w->size = size;
	if (s2_track_init(&w->track, &env, all_of(w)) != S2_OK) {
		w->failed++;
		return;
	}
	w->open = true;
	move(w, all_of(w), S2_DONATE);
	if (size == setup->memory) {
		fill_spare(w);
		shuffle_chunks(w);
	}
	w->flat = allocate((size_t)page_count(w) / 2);
	memset(w->flat, 0x11, (size_t)page_count(w) / 2);
	w->word = allocate((size_t)chunk_count(w) * sizeof(*w->word));
	memset(w->word, 0, (size_t)chunk_count(w) * sizeof(*w->word));
}

/*
 * Every second page exported: whether the others are secure or shared, no two neighbours are alike, and
 * no chunk becomes uniform.
 */
static void mix_all(struct work *w)
{
	for (uint64_t page = 1; page < page_count(w); page += 2) {
		move(w, page_of(page), S2_EXPORT);
	}
}

static void close_track(struct work *w)
{
	if (w->open) {
		s2_track_fini(&w->track);
	}
	while (w->memory.spare_count > 0) {
		free(w->memory.spare[--w->memory.spare_count]);
	}
	free(w->memory.spare);
	free(w->chunk);
	free(w->even);
	free(w->flat);
	free(w->word);
}

static bool finish(struct work *w, const struct way *ways, size_t way_count, double units,
		   struct result *result)
{
	bool good = w->failed == 0 && measure_row(w->setup, ways, way_count, w, units, result) &&
		    w->failed == 0 && s2_track_check(&w->track);

	close_track(w);
	return good;
}

/* Counted, not timed: bytes that the tracker has asked for. */
static bool measure_bytes(const struct setup *setup, struct result *result)
{
	bool mixed = result->row->variant != 0;
	struct work w;
	double bytes;
	bool good;

	open_track(&w, setup, setup->memory);
	if (mixed) {
		mix_all(&w);
	}
	bytes = (double)w.memory.bytes / (double)(mixed ? page_count(&w) : chunk_count(&w));
	result->figure = (struct figure){bytes, bytes, bytes};
	if (mixed) {
		result->limit[0].name = "four bits a page";
		result->limit[0].figure = (struct figure){0.5, 0.5, 0.5};
	}
	good = w.failed == 0;
	close_track(&w);
	return good;
}

static void run_range(void *cookie)
{
	struct work *w = cookie;

	for (unsigned i = 0; i < ROUNDS; i += 2) {
		move(w, all_of(w), S2_SHARE);
		move(w, all_of(w), S2_UNSHARE);
	}
}

static void limit_words(void *cookie)
{
	struct work *w = cookie;

	for (unsigned i = 0; i < ROUNDS; i++) {
		memset(w->word, (int)i, (size_t)chunk_count(w) * sizeof(*w->word));
		__asm__ volatile("" ::: "memory");
	}
}

static bool measure_range(const struct setup *setup, struct result *result)
{
	static const struct way ways[] = {{"", NULL, run_range, NULL},
					  {"memset of a word a chunk", NULL, limit_words, NULL}};
	struct work w;

	open_track(&w, setup, setup->memory * (result->row->variant ? 64 : 1));
	return finish(&w, ways, 2, (double)page_count(&w) * ROUNDS, result);
}

static void run_get(void *cookie)
{
	struct work *w = cookie;
	uint64_t count = page_count(w);
	struct s2_page page = {.state = S2_NONE};
	unsigned failed = 0;
	unsigned sum = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = (uint64_t)w->setup->order[i] << S2_PAGE_LG2;

		failed += s2_track_get(&w->track, s2_gpa(GUEST_GPA + at), &page) != S2_OK;
		sum += page.state;
	}
	w->failed += failed;
	w->sum = sum;
}

static void limit_get(void *cookie)
{
	struct work *w = cookie;
	uint64_t count = page_count(w);
	unsigned sum = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint32_t page = w->setup->order[i];

		sum += (unsigned)(w->flat[page / 2] >> (page % 2 * 4)) & 0xfu;
	}
	w->sum = sum;
}

static bool measure_get(const struct setup *setup, struct result *result)
{
	static const struct way ways[] = {{"", NULL, run_get, NULL},
					  {"read of a flat array", NULL, limit_get, NULL}};
	struct work w;

	open_track(&w, setup, setup->memory);
	if (result->row->variant) {
		mix_all(&w);
	}
	return finish(&w, ways, 2, (double)page_count(&w), result);
}

/* variant: log2 of the bytes that are asked about; one page in each second 2 MiB is shared. */
static void run_uniform(void *cookie)
{
	struct work *w = cookie;
	uint64_t mask = ~((UINT64_C(1) << w->lg2) - 1);
	uint64_t count = page_count(w);
	struct s2_page page;
	unsigned failed = 0;
	unsigned sum = 0;
	bool uniform = false;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = (uint64_t)w->setup->order[i] << S2_PAGE_LG2;

		failed += s2_track_uniform(&w->track, s2_gpa((GUEST_GPA + at) & mask), w->lg2,
					   &uniform, &page) != S2_OK;
		sum += uniform;
	}
	w->failed += failed;
	w->sum = sum;
}

static bool measure_uniform(const struct setup *setup, struct result *result)
{
	static const struct way ways[] = {{"", NULL, run_uniform, NULL}};
	struct work w;

	open_track(&w, setup, setup->memory);
	w.lg2 = (uint8_t)result->row->variant;
	if (w.size < UINT64_C(1) << w.lg2) {
		result->absent = "needs --mem 1G";
		close_track(&w);
		return true;
	}
	for (uint64_t chunk = 0; chunk < chunk_count(&w); chunk += 2) {
		move(&w, page_of(chunk * CHUNK_PAGES), S2_SHARE);
	}
	return finish(&w, ways, 1, (double)page_count(&w), result);
}

/* In a list of their own: to ask each time which page is even would cost more than the move. */
static void list_even(struct work *w)
{
	uint64_t count = 0;

	w->even = allocate((size_t)page_count(w) / 2 * sizeof(*w->even));
	for (uint64_t i = 0; i < page_count(w); i++) {
		if (w->setup->order[i] % 2 == 0) {
			w->even[count++] = w->setup->order[i];
		}
	}
}

/* Even pages, there and back. What it costs when a chunk becomes mixed is the row track-mix. */
static void run_toggle(void *cookie)
{
	struct work *w = cookie;
	uint64_t count = page_count(w) / 2;
	unsigned failed = 0;

	for (uint64_t i = 0; i < count; i++) {
		failed += s2_track_move(&w->track, page_of(w->even[i]), S2_SHARE, false) != S2_OK;
	}
	for (uint64_t i = 0; i < count; i++) {
		failed += s2_track_move(&w->track, page_of(w->even[i]), S2_UNSHARE, false) != S2_OK;
	}
	w->failed += failed;
}

static void flip(struct work *w, uint32_t page)
{
	w->flat[page / 2] = (uint8_t)(w->flat[page / 2] ^ 3u << (page % 2 * 4));
}

static void limit_toggle(void *cookie)
{
	struct work *w = cookie;
	uint64_t count = page_count(w) / 2;

	for (unsigned round = 0; round < 2; round++) {
		for (uint64_t i = 0; i < count; i++) {
			flip(w, w->even[i]);
		}
	}
}

static bool measure_toggle(const struct setup *setup, struct result *result)
{
	static const struct way ways[] = {
		{"", NULL, run_toggle, NULL},
		{"read and write of a flat array", NULL, limit_toggle, NULL}};
	struct work w;

	open_track(&w, setup, setup->memory);
	mix_all(&w);
	list_even(&w);
	return finish(&w, ways, 2, (double)page_count(&w), result);
}

static void prepare_unmixed(void *cookie)
{
	struct work *w = cookie;

	if (w->track.map_count != 0) {
		for (uint64_t i = 0; i < chunk_count(w); i++) {
			move(w, page_of(i * CHUNK_PAGES + 5), S2_UNSHARE);
		}
	}
}

static void run_mix(void *cookie)
{
	struct work *w = cookie;

	for (uint64_t i = 0; i < chunk_count(w); i++) {
		move(w, page_of((uint64_t)w->chunk[i] * CHUNK_PAGES + 5), S2_SHARE);
	}
}

static bool check_mixed(void *cookie)
{
	const struct work *w = cookie;

	return w->track.map_count == chunk_count(w);
}

static void limit_mix(void *cookie)
{
	struct work *w = cookie;

	for (uint64_t i = 0; i < chunk_count(w); i++) {
		memset(w->flat + (uint64_t)w->chunk[i] * CHUNK_PAGES / 2, 0x11, CHUNK_PAGES / 2);
		__asm__ volatile("" ::: "memory");
	}
}

static bool measure_mix(const struct setup *setup, struct result *result)
{
	static const struct way ways[] = {{"", prepare_unmixed, run_mix, check_mixed},
					  {"memset of four bits a page", NULL, limit_mix, NULL}};
	struct work w;

	open_track(&w, setup, setup->memory);
	return finish(&w, ways, 2, (double)chunk_count(&w), result);
}

const struct row track_rows[] = {
	{"track-bytes", "memory for 2 MiB of pages that are alike", "B/2M", 0, 0, false, false,
	 measure_bytes, 0},
	{"track-bytes-mixed", "memory for a page among others that are not alike", "B/page", 0, 0,
	 false, false, measure_bytes, 1},
	{"track-range", "a move of all pages, one call", "ns/page", 0, 0, false, false,
	 measure_range, 0},
	{"track-range-large", "the same of 64 times the memory", "ns/page", 0, 0, false, false,
	 measure_range, 1},
	{"track-get", "state of a random page; all are alike", "ns/call", 0, 0, false, false,
	 measure_get, 0},
	{"track-get-mixed", "state of a random page; no two neighbours are alike", "ns/call", 0, 0,
	 false, false, measure_get, 1},
	{"track-uniform-2m", "are these 2 MiB alike? Random; half of them are", "ns/call", 0, 0,
	 false, false, measure_uniform, 21},
	{"track-uniform-1g", "is this 1 GiB alike?", "ns/call", 0, 0, false, false, measure_uniform,
	 30},
	{"track-toggle", "a move of a random page; no two neighbours are alike", "ns/call", 0, 0,
	 false, false, measure_toggle, 0},
	{"track-mix", "a move of one page of 2 MiB that were alike", "ns/call", 0, 0, false, false,
	 measure_mix, 0},
};

const size_t track_row_count = sizeof(track_rows) / sizeof(track_rows[0]);
