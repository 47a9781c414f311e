/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What reads JSON here trusts none of it. The first fault is told, with the path of the member; from then
 * on every function does nothing, so that callers need not check each one.
 */
#ifndef MEASURE_JSON_IN_H
#define MEASURE_JSON_IN_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report.h"

/* A file of one JSON object; the caller puts it. Returns 0 or an exit code; *top is NULL then. */
int document_open(const char *path, json_object **top);

/* Does it say that it is of this schema? */
bool document_is(json_object *top, const char *schema);

struct reader {
	const char *file;
	char where[256]; /* path of the object at hand, "rows[3].counted." */
	int result;	 /* an exit code; not 0: all is lost */
};

void reader_fail(struct reader *r, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Steps into a member; the return value goes to reader_leave(). */
size_t reader_enter(struct reader *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void reader_leave(struct reader *r, size_t length);

/* Members of object. NULL, 0, or nothing stored after a fault. */
json_object *reader_member(struct reader *r, json_object *object, const char *name,
			   enum json_type type);
void reader_text(struct reader *r, json_object *object, const char *name, char *to, size_t size);
void reader_name(struct reader *r, json_object *object, const char *name, char to[REPORT_NAME_MAX]);
uint64_t reader_uint(struct reader *r, json_object *object, const char *name, uint64_t max);
uint64_t reader_count(struct reader *r, json_object *object, const char *name);

/* Memory for the objects of an array, 1 to max of this size; NULL after a fault. */
void *reader_array(struct reader *r, json_object *top, const char *name, size_t max, size_t size,
		   json_object **array, size_t *count);

/* The members "schema" and "version". */
void reader_schema(struct reader *r, json_object *top, const char *schema, uint64_t version);

#endif
