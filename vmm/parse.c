/* SPDX-License-Identifier: BSD-2-Clause */
#include "parse.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

int parse_options(int argc, char **argv, const struct option *options,
		  int (*take)(void *cookie, int id, const char *value), void *cookie, int *rest)
{
	int at = optind, id, code = 0; /* argv[at]: not optind - 1, which is not past "-xyz" at x */

	opterr = 0;
	while (!code && (id = getopt_long(argc, argv, "+:", options, NULL)) != -1) {
		if (id == '?' || id == ':') {
			log_error(id == ':' ? "option '%s' needs a value: see 'stage2 %s --help'"
					    : "unknown option '%s': see 'stage2 %s --help'",
				  argv[at], argv[0]);
			return EXIT_CODE_USAGE;
		}
		code = take(cookie, id, optarg);
		at = optind;
	}
	*rest = optind;
	return code;
}

int parse_bad_value(const char *option, const char *value, const char *expected)
{
	log_error("--%s '%s': %s", option, value, expected);
	return EXIT_CODE_USAGE;
}

/* Digits only: strtoull alone would take a sign and leading blanks. */
static bool digits(const char *text, uint64_t *out, const char **end)
{
	char *stop;

	if (*text < '0' || *text > '9') {
		return false;
	}
	errno = 0;
	*out = strtoull(text, &stop, 10);
	*end = stop;
	return errno == 0;
}

bool parse_size(const char *text, uint64_t *out)
{
	unsigned int shift = 0;
	const char *end;

	if (!digits(text, out, &end)) {
		return false;
	}
	if (*end) {
		static const char units[] = "KMG";
		const char *unit = strchr(units, *end);

		if (!unit || end[1]) {
			return false;
		}
		shift = 10 * (unsigned int)(unit - units + 1);
	}
	if (*out > UINT64_MAX >> shift) {
		return false;
	}
	*out <<= shift;
	return true;
}

bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
	const char *end;

	return digits(text, out, &end) && !*end && *out >= min && *out <= max;
}

bool parse_backing(const char *text, enum ram_backing *backing, const char **path)
{
	*path = NULL;
	if (!strncmp(text, "file:", 5) && text[5]) {
		*backing = RAM_FILE;
		*path = text + 5;
		return true;
	}
	for (unsigned int i = 0; i < RAM_FILE; i++) {
		if (!strcmp(text, ram_backing_name((enum ram_backing)i))) {
			*backing = (enum ram_backing)i;
			return true;
		}
	}
	return false;
}
