/* SPDX-License-Identifier: BSD-2-Clause */
/* Two blocks a workload: what was counted, and what became of the memory. ASCII, 100 columns. */
#include "report_parts.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"

#define TABLE_WIDTH 100
#define INDENT 2
#define NAME_WIDTH 6 /* "refuse", "folio" */

#define SUM_OF_CALLS SIZE_MAX

struct column {
	const char *head[2];
	size_t offset; /* in struct report_counted */
};

#define COLUMN(top, bottom, member)                                    \
	{                                                              \
		{top, bottom}, offsetof(struct report_counted, member) \
	}

static const struct column cost_columns[] = {
	{{"hyper-", "calls"}, SUM_OF_CALLS},
	COLUMN("ranged", "calls", ranged_calls),
	COLUMN("", "exits", exits_donate),
	COLUMN("pages", "asked", pages_requested),
	COLUMN("con-", "verted", pages_converted),
	COLUMN("shared", "unasked", pages_widened),
	COLUMN("exposed", "page-steps", exposed_page_steps),
	COLUMN("", "longest", exposed_longest),
	COLUMN("satis-", "fied", requests_satisfied),
	COLUMN("re-", "fused", pages_refused),
};

#define COST_COUNT (sizeof(cost_columns) / sizeof(cost_columns[0]))

static const struct column shape_columns[] = {
	COLUMN("mixed", "folios", folios_mixed),
	COLUMN("", "holes", holes),
	COLUMN("hole", "pages", hole_pages),
};

#define SHAPE_COUNT (sizeof(shape_columns) / sizeof(shape_columns[0]))

/* Ways to write a block, the best one first; the first that is narrow enough is taken. */
static const struct style {
	int gap;
	bool separators;
	bool rounded;
} styles[] = {{2, true, false}, {1, true, false}, {1, false, false}, {1, false, true}};

#define STYLE_COUNT (sizeof(styles) / sizeof(styles[0]))

struct block {
	const struct column *column;
	size_t column_count;
	const struct style *style;
	int width[COST_COUNT];
};

static void cell_text(char text[COUNT_TEXT_MAX], const struct report_row *row,
		      const struct column *column, const struct style *style)
{
	static const char units[] = "kMGTP";
	double rounded;
	uint64_t count;
	size_t unit = 0;

	if (column->offset == SUM_OF_CALLS) {
		count = row_hypercalls(row);
	} else {
		memcpy(&count, (const char *)&row->counted + column->offset, sizeof(count));
	}
	if (style->rounded && count >= 100000) {
		rounded = (double)count / 1000;
		while (rounded >= 999.5 && units[unit + 1] != '\0') {
			rounded /= 1000;
			unit++;
		}
		snprintf(text, COUNT_TEXT_MAX, "%.*f%c", rounded < 99.95 ? 1 : 0, rounded,
			 units[unit]);
	} else if (style->separators) {
		count_text(text, count);
	} else {
		snprintf(text, COUNT_TEXT_MAX, "%llu", (unsigned long long)count);
	}
}

static int max_int(int a, int b)
{
	return a > b ? a : b;
}

/* Returns the width of the whole block. */
static int measure_block(struct block *block, const struct report *report)
{
	char text[COUNT_TEXT_MAX];
	int sum = INDENT + 2 * NAME_WIDTH + 1;

	for (size_t c = 0; c < block->column_count; c++) {
		const struct column *column = &block->column[c];
		int width = max_int((int)strlen(column->head[0]), (int)strlen(column->head[1]));

		for (size_t i = 0; i < report->row_count; i++) {
			cell_text(text, &report->row[i], column, block->style);
			width = max_int(width, (int)strlen(text));
		}
		block->width[c] = width;
		sum += width + block->style->gap;
	}
	return sum;
}

static void fit_block(struct block *block, const struct report *report, int room)
{
	for (size_t i = 0; i < STYLE_COUNT; i++) {
		block->style = &styles[i];
		if (measure_block(block, report) <= room) {
			return;
		}
	}
}

static void print_heads(const struct block *block, const char *const more[2], FILE *out)
{
	for (size_t line = 0; line < 2; line++) {
		fprintf(out, "%*s%-*s %-*s", INDENT, "", NAME_WIDTH, line == 0 ? "" : "grain",
			NAME_WIDTH, line == 0 ? "" : "policy");
		for (size_t c = 0; c < block->column_count; c++) {
			fprintf(out, "%*s", block->width[c] + block->style->gap,
				block->column[c].head[line]);
		}
		fprintf(out, "%s\n", more != NULL ? more[line] : "");
	}
}

static void print_cells(const struct block *block, const struct report_row *row, FILE *out)
{
	char text[COUNT_TEXT_MAX];

	fprintf(out, "%*s%-*s %-*s", INDENT, "", NAME_WIDTH, row->grain, NAME_WIDTH, row->policy);
	for (size_t c = 0; c < block->column_count; c++) {
		cell_text(text, row, &block->column[c], block->style);
		fprintf(out, "%*s", block->width[c] + block->style->gap, text);
	}
}

/* Words of text, no line wider than the table, the lines after the first one indented. */
static void print_wrapped(const char *text, int indent, FILE *out)
{
	int column = 0;

	while (*text != '\0') {
		int gap = (int)strspn(text, " ");
		int length = (int)strcspn(text + gap, " ");

		if (column > indent && column + gap + length > TABLE_WIDTH) {
			fprintf(out, "\n%*s", indent, "");
			column = indent;
			text += gap;
			gap = 0;
		}
		fprintf(out, "%.*s", gap + length, text);
		column += gap + length;
		text += gap + length;
	}
	fputc('\n', out);
}

/* Lines that open_memstream() collected; false if out of memory. */
static bool flush_wrapped(FILE *memory, char **text, int indent, FILE *out)
{
	bool good = fclose(memory) == 0 && *text != NULL;

	if (good) {
		print_wrapped(*text, indent, out);
	}
	free(*text);
	*text = NULL;
	return good;
}

static bool print_ran(const struct report *report, FILE *out)
{
	char *text = NULL;
	size_t length;
	FILE *line = open_memstream(&text, &length);

	if (line == NULL) {
		return false;
	}
	fprintf(line, "ran       %s guest on Linux %s, %s, ", report->vm, report->kernel,
		report->machine);
	print_memory_size(report->memory, line);
	fprintf(line, ", seed %llu; stage2 %s", (unsigned long long)report->seed,
		report->tool_version);
	if (!flush_wrapped(line, &text, 10, out)) {
		return false;
	}
	for (size_t i = 0; i < report->backing_count; i++) {
		line = open_memstream(&text, &length);
		if (line == NULL) {
			return false;
		}
		fprintf(line, "backing   %s: ", report->backing[i].name);
		backing_write(&report->backing[i], line);
		if (!flush_wrapped(line, &text, 10, out)) {
			return false;
		}
	}
	return true;
}

static bool print_header(const struct report *report, FILE *out)
{
	char text[512];

	fputs("What does it cost to convert pages at 4K, 16K, 64K, 2M or whole folios?\n\n", out);
	if (!print_ran(report, out)) {
		return false;
	}
	fputs("counted   exact, the same on every run with this seed: all columns but these:\n",
	      out);
	snprintf(text, sizeof(text), "modelled  \"leaves after\", by the model \"%s\"",
		 report->leaf_model);
	print_wrapped(text, 10, out);
	if (report->board[0] != '\0') {
		snprintf(text, sizeof(text),
			 "timed     on the emulated board \"%s\": says nothing about hardware",
			 report->board);
	} else {
		snprintf(text, sizeof(text),
			 "timed     on this hardware, guest start to guest end");
	}
	print_wrapped(text, 10, out);
	return true;
}

static void print_cost(const struct groups *groups, const struct block *block, size_t group,
		       FILE *out)
{
	print_heads(block, NULL, out);
	for (size_t i = 0; i < groups->report->row_count; i++) {
		const struct report_row *row = &groups->report->row[i];

		if (group_has(groups->first[group], row)) {
			print_cells(block, row, out);
			fputc('\n', out);
		}
	}
}

/* Leaves go to the end of the line, and to further lines if they are of very many sizes. */
static bool print_leaves(const struct report_leaves *leaves, int column, FILE *out)
{
	char *text = NULL;
	size_t length;
	FILE *memory = open_memstream(&text, &length);
	const char *word;

	if (memory == NULL) {
		return false;
	}
	leaves_write(leaves, memory);
	if (fclose(memory) != 0 || text == NULL) {
		free(text);
		return false;
	}
	word = text;
	for (int at = column; *word != '\0';) {
		int width = (int)strcspn(word, " ");

		if (at > column && at + 1 + width > TABLE_WIDTH) {
			fprintf(out, "\n%*s", column - 1, "");
			at = column - 1;
		}
		fprintf(out, " %.*s", width, word);
		at += 1 + width;
		word += width;
		word += strspn(word, " ");
	}
	fputc('\n', out);
	free(text);
	return true;
}

static bool print_shape(const struct groups *groups, const struct block *block, size_t group,
			int block_width, FILE *out)
{
	const struct report *report = groups->report;
	const char *const emulated[2] = {"          time",
					 "    (emulated)  leaves after (modelled)"};
	const char *const real[2] = {"", "          time  leaves after (modelled)"};

	fputc('\n', out);
	print_heads(block, report->board[0] != '\0' ? emulated : real, out);
	for (size_t i = 0; i < report->row_count; i++) {
		const struct report_row *row = &report->row[i];

		if (!group_has(groups->first[group], row)) {
			continue;
		}
		print_cells(block, row, out);
		fprintf(out, "%12.2f s ", row->timed.seconds);
		if (!print_leaves(&row->modelled.after, block_width + 16, out)) {
			return false;
		}
	}
	return true;
}

static void print_legend(bool rounded, FILE *out)
{
	static const char *const line[] = {
		"exact     converts the pages asked for; calls end at a grain's boundary",
		"widen     converts the whole grain: also shows the host pages that nobody asked for",
		"refuse    converts only grains that a request fills (\"refused\": pages of the rest)",
		"hypercall one a 4 KiB page; \"ranged calls\": if one call could name a range",
		"exits     stage-2 faults in which the host gives the guest a page",
		"unasked   nobody had asked for the page when it was shared; a later request may",
		"page-step one unasked page open to the host for one request; longest: in requests",
		"satisfied requests that found all their pages in the right state already",
		"hole      run of shared pages in a folio that also holds secure ones (mixed folio)",
	};

	fputs("\nThe words\n", out);
	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++) {
		print_wrapped(line[i], 10, out);
	}
	if (rounded) {
		fputs("k, M, G   rounded to fit; the JSON file holds every digit\n", out);
	}
}

static bool print_reading(const struct groups *groups, FILE *out)
{
	char *text = reading_summary(groups);

	fputs("\nIn words (counted, exact)\n", out);
	for (size_t i = 0; text != NULL; i++) {
		print_wrapped(text, 2, out);
		free(text);
		if (i == groups->count) {
			return true;
		}
		text = reading_group(groups, i);
	}
	return false;
}

static bool print_all(const struct groups *groups, FILE *out)
{
	const struct report *report = groups->report;
	struct block cost = {.column = cost_columns, .column_count = COST_COUNT};
	struct block shape = {.column = shape_columns, .column_count = SHAPE_COUNT};
	char title[2 * REPORT_NAME_MAX + 8];
	bool good = print_header(report, out);

	fit_block(&cost, report, TABLE_WIDTH);
	fit_block(&shape, report, TABLE_WIDTH / 2);
	for (size_t i = 0; good && i < groups->count; i++) {
		group_title(groups->first[i], title, sizeof(title));
		fputc('\n', out);
		print_wrapped(title, 0, out);
		print_cost(groups, &cost, i, out);
		good = print_shape(groups, &shape, i, measure_block(&shape, report), out);
	}
	print_legend(cost.style->rounded || shape.style->rounded, out);
	return good && print_reading(groups, out);
}

int report_print_table(const struct report *report, FILE *out)
{
	struct groups groups;
	int result = groups_init(&groups, report);

	if (result != EXIT_CODE_OK) {
		return result;
	}
	if (!print_all(&groups, out)) {
		log_error("out of memory");
		result = EXIT_CODE_OS;
	} else if (fflush(out) != 0 || ferror(out)) {
		log_error("cannot write the table to standard output: check where it goes");
		result = EXIT_CODE_CANT_CREATE;
	}
	groups_free(&groups);
	return result;
}
