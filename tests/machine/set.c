/* SPDX-License-Identifier: BSD-2-Clause */
/* Sets of bytes, as sorted stretches that neither overlap nor touch. */
#include "walk.h"

#include <stdlib.h>
#include <string.h>

/* The first stretch that ends at or behind at. */
static size_t set_find(const struct machine_set *set, uint64_t at)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->stretch[middle].last < at) {
			low = middle + 1;
		} else {
			high = middle;
		}
	}
	return low;
}

/* Replaces count stretches from at on by these. */
static void set_splice(struct machine_set *set, size_t at, size_t count,
		       const struct machine_stretch *in, size_t in_count)
{
	if (set->count - count + in_count > set->room) {
		set->room = set->room * 2 + 16;
		set->stretch = realloc(set->stretch, set->room * sizeof(*set->stretch));
		if (set->stretch == NULL) {
			abort();
		}
	}
	if (set->count > at + count) {
		memmove(set->stretch + at + in_count, set->stretch + at + count,
			(set->count - at - count) * sizeof(*set->stretch));
	}
	for (size_t i = 0; i < in_count; i++) {
		set->stretch[at + i] = in[i];
	}
	set->count = set->count - count + in_count;
}

void set_add(struct machine_set *set, uint64_t start, uint64_t last)
{
	size_t at = set_find(set, start == 0 ? 0 : start - 1);
	struct machine_stretch in = {start, last};
	size_t count = 0;

	while (at + count < set->count &&
	       (last == UINT64_MAX || set->stretch[at + count].start <= last + 1)) {
		const struct machine_stretch *old = &set->stretch[at + count];

		in.start = old->start < in.start ? old->start : in.start;
		in.last = old->last > in.last ? old->last : in.last;
		count++;
	}
	set_splice(set, at, count, &in, 1);
}

void set_remove(struct machine_set *set, uint64_t start, uint64_t last)
{
	size_t at = set_find(set, start), count = 0, left = 0;
	struct machine_stretch rest[2];

	while (at + count < set->count && set->stretch[at + count].start <= last) {
		const struct machine_stretch *old = &set->stretch[at + count];

		if (old->start < start) {
			rest[left].start = old->start;
			rest[left++].last = start - 1;
		}
		if (old->last > last) {
			rest[left].start = last + 1;
			rest[left++].last = old->last;
		}
		count++;
	}
	set_splice(set, at, count, rest, left);
}

bool set_covers(const struct machine_set *set, uint64_t start, uint64_t last)
{
	size_t at = set_find(set, start);

	return at < set->count && set->stretch[at].start <= start && set->stretch[at].last >= last;
}

void set_free(struct machine_set *set)
{
	free(set->stretch);
	memset(set, 0, sizeof(*set));
}
