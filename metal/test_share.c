/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest shows pages to the host and takes them back, by hypercall; the host takes memory away. The
 * tracker knows which page is whose; a call that makes no sense changes nothing.
 */
#include "metal.h"

#define SIZE UINT64_C(0x400000)
#define PAGES (SIZE / PAGE)

static const struct s2_range all = {{TEST_GPA}, SIZE};

static uint64_t call(struct world *w, uint64_t number, uint64_t gpa, uint64_t len)
{
	struct s2_range range = s2_range(s2_gpa(gpa), len);

	switch (number) {
	case CALL_SHARE:
		return -(uint64_t)s2_track_move(&w->track, range, S2_SHARE, false);
	case CALL_UNSHARE:
		return -(uint64_t)s2_track_move(&w->track, range, S2_UNSHARE, false);
	default:
		return (uint64_t)CALL_UNKNOWN;
	}
}

static void open_tracked(struct world *w, const struct machine_space *kind, void *host)
{
	world_open(w, kind, 0);
	MUST(s2_track_init(&w->track, &memory_env, all) == S2_OK);
	w->call = call;
	world_map(w, TEST_GPA, host, SIZE, S2_RWX);
	world_sync(w);
	MUST(s2_track_move(&w->track, all, S2_DONATE, false) == S2_OK);
}

static void close_tracked(struct world *w)
{
	CHECK(s2_track_check(&w->track));
	s2_track_fini(&w->track);
	world_close(w);
}

static bool is_shared(struct world *w, uint64_t page)
{
	struct s2_page p;

	return s2_track_get(&w->track, s2_gpa(TEST_GPA + page * PAGE), &p) == S2_OK &&
	       p.state == S2_SHARED;
}

/* A hypercall of the guest, and what it is told. */
static bool calls(struct world *w, uint64_t number, uint64_t gpa, uint64_t len, uint64_t result)
{
	struct guest_exit e;

	guest_run(w, guest_hypercall, number, gpa, len, &e);
	if (e.kind != EXIT_CALL || e.call[0] != CALL_DONE || e.call[1] != result) {
		exit_print(&e);
		return false;
	}
	return true;
}

/* The host looks only where the tracker says that it may. */
static void share(const struct machine_space *kind)
{
	char *host = pattern_alloc(SIZE, 1);
	struct world w;

	open_tracked(&w, kind, host);
	for (uint64_t pages = 1; pages <= 512; pages *= 4) {
		uint64_t gpa = TEST_GPA + pages * PAGE;
		volatile uint64_t *word = (uint64_t *)(void *)(host + pages * PAGE + 64);

		CHECK(guest_returns(&w, guest_write, gpa + 64, pages, 0));
		CHECK(calls(&w, CALL_SHARE, gpa, pages * PAGE, 0));
		CHECK(!is_shared(&w, pages - 1) && is_shared(&w, pages) &&
		      is_shared(&w, 2 * pages - 1) && !is_shared(&w, 2 * pages));
		CHECK(*word == pages);
		*word = ~pages;
		CHECK(guest_returns(&w, guest_read, gpa + 64, 0, ~pages));
		CHECK(calls(&w, CALL_UNSHARE, gpa, pages * PAGE, 0));
		CHECK(!is_shared(&w, pages));
		CHECK(guest_returns(&w, guest_read, gpa + 64, 0, ~pages));
	}
	close_tracked(&w);
	memory_free(host, SIZE);
}

static void share_badly(const struct machine_space *kind)
{
	static const struct {
		uint64_t number, gpa, len;
		int result;
	} bad[] = {
		{CALL_SHARE, TEST_GPA, 0, -S2_ERR_INVAL},
		{CALL_SHARE, TEST_GPA + 8, PAGE, -S2_ERR_ALIGN},
		{CALL_SHARE, TEST_GPA, PAGE + 1, -S2_ERR_ALIGN},
		{CALL_SHARE, TEST_GPA - PAGE, 2 * PAGE, -S2_ERR_RANGE},
		{CALL_SHARE, TEST_GPA + SIZE, PAGE, -S2_ERR_RANGE},
		{CALL_SHARE, TEST_GPA, ~(PAGE - 1), -S2_ERR_WRAP},
		{CALL_UNSHARE, TEST_GPA, PAGE, -S2_ERR_STATE},
		{0x7777, TEST_GPA, PAGE, CALL_UNKNOWN},
	};
	void *host = pattern_alloc(SIZE, 1);
	struct s2_track_sum sum;
	struct world w;

	open_tracked(&w, kind, host);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CHECK(calls(&w, bad[i].number, bad[i].gpa, bad[i].len, (uint64_t)bad[i].result));
	}
	CHECK(s2_track_sum(&w.track, all, &sum) == S2_OK && sum.state[S2_SECURE] == PAGES);
	close_tracked(&w);
	memory_free(host, SIZE);
}

/* The host takes pages back: the guest no longer reaches them, and gets others instead. */
static void reclaim(const struct machine_space *kind)
{
	char *host = pattern_alloc(SIZE, 1);
	struct s2_range range = s2_range(s2_gpa(TEST_GPA + 16 * PAGE), 16 * PAGE);
	struct world w;

	open_tracked(&w, kind, host);
	CHECK(pattern_reads(&w, TEST_GPA, 1, 0, PAGES));
	world_unmap(&w, range.start.val, range.len);
	world_sync(&w);
	CHECK(s2_track_move(&w.track, range, S2_RECLAIM, false) == S2_OK);
	memset(host + 16 * PAGE, 0, 16 * PAGE);
	for (uint64_t page = 16; page < 32; page++) {
		CHECK(guest_faults(&w, guest_write, TEST_GPA + page * PAGE, S2_WRITE, false));
	}
	CHECK(calls(&w, CALL_SHARE, range.start.val, range.len, -(uint64_t)S2_ERR_STATE));
	CHECK(pattern_reads(&w, TEST_GPA, 1, 15, 1));
	CHECK(pattern_reads(&w, TEST_GPA, 1, 32, 1));
	CHECK(*(uint64_t *)(void *)(host + 20 * PAGE) == 0);
	close_tracked(&w);
	memory_free(host, SIZE);
}

const struct test share_tests[] = {
	{"share", share, false},
	{"share-badly", share_badly, false},
	{"reclaim", reclaim, false},
	{NULL, NULL, false},
};
