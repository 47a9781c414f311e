/* SPDX-License-Identifier: BSD-2-Clause */
/* Spaces to measure, in every format. */
#include <endian.h>
#include <stage2/arm64.h>
#include <stage2/riscv.h>
#include <stage2/s390.h>
#include <stage2/x86.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* What an embedder writes who has one format. */
#define EMBED(name, numbers)                                                                       \
	static unsigned map_pages_##name(struct guest *guest, const uint32_t *order,               \
					 uint64_t count)                                           \
	{                                                                                          \
		static const struct s2_walk walk = numbers;                                        \
		unsigned failed = 0;                                                               \
                                                                                                   \
		for (uint64_t i = 0; i < count; i++) {                                             \
			uint64_t at = (uint64_t)order[i] << S2_PAGE_LG2;                           \
                                                                                                   \
			failed += s2_map_page_as(&guest->space, &walk, s2_gpa(GUEST_GPA + at),     \
						 s2_hpa(GUEST_HPA + at), S2_RWX, S2_MEM_NORMAL,    \
						 &guest->gather) != S2_OK;                         \
		}                                                                                  \
		return failed;                                                                     \
	}                                                                                          \
                                                                                                   \
	static unsigned map_runs_##name(struct guest *guest)                                       \
	{                                                                                          \
		static const struct s2_walk walk = numbers;                                        \
		unsigned failed = 0;                                                               \
                                                                                                   \
		for (uint64_t at = 0; at < guest->range.len; at += RUN_SIZE) {                     \
			const struct s2_run run = guest_run(at);                                   \
                                                                                                   \
			failed += s2_map_run_as(&guest->space, &walk, &run, S2_RWX, S2_MEM_NORMAL, \
						&guest->gather) != S2_OK;                          \
		}                                                                                  \
		return failed;                                                                     \
	}                                                                                          \
                                                                                                   \
	static unsigned lookup_##name(const struct guest *guest, const uint32_t *order,            \
				      uint64_t count, uint64_t *sum)                               \
	{                                                                                          \
		static const struct s2_walk walk = numbers;                                        \
		unsigned failed = 0;                                                               \
		uint64_t all = 0;                                                                  \
                                                                                                   \
		for (uint64_t i = 0; i < count; i++) {                                             \
			s2_gpa_t gpa = s2_gpa(GUEST_GPA + ((uint64_t)order[i] << S2_PAGE_LG2));    \
			s2_hpa_t hpa = s2_hpa(0);                                                  \
                                                                                                   \
			failed += s2_lookup_as(&guest->space, &walk, gpa, &hpa) != S2_OK;          \
			all += hpa.val;                                                            \
		}                                                                                  \
		*sum = all;                                                                        \
		return failed;                                                                     \
	}

EMBED(arm64, S2_ARM64_WALK(30))
EMBED(riscv, S2_RISCV_WALK(30))
EMBED(ept, S2_EPT_WALK(39))
EMBED(npt, S2_NPT_WALK(39))
EMBED(s390, S2_S390_WALK(31))

const struct format formats[] = {
	{"arm64", &s2_fmt_arm64, S2_ARM64_FWB, S2_ARM64_CONT, 40, 21, "FWB", map_pages_arm64,
	 map_runs_arm64, lookup_arm64, &limits_arm64},
	{"riscv", &s2_fmt_riscv, S2_RISCV_SVVPTC, S2_RISCV_SVNAPOT, 41, 21, "Sv39x4, Svvptc",
	 map_pages_riscv, map_runs_riscv, lookup_riscv, &limits_riscv},
	{"ept", &s2_fmt_ept, S2_EPT_AD | S2_EPT_1G, 0, 40, 21, "accessed and dirty flags",
	 map_pages_ept, map_runs_ept, lookup_ept, &limits_ept},
	{"npt", &s2_fmt_npt, S2_NPT_1G, 0, 40, 21, "", map_pages_npt, map_runs_npt, lookup_npt,
	 &limits_npt},
	{"s390", &s2_fmt_s390, S2_S390_EDAT1 | S2_S390_EDAT2, 0, 42, 20, "blocks are 1 MiB",
	 map_pages_s390, map_runs_s390, lookup_s390, &limits_s390},
};

const size_t format_count = sizeof(formats) / sizeof(formats[0]);

static void flush(void *cookie, const struct s2_flush *flush, size_t count)
{
	struct guest *guest = cookie;

	(void)flush;
	guest->flushes++;
	guest->flush_ranges += count;
}

void guest_purge(uint64_t *item, size_t count, unsigned level)
{
	uint64_t bit = htobe64(level == 0 ? 0x400 : 0x20);

	for (size_t i = 0; i < count; i++) {
		item[i] |= bit;
	}
}

static void invalidate(void *cookie, const struct s2_place *place, size_t count)
{
	struct guest *guest = cookie;

	guest_purge(place->item, count, place->level);
	guest->flushes++;
}

static bool replace(void *cookie, const struct s2_place *place, uint64_t old, uint64_t new_value)
{
	struct guest *guest = cookie;
	bool big = guest->space.fmt->big_endian;
	uint64_t in_memory = big ? __builtin_bswap64(old) : old;

	guest->flushes++;
	if (*place->item != in_memory) {
		return false;
	}
	*place->item = big ? __builtin_bswap64(new_value) : new_value;
	return true;
}

void guest_open(struct guest *guest, const struct setup *setup, uint64_t leaf_sizes,
		uint64_t memory, bool cache)
{
	const struct format *format = setup->format;
	struct s2_config config = {
		.fmt = format->fmt,
		.features = format->features,
		.gpa_bits = format->gpa_bits,
		.leaf_sizes = leaf_sizes,
		.tables = {.alloc = pool_alloc, .free = pool_free, .cookie = setup->pool},
		.mmu = &guest->mmu,
		.mmu_cookie = guest,
	};

	guest_close(guest);
	pool_refill(setup->pool);
	memset(guest, 0, sizeof(*guest));
	if (leaf_sizes & LEAVES_64K) {
		config.features |= format->group_features;
	}
	guest->setup = setup;
	guest->mmu.flush = flush;
	guest->mmu.invalidate = invalidate;
	guest->mmu.replace = replace;
	guest->mmu.flush_max = UINT64_MAX; /* so that ranges can be counted */
	guest->range = s2_range(s2_gpa(GUEST_GPA), memory);
	if (cache) {
		size_t size = s2_walk_cache_words(config.fmt, guest->range) * sizeof(uint64_t *);

		guest->walk_cache = allocate(size);
		memset(guest->walk_cache, 0, size);
		config.walk_cache = guest->walk_cache;
		config.walk_cache_range = guest->range;
	}
	guest->open = s2_space_init(&guest->space, &config) == S2_OK;
	guest->failed += !guest->open;
	s2_gather_init(&guest->gather, &guest->space);
}

void guest_close(struct guest *guest)
{
	if (guest->open) {
		s2_gather_fini(&guest->gather);
		s2_space_fini(&guest->space);
		guest->open = false;
	}
	free(guest->walk_cache);
	guest->walk_cache = NULL;
}

void guest_none(struct guest *guest, const struct setup *setup, uint64_t table_bytes)
{
	guest_close(guest);
	setup->pool->used = (size_t)table_bytes;
	pool_refill(setup->pool);
}

uint64_t *guest_root(const struct guest *guest)
{
	return (uint64_t *)(uintptr_t)s2_space_root(&guest->space).val;
}

uint64_t guest_leaf(const struct guest *guest, unsigned prot)
{
	return guest->space.attr[S2_MEM_NORMAL][prot] | guest->space.walk.page_leaf;
}

#define RUNS_MAX 64

void guest_map(struct guest *guest)
{
	struct s2_run run[RUNS_MAX];
	size_t count = 0;
	uint64_t folio = UINT64_C(1) << GUEST_FOLIO_LG2;

	for (uint64_t at = 0; at < guest->range.len && count < RUNS_MAX; at += folio) {
		uint64_t left = guest->range.len - at;

		run[count].gpa = s2_gpa(guest->range.start.val + at);
		run[count].hpa = s2_hpa(GUEST_HPA + at);
		run[count].len = left < folio ? left : folio;
		run[count].folio_order = S2_FOLIO_ORDER_MAX;
		count++;
	}
	guest->failed += s2_map(&guest->space, run, count, S2_RWX, S2_MEM_NORMAL, &guest->gather,
				NULL) != S2_OK;
}

/* Half a block at a time: a table that a call does not cover stays. */
unsigned guest_empty(struct guest *guest, struct s2_range range, struct s2_gather *gather)
{
	uint64_t half = (UINT64_C(1) << guest->setup->format->block_lg2) / 2;
	unsigned failed = 0;

	for (uint64_t at = 0; at < range.len; at += half) {
		struct s2_range part = s2_range(s2_gpa(range.start.val + at), half);

		failed += s2_unmap(&guest->space, part, gather, NULL) != S2_OK;
	}
	s2_gather_sync(gather);
	return failed;
}

bool guest_measure(struct guest *guest, const struct setup *setup, void *cookie,
		   const struct way *ways, size_t way_count, double units, struct result *result)
{
	bool good = measure_row(setup, ways, way_count, cookie, units, result);

	good = good && guest->failed == 0;
	guest_close(guest);
	return good;
}

uint64_t guest_mapped(const struct guest *guest)
{
	struct s2_count count;

	if (s2_count(&guest->space, guest->range, &count) != S2_OK) {
		return 0;
	}
	return count.bytes;
}
