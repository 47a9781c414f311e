/* SPDX-License-Identifier: BSD-2-Clause */
/* Recorded traces: comma-separated lines t_us,op,gpa,pages,ret,... under a line of names. */
#include <errno.h>
#include <inttypes.h>
#include <stage2/run.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "workload.h"

#define LINE_MAX_LEN 4096
#define HEADER "t_us,op,gpa,pages,ret,"

static int malformed(const char *path, unsigned long line, const char *what)
{
	log_error("trace '%s' line %lu: %s", path, line, what);
	return EXIT_CODE_DATA;
}

/* The call failed in the recorded guest: nothing was converted, so nothing is replayed. */
static bool failed_call(const char *ret)
{
	return strcmp(ret, "0") != 0;
}

/* Splits the first five fields off a line; false if there are fewer. */
static bool split(char *line, char *field[5])
{
	for (int i = 0; i < 5; i++) {
		field[i] = line;
		line = strchr(line, ',');
		if (!line) {
			return false;
		}
		*line++ = '\0';
	}
	return true;
}

static bool parse_field(const char *text, int base, uint64_t *out)
{
	char *end;

	if (*text < '0' || *text > '9') {
		return false;
	}
	errno = 0;
	*out = strtoull(text, &end, base);
	return !errno && !*end;
}

static bool inside(struct s2_range ram, struct s2_range range)
{
	return !s2_range_check(range) && range.start.val >= ram.start.val + WORKLOAD_RESERVED &&
	       s2_range_last(range).val <= s2_range_last(ram).val;
}

static int read_line(struct workload *workload, const char *path, unsigned long number, char *line,
		     struct s2_range ram)
{
	struct s2_range range;
	enum s2_move move;
	uint64_t pages;
	char *field[5];

	if (!split(line, field)) {
		return malformed(path, number, "fewer than six fields");
	}
	if (!strcmp(field[1], "SHARE")) {
		move = S2_SHARE;
	} else if (!strcmp(field[1], "UNSHARE")) {
		move = S2_UNSHARE;
	} else {
		return malformed(path, number, "the operation is neither SHARE nor UNSHARE");
	}
	if (!parse_field(field[2], 0, &range.start.val) || !parse_field(field[3], 10, &pages) ||
	    pages > UINT64_MAX / S2_PAGE_SIZE) {
		return malformed(path, number, "gpa or pages is not a number");
	}
	if (failed_call(field[4])) {
		return 0;
	}
	range.len = pages * S2_PAGE_SIZE;
	if (!pages || (range.start.val | range.len) % S2_PAGE_SIZE) {
		return malformed(path, number, "gpa and pages are not whole pages");
	}
	if (!inside(ram, range)) {
		return malformed(
			path, number,
			"not in the guest's RAM, or in its first 2 MiB: try more --memory");
	}
	return workload_add(workload, move, range);
}

static int read_lines(struct workload *workload, const char *path, FILE *file, struct s2_range ram)
{
	char line[LINE_MAX_LEN];
	unsigned long number = 0;
	int code = 0;

	while (!code && fgets(line, sizeof(line), file)) {
		char *end = strchr(line, '\n');

		number++;
		if (!end && !feof(file)) {
			return malformed(path, number, "longer than 4095 bytes");
		}
		if (end) {
			*end = '\0';
		}
		if (number == 1) {
			if (strncmp(line, HEADER, strlen(HEADER)) != 0) {
				code = malformed(path, number, "does not begin with " HEADER);
			}
		} else {
			code = read_line(workload, path, number, line, ram);
		}
	}
	if (!code && ferror(file)) {
		log_error("cannot read trace '%s': %s", path, strerror(errno));
		return EXIT_CODE_NO_INPUT;
	}
	if (!code && !workload->count) {
		log_error("trace '%s' has no requests", path);
		code = EXIT_CODE_DATA;
	}
	return code;
}

int trace_read(struct workload *workload, const char *path, struct s2_range ram)
{
	FILE *file = fopen(path, "re");
	int code;

	if (!file) {
		log_error("cannot open trace '%s': %s", path, strerror(errno));
		return EXIT_CODE_NO_INPUT;
	}
	code = read_lines(workload, path, file, ram);
	fclose(file);
	return code;
}
