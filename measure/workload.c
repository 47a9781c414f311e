/* SPDX-License-Identifier: BSD-2-Clause */
#include "workload.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/*
 * The generated workloads use a window of RAM that is small enough for a sweep on an emulated board,
 * and lies behind the payload and its device tree.
 */
#define WINDOW_OFFSET (UINT64_C(16) << 20)
#define WINDOW_SIZE (UINT64_C(8) << 20)
#define WINDOW_PAGES (WINDOW_SIZE / S2_PAGE_SIZE)

/* SplitMix64 (Steele, Lea, Flood 2014): one word of state, the same everywhere. */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t random_below(uint64_t *state, uint64_t limit)
{
	return random_next(state) % limit;
}

int workload_add(struct workload *workload, enum s2_move move, struct s2_range range)
{
	if (workload->count == workload->size) {
		size_t size = workload->size ? 2 * workload->size : 64;
		struct step *step = realloc(workload->step, size * sizeof(*step));

		if (!step) {
			log_error("out of memory for the workload");
			return EXIT_CODE_OS;
		}
		workload->step = step;
		workload->size = size;
	}
	workload->step[workload->count++] = (struct step){move, range};
	return 0;
}

/* A generator at work: its window, its random numbers, and which pages are taken. */
struct maker {
	struct workload *workload;
	s2_gpa_t window;
	uint64_t random;
	bool taken[WINDOW_PAGES];
	int code; /* the first error sticks */
};

static void request(struct maker *maker, enum s2_move move, uint64_t page, uint64_t pages)
{
	const struct s2_range range =
		s2_range(s2_gpa(maker->window.val + page * S2_PAGE_SIZE), pages * S2_PAGE_SIZE);

	if (!maker->code) {
		maker->code = workload_add(maker->workload, move, range);
	}
	for (uint64_t i = 0; i < pages; i++) {
		maker->taken[page + i] = move == S2_SHARE;
	}
}

static bool is_free(const struct maker *maker, uint64_t page, uint64_t pages)
{
	for (uint64_t i = 0; i < pages; i++) {
		if (maker->taken[page + i]) {
			return false;
		}
	}
	return true;
}

/* A random place for pages, on a multiple of align, that nothing else uses. */
static uint64_t find_place(struct maker *maker, uint64_t pages, uint64_t align)
{
	uint64_t page;

	do {
		page = random_below(&maker->random, WINDOW_PAGES / align) * align;
	} while (page + pages > WINDOW_PAGES || !is_free(maker, page, pages));
	return page;
}

/*
 * Virtqueues as Linux allocates them: 3 pages for a queue of virtio-mmio, 2 for PCI, aligned to 4 KiB
 * only. A driver that is bound again takes the same pages four times out of five, as in our traces.
 */
static void make_ring(struct maker *maker)
{
	enum {
		QUEUES = 12,
		ROUNDS = 4
	};
	uint64_t place[QUEUES], pages[QUEUES];

	for (unsigned int i = 0; i < QUEUES; i++) {
		pages[i] = 2 + random_below(&maker->random, 2);
		place[i] = find_place(maker, pages[i], 1);
		request(maker, S2_SHARE, place[i], pages[i]);
	}
	for (unsigned int round = 0; round < ROUNDS; round++) {
		for (unsigned int i = round % 2; i < QUEUES; i += 2) {
			request(maker, S2_UNSHARE, place[i], pages[i]);
			if (random_below(&maker->random, 5) == 0) {
				place[i] = find_place(maker, pages[i], 1);
			}
			request(maker, S2_SHARE, place[i], pages[i]);
		}
	}
}

/* Bounce buffers, 64 KiB and so aligned, from a pool: at most eight at a time, first in, first out. */
static void make_bounce(struct maker *maker)
{
	enum {
		BUFFERS = 48,
		LIVE = 8,
		PAGES = 16
	};
	uint64_t place[BUFFERS];

	for (unsigned int i = 0; i < BUFFERS; i++) {
		if (i >= LIVE) {
			request(maker, S2_UNSHARE, place[i - LIVE], PAGES);
		}
		place[i] = find_place(maker, PAGES, PAGES);
		request(maker, S2_SHARE, place[i], PAGES);
	}
}

/* Single pages anywhere; every second one is given back later, in random order. */
static void make_sparse(struct maker *maker)
{
	enum {
		PAGES = 96
	};
	uint64_t place[PAGES];

	for (unsigned int i = 0; i < PAGES; i++) {
		place[i] = find_place(maker, 1, 1);
		request(maker, S2_SHARE, place[i], 1);
	}
	for (unsigned int left = PAGES; left > PAGES / 2; left--) {
		const uint64_t pick = random_below(&maker->random, left);

		request(maker, S2_UNSHARE, place[pick], 1);
		place[pick] = place[left - 1];
	}
}

const char *const workload_names[] = {"trace", "ring", "bounce", "sparse", NULL};

static int generate(struct workload *workload, const char *name, const struct workload_input *input,
		    void (*make)(struct maker *maker))
{
	struct maker *maker;
	int code;

	if (input->ram.len < WINDOW_OFFSET + WINDOW_SIZE) {
		log_error("workload '%s' needs at least %" PRIu64 "M of --memory", name,
			  (WINDOW_OFFSET + WINDOW_SIZE) >> 20);
		return EXIT_CODE_USAGE;
	}
	maker = calloc(1, sizeof(*maker));
	if (!maker) {
		log_error("out of memory for the workload");
		return EXIT_CODE_OS;
	}
	maker->workload = workload;
	maker->window = s2_gpa(input->ram.start.val + WINDOW_OFFSET);
	maker->random = input->seed;
	make(maker);
	code = maker->code;
	free(maker);
	return code;
}

int workload_make(struct workload *workload, const char *name, const struct workload_input *input)
{
	int code;

	*workload = (struct workload){0};
	if (!strcmp(name, "trace")) {
		code = trace_read(workload, input->trace, input->ram);
	} else if (!strcmp(name, "ring")) {
		code = generate(workload, name, input, make_ring);
	} else if (!strcmp(name, "bounce")) {
		code = generate(workload, name, input, make_bounce);
	} else {
		code = generate(workload, name, input, make_sparse);
	}
	if (code) {
		workload_free(workload);
	}
	return code;
}

void workload_free(struct workload *workload)
{
	free(workload->step);
	*workload = (struct workload){0};
}
