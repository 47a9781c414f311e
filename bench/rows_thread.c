/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows about two threads on disjoint halves of the memory. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum variant {
	THREADS_PAGE,
	THREADS_RANGE,
};

/* About as long as the rows take. */
#define LOOP_COUNT 1000000

struct work;

/* One half, and who works on it. */
struct half {
	struct work *work;
	struct s2_gather gather;
	uint64_t first; /* page */
	uint64_t count;
	uint64_t failed;
	uint64_t sum;
} __attribute__((aligned(256)));

struct work {
	const struct setup *setup;
	struct guest guest;
	enum variant variant;
	uint32_t *order; /* first the pages of one half, then those of the other */
	void (*job)(struct half *half);
	void (*warm)(struct half *half); /* makes the half's tables the second processor's own */
	struct half half[2];
	pthread_t thread;
	int state __attribute__((aligned(256)));
};

enum state {
	WAITING,
	READY,
	GO,
	DONE,
	FAILED,
};

static void map_pages(struct half *half)
{
	struct guest *guest = &half->work->guest;
	const uint32_t *order = half->work->order + half->first;
	uint64_t failed = 0;

	for (uint64_t i = 0; i < half->count; i++) {
		uint64_t at = (uint64_t)order[i] << S2_PAGE_LG2;

		failed += s2_map_page(&guest->space, s2_gpa(GUEST_GPA + at), s2_hpa(GUEST_HPA + at),
				      S2_RWX, S2_MEM_NORMAL, &half->gather) != S2_OK;
	}
	half->failed += failed;
}

static struct s2_run run_of(const struct half *half)
{
	struct s2_run run = {.gpa = s2_gpa(GUEST_GPA + half->first * S2_PAGE_SIZE),
			     .hpa = s2_hpa(GUEST_HPA + half->first * S2_PAGE_SIZE),
			     .len = half->count * S2_PAGE_SIZE,
			     .folio_order = S2_FOLIO_ORDER_MAX};

	return run;
}

static void map_range(struct half *half)
{
	struct guest *guest = &half->work->guest;
	struct s2_run run = run_of(half);

	half->failed +=
		s2_map(&guest->space, &run, 1, S2_RWX, S2_MEM_NORMAL, &half->gather, NULL) != S2_OK;
}

/* The same by hand. */
static void store_pages(struct half *half)
{
	const struct work *w = half->work;

	w->setup->format->limits->store(&w->guest, w->order + half->first, half->count);
}

static void set_tables(struct half *half)
{
	const struct setup *setup = half->work->setup;
	uint64_t before = guest_table_bytes(setup, half->first * S2_PAGE_SIZE);

	limit_memset(setup->pool->base + before,
		     guest_table_bytes(setup, half->count * S2_PAGE_SIZE));
}

static void loop(struct half *half)
{
	half->sum = limit_loop(LOOP_COUNT);
}

static struct s2_range range_of(const struct half *half)
{
	return s2_range(run_of(half).gpa, half->count * S2_PAGE_SIZE);
}

/* Each half has its own tables in hand, so that the pool is not shared. */
static void reserve(struct half *half)
{
	const struct s2_space *space = &half->work->guest.space;
	struct s2_run run = run_of(half);

	half->failed += s2_gather_reserve(&half->gather, s2_tables_bound(space, &run, 1)) != S2_OK;
}

static void open_halves(struct work *w)
{
	for (unsigned i = 0; i < 2; i++) {
		s2_gather_init(&w->half[i].gather, &w->guest.space);
		reserve(&w->half[i]);
	}
}

/* Linked tables, which are empty. */
static void warm_linked(struct half *half)
{
	map_range(half);
	half->failed += guest_empty(&half->work->guest, range_of(half), &half->gather);
}

/* Tables in hand. */
static void warm_spare(struct half *half)
{
	map_range(half);
	half->failed +=
		s2_unmap(&half->work->guest.space, range_of(half), &half->gather, NULL) != S2_OK;
	s2_gather_sync(&half->gather);
	reserve(half);
}

static void close_halves(struct work *w)
{
	if (w->guest.open) {
		s2_gather_fini(&w->half[0].gather);
		s2_gather_fini(&w->half[1].gather);
		guest_close(&w->guest);
	}
}

static void prepare_one(void *cookie)
{
	struct work *w = cookie;

	close_halves(w);
	guest_open(&w->guest, w->setup, LEAVES_4K, w->setup->memory, true);
	if (w->variant == THREADS_PAGE) {
		guest_map(&w->guest);
		w->guest.failed += guest_empty(&w->guest, w->guest.range, &w->guest.gather);
		w->job = map_pages;
		w->warm = warm_linked;
	} else {
		w->job = map_range;
		w->warm = warm_spare;
	}
	open_halves(w);
}

static void run_one(void *cookie)
{
	struct work *w = cookie;

	w->job(&w->half[0]);
	w->job(&w->half[1]);
}

static void set_state(struct work *w, enum state state)
{
	__atomic_store_n(&w->state, (int)state, __ATOMIC_RELEASE);
}

static enum state wait_past(struct work *w, enum state state)
{
	enum state is;

	do {
		is = (enum state)__atomic_load_n(&w->state, __ATOMIC_ACQUIRE);
	} while (is == state);
	return is;
}

static void *second(void *cookie)
{
	struct work *w = cookie;

	if (!host_pin(w->setup->cpu[1])) {
		set_state(w, FAILED);
		return NULL;
	}
	w->warm(&w->half[1]);
	set_state(w, READY);
	wait_past(w, READY);
	w->job(&w->half[1]);
	set_state(w, DONE);
	return NULL;
}

static void start_second(struct work *w)
{
	w->state = WAITING;
	if (pthread_create(&w->thread, NULL, second, w) != 0) {
		w->half[1].failed++;
		w->state = FAILED;
		return;
	}
	if (wait_past(w, WAITING) == FAILED) {
		w->half[1].failed++;
		pthread_join(w->thread, NULL);
	}
}

static void run_two(void *cookie)
{
	struct work *w = cookie;

	if (w->state != READY) {
		return;
	}
	set_state(w, GO);
	w->job(&w->half[0]);
	wait_past(w, GO);
}

/* The thread has ended its work, but may still be there. */
static void join_second(struct work *w)
{
	if (w->state == DONE) {
		pthread_join(w->thread, NULL);
		w->state = WAITING;
	}
}

static void prepare_two(void *cookie)
{
	struct work *w = cookie;

	join_second(w);
	prepare_one(w);
	start_second(w);
}

static void prepare_hand_one(void *cookie)
{
	struct work *w = cookie;

	join_second(w);
	if (w->variant == THREADS_PAGE) {
		prepare_one(w);
		w->job = store_pages;
	} else {
		close_halves(w);
		guest_none(&w->guest, w->setup, guest_table_bytes(w->setup, w->setup->memory));
		w->job = set_tables;
		w->warm = set_tables;
	}
}

static void prepare_hand_two(void *cookie)
{
	struct work *w = cookie;

	prepare_hand_one(w);
	start_second(w);
}

static void prepare_loop_one(void *cookie)
{
	struct work *w = cookie;

	join_second(w);
	w->job = loop;
	w->warm = loop;
}

static void prepare_loop_two(void *cookie)
{
	struct work *w = cookie;

	prepare_loop_one(w);
	start_second(w);
}

static bool check_mapped(void *cookie)
{
	const struct work *w = cookie;

	return w->guest.failed + w->half[0].failed + w->half[1].failed == 0 &&
	       guest_mapped(&w->guest) == w->setup->memory;
}

/* The shuffled pages, sorted into halves and still shuffled. */
static void make_halves(struct work *w)
{
	uint64_t count = w->setup->memory / S2_PAGE_SIZE;
	uint64_t to[2] = {0, count / 2};

	w->order = allocate((size_t)count * sizeof(*w->order));
	for (uint64_t i = 0; i < count; i++) {
		uint32_t page = w->setup->order[i];

		w->order[to[page >= count / 2]++] = page;
	}
	for (unsigned i = 0; i < 2; i++) {
		w->half[i].work = w;
		w->half[i].first = i * (count / 2);
		w->half[i].count = count / 2;
	}
}

/* How many times as fast two are as one. */
static struct figure speed_up(const struct figure *one, const struct figure *two)
{
	struct figure figure = {.best = one->best / two->best,
				.median = one->median / two->median,
				.worst = one->best / two->worst};

	return figure;
}

/*
 * One thread is timed by its own clock, two by the one on the wall: where others are busy, this makes
 * the speed-up less than it is, and never more.
 */
#define BY_WALL (1u << 1 | 1u << 3 | 1u << 5)

static bool measure_threads(const struct setup *setup, struct result *result)
{
	static struct work w;
	static const struct way ways[] = {
		{"", prepare_one, run_one, check_mapped}, {"", prepare_two, run_two, check_mapped},
		{"", prepare_loop_one, run_one, NULL},	  {"", prepare_loop_two, run_two, NULL},
		{"", prepare_hand_one, run_one, NULL},	  {"", prepare_hand_two, run_two, NULL}};
	struct figure figure[6];
	bool good;

	if (setup->cpu[1] < 0) {
		result->absent = "one processor";
		return true;
	}
	memset(&w, 0, sizeof(w));
	w.setup = setup;
	w.variant = (enum variant)result->row->variant;
	make_halves(&w);
	good = measure(ways, sizeof(ways) / sizeof(ways[0]), &w, BY_WALL, setup->repeat,
		       (double)setup->memory / S2_PAGE_SIZE, figure);
	join_second(&w);
	result->figure = speed_up(&figure[0], &figure[1]);
	result->limit[0].name = "a loop that shares nothing";
	result->limit[0].figure = speed_up(&figure[2], &figure[3]);
	result->limit[1].name =
		w.variant == THREADS_PAGE ? "walk and store" : "memset of the tables";
	result->limit[1].figure = speed_up(&figure[4], &figure[5]);
	good = good && w.half[0].failed + w.half[1].failed == 0;
	close_halves(&w);
	free(w.order);
	return good;
}

const struct row thread_rows[] = {
	{"threads-page", "map-page by two threads, each in its half", "times", 1.9, 0, true, true,
	 measure_threads, THREADS_PAGE},
	{"threads-range", "map-range by two threads, each in its half", "times", 1.9, 0, true, true,
	 measure_threads, THREADS_RANGE},
};

const size_t thread_row_count = sizeof(thread_rows) / sizeof(thread_rows[0]);
