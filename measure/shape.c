/* SPDX-License-Identifier: BSD-2-Clause */
#include "shape.h"

#include "workload.h"

static void add_leaves(struct report_leaves *out, const struct s2_leaf_count *leaves)
{
	for (unsigned int lg2 = 0; lg2 < REPORT_LEAF_LG2_MAX; lg2++) {
		out->count[lg2] += leaves->count[lg2];
	}
}

/* The next stretch of a run that is all shared or all not, from gpa on. */
static struct s2_range next_stretch(const struct s2_track *track, s2_gpa_t gpa,
				    struct s2_range limit, bool *shared)
{
	struct s2_range stretch = s2_range(gpa, 0);
	struct s2_span span;

	/* Spans also end where only the widened mark changes: join those. */
	while (stretch.len == 0 || s2_range_last(stretch).val != s2_range_last(limit).val) {
		const s2_gpa_t at = s2_gpa(gpa.val + stretch.len);

		if (s2_track_next(track, at, limit, &span)) {
			break;
		}
		if (stretch.len && (span.page.state == S2_SHARED) != *shared) {
			break;
		}
		*shared = span.page.state == S2_SHARED;
		stretch.len += span.range.len;
	}
	return stretch;
}

static void measure_run(const struct s2_run *run, const struct s2_track *track, uint64_t leaf_sizes,
			struct report_counted *counted, struct s2_leaf_count *after)
{
	const struct s2_range range = s2_run_range(run);
	uint64_t holes = 0, hole_pages = 0;

	for (uint64_t offset = 0; offset < range.len;) {
		bool shared = false;
		const struct s2_range stretch =
			next_stretch(track, s2_gpa(range.start.val + offset), range, &shared);

		if (stretch.len == 0) {
			break; /* a run outside the tracker: there is none */
		}
		s2_run_count_leaves(run, stretch, leaf_sizes, after);
		if (shared) {
			holes++;
			hole_pages += stretch.len / S2_PAGE_SIZE;
		}
		offset += stretch.len;
	}
	if (hole_pages && hole_pages < range.len / S2_PAGE_SIZE) {
		counted->folios_mixed++;
		counted->holes += holes;
		counted->hole_pages += hole_pages;
	} else {
		counted->folios_whole++;
	}
}

void shape_measure(const struct ram *ram, const struct s2_track *track, uint64_t leaf_sizes,
		   struct report_counted *counted, struct report_modelled *modelled)
{
	struct s2_leaf_count before = {0}, after = {0};

	for (size_t i = 0; i < ram->run_count; i++) {
		/* The tool's own mailbox is no finding. A folio may hold it and more: cut at a folio. */
		if (ram->run[i].gpa.val - ram->gpa.val < WORKLOAD_RESERVED) {
			continue;
		}
		s2_run_count_leaves(&ram->run[i], s2_run_range(&ram->run[i]), leaf_sizes, &before);
		measure_run(&ram->run[i], track, leaf_sizes, counted, &after);
	}
	add_leaves(&modelled->before, &before);
	add_leaves(&modelled->after, &after);
}
