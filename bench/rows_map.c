/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows about mapping and looking up. */
#include <string.h>

#include "bench.h"

struct work {
	const struct setup *setup;
	struct guest guest;
	uint64_t leaf_sizes;
	uint64_t memory;
	bool walk; /* without a walk cache */
	uint64_t sum;
};

static uint64_t page_count(const struct work *w)
{
	return w->setup->memory / S2_PAGE_SIZE;
}

static void prepare_new(void *cookie)
{
	struct work *w = cookie;

	guest_open(&w->guest, w->setup, w->leaf_sizes, w->memory, !w->walk);
}

static void prepare_mapped(void *cookie)
{
	struct work *w = cookie;

	prepare_new(w);
	guest_map(&w->guest);
	s2_gather_sync(&w->guest.gather);
}

/* Tables, and nothing in them. */
static void prepare_empty(void *cookie)
{
	struct work *w = cookie;

	prepare_mapped(w);
	w->guest.failed += guest_empty(&w->guest, w->guest.range, &w->guest.gather);
}

static bool check_mapped(void *cookie)
{
	const struct work *w = cookie;

	return w->guest.failed == 0 && guest_mapped(&w->guest) == w->memory;
}

enum pages {
	PAGES_THERE, /* s2_map_page_as(); the tables are there */
	PAGES_ANY,   /* s2_map_page() */
	PAGES_NEW,   /* as the first; the tables are not there */
	PAGES_WALK,  /* as the first, without a walk cache */
	PAGES_CALL,  /* as the first, but with s2_map(), which is not inline */
};

static void run_embedded(void *cookie)
{
	struct work *w = cookie;

	w->guest.failed += w->setup->format->map_pages(&w->guest, w->setup->order, page_count(w));
}

static void run_pages(void *cookie)
{
	struct work *w = cookie;
	struct guest *guest = &w->guest;
	const uint32_t *order = w->setup->order;
	uint64_t count = page_count(w);
	unsigned failed = 0;

	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = (uint64_t)order[i] << S2_PAGE_LG2;

		failed += s2_map_page(&guest->space, s2_gpa(GUEST_GPA + at), s2_hpa(GUEST_HPA + at),
				      S2_RWX, S2_MEM_NORMAL, &guest->gather) != S2_OK;
	}
	guest->failed += failed;
}

static void run_calls(void *cookie)
{
	struct work *w = cookie;
	struct guest *guest = &w->guest;
	const uint32_t *order = w->setup->order;
	uint64_t count = page_count(w);

	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = (uint64_t)order[i] << S2_PAGE_LG2;
		struct s2_run run = {.gpa = s2_gpa(GUEST_GPA + at),
				     .hpa = s2_hpa(GUEST_HPA + at),
				     .len = S2_PAGE_SIZE};

		guest->failed += s2_map(&guest->space, &run, 1, S2_RWX, S2_MEM_NORMAL,
					&guest->gather, NULL) != S2_OK;
	}
}

static void limit_run_store(void *cookie)
{
	const struct work *w = cookie;

	w->setup->format->limits->store(&w->guest, w->setup->order, page_count(w));
}

static void limit_run_look(void *cookie)
{
	const struct work *w = cookie;

	w->setup->format->limits->look_store(&w->guest, w->setup->order, page_count(w));
}

static bool measure_pages(const struct setup *setup, struct result *result)
{
	struct work w = {.setup = setup, .memory = setup->memory, .leaf_sizes = LEAVES_4K};
	enum pages pages = (enum pages)result->row->variant;
	void (*run)(void *cookie) = pages == PAGES_CALL	 ? run_calls
				    : pages == PAGES_ANY ? run_pages
							 : run_embedded;
	const struct way ways[] = {
		{"", pages == PAGES_NEW ? prepare_new : prepare_empty, run, check_mapped},
		{"walk and store", prepare_empty, limit_run_store, check_mapped},
		{"walk, look and store", prepare_empty, limit_run_look, check_mapped}};

	w.walk = pages == PAGES_WALK;
	return guest_measure(&w.guest, setup, &w, ways, 3, (double)page_count(&w), result);
}

static void run_64k_embedded(void *cookie)
{
	struct work *w = cookie;

	w->guest.failed += w->setup->format->map_runs(&w->guest);
}

static void run_64k(void *cookie)
{
	struct work *w = cookie;
	struct guest *guest = &w->guest;

	for (uint64_t at = 0; at < w->memory; at += RUN_SIZE) {
		const struct s2_run run = guest_run(at);

		guest->failed += s2_map_run(&guest->space, &run, S2_RWX, S2_MEM_NORMAL,
					    &guest->gather) != S2_OK;
	}
}

static void limit_run_runs(void *cookie)
{
	const struct work *w = cookie;

	w->setup->format->limits->store_runs(&w->guest, page_count(w));
}

enum runs {
	RUNS_SINGLE, /* s2_map_run_as(); single items */
	RUNS_GROUP,  /* groups of 16 */
	RUNS_ANY,    /* s2_map_run(); single items */
};

static bool measure_64k(const struct setup *setup, struct result *result)
{
	enum runs runs = (enum runs)result->row->variant;
	bool group = runs == RUNS_GROUP;
	struct work w = {.setup = setup,
			 .memory = setup->memory,
			 .leaf_sizes = group ? LEAVES_4K | LEAVES_64K : LEAVES_4K};
	const struct way ways[] = {
		{"", prepare_new, runs == RUNS_ANY ? run_64k : run_64k_embedded, check_mapped},
		{"memset, walk, 16 stores", prepare_empty, limit_run_runs, check_mapped}};

	if (group && setup->format->group_features == 0) {
		result->absent = "no groups";
		return true;
	}
	return guest_measure(&w.guest, setup, &w, ways, 2, (double)page_count(&w), result);
}

static void run_range(void *cookie)
{
	struct work *w = cookie;

	guest_map(&w->guest);
}

static uint64_t leaf_count(const struct work *w)
{
	return w->memory >> (63 - __builtin_clzll(w->leaf_sizes));
}

/* What the lowest tables take. */
static uint64_t table_bytes(const struct work *w)
{
	return w->leaf_sizes == LEAVES_4K ? guest_table_bytes(w->setup, w->memory)
					  : leaf_count(w) * sizeof(uint64_t);
}

static void prepare_pool(void *cookie)
{
	struct work *w = cookie;

	guest_none(&w->guest, w->setup, table_bytes(w));
}

static void limit_run_memset(void *cookie)
{
	const struct work *w = cookie;

	limit_memset(w->setup->pool->base, table_bytes(w));
}

/* variant: blocks, of 64 times the memory. */
static bool measure_range(const struct setup *setup, struct result *result)
{
	bool block = result->row->variant != 0;
	struct work w = {.setup = setup, .memory = setup->memory, .leaf_sizes = LEAVES_4K};
	const struct way ways[] = {{"", prepare_new, run_range, check_mapped},
				   {"memset of the tables", prepare_pool, limit_run_memset, NULL}};

	if (block) {
		w.memory = 64 * setup->memory;
		w.leaf_sizes |= UINT64_C(1) << setup->format->block_lg2;
	}
	return guest_measure(&w.guest, setup, &w, ways, 2, (double)leaf_count(&w), result);
}

static void run_lookup(void *cookie)
{
	struct work *w = cookie;
	const uint32_t *order = w->setup->order;
	uint64_t count = page_count(w);
	unsigned failed = 0;
	uint64_t sum = 0;

	for (uint64_t i = 0; i < count; i++) {
		s2_gpa_t gpa = s2_gpa(GUEST_GPA + ((uint64_t)order[i] << S2_PAGE_LG2));
		s2_hpa_t hpa = s2_hpa(0);

		failed += s2_lookup(&w->guest.space, gpa, &hpa) != S2_OK;
		sum += hpa.val;
	}
	w->guest.failed += failed;
	w->sum = sum;
}

static void run_lookup_embedded(void *cookie)
{
	struct work *w = cookie;

	w->guest.failed +=
		w->setup->format->lookup(&w->guest, w->setup->order, page_count(w), &w->sum);
}

static void limit_run_walk(void *cookie)
{
	struct work *w = cookie;

	w->sum = w->setup->format->limits->walk(&w->guest, w->setup->order, page_count(w));
}

static void limit_run_look_walk(void *cookie)
{
	struct work *w = cookie;

	w->sum = w->setup->format->limits->look_walk(&w->guest, w->setup->order, page_count(w));
}

static bool check_sum(void *cookie)
{
	const struct work *w = cookie;
	uint64_t n = page_count(w);

	return w->sum == n * GUEST_HPA + n * (n - 1) / 2 * S2_PAGE_SIZE;
}

enum lookup {
	LOOKUP_AS,   /* s2_lookup_as() */
	LOOKUP_ANY,  /* s2_lookup() */
	LOOKUP_WALK, /* as the first, without a walk cache */
};

static bool measure_lookup(const struct setup *setup, struct result *result)
{
	enum lookup lookup = (enum lookup)result->row->variant;
	struct work w = {.setup = setup, .memory = setup->memory, .leaf_sizes = LEAVES_4K};
	const struct way ways[] = {
		{"", NULL, lookup == LOOKUP_ANY ? run_lookup : run_lookup_embedded, check_sum},
		{"walk", NULL, limit_run_walk, check_sum},
		{"walk and look", NULL, limit_run_look_walk, check_sum}};

	w.walk = lookup == LOOKUP_WALK;
	prepare_mapped(&w);
	return guest_measure(&w.guest, setup, &w, ways, 3, (double)page_count(&w), result);
}

const struct row map_rows[] = {
	{"map-page", "4K pages, one call each, scattered; tables are there", "ns/page", 3.5, 4.5,
	 false, true, measure_pages, PAGES_THERE},
	{"map-page-any", "the same by s2_map_page(), which serves all formats", "ns/page", 3.5, 0,
	 false, true, measure_pages, PAGES_ANY},
	{"map-page-new", "as the first; tables are not there yet", "ns/page", 0, 0, false, true,
	 measure_pages, PAGES_NEW},
	{"map-page-walk", "as the first, in a space without a walk cache", "ns/page", 0, 0, false,
	 true, measure_pages, PAGES_WALK},
	{"map-page-call", "as the first, but by s2_map(), which is for many runs", "ns/page", 0, 0,
	 false, true, measure_pages, PAGES_CALL},
	{"map-range", "4K leaves, one call for all", "ns/page", 1.5, 0.10, false, true,
	 measure_range, 0},
	{"map-64k", "64K runs, one call each, in order; single items", "ns/page", 0, 0.85, false,
	 true, measure_64k, RUNS_SINGLE},
	{"map-64k-group", "64K runs, one call each, in order; groups of 16 items", "ns/page", 0,
	 0.85, false, true, measure_64k, RUNS_GROUP},
	{"map-64k-any", "as map-64k, by s2_map_run(), which serves all formats", "ns/page", 0, 0,
	 false, true, measure_64k, RUNS_ANY},
	{"map-block", "blocks of 2M, one call for 64 times the memory", "ns/block", 0, 0.8, false,
	 true, measure_range, 1},
	{"lookup", "address of a random page; 4K leaves", "ns/call", 1.15, 3.5, false, true,
	 measure_lookup, LOOKUP_AS},
	{"lookup-any", "the same by s2_lookup(), which serves all formats", "ns/call", 1.15, 0,
	 false, true, measure_lookup, LOOKUP_ANY},
	{"lookup-walk", "as the first, in a space without a walk cache", "ns/call", 0, 0, false,
	 true, measure_lookup, LOOKUP_WALK},
};

const size_t map_row_count = sizeof(map_rows) / sizeof(map_rows[0]);
