/* SPDX-License-Identifier: BSD-2-Clause */
/* Values of options, for every command. */
#ifndef VMM_PARSE_H
#define VMM_PARSE_H

#include <ram.h>
#include <stdbool.h>
#include <stdint.h>

/* Bytes: digits, and K, M or G for powers of 1024. False for anything else, and on overflow. */
bool parse_size(const char *text, uint64_t *out);

/* A decimal number from min to max. */
bool parse_number(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* anon, thp, memfd, or file:PATH, whose *path points into text. */
bool parse_backing(const char *text, enum ram_backing *backing, const char **path);

#endif
