/* SPDX-License-Identifier: BSD-2-Clause */
/* Sentences computed from the rows; a figure whose rows are missing is left out. */
#include "report_parts.h"

#include <stdlib.h>
#include <string.h>

static const char *const compared[] = {"64K", "2M"};

#define COMPARED_COUNT (sizeof(compared) / sizeof(compared[0]))

static void write_ratio(FILE *out, double ratio)
{
	fprintf(out, ratio < 100 ? "%.1fx" : "%.0fx", ratio);
}

static double ratio_to(const struct report_row *row, const struct report_row *base)
{
	return (double)row_hypercalls(row) / (double)row_hypercalls(base);
}

static double satisfied_percent(const struct report_row *row)
{
	return percent(row->counted.requests_satisfied, row->counted.steps);
}

static void write_widen(FILE *out, const struct report_row *row, const struct report_row *base)
{
	fprintf(out, " Widen to %s: ", row->grain);
	write_ratio(out, ratio_to(row, base));
	fprintf(out,
		" the hypercalls, %.0f %% of shared pages unasked, %.0f %% of requests needed "
		"none.",
		row_widened_percent(row), satisfied_percent(row));
}

static void write_refuse(FILE *out, const struct report_row *row)
{
	char refused[COUNT_TEXT_MAX];
	char requested[COUNT_TEXT_MAX];

	count_text(refused, row->counted.pages_refused);
	count_text(requested, row->counted.pages_requested);
	fprintf(out, " Refuse below %s: %s of %s pages asked for are not converted.", row->grain,
		refused, requested);
}

static void write_figures(const struct groups *groups, size_t group, FILE *out)
{
	const struct report_row *base = group_row(groups, group, "4K", "exact");
	const struct report_row *refuse = group_row(groups, group, "64K", "refuse");
	char calls[COUNT_TEXT_MAX];

	if (base == NULL || row_hypercalls(base) == 0) {
		fputs("no hypercalls at 4K to compare with.", out);
		return;
	}
	count_text(calls, row_hypercalls(base));
	fprintf(out, "at 4K %s hypercalls, %.0f %% of requests needed none.", calls,
		satisfied_percent(base));
	for (size_t i = 0; i < COMPARED_COUNT; i++) {
		const struct report_row *row = group_row(groups, group, compared[i], "widen");

		if (row != NULL) {
			write_widen(out, row, base);
		}
	}
	if (refuse != NULL) {
		write_refuse(out, refuse);
	}
}

static char *group_figures(const struct groups *groups, size_t group)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);

	if (out == NULL) {
		return NULL;
	}
	write_figures(groups, group, out);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* An earlier group of the same workload that reads the same; group itself if there is none. */
static size_t same_figures(const struct groups *groups, size_t group, const char *figures)
{
	for (size_t i = 0; i < group; i++) {
		char *other;
		bool same;

		if (strcmp(groups->first[i]->workload, groups->first[group]->workload) != 0) {
			continue;
		}
		other = group_figures(groups, i);
		same = other != NULL && strcmp(other, figures) == 0;
		free(other);
		if (same) {
			return i;
		}
	}
	return group;
}

char *reading_group(const struct groups *groups, size_t group)
{
	char *figures = group_figures(groups, group);
	char title[2 * REPORT_NAME_MAX + 8];
	char *text = NULL;
	size_t same;
	int length;

	if (figures == NULL) {
		return NULL;
	}
	group_title(groups->first[group], title, sizeof(title));
	same = same_figures(groups, group, figures);
	if (same != group) {
		length = asprintf(&text, "%s: the same as on %s.", title,
				  groups->first[same]->backing);
	} else {
		length = asprintf(&text, "%s: %s", title, figures);
	}
	free(figures);
	return length < 0 ? NULL : text;
}

struct spread {
	double least;
	double most;
	size_t count;
};

static void spread_add(struct spread *spread, double value)
{
	if (spread->count == 0 || value < spread->least) {
		spread->least = value;
	}
	if (spread->count == 0 || value > spread->most) {
		spread->most = value;
	}
	spread->count++;
}

static void write_spread(const struct groups *groups, const char *grain, FILE *out)
{
	struct spread calls = {0};
	struct spread widened = {0};

	for (size_t i = 0; i < groups->count; i++) {
		const struct report_row *base = group_row(groups, i, "4K", "exact");
		const struct report_row *row = group_row(groups, i, grain, "widen");

		if (base != NULL && row != NULL && row_hypercalls(base) != 0) {
			spread_add(&calls, ratio_to(row, base));
			spread_add(&widened, row_widened_percent(row));
		}
	}
	if (calls.count == 0) {
		return;
	}
	fprintf(out, " At %s it takes ", grain);
	write_ratio(out, calls.least);
	fputs(" to ", out);
	write_ratio(out, calls.most);
	fprintf(out,
		" the hypercalls of 4K, and %.0f to %.0f %% of the pages it shares are "
		"shared unasked.",
		widened.least, widened.most);
}

char *reading_summary(const struct groups *groups)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);

	if (out == NULL) {
		return NULL;
	}
	fputs("Widening, over all workloads:", out);
	for (size_t i = 0; i < COMPARED_COUNT; i++) {
		write_spread(groups, compared[i], out);
	}
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
