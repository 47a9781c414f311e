/* SPDX-License-Identifier: BSD-2-Clause */
/* Options and their values, for every command. */
#ifndef VMM_PARSE_H
#define VMM_PARSE_H

#include <getopt.h>
#include <ram.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Takes the long options of argv in order: calls take with the option's val and its argument, which
 * returns 0 or an exit code after one line. *rest is the index of the first argument that is no
 * option. 0 or an exit code (log.h) after one line; argv[0] is the command's name.
 */
int parse_options(int argc, char **argv, const struct option *options,
		  int (*take)(void *cookie, int id, const char *value), void *cookie, int *rest);

/* The line for a bad value of an option; returns EXIT_CODE_USAGE. */
int parse_bad_value(const char *option, const char *value, const char *expected);

/* Bytes: digits, and K, M or G for powers of 1024. False for anything else, and on overflow. */
bool parse_size(const char *text, uint64_t *out);

/* A decimal number from min to max. */
bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* anon, thp, memfd, or file:PATH, whose *path points into text. */
bool parse_backing(const char *text, enum ram_backing *backing, const char **path);

#endif
