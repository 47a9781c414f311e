/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_in.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "report_parts.h"

#define FILE_SIZE_MAX ((size_t)64 << 20)
#define DEPTH_MAX 16

void reader_fail(struct reader *r, const char *name, const char *format, ...)
{
	char text[256];
	va_list args;

	if (r->result == EXIT_CODE_OK) {
		va_start(args, format);
		vsnprintf(text, sizeof(text), format, args);
		va_end(args);
		log_error("%s: %s%s: %s", r->file, r->where, name, text);
		r->result = EXIT_CODE_DATA;
	}
}

size_t reader_enter(struct reader *r, const char *format, ...)
{
	size_t length = strlen(r->where);
	va_list args;

	va_start(args, format);
	vsnprintf(r->where + length, sizeof(r->where) - length, format, args);
	va_end(args);
	return length;
}

void reader_leave(struct reader *r, size_t length)
{
	r->where[length] = '\0';
}

json_object *reader_member(struct reader *r, json_object *object, const char *name,
			   enum json_type type)
{
	json_object *value;

	if (r->result != EXIT_CODE_OK) {
		return NULL;
	}
	if (!json_object_object_get_ex(object, name, &value)) {
		reader_fail(r, name, "missing");
		return NULL;
	}
	if (json_object_get_type(value) != type) {
		reader_fail(r, name, "must be %s, is %s", json_type_to_name(type),
			    json_type_to_name(json_object_get_type(value)));
		return NULL;
	}
	return value;
}

void reader_text(struct reader *r, json_object *object, const char *name, char *to, size_t size)
{
	json_object *value = reader_member(r, object, name, json_type_string);
	size_t length;

	if (value == NULL) {
		return;
	}
	length = (size_t)json_object_get_string_len(value);
	if (length >= size) {
		reader_fail(r, name, "longer than %zu characters", size - 1);
	} else if (!text_printable(json_object_get_string(value), length)) {
		reader_fail(r, name, "must be printable ASCII");
	} else {
		memcpy(to, json_object_get_string(value), length);
		to[length] = '\0';
	}
}

void reader_name(struct reader *r, json_object *object, const char *name, char to[REPORT_NAME_MAX])
{
	reader_text(r, object, name, to, REPORT_NAME_MAX);
	if (to[0] == '\0') {
		reader_fail(r, name, "empty");
	}
}

uint64_t reader_uint(struct reader *r, json_object *object, const char *name, uint64_t max)
{
	json_object *value = reader_member(r, object, name, json_type_int);

	if (value == NULL) {
		return 0;
	}
	if (json_object_get_int64(value) < 0 || json_object_get_uint64(value) > max) {
		reader_fail(r, name, "%s is not in 0 to %llu", json_object_get_string(value),
			    (unsigned long long)max);
		return 0;
	}
	return json_object_get_uint64(value);
}

uint64_t reader_count(struct reader *r, json_object *object, const char *name)
{
	return reader_uint(r, object, name, REPORT_COUNT_MAX);
}

void *reader_array(struct reader *r, json_object *top, const char *name, size_t max, size_t size,
		   json_object **array, size_t *count)
{
	void *memory;

	*array = reader_member(r, top, name, json_type_array);
	if (*array == NULL) {
		return NULL;
	}
	*count = json_object_array_length(*array);
	if (*count == 0 || *count > max) {
		reader_fail(r, name, "holds %zu elements; 1 to %zu can be shown", *count, max);
		*count = 0;
		return NULL;
	}
	memory = calloc(*count, size);
	if (memory == NULL) {
		log_error("out of memory");
		r->result = EXIT_CODE_OS;
		*count = 0;
	}
	return memory;
}

void reader_schema(struct reader *r, json_object *top, const char *schema, uint64_t version)
{
	char name[REPORT_NAME_MAX] = "";
	uint64_t number;

	reader_text(r, top, "schema", name, sizeof(name));
	if (strcmp(name, schema) != 0) {
		reader_fail(r, "schema", "must be \"%s\"; not a file of stage2 measure", schema);
	}
	number = reader_count(r, top, "version");
	if (number > version) {
		reader_fail(r, "version",
			    "%llu is newer than %llu, which this stage2 reads; use a newer one",
			    (unsigned long long)number, (unsigned long long)version);
	} else if (number != version) {
		reader_fail(r, "version", "must be %llu", (unsigned long long)version);
	}
}

/* NULL, after one line, if text is not one JSON object. */
static json_object *parse(const char *path, const char *text, size_t length)
{
	json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
	enum json_tokener_error error;
	json_object *top;
	size_t end;

	if (tokener == NULL) {
		log_error("out of memory");
		return NULL;
	}
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	top = json_tokener_parse_ex(tokener, text, (int)length);
	error = json_tokener_get_error(tokener);
	end = json_tokener_get_parse_end(tokener);
	json_tokener_free(tokener);
	while (end < length && strchr(" \t\r\n", text[end]) != NULL && text[end] != '\0') {
		end++;
	}
	if (error == json_tokener_continue) {
		log_error("%s: not JSON: ends in the middle", path);
	} else if (error != json_tokener_success || end != length) {
		log_error("%s: not JSON, from byte %zu on", path, end);
	} else if (!json_object_is_type(top, json_type_object)) {
		log_error("%s: not a JSON object", path);
	} else {
		return top;
	}
	json_object_put(top);
	return NULL;
}

int document_open(const char *path, json_object **top)
{
	size_t length = 0;
	char *text = NULL;
	int result = input_read(path, FILE_SIZE_MAX, &text, &length);

	*top = NULL;
	if (result == EXIT_CODE_OK) {
		*top = parse(path, text, length);
		result = *top == NULL ? EXIT_CODE_DATA : EXIT_CODE_OK;
	}
	free(text);
	return result;
}

bool document_is(json_object *top, const char *schema)
{
	json_object *value;

	return json_object_object_get_ex(top, "schema", &value) &&
	       json_object_is_type(value, json_type_string) &&
	       strcmp(json_object_get_string(value), schema) == 0;
}
