/* SPDX-License-Identifier: BSD-2-Clause */
/* One block a kind of address space. ASCII, at most 100 columns unless names or numbers are huge. */
#include <string.h>

#include "counts_parts.h"
#include "log.h"
#include "report_parts.h"

#define INDENT 2
#define GAP 2

struct layout {
	int name_width;
	int width[COUNTS_FIELDS];
};

static void cell_text(char text[COUNT_TEXT_MAX], const struct counts_row *row, size_t column)
{
	count_text(text, counts_get(row, &counts_fields[column]));
}

static void widen(int *width, const char *text)
{
	if (*width < (int)strlen(text)) {
		*width = (int)strlen(text);
	}
}

static void make_layout(struct layout *layout, const struct counts *counts)
{
	char text[COUNT_TEXT_MAX];

	*layout = (struct layout){.name_width = (int)strlen("operation")};
	for (size_t c = 0; c < COUNTS_FIELDS; c++) {
		widen(&layout->width[c], counts_fields[c].name);
	}
	for (size_t i = 0; i < counts->row_count; i++) {
		widen(&layout->name_width, counts->row[i].operation);
		for (size_t c = 0; c < COUNTS_FIELDS; c++) {
			cell_text(text, &counts->row[i], c);
			widen(&layout->width[c], text);
		}
	}
}

static void print_head(const char *space, const struct layout *layout, FILE *out)
{
	fprintf(out, "\n%s\n%*s%-*s", space, INDENT, "", layout->name_width, "operation");
	for (size_t c = 0; c < COUNTS_FIELDS; c++) {
		fprintf(out, "%*s", GAP + layout->width[c], counts_fields[c].name);
	}
	fputc('\n', out);
}

static void print_row(const struct counts_row *row, const struct layout *layout, FILE *out)
{
	char text[COUNT_TEXT_MAX];

	fprintf(out, "%*s%-*s", INDENT, "", layout->name_width, row->operation);
	for (size_t c = 0; c < COUNTS_FIELDS; c++) {
		cell_text(text, row, c);
		fprintf(out, "%*s", GAP + layout->width[c], text);
	}
	fputc('\n', out);
}

static bool same_space(const struct counts_row *a, const struct counts_row *b)
{
	return strcmp(a->space, b->space) == 0;
}

static bool same_operation(const struct counts_row *a, const struct counts_row *b)
{
	return same_space(a, b) && strcmp(a->operation, b->operation) == 0;
}

/* Is row the first of those that are the same in this? */
static bool is_first(const struct counts *counts, size_t row,
		     bool (*same)(const struct counts_row *a, const struct counts_row *b))
{
	for (size_t i = 0; i < row; i++) {
		if (same(&counts->row[i], &counts->row[row])) {
			return false;
		}
	}
	return true;
}

/* The rows of a space, each operation's in one piece. */
static void print_space(const struct counts *counts, size_t first, const struct layout *layout,
			FILE *out)
{
	print_head(counts->row[first].space, layout, out);
	for (size_t i = first; i < counts->row_count; i++) {
		if (!same_space(&counts->row[first], &counts->row[i]) ||
		    !is_first(counts, i, same_operation)) {
			continue;
		}
		for (size_t j = i; j < counts->row_count; j++) {
			if (same_operation(&counts->row[i], &counts->row[j])) {
				print_row(&counts->row[j], layout, out);
			}
		}
	}
}

int counts_print_table(const struct counts *counts, FILE *out)
{
	struct layout layout;

	make_layout(&layout, counts);
	fprintf(out, "What do operations of the library cost on a bare machine?\n\n");
	fprintf(out, "ran       on %s; stage2 %s\n", counts->arch, counts->tool_version);
	fprintf(out, "          emulated by %s %s\n", counts->emulator, counts->emulator_version);
	fprintf(out, "counted   exact, the same on every run: all columns\n");
	fprintf(out, "          flushes: instructions that flush a TLB; calls: of the back end's "
		     "flush, with ranges\n");
	for (size_t i = 0; i < counts->row_count; i++) {
		if (is_first(counts, i, same_space)) {
			print_space(counts, i, &layout, out);
		}
	}
	if (fflush(out) != 0 || ferror(out)) {
		log_error("cannot write the table to standard output: check where it goes");
		return EXIT_CODE_CANT_CREATE;
	}
	return EXIT_CODE_OK;
}
