/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds arm64 stage-2 tables for a guest in this process's memory, changes them, and prints them. */
#include <stdio.h>
#include <stdlib.h>

#include <stage2/arm64.h>
#include <stage2/stage2.h>

/* Where table pages come from. Here a table's "host-physical" address is its address. */
static void *table_alloc(void *cookie, size_t size)
{
	(void)cookie;
	return aligned_alloc(size, size);
}

static void table_free(void *cookie, void *table, size_t size)
{
	(void)cookie;
	(void)size;
	free(table);
}

/* A hypervisor executes these; see s2_arm64_tlbi() in <stage2/arm64.h> for the operands. */
static void flush(void *cookie, const struct s2_flush *flush, size_t count)
{
	(void)cookie;
	for (size_t i = 0; i < count; i++) {
		printf("flush %#llx, %#llx bytes\n", (unsigned long long)flush[i].range.start.val,
		       (unsigned long long)flush[i].range.len);
	}
}

static void print_line(void *cookie, const char *text)
{
	(void)cookie;
	puts(text);
}

static void must(enum s2_err err)
{
	if (err != S2_OK) {
		fprintf(stderr, "tables: %s\n", s2_strerror(err));
		exit(1);
	}
}

int main(void)
{
	static const struct s2_mmu mmu = {.flush = flush, .flush_max = UINT64_MAX};
	static uint64_t *walk_cache[4]; /* a word for each 2 MiB of what is looked up */
	const struct s2_config config = {
		.fmt = &s2_fmt_arm64,
		.features = S2_ARM64_FWB | S2_ARM64_CONT,
		.gpa_bits = 40,
		.tables = {.alloc = table_alloc, .free = table_free},
		.mmu = &mmu,
		.walk_cache = walk_cache,
		.walk_cache_range = {s2_gpa(0x40000000), 0x800000},
	};
	s2_hpa_t hpa;
	/* 6 MiB and a half, in a folio of 16 MiB: leaves of 2 MiB, then contiguous ones of 64 KiB. */
	const struct s2_run run = {s2_gpa(0x40000000), s2_hpa(0x80000000), 0x680000, 12};
	struct s2_space space;
	struct s2_gather gather;

	must(s2_space_init(&space, &config));
	s2_gather_init(&gather, &space);

	must(s2_map(&space, &run, 1, S2_RWX, S2_MEM_NORMAL, &gather, NULL));
	must(s2_protect(&space, s2_range(s2_gpa(0x40201000), 0x1000), S2_READ, &gather, NULL));
	s2_gather_sync(&gather); /* from here on no processor writes to that page */
	s2_dump(&space, print_line, NULL);
	must(s2_lookup(&space, s2_gpa(0x40201234), &hpa));
	printf("40201234 is at %llx\n", (unsigned long long)hpa.val);

	s2_gather_fini(&gather);
	s2_space_fini(&space);
	return 0;
}
