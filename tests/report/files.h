/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole files, for tests that spoil them. */
#ifndef TESTS_REPORT_FILES_H
#define TESTS_REPORT_FILES_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX (4u << 20)

/* Up to FILE_MAX bytes, and a NUL. To be freed. */
static inline char *slurp(const char *path, size_t *length)
{
	FILE *in = fopen(path, "rb");
	char *text = calloc(1, FILE_MAX);

	ck_assert_ptr_nonnull(in);
	ck_assert_ptr_nonnull(text);
	*length = fread(text, 1, FILE_MAX - 1, in);
	fclose(in);
	return text;
}

static inline void spill(const char *path, const char *text, size_t length)
{
	FILE *out = fopen(path, "wb");

	ck_assert_ptr_nonnull(out);
	ck_assert_uint_eq(fwrite(text, 1, length, out), length);
	ck_assert_int_eq(fclose(out), 0);
}

#endif
