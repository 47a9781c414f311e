/* SPDX-License-Identifier: BSD-2-Clause */
#include "counts.h"

#include <stdlib.h>
#include <string.h>

#include "counts_parts.h"
#include "log.h"
#include "report_parts.h"

const struct counts_field counts_fields[COUNTS_FIELDS] = {
	{"pages", offsetof(struct counts_row, pages)},
	{"instructions", offsetof(struct counts_row, instructions)},
	{"flushes", offsetof(struct counts_row, flushes)},
	{"calls", offsetof(struct counts_row, calls)},
	{"ranges", offsetof(struct counts_row, ranges)},
};

uint64_t counts_get(const struct counts_row *row, const struct counts_field *field)
{
	uint64_t value;

	memcpy(&value, (const char *)row + field->offset, sizeof(value));
	return value;
}

void counts_set(struct counts_row *row, const struct counts_field *field, uint64_t value)
{
	memcpy((char *)row + field->offset, &value, sizeof(value));
}

bool counts_same(const struct counts_row *a, const struct counts_row *b)
{
	return strcmp(a->space, b->space) == 0 && strcmp(a->operation, b->operation) == 0 &&
	       a->pages == b->pages;
}

/* The next word of *line, without the blank behind it. */
static bool take_word(const char **line, char to[REPORT_NAME_MAX])
{
	size_t length = strcspn(*line, " ");

	if (length == 0 || length >= REPORT_NAME_MAX || !text_printable(*line, length)) {
		return false;
	}
	memcpy(to, *line, length);
	to[length] = '\0';
	*line += length;
	*line += **line == ' ' ? 1 : 0;
	return true;
}

/* "NAME=N" */
static bool parse_field(const char *word, const struct counts_field *field, struct counts_row *row)
{
	size_t length = strlen(field->name);
	uint64_t value = 0;

	if (strncmp(word, field->name, length) != 0 || word[length] != '=' ||
	    word[length + 1] == '\0') {
		return false;
	}
	for (word += length + 1; *word != '\0'; word++) {
		if (*word < '0' || *word > '9' || value > REPORT_COUNT_MAX) {
			return false;
		}
		value = 10 * value + (uint64_t)(*word - '0');
	}
	counts_set(row, field, value);
	return value <= REPORT_COUNT_MAX;
}

bool counts_parse(const char *line, struct counts_row *row)
{
	char word[REPORT_NAME_MAX];

	if (!take_word(&line, word) || strcmp(word, "count") != 0 ||
	    !take_word(&line, row->space) || !take_word(&line, row->operation)) {
		return false;
	}
	for (size_t i = 0; i < COUNTS_FIELDS; i++) {
		if (!take_word(&line, word) || !parse_field(word, &counts_fields[i], row)) {
			return false;
		}
	}
	return *line == '\0' && line[-1] != ' ';
}

int counts_add(struct counts *counts, const struct counts_row *row)
{
	struct counts_row *larger =
		realloc(counts->row, (counts->row_count + 1) * sizeof(counts->row[0]));

	if (larger == NULL) {
		log_error("out of memory");
		return EXIT_CODE_OS;
	}
	counts->row = larger;
	counts->row[counts->row_count++] = *row;
	return EXIT_CODE_OK;
}

void counts_free(struct counts *counts)
{
	free(counts->row);
	*counts = (struct counts){0};
}
