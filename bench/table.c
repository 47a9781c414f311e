/* SPDX-License-Identifier: BSD-2-Clause */
/* The table for people. */
#include <stdio.h>
#include <string.h>

#include "bench.h"

#define INDENT 41u /* the columns that every row has */

void table_head(const struct host *host, const struct setup *setup)
{
	printf("%s, %ld processors, governor %s; %s\n", host->cpu, host->cpus, host->governor,
	       host->kernel);
	printf("%s, %s\n", host->compiler, host->flags);
	printf("%s, load %.2f; processor %d; best of %u; %llu MiB of guest memory\n", host->date,
	       host_load(), setup->cpu[0], setup->repeat,
	       (unsigned long long)(setup->memory >> 20));
}

void table_section(const struct format *format, bool relative)
{
	if (format == NULL) {
		printf("\ntracker\n");
	} else {
		printf("\n%s%s%s, %u bits of gpa\n", format->name, format->note[0] ? ", " : "",
		       format->note, format->gpa_bits);
	}
	printf("  %-17s %-8s %7s %6s", "", "", "best", "spread");
	if (relative) {
		printf(" %8s", "to arm64");
	}
	printf(" %7s %6s", "limit", "ratio");
	if (!relative) {
		printf(" %8s %6s", "to reach", "there*");
	}
	printf("  the limit is\n");
}

/* Three digits that matter; as wide as the column. */
static const char *number(double value, char text[16])
{
	if (value >= 99.95) {
		snprintf(text, 16, "%.0f", value);
	} else if (value >= 9.995) {
		snprintf(text, 16, "%.1f", value);
	} else if (value >= 0.0995) {
		snprintf(text, 16, "%.2f", value);
	} else {
		snprintf(text, 16, "%.4f", value);
	}
	return text;
}

/* How far the median is from the best. */
static const char *spread(const struct result *result, char text[16])
{
	const struct figure *figure = &result->figure;
	double part = result->row->larger_is_better ? figure->best / figure->median
						    : figure->median / figure->best;

	snprintf(text, 16, "%+.0f%%", (part - 1) * 100);
	return text;
}

/* The aim, and what was reached elsewhere; as wide as the two columns. */
static void aims(const struct row *row, char text[32])
{
	char reach[16] = "", elsewhere[16] = "";

	if (row->reach > 0) {
		snprintf(reach, sizeof(reach), row->larger_is_better ? ">= %.1f" : "<= %.2fx",
			 row->reach);
	}
	if (row->elsewhere > 0) {
		number(row->elsewhere, elsewhere);
	}
	snprintf(text, 32, " %8s %6s", reach, elsewhere);
}

/* What stands in the columns between ratio and name is said of the first limit. */
static void print_limits(const struct result *result, const char *first, unsigned indent)
{
	double best = result->figure.best;
	char a[16], b[16];

	for (unsigned i = 0; i < LIMITS_MAX && result->limit[i].name != NULL; i++) {
		double limit = result->limit[i].figure.best;

		printf("%*s %7s %6s%*s  %s\n", i == 0 ? 0 : (int)indent, "", number(limit, a),
		       number(best / limit, b), (int)strlen(first), i == 0 ? first : "",
		       result->limit[i].name);
	}
	if (result->limit[0].name == NULL) {
		printf("%*s%s\n", first[0] != '\0' ? 15 : 0, "", first);
	}
}

static void print_counted(const struct result *result)
{
	for (unsigned i = 0; i < COUNTED_MAX && result->counted[i].name != NULL; i++) {
		printf("%s%s %llu", i == 0 ? "    " : ", ", result->counted[i].name,
		       (unsigned long long)result->counted[i].value);
	}
	if (result->counted[0].name != NULL) {
		printf("\n");
	}
}

void table_row(const struct result *result, const struct result *arm64)
{
	char a[16], b[16], reach[32];

	if (result->absent != NULL) {
		printf("  %-17s not measured: %s\n", result->row->name, result->absent);
		return;
	}
	printf("  %-17s %-8s %7s %6s", result->row->name, result->row->unit,
	       number(result->figure.best, a), spread(result, b));
	if (arm64 != NULL) {
		printf(" %8s", arm64->absent != NULL
				       ? ""
				       : number(result->figure.best / arm64->figure.best, a));
		print_limits(result, "", INDENT + 9);
	} else {
		aims(result->row, reach);
		print_limits(result, reach, INDENT);
		print_counted(result);
	}
	fflush(stdout);
}

void table_foot(void)
{
	printf("\nspread: from the best to the median, large where others were busy. ratio: best to "
	       "limit.\n*: what a small design reached on another machine (Zen 5); not to be "
	       "compared with times\nfrom this one.\n");
}
