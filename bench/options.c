/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line, and the names that can stand on it. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#define MEMORY_MIN (UINT64_C(4) << 20)
#define MEMORY_MAX (UINT64_C(8) << 30)

static const struct {
	const struct row *row;
	const size_t *count;
} tables[] = {
	{map_rows, &map_row_count},	    {change_rows, &change_row_count},
	{thread_rows, &thread_row_count},   {track_rows, &track_row_count},
	{convert_rows, &convert_row_count}, {uv_rows, &uv_row_count},
};

const struct row *row_at(size_t index)
{
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
		if (index < *tables[i].count) {
			return &tables[i].row[index];
		}
		index -= *tables[i].count;
	}
	return NULL;
}

static void help(void)
{
	printf("usage: stage2-bench [options]\n\n"
	       "Times the operations of libstage2 beside what this machine could do at best.\n\n"
	       "  --format LIST   page-table formats, with commas between them (all)\n"
	       "  --rows LIST     rows, or what their names begin with (all)\n"
	       "  --repeat N      how often each is run, 1 to %d; the best counts (15)\n"
	       "  --cpu N         the processor to run on (the first that is ours)\n"
	       "  --mem SIZE      guest memory, 4M to 8G, a power of two (1G)\n"
	       "  --json FILE     write JSON, too; with - nothing but JSON, to standard output\n"
	       "  --list          formats and rows\n"
	       "  --help          this text\n",
	       REPEAT_MAX);
}

static void list(void)
{
	printf("formats:\n");
	for (size_t i = 0; i < format_count; i++) {
		printf("  %-18s %u bits of gpa%s%s\n", formats[i].name, formats[i].gpa_bits,
		       formats[i].note[0] ? "; " : "", formats[i].note);
	}
	printf("rows:\n");
	for (size_t i = 0; row_at(i) != NULL; i++) {
		printf("  %-18s %-8s  %s\n", row_at(i)->name, row_at(i)->unit, row_at(i)->what);
	}
}

/* Is name in a list with commas? prefix: the items are what it begins with. */
static bool listed(const char *items, const char *name, bool prefix)
{
	while (items != NULL) {
		size_t length = strcspn(items, ",");

		if (strncmp(items, name, length) == 0 && (prefix || name[length] == '\0')) {
			return true;
		}
		items = items[length] == ',' ? items + length + 1 : NULL;
	}
	return false;
}

bool options_want_row(const struct options *options, const struct row *row)
{
	return options->rows == NULL || listed(options->rows, row->name, true);
}

bool options_want_format(const struct options *options, const struct format *format)
{
	return options->formats == NULL || listed(options->formats, format->name, false);
}

static bool is_row(const char *item)
{
	for (size_t i = 0; row_at(i) != NULL; i++) {
		if (listed(item, row_at(i)->name, true)) {
			return true;
		}
	}
	return false;
}

static bool is_format(const char *item)
{
	for (size_t i = 0; i < format_count; i++) {
		if (listed(item, formats[i].name, false)) {
			return true;
		}
	}
	return false;
}

/* Every item of a list must be something. */
static int check_list(const char *option, const char *items, bool (*is)(const char *item))
{
	char *copy = strdup(items);
	char *rest = copy;
	char *item;
	int code = 0;

	while (code == 0 && (item = strsep(&rest, ",")) != NULL) {
		if (item[0] == '\0' || !is(item)) {
			error("--%s '%s': there is none named '%s', see --list", option, items,
			      item);
			code = EXIT_USAGE;
		}
	}
	free(copy);
	return code;
}

static bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9') {
		return false;
	}
	errno = 0;
	*out = strtoull(text, &end, 10);
	return errno == 0 && *end == '\0' && *out >= min && *out <= max;
}

/* Digits, and M or G. */
static bool parse_memory(const char *text, uint64_t *out)
{
	size_t length = strlen(text);
	char digits[16];
	unsigned shift;

	if (length < 2 || length > sizeof(digits) - 1 || strchr("MG", text[length - 1]) == NULL) {
		return false;
	}
	shift = text[length - 1] == 'M' ? 20 : 30;
	snprintf(digits, sizeof(digits), "%.*s", (int)(length - 1), text);
	if (!parse_number(digits, 1, MEMORY_MAX >> shift, out)) {
		return false;
	}
	*out <<= shift;
	return *out >= MEMORY_MIN && (*out & (*out - 1)) == 0;
}

static int bad_value(const char *option, const char *value, const char *expected)
{
	error("--%s '%s': %s", option, value, expected);
	return EXIT_USAGE;
}

enum option_id {
	OPT_FORMAT = 256,
	OPT_ROWS,
	OPT_REPEAT,
	OPT_CPU,
	OPT_MEM,
	OPT_JSON,
	OPT_LIST,
	OPT_HELP,
};

static int take_number(struct options *options, int id, const char *value)
{
	uint64_t number;

	if (id == OPT_MEM) {
		return parse_memory(value, &options->memory)
			       ? 0
			       : bad_value("mem", value,
					   "must be a power of two from 4M to 8G, as 1G");
	}
	if (id == OPT_REPEAT) {
		if (!parse_number(value, 1, REPEAT_MAX, &number)) {
			return bad_value("repeat", value, "must be a number from 1 to 1000");
		}
		options->repeat = (unsigned)number;
		return 0;
	}
	if (!parse_number(value, 0, 1023, &number)) {
		return bad_value("cpu", value, "must be the number of a processor");
	}
	options->cpu = (int)number;
	return 0;
}

static int take(struct options *options, int id, const char *value, bool *done)
{
	switch (id) {
	case OPT_FORMAT:
		options->formats = value;
		return check_list("format", value, is_format);
	case OPT_ROWS:
		options->rows = value;
		return check_list("rows", value, is_row);
	case OPT_JSON:
		options->json = value;
		return 0;
	case OPT_LIST:
		list();
		*done = true;
		return 0;
	case OPT_HELP:
		help();
		*done = true;
		return 0;
	default:
		return take_number(options, id, value);
	}
}

int options_parse(int argc, char **argv, struct options *options, bool *done)
{
	static const struct option known[] = {
		{"format", required_argument, NULL, OPT_FORMAT},
		{"rows", required_argument, NULL, OPT_ROWS},
		{"repeat", required_argument, NULL, OPT_REPEAT},
		{"cpu", required_argument, NULL, OPT_CPU},
		{"mem", required_argument, NULL, OPT_MEM},
		{"json", required_argument, NULL, OPT_JSON},
		{"list", no_argument, NULL, OPT_LIST},
		{"help", no_argument, NULL, OPT_HELP},
		{NULL, 0, NULL, 0},
	};
	int at = optind, id, code = 0;

	opterr = 0;
	while (code == 0 && !*done && (id = getopt_long(argc, argv, "+:", known, NULL)) != -1) {
		if (id == '?' || id == ':') {
			error(id == ':' ? "option '%s' needs a value: see 'stage2-bench --help'"
					: "unknown option '%s': see 'stage2-bench --help'",
			      argv[at]);
			return EXIT_USAGE;
		}
		code = take(options, id, optarg, done);
		at = optind;
	}
	if (code == 0 && !*done && optind < argc) {
		error("unexpected argument '%s': see 'stage2-bench --help'", argv[optind]);
		return EXIT_USAGE;
	}
	return code;
}
