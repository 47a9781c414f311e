/* SPDX-License-Identifier: BSD-2-Clause */
/* A naive simulation: an array of pages, random requests, no library under it. */
#include "example.h"

#include <stdlib.h>
#include <string.h>

#define PAGES 16384u /* 64 MiB */
#define PAGE_LG2 12
#define BIG_LG2 21
#define POLICIES 3

struct sim {
	bool asked[PAGES];
	bool shared[PAGES];
	uint32_t opened[PAGES]; /* step in which a page was widened */
	uint32_t grain;		/* pages */
	unsigned int policy;	/* exact, widen, refuse */
	struct report_counted *counted;
};

struct workload {
	const char *name;
	unsigned int steps;
	unsigned int pages; /* of one request, at most */
	unsigned int area;  /* pages in which requests fall */
	unsigned int live;  /* requests shared at the same time */
};

static const struct workload workloads[] = {
	{"ring", 2000, 2, 2048, 64},
	{"bounce", 600, 24, 8192, 16},
	{"balloon", 40, 512, 16384, 4},
};

static const char *const backings[] = {"thp", "anon"};
static const char *const policies[POLICIES] = {"exact", "widen", "refuse"};
static const struct {
	const char *name;
	unsigned int lg2[2]; /* on each backing */
} grains[] = {{"4K", {12, 12}},
	      {"16K", {14, 14}},
	      {"64K", {16, 16}},
	      {"2M", {21, 21}},
	      {"folio", {21, 12}}};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint32_t next_random(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*state >> 33);
}

static bool grain_free(const struct sim *sim, uint32_t start)
{
	for (uint32_t p = start; p < start + sim->grain; p++) {
		if (sim->asked[p]) {
			return false;
		}
	}
	return true;
}

static void note_open(struct sim *sim, uint32_t page)
{
	struct report_counted *c = sim->counted;
	uint64_t open = c->steps - sim->opened[page];

	c->exposed_page_steps += open;
	c->exposed_longest = open > c->exposed_longest ? open : c->exposed_longest;
	sim->opened[page] = 0;
}

static void move_page(struct sim *sim, uint32_t page, bool share)
{
	struct report_counted *c = sim->counted;

	if (sim->shared[page] == share) {
		return;
	}
	sim->shared[page] = share;
	c->pages_converted++;
	c->hypercalls_share += share ? 1 : 0;
	c->hypercalls_unshare += share ? 0 : 1;
	if (share && !sim->asked[page]) {
		c->pages_widened++;
		sim->opened[page] = (uint32_t)c->steps;
	} else if (!share && sim->opened[page] != 0) {
		note_open(sim, page);
	}
}

static void request(struct sim *sim, uint32_t start, uint32_t count, bool share)
{
	struct report_counted *c = sim->counted;
	uint64_t before = c->pages_converted;

	c->steps++;
	c->pages_requested += count;
	for (uint32_t p = start; p < start + count; p++) {
		c->pages_satisfied += sim->shared[p] == share ? 1 : 0;
		sim->asked[p] = share;
	}
	for (uint32_t g = start - start % sim->grain; g < start + count; g += sim->grain) {
		bool whole = g >= start && g + sim->grain <= start + count;

		if (sim->policy == 2 && !whole) {
			for (uint32_t p = g; p < g + sim->grain; p++) {
				c->pages_refused += p >= start && p < start + count ? 1 : 0;
			}
			continue;
		}
		c->ranged_calls++;
		for (uint32_t p = g; p < g + sim->grain; p++) {
			bool in = p >= start && p < start + count;

			if (sim->policy != 1 ? in : share || grain_free(sim, g)) {
				move_page(sim, p, share);
			} else if (in && !share) {
				c->pages_kept++;
			}
		}
	}
	c->requests_satisfied += c->pages_converted == before ? 1 : 0;
}

static void count_leaves(const struct sim *sim, struct report_modelled *modelled)
{
	const uint32_t big = 1u << (BIG_LG2 - PAGE_LG2);

	modelled->before.count[BIG_LG2] = PAGES / big;
	for (uint32_t start = 0; start < PAGES; start += big) {
		uint32_t shared = 0;

		for (uint32_t p = start; p < start + big; p++) {
			shared += sim->shared[p] ? 1u : 0;
		}
		if (shared == 0 || shared == big) {
			modelled->after.count[BIG_LG2]++;
			continue;
		}
		for (uint32_t p = start; p < start + big; p += 16) {
			uint32_t part = 0;

			for (uint32_t i = p; i < p + 16; i++) {
				part += sim->shared[i] ? 1u : 0;
			}
			modelled->after.count[part % 16 == 0 ? 16 : PAGE_LG2] +=
				part % 16 == 0 ? 1 : 16;
		}
	}
}

static void run(const struct workload *workload, uint32_t grain, unsigned int policy,
		struct report_row *row)
{
	struct sim *sim = calloc(1, sizeof(*sim));
	uint32_t starts[64] = {0};
	uint32_t counts[64] = {0};
	uint64_t random = workload->steps;

	if (sim == NULL) {
		abort();
	}
	sim->grain = grain;
	sim->policy = policy;
	sim->counted = &row->counted;
	for (unsigned int i = 0; i < workload->steps; i++) {
		unsigned int slot = i % workload->live;

		if (counts[slot] != 0) {
			request(sim, starts[slot], counts[slot], false);
		}
		counts[slot] = 1 + next_random(&random) % workload->pages;
		starts[slot] = next_random(&random) % (workload->area - counts[slot]);
		request(sim, starts[slot], counts[slot], true);
	}
	for (uint32_t p = 0; p < PAGES; p++) {
		if (sim->opened[p] != 0) {
			note_open(sim, p);
		}
	}
	row->counted.exits_donate = workload->area + 900;
	row->counted.exits_mmio = 12;
	row->counted.probes = 256;
	row->counted.probes_refused = 200;
	row->counted.folios_mixed = 3;
	row->counted.folios_whole = PAGES / 512 - 3;
	row->counted.holes = workload->live;
	row->counted.hole_pages = workload->live * 2;
	count_leaves(sim, &row->modelled);
	row->timed.seconds = 1.5 + (double)row->counted.pages_converted / 20000;
	row->timed.share_seconds = row->timed.seconds / 3;
	row->timed.unshare_seconds = row->timed.seconds / 4;
	row->timed.kvm_exits = row->counted.exits_donate + 1234;
	free(sim);
}

static void add_rows(struct report *report, const struct workload *workload, size_t backing)
{
	for (size_t g = 0; g < COUNT(grains); g++) {
		for (unsigned int policy = 0; policy < (g == 0 ? 1 : POLICIES); policy++) {
			struct report_row *row = &report->row[report->row_count++];

			strcpy(row->workload, workload->name);
			strcpy(row->backing, backings[backing]);
			strcpy(row->grain, grains[g].name);
			strcpy(row->policy, policies[policy]);
			run(workload, 1u << (grains[g].lg2[backing] - PAGE_LG2), policy, row);
		}
	}
}

void example_make(struct report *report)
{
	*report = (struct report){.seed = 1, .memory = (uint64_t)PAGES << PAGE_LG2};
	report->backing_count = COUNT(backings);
	report->backing = calloc(COUNT(backings), sizeof(report->backing[0]));
	report->row = calloc(COUNT(workloads) * COUNT(backings) * COUNT(grains) * POLICIES,
			     sizeof(report->row[0]));
	if (report->backing == NULL || report->row == NULL) {
		abort();
	}
	strcpy(report->tool_version, "0.0.0-example");
	strcpy(report->board, "made-up");
	strcpy(report->machine, "aarch64");
	strcpy(report->kernel, "0.0.0-example");
	strcpy(report->vm, "pkvm-protected");
	strcpy(report->leaf_model, "4K pages, 64K contiguous, 2M blocks; largest legal leaf");
	strcpy(report->backing[0].name, backings[0]);
	report->backing[0].requested_lg2 = BIG_LG2;
	report->backing[0].bytes[BIG_LG2] = report->memory - (UINT64_C(4) << 20);
	report->backing[0].bytes[PAGE_LG2] = UINT64_C(4) << 20;
	strcpy(report->backing[1].name, backings[1]);
	report->backing[1].bytes[PAGE_LG2] = report->memory;
	for (size_t b = 0; b < COUNT(backings); b++) {
		for (size_t w = 0; w < COUNT(workloads); w++) {
			add_rows(report, &workloads[w], b);
		}
	}
}
