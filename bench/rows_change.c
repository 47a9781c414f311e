/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows about unmapping, write-protecting and splitting. */
#include <string.h>

#include "bench.h"

struct work {
	const struct setup *setup;
	struct guest guest;
	uint64_t leaf_sizes;
	uint64_t flushes; /* of the last run */
	uint64_t flush_ranges;
	uint64_t freed;
};

static uint64_t page_count(const struct work *w)
{
	return w->setup->memory / S2_PAGE_SIZE;
}

static uint64_t block_count(const struct work *w)
{
	return w->setup->memory >> w->setup->format->block_lg2;
}

static void count_from_here(struct work *w)
{
	w->guest.flushes = 0;
	w->guest.flush_ranges = 0;
	w->setup->pool->freed = 0;
}

static void count_to_here(struct work *w)
{
	w->flushes = w->guest.flushes;
	w->flush_ranges = w->guest.flush_ranges;
	w->freed = w->setup->pool->freed;
}

static void prepare_mapped(void *cookie)
{
	struct work *w = cookie;

	guest_open(&w->guest, w->setup, w->leaf_sizes, w->setup->memory, true);
	guest_map(&w->guest);
	s2_gather_sync(&w->guest.gather);
	count_from_here(w);
}

/* No space; the pool has as many tables as the guest's leaves would take. */
static void prepare_pool(void *cookie)
{
	struct work *w = cookie;

	guest_none(&w->guest, w->setup, guest_table_bytes(w->setup, w->setup->memory));
}

static void run_unmap(void *cookie)
{
	struct work *w = cookie;
	struct guest *guest = &w->guest;

	guest->failed += s2_unmap(&guest->space, guest->range, &guest->gather, NULL) != S2_OK;
	s2_gather_sync(&guest->gather);
}

static bool check_unmapped(void *cookie)
{
	struct work *w = cookie;

	count_to_here(w);
	return w->guest.failed == 0 && guest_mapped(&w->guest) == 0;
}

static void limit_run_link(void *cookie)
{
	const struct work *w = cookie;

	limit_link(w->setup->pool->base, guest_table_bytes(w->setup, w->setup->memory));
}

static void run_protect(void *cookie)
{
	struct work *w = cookie;
	struct guest *guest = &w->guest;

	guest->failed +=
		s2_protect(&guest->space, guest->range, S2_RX, &guest->gather, NULL) != S2_OK;
	s2_gather_sync(&guest->gather);
}

static bool check_protected(void *cookie)
{
	const struct work *w = cookie;
	struct s2_leaf leaf;

	for (uint64_t at = 0; at < w->setup->memory; at += S2_PAGE_SIZE) {
		if (s2_query(&w->guest.space, s2_gpa(GUEST_GPA + at), &leaf) != S2_OK ||
		    !leaf.mapped || (leaf.prot & S2_WRITE) != 0) {
			return false;
		}
	}
	return w->guest.failed == 0;
}

static bool check_counted(void *cookie)
{
	count_to_here(cookie);
	return check_protected(cookie);
}

static void limit_run_scalar(void *cookie)
{
	const struct work *w = cookie;

	w->setup->format->limits->protect_scalar(&w->guest, page_count(w));
}

static void limit_run_vector(void *cookie)
{
	const struct work *w = cookie;

	w->setup->format->limits->protect_vector(&w->guest, page_count(w));
}

static void run_split(void *cookie)
{
	struct work *w = cookie;
	struct guest *guest = &w->guest;

	guest->failed +=
		s2_split(&guest->space, guest->range, S2_PAGE_LG2, &guest->gather, NULL) != S2_OK;
	s2_gather_sync(&guest->gather);
}

static bool check_split(void *cookie)
{
	struct work *w = cookie;
	struct s2_count count;

	count_to_here(w);
	return w->guest.failed == 0 && s2_count(&w->guest.space, w->guest.range, &count) == S2_OK &&
	       count.leaf[S2_PAGE_LG2] == page_count(w);
}

static void limit_run_memset(void *cookie)
{
	const struct work *w = cookie;

	limit_memset(w->setup->pool->base, guest_table_bytes(w->setup, w->setup->memory));
}

static void add_counted(struct result *result, const char *name, uint64_t value)
{
	size_t i = 0;

	while (result->counted[i].name != NULL) {
		i++;
	}
	result->counted[i].name = name;
	result->counted[i].value = value;
}

static bool measure_unmap(const struct setup *setup, struct result *result)
{
	struct work w = {.setup = setup, .leaf_sizes = LEAVES_4K};
	const struct way ways[] = {{"", prepare_mapped, run_unmap, check_unmapped},
				   {"a list of the tables", prepare_pool, limit_run_link, NULL}};
	bool good = guest_measure(&w.guest, setup, &w, ways, 2, (double)page_count(&w), result);

	add_counted(result, "flush calls", w.flushes);
	add_counted(result, "flush ranges", w.flush_ranges);
	add_counted(result, "tables freed", w.freed);
	return good;
}

static bool measure_protect(const struct setup *setup, struct result *result)
{
	struct work w = {.setup = setup, .leaf_sizes = LEAVES_4K};
	const struct way ways[] = {
		{"", prepare_mapped, run_protect, check_counted},
		{"scalar read and write", prepare_mapped, limit_run_scalar, check_protected},
		{"vector read and write", prepare_mapped, limit_run_vector, check_protected}};
	bool good = guest_measure(&w.guest, setup, &w, ways, 3, (double)page_count(&w), result);

	add_counted(result, "flush calls", w.flushes);
	add_counted(result, "flush ranges", w.flush_ranges);
	return good;
}

static bool measure_split(const struct setup *setup, struct result *result)
{
	struct work w = {.setup = setup,
			 .leaf_sizes = LEAVES_4K | UINT64_C(1) << setup->format->block_lg2};
	const struct way ways[] = {{"", prepare_mapped, run_split, check_split},
				   {"memset of the tables", prepare_pool, limit_run_memset, NULL}};
	bool good = guest_measure(&w.guest, setup, &w, ways, 2, (double)block_count(&w), result);

	add_counted(result, "blocks", block_count(&w));
	add_counted(result, "flush calls", w.flushes);
	add_counted(result, "flush ranges", w.flush_ranges);
	return good;
}

const struct row change_rows[] = {
	{"unmap", "4K leaves, one call for all, and its sync", "ns/page", 0, 0.03, false, true,
	 measure_unmap, 0},
	{"protect", "write-protect 4K leaves, one call for all, and its sync", "ns/page", 1.3, 0.35,
	 false, true, measure_protect, 0},
	{"split", "blocks of 2M to 4K leaves, one call for all, and its sync", "ns/block", 0, 40,
	 false, true, measure_split, 0},
};

const size_t change_row_count = sizeof(change_rows) / sizeof(change_rows[0]);
