/* SPDX-License-Identifier: BSD-2-Clause */
/* Samples of time, and what is made of them. */
#include <stdlib.h>
#include <time.h>

#include "bench.h"

static double read_clock(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static struct figure figure_of(double *sample, unsigned count, double units)
{
	struct figure figure;

	qsort(sample, count, sizeof(*sample), compare);
	figure.best = sample[0] / units;
	figure.median = sample[count / 2] / units;
	figure.worst = sample[count - 1] / units;
	return figure;
}

/*
 * Processor time of this thread; or the time that passed, if that is less, which it is where the
 * system call that reads the former is a good part of it.
 */
static double sample_of(const struct way *way, void *cookie, bool by_wall)
{
	double own, wall;

	if (way->prepare != NULL) {
		way->prepare(cookie);
	}
	own = read_clock(CLOCK_THREAD_CPUTIME_ID);
	wall = read_clock(CLOCK_MONOTONIC);
	__asm__ volatile("" ::: "memory");
	way->run(cookie);
	__asm__ volatile("" ::: "memory");
	wall = read_clock(CLOCK_MONOTONIC) - wall;
	own = read_clock(CLOCK_THREAD_CPUTIME_ID) - own;
	return own < wall && !by_wall ? own : wall;
}

bool measure(const struct way *ways, size_t way_count, void *cookie, unsigned by_wall,
	     unsigned repeat, double units, struct figure *figure)
{
	static double sample[WAYS_MAX][REPEAT_MAX];

	for (unsigned i = 0; i < repeat; i++) {
		for (size_t j = 0; j < way_count; j++) {
			sample[j][i] = sample_of(&ways[j], cookie, (by_wall >> j) & 1);
			if (i == 0 && ways[j].check != NULL && !ways[j].check(cookie)) {
				return false;
			}
		}
	}
	for (size_t j = 0; j < way_count; j++) {
		figure[j] = figure_of(sample[j], repeat, units);
	}
	return true;
}

bool measure_row(const struct setup *setup, const struct way *ways, size_t way_count, void *cookie,
		 double units, struct result *result)
{
	struct figure figure[WAYS_MAX];

	if (!measure(ways, way_count, cookie, 0, setup->repeat, units, figure)) {
		return false;
	}
	result->figure = figure[0];
	for (size_t i = 1; i < way_count; i++) {
		result->limit[i - 1].name = ways[i].name;
		result->limit[i - 1].figure = figure[i];
	}
	return true;
}
