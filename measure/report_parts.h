/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the report share among themselves; everybody else includes report.h. */
#ifndef MEASURE_REPORT_PARTS_H
#define MEASURE_REPORT_PARTS_H

#include "report.h"

struct json_object;

#define REPORT_SECONDS_MAX 1e9

#define SIZE_NAME_MAX 8	  /* "512G" */
#define COUNT_TEXT_MAX 32 /* 2^64 - 1 with thousands separators */

/* fields.c: one table for all counters; the member's name is its name in JSON. */
struct counted_field {
	const char *name;
	const char *label;   /* head of its column */
	const char *meaning; /* one line */
	size_t offset;
};

extern const struct counted_field counted_fields[];
extern const size_t counted_field_count;

uint64_t counted_get(const struct report_counted *counted, const struct counted_field *field);
void counted_set(struct report_counted *counted, const struct counted_field *field, uint64_t value);

/* "4K" for 12; power-of-two sizes below 1T. */
void size_name(char name[SIZE_NAME_MAX], unsigned int lg2);
/* The other way round; false unless name is exactly what size_name() writes. */
bool size_parse(const char *name, unsigned int *lg2);
/* "1,234,567" */
void count_text(char text[COUNT_TEXT_MAX], uint64_t count);
/* Printable ASCII: safe for a terminal and equal in every locale. */
bool text_printable(const char *text, size_t length);
/* Leaves as "4K:12 2M:120", or "none". */
void leaves_write(const struct report_leaves *leaves, FILE *out);
uint64_t leaves_sum(const struct report_leaves *leaves);
/* What was run, in words: "256 MiB of guest RAM", "asked for 64K; got 64K 98.0 %, 4K 2.0 %". */
void print_memory_size(uint64_t bytes, FILE *out);
void backing_write(const struct report_backing *backing, FILE *out);

/* groups.c: rows of one workload on one backing, and figures that follow from a row. */
struct groups {
	const struct report *report;
	const struct report_row **first; /* one row of each group, in order of appearance */
	size_t count;
	const char **grain; /* all grains that occur, by size, "folio" last */
	size_t grain_count;
};

/* Returns 0 or EXIT_CODE_OS. */
int groups_init(struct groups *groups, const struct report *report);
void groups_free(struct groups *groups);
bool group_has(const struct report_row *first, const struct report_row *row);
/* "ring on thp" */
void group_title(const struct report_row *first, char *title, size_t size);
/* NULL if there is none. At 4K all policies are one, so any row of the grain will do there. */
const struct report_row *group_row(const struct groups *groups, size_t group, const char *grain,
				   const char *policy);

uint64_t row_hypercalls(const struct report_row *row);
/* For figures without decimals: 0 and 100 only for nothing and all. */
double percent(uint64_t part, uint64_t whole);
/* Per cent of the pages shared that nobody asked for; of the pages asked for that were refused. */
double row_widened_percent(const struct report_row *row);
double row_refused_percent(const struct report_row *row);

/* reading.c: what the rows say, in plain words. NULL if out of memory; the caller frees. */
char *reading_summary(const struct groups *groups);
char *reading_group(const struct groups *groups, size_t group);

/* json_read.c: report_read_json() of a document that is open already. */
int report_from_json(struct report *report, struct json_object *top, const char *path);

/* input.c: a file of 1 to max bytes; the caller frees. Returns 0 or an exit code. */
int input_read(const char *path, size_t max, char **text, size_t *length);

/* output.c: the whole file or nothing. Returns 0 or EXIT_CODE_CANT_CREATE. */
int output_write(const char *path, const char *data, size_t length);

#define CHART_GROUPS_MAX 4

enum chart {
	CHART_HYPERCALLS,
	CHART_WIDENED,
	CHART_EXPOSED,
	CHART_REFUSED,
	CHART_LEAVES,
	CHART_COUNT
};

/* chart.c: how many groups a chart shows; as equal as can be, if it takes several. */
size_t chart_groups(const struct groups *groups);
/*
 * One chart, from first_group on, as SVG to put into a page; the caller frees. NULL if no row has
 * figures for it. Returns 0 or an exit code.
 */
int chart_draw(const struct groups *groups, enum chart chart, size_t first_group, char **svg);

/*
 * plot.c: runs gnuplot on a script that draws to the terminal "svg". All ids in *svg start with
 * name, its title becomes title (HTML, escaped already). Returns 0 or an exit code.
 */
int plot_run(const char *script, size_t length, const char *name, const char *title, char **svg);

#endif
