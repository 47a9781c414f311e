/* SPDX-License-Identifier: BSD-2-Clause */
#include "report_parts.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

static void add_group(struct groups *groups, const struct report_row *row)
{
	for (size_t i = 0; i < groups->count; i++) {
		if (group_has(groups->first[i], row)) {
			return;
		}
	}
	groups->first[groups->count++] = row;
}

/* Sorts by size; what is no size ("folio") comes last. */
static unsigned int grain_rank(const char *grain)
{
	unsigned int lg2;

	return size_parse(grain, &lg2) ? lg2 : REPORT_LEAF_LG2_MAX;
}

static void add_grain(struct groups *groups, const char *grain)
{
	size_t at = 0;

	while (at < groups->grain_count && grain_rank(groups->grain[at]) < grain_rank(grain)) {
		at++;
	}
	if (at < groups->grain_count && grain_rank(groups->grain[at]) == grain_rank(grain)) {
		return;
	}
	memmove(&groups->grain[at + 1], &groups->grain[at],
		(groups->grain_count - at) * sizeof(groups->grain[0]));
	groups->grain[at] = grain;
	groups->grain_count++;
}

int groups_init(struct groups *groups, const struct report *report)
{
	*groups = (struct groups){.report = report};
	groups->first = calloc(report->row_count + 1, sizeof(groups->first[0]));
	groups->grain = calloc(REPORT_LEAF_LG2_MAX + 2, sizeof(groups->grain[0]));
	if (groups->first == NULL || groups->grain == NULL) {
		groups_free(groups);
		log_error("out of memory");
		return EXIT_CODE_OS;
	}
	for (size_t i = 0; i < report->row_count; i++) {
		add_group(groups, &report->row[i]);
		add_grain(groups, report->row[i].grain);
	}
	return EXIT_CODE_OK;
}

void groups_free(struct groups *groups)
{
	free(groups->first);
	free(groups->grain);
	*groups = (struct groups){0};
}

bool group_has(const struct report_row *first, const struct report_row *row)
{
	return strcmp(first->workload, row->workload) == 0 &&
	       strcmp(first->backing, row->backing) == 0;
}

void group_title(const struct report_row *first, char *title, size_t size)
{
	snprintf(title, size, "%s on %s", first->workload, first->backing);
}

const struct report_row *group_row(const struct groups *groups, size_t group, const char *grain,
				   const char *policy)
{
	bool any = strcmp(grain, "4K") == 0;

	for (size_t i = 0; i < groups->report->row_count; i++) {
		const struct report_row *row = &groups->report->row[i];

		if (group_has(groups->first[group], row) && strcmp(row->grain, grain) == 0 &&
		    (any || strcmp(row->policy, policy) == 0)) {
			return row;
		}
	}
	return NULL;
}

uint64_t row_hypercalls(const struct report_row *row)
{
	return row->counted.hypercalls_share + row->counted.hypercalls_unshare;
}

/* Shown without decimals: what is not all must not look like all, nor something like nothing. */
double percent(uint64_t part, uint64_t whole)
{
	double exact;

	if (part >= whole) {
		return whole == 0 ? 0 : 100;
	}
	exact = 100 * (double)part / (double)whole;
	if (exact > 99) {
		return 99;
	}
	return part > 0 && exact < 1 ? 1 : exact;
}

double row_widened_percent(const struct report_row *row)
{
	return percent(row->counted.pages_widened, row->counted.hypercalls_share);
}

double row_refused_percent(const struct report_row *row)
{
	return percent(row->counted.pages_refused, row->counted.pages_requested);
}
