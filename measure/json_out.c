/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_out.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "report_parts.h"

void writer_put(struct writer *w, json_object *object, const char *name, json_object *value)
{
	if (value == NULL || object == NULL || json_object_object_add(object, name, value) != 0) {
		json_object_put(value);
		w->no_memory = true;
	}
}

void writer_append(struct writer *w, json_object *array, json_object *value)
{
	if (value == NULL || array == NULL || json_object_array_add(array, value) != 0) {
		json_object_put(value);
		w->no_memory = true;
	}
}

void writer_text(struct writer *w, json_object *object, const char *name, const char *text)
{
	if (!text_printable(text, strlen(text))) {
		w->bad = name;
	}
	writer_put(w, object, name, json_object_new_string(text));
}

void writer_count(struct writer *w, json_object *object, const char *name, uint64_t count)
{
	if (count > REPORT_COUNT_MAX) {
		w->bad = name;
	}
	writer_put(w, object, name, json_object_new_uint64(count));
}

int writer_finish(const struct writer *w, json_object *top, const char *path)
{
	const char *text = NULL;
	char *whole = NULL;
	int result;

	if (top != NULL && !w->no_memory) {
		text = json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY |
								   JSON_C_TO_STRING_SPACED |
								   JSON_C_TO_STRING_NOSLASHESCAPE);
	}
	if (w->bad != NULL) {
		log_error("%s: not written: \"%s\" holds what the schema does not allow", path,
			  w->bad);
		result = EXIT_CODE_INTERNAL;
	} else if (text == NULL || asprintf(&whole, "%s\n", text) < 0) {
		log_error("out of memory");
		result = EXIT_CODE_OS;
	} else {
		result = output_write(path, whole, strlen(whole));
		free(whole);
	}
	json_object_put(top);
	return result;
}
