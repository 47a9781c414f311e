/* SPDX-License-Identifier: BSD-2-Clause */
/* What writes JSON here: one failed addition spoils the whole document, so it is remembered. */
#ifndef MEASURE_JSON_OUT_H
#define MEASURE_JSON_OUT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

struct writer {
	bool no_memory;
	const char *bad; /* the first member that the reader would not accept */
};

/* Adds value, which then belongs to object or array; NULL is what json-c gives when out of memory. */
void writer_put(struct writer *w, json_object *object, const char *name, json_object *value);
void writer_append(struct writer *w, json_object *array, json_object *value);
void writer_text(struct writer *w, json_object *object, const char *name, const char *text);
void writer_count(struct writer *w, json_object *object, const char *name, uint64_t count);

/* Writes top to a file, or says why not, and puts it. Returns 0 or an exit code. */
int writer_finish(const struct writer *w, json_object *top, const char *path);

#endif
