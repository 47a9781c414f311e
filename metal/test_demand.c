/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory that is given when the guest first touches it, 64 MiB in runs of several sizes. */
#include "metal.h"

#define SIZE UINT64_C(0x4000000)
#define BLOCK UINT64_C(0x400000)
#define BLOCKS (SIZE / BLOCK)

/* The run around the address, aligned to its own size. */
static void give(struct world *w, char *const block[BLOCKS], uint64_t gpa, uint64_t len)
{
	uint64_t at = (gpa - TEST_GPA) & ~(len - 1);

	world_map(w, TEST_GPA + at, block[at / BLOCK] + at % BLOCK, len, S2_RWX);
	world_sync(w);
}

/* The guest writes its address into every page; each fault gives a run. */
static void demand(const struct machine_space *kind, uint64_t len)
{
	char *block[BLOCKS];
	struct guest_exit e;
	uint64_t faults = 0;
	struct world w;

	for (size_t i = 0; i < BLOCKS; i++) {
		block[i] = memory_alloc(BLOCK);
	}
	world_open(&w, kind, 0);
	guest_run(&w, guest_touch, TEST_GPA, SIZE, PAGE, &e);
	while (e.kind == EXIT_FAULT && e.gpa - TEST_GPA < SIZE && faults <= SIZE / len) {
		faults++;
		give(&w, block, e.gpa, len);
		guest_resume(&w, &e);
	}
	if (e.kind != EXIT_CALL && args.mutant == 0) {
		exit_print(&e);
	}
	CHECK(e.kind == EXIT_CALL && e.call[1] == SIZE);
	CHECK(faults == SIZE / len);
	for (uint64_t at = 0; at < SIZE; at += PAGE) {
		CHECK(*(uint64_t *)(void *)(block[at / BLOCK] + at % BLOCK) == TEST_GPA + at);
	}
	world_close(&w);
	for (size_t i = 0; i < BLOCKS; i++) {
		memory_free(block[i], BLOCK);
	}
}

static void demand_1(const struct machine_space *kind)
{
	demand(kind, PAGE);
}

static void demand_4(const struct machine_space *kind)
{
	demand(kind, 4 * PAGE);
}

static void demand_16(const struct machine_space *kind)
{
	demand(kind, 16 * PAGE);
}

static void demand_512(const struct machine_space *kind)
{
	demand(kind, 512 * PAGE);
}

const struct test demand_tests[] = {
	{"demand-1", demand_1, false},
	{"demand-4", demand_4, false},
	{"demand-16", demand_16, false},
	{"demand-512", demand_512, false},
	{NULL, NULL, false},
};
