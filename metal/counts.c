/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exact instructions and invalidations of each operation, under the emulator's counting clock: the
 * same on every run. Tables are there before, so that what is counted is the operation, and allocation
 * is as cheap as it can be.
 */
#include "metal.h"

#define SIZE UINT64_C(0x400000)

static const uint64_t sizes[] = {1, 4, 16, 512};

/* What one operation came to. */
struct count {
	uint64_t instructions;
	uint64_t flushes;
	struct flush_count calls;
};

static void count_start(struct count *c)
{
	c->calls = flush_count;
	c->flushes = machine_flushes();
	c->instructions = machine_instructions();
}

static void count_stop(struct count *c)
{
	c->instructions = machine_instructions() - c->instructions;
	c->flushes = machine_flushes() - c->flushes;
	c->calls.calls = flush_count.calls - c->calls.calls;
	c->calls.ranges = flush_count.ranges - c->calls.ranges;
	c->calls.purges = flush_count.purges - c->calls.purges;
}

/* What reading the counter twice costs by itself. */
static uint64_t overhead(void)
{
	struct count c;

	count_start(&c);
	count_stop(&c);
	return c.instructions;
}

static void count_print(const struct machine_space *kind, const char *operation, uint64_t pages,
			struct count *c)
{
	print("count %s %s pages=%llu instructions=%llu flushes=%llu calls=%llu ranges=%llu\n",
	      kind->name, operation, (unsigned long long)pages,
	      (unsigned long long)(c->instructions - overhead()), (unsigned long long)c->flushes,
	      (unsigned long long)(c->calls.calls + c->calls.purges),
	      (unsigned long long)(c->calls.ranges + c->calls.purges));
}

/* One page of each table stays mapped, so that the tables stay. */
#define AT (TEST_GPA + UINT64_C(0x200000))

static void count_map(struct world *w, const char *host, uint64_t pages)
{
	struct count c;

	count_start(&c);
	world_map(w, AT, host, pages * PAGE, S2_RWX);
	world_sync(w);
	count_stop(&c);
	count_print(w->kind, "map", pages, &c);
}

static void count_protect(struct world *w, uint64_t pages)
{
	struct count c;

	count_start(&c);
	world_protect(w, AT, pages * PAGE, S2_RX);
	world_sync(w);
	count_stop(&c);
	count_print(w->kind, "protect", pages, &c);
}

static void count_unmap(struct world *w, uint64_t pages)
{
	struct count c;

	count_start(&c);
	world_unmap(w, AT, pages * PAGE);
	world_sync(w);
	count_stop(&c);
	count_print(w->kind, "unmap", pages, &c);
}

/* The leaf that holds these pages becomes pages. */
static void count_split(struct world *w, uint64_t pages)
{
	struct count c;

	count_start(&c);
	MUST(s2_split(&w->space, s2_range(s2_gpa(AT), pages * PAGE), S2_PAGE_LG2, &w->gather,
		      NULL) == S2_OK);
	world_sync(w);
	count_stop(&c);
	count_print(w->kind, "split", pages, &c);
}

static void count_changes(const struct machine_space *kind, char *host, uint64_t pages)
{
	struct world w;

	world_open(&w, kind, 0);
	world_map(&w, TEST_GPA, host, PAGE, S2_RWX);
	count_map(&w, host, pages);
	count_protect(&w, pages);
	count_unmap(&w, pages);
	world_map(&w, AT, host, SIZE / 2, S2_RWX);
	count_split(&w, pages);
	world_close(&w);
}

/* What the host does when a guest shares pages: the guest's part is not counted. */
static void count_share(const struct machine_space *kind, uint64_t pages)
{
	const struct s2_range all = s2_range(s2_gpa(AT), SIZE);
	struct s2_track track;
	struct count c;

	MUST(s2_track_init(&track, &memory_env, all) == S2_OK);
	MUST(s2_track_move(&track, all, S2_DONATE, false) == S2_OK);
	count_start(&c);
	MUST(s2_track_move(&track, s2_range(s2_gpa(AT), pages * PAGE), S2_SHARE, false) == S2_OK);
	count_stop(&c);
	count_print(kind, "share", pages, &c);
	s2_track_fini(&track);
}

/* From the guest's first touch to its last: all of the guest's, and of ours, for 2 MiB. */
static void count_demand(const struct machine_space *kind, char *host, uint64_t pages)
{
	struct guest_exit e;
	struct count c;
	struct world w;

	world_open(&w, kind, 0);
	world_map(&w, TEST_GPA, host, PAGE, S2_RWX);
	count_start(&c);
	guest_run(&w, guest_touch, AT, SIZE / 2, PAGE, &e);
	while (e.kind == EXIT_FAULT) {
		uint64_t at = (e.gpa - AT) & ~(pages * PAGE - 1);

		world_map(&w, AT + at, host + at, pages * PAGE, S2_RWX);
		world_sync(&w);
		guest_resume(&w, &e);
	}
	count_stop(&c);
	MUST(e.kind == EXIT_CALL);
	count_print(kind, "demand-2M", pages, &c);
	world_close(&w);
}

void counts_run(void)
{
	char *host = memory_alloc(SIZE);

	for (size_t i = 0; i < machine.space_count; i++) {
		const struct machine_space *kind = &machine.space[i];

		for (size_t j = 0; j < sizeof(sizes) / sizeof(*sizes); j++) {
			if (args_select(kind->name, "", false)) {
				count_changes(kind, host, sizes[j]);
				count_share(kind, sizes[j]);
				count_demand(kind, host, sizes[j]);
			}
		}
	}
	memory_free(host, SIZE);
}
