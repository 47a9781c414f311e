/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the counts share among themselves; everybody else includes counts.h. */
#ifndef MEASURE_COUNTS_PARTS_H
#define MEASURE_COUNTS_PARTS_H

#include "counts.h"

struct json_object;

/* One table for the numbers of a row; its name is its name in the image's lines and in JSON. */
struct counts_field {
	const char *name;
	size_t offset;
};

/* "pages" is the first: it says what was done; the others were counted. */
#define COUNTS_FIELDS 5
extern const struct counts_field counts_fields[COUNTS_FIELDS];

uint64_t counts_get(const struct counts_row *row, const struct counts_field *field);
void counts_set(struct counts_row *row, const struct counts_field *field, uint64_t value);

/* Do both say the same of what was done? */
bool counts_same(const struct counts_row *a, const struct counts_row *b);

/* counts_read_json() of a document that is open already. */
int counts_from_json(struct counts *counts, struct json_object *top, const char *path);

#endif
