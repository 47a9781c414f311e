/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads what json_write.c wrote, and trusts none of it. The first fault is told, with the path of
 * the member; from then on every function does nothing, so that callers need not check each one.
 */
#include "report_parts.h"

#include <json-c/json.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define FILE_SIZE_MAX ((size_t)64 << 20)
#define DEPTH_MAX 16
#define BACKINGS_MAX 64
#define ROWS_MAX 4096

struct reader {
	const char *file;
	char where[256]; /* path of the object at hand, "rows[3].counted." */
	int result;	 /* an exit code; not 0: all is lost */
};

__attribute__((format(printf, 3, 4))) static void fail(struct reader *r, const char *name,
						       const char *format, ...)
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

/* Steps into a member; the return value goes to leave(). */
__attribute__((format(printf, 2, 3))) static size_t enter(struct reader *r, const char *format, ...)
{
	size_t length = strlen(r->where);
	va_list args;

	va_start(args, format);
	vsnprintf(r->where + length, sizeof(r->where) - length, format, args);
	va_end(args);
	return length;
}

static void leave(struct reader *r, size_t length)
{
	r->where[length] = '\0';
}

static json_object *member(struct reader *r, json_object *object, const char *name,
			   enum json_type type)
{
	json_object *value;

	if (r->result != EXIT_CODE_OK) {
		return NULL;
	}
	if (!json_object_object_get_ex(object, name, &value)) {
		fail(r, name, "missing");
		return NULL;
	}
	if (json_object_get_type(value) != type) {
		fail(r, name, "must be %s, is %s", json_type_to_name(type),
		     json_type_to_name(json_object_get_type(value)));
		return NULL;
	}
	return value;
}

static void get_text(struct reader *r, json_object *object, const char *name, char *to, size_t size)
{
	json_object *value = member(r, object, name, json_type_string);
	size_t length;

	if (value == NULL) {
		return;
	}
	length = (size_t)json_object_get_string_len(value);
	if (length >= size) {
		fail(r, name, "longer than %zu characters", size - 1);
	} else if (!text_printable(json_object_get_string(value), length)) {
		fail(r, name, "must be printable ASCII");
	} else {
		memcpy(to, json_object_get_string(value), length);
		to[length] = '\0';
	}
}

static void get_name(struct reader *r, json_object *object, const char *name,
		     char to[REPORT_NAME_MAX])
{
	get_text(r, object, name, to, REPORT_NAME_MAX);
	if (to[0] == '\0') {
		fail(r, name, "empty");
	}
}

static uint64_t get_uint(struct reader *r, json_object *object, const char *name, uint64_t max)
{
	json_object *value = member(r, object, name, json_type_int);

	if (value == NULL) {
		return 0;
	}
	if (json_object_get_int64(value) < 0 || json_object_get_uint64(value) > max) {
		fail(r, name, "%s is not in 0 to %llu", json_object_get_string(value),
		     (unsigned long long)max);
		return 0;
	}
	return json_object_get_uint64(value);
}

static uint64_t get_count(struct reader *r, json_object *object, const char *name)
{
	return get_uint(r, object, name, REPORT_COUNT_MAX);
}

static double get_seconds(struct reader *r, json_object *object, const char *name)
{
	json_object *value;
	double seconds;

	if (r->result == EXIT_CODE_OK && json_object_object_get_ex(object, name, &value) &&
	    json_object_is_type(value, json_type_int)) {
		return (double)get_uint(r, object, name, (uint64_t)REPORT_SECONDS_MAX);
	}
	value = member(r, object, name, json_type_double);
	if (value == NULL) {
		return 0;
	}
	seconds = json_object_get_double(value);
	if (!(seconds >= 0 && seconds <= REPORT_SECONDS_MAX)) {
		fail(r, name, "not a time in seconds");
		return 0;
	}
	return seconds;
}

static void check_emulated(struct reader *r, json_object *object, bool emulated)
{
	json_object *value = member(r, object, "emulated", json_type_boolean);

	if (value != NULL && json_object_get_boolean(value) != emulated) {
		fail(r, "emulated", "does not go with the name in platform.board");
	}
}

/* The log2 of a power of two that a table by size can hold; 0, after a fault, if it is none. */
static unsigned int get_size(struct reader *r, json_object *object, const char *name)
{
	uint64_t size = get_count(r, object, name);

	for (unsigned int lg2 = 12; lg2 < REPORT_LEAF_LG2_MAX; lg2++) {
		if (size == UINT64_C(1) << lg2) {
			return lg2;
		}
	}
	fail(r, name, "not a power of two from 4 KiB to 512 GiB");
	return 0;
}

static void read_backing(struct reader *r, json_object *object, struct report_backing *to)
{
	json_object *achieved;

	get_name(r, object, "name", to->name);
	if (get_count(r, object, "requested_folio") != 0) {
		to->requested_lg2 = (uint8_t)get_size(r, object, "requested_folio");
	}
	achieved = member(r, object, "achieved", json_type_array);
	for (size_t i = 0; achieved != NULL && i < json_object_array_length(achieved); i++) {
		json_object *item = json_object_array_get_idx(achieved, i);
		size_t was = enter(r, "achieved[%zu].", i);
		unsigned int lg2 = get_size(r, item, "folio");

		if (to->bytes[lg2] != 0) {
			fail(r, "folio", "the same size twice");
		}
		to->bytes[lg2] = get_count(r, item, "bytes");
		leave(r, was);
	}
}

static void read_leaves(struct reader *r, json_object *object, const char *name,
			struct report_leaves *to)
{
	json_object *leaves = member(r, object, name, json_type_object);
	size_t was = enter(r, "%s.", name);

	if (leaves != NULL) {
		json_object_object_foreach(leaves, size, count)
		{
			unsigned int lg2 = 0;

			(void)count;
			if (!size_parse(size, &lg2) || lg2 < 12) {
				/* Not the name itself: it may be long and hold anything. */
				fail(r, "", "has a member that is no leaf size");
				break;
			}
			to->count[lg2] = get_count(r, leaves, size);
		}
	}
	leave(r, was);
}

static void read_counted(struct reader *r, json_object *object, struct report_counted *to)
{
	json_object *counted = member(r, object, "counted", json_type_object);
	size_t was = enter(r, "counted.");

	for (size_t i = 0; i < counted_field_count; i++) {
		counted_set(to, &counted_fields[i], get_count(r, counted, counted_fields[i].name));
	}
	leave(r, was);
}

static void read_timed(struct reader *r, json_object *object, struct report_timed *to,
		       bool emulated)
{
	json_object *timed = member(r, object, "timed", json_type_object);
	size_t was = enter(r, "timed.");

	to->seconds = get_seconds(r, timed, "seconds");
	to->share_seconds = get_seconds(r, timed, "share_seconds");
	to->unshare_seconds = get_seconds(r, timed, "unshare_seconds");
	to->kvm_exits = get_count(r, timed, "kvm_exits");
	check_emulated(r, timed, emulated);
	leave(r, was);
}

static void check_names(struct reader *r, const struct report_row *row)
{
	unsigned int lg2 = 0;

	if (strcmp(row->grain, "folio") != 0 && (!size_parse(row->grain, &lg2) || lg2 < 12)) {
		fail(r, "grain", "\"%s\" is neither a size from 4K up nor \"folio\"", row->grain);
	}
	if (strcmp(row->policy, "exact") != 0 && strcmp(row->policy, "widen") != 0 &&
	    strcmp(row->policy, "refuse") != 0) {
		fail(r, "policy", "\"%s\" is not exact, widen or refuse", row->policy);
	}
}

static void read_row(struct reader *r, json_object *object, struct report_row *to, bool emulated)
{
	json_object *modelled;
	size_t was;

	get_name(r, object, "workload", to->workload);
	get_name(r, object, "backing", to->backing);
	get_name(r, object, "grain", to->grain);
	get_name(r, object, "policy", to->policy);
	check_names(r, to);
	read_counted(r, object, &to->counted);
	modelled = member(r, object, "modelled", json_type_object);
	was = enter(r, "modelled.");
	read_leaves(r, modelled, "leaves_before", &to->modelled.before);
	read_leaves(r, modelled, "leaves_after", &to->modelled.after);
	leave(r, was);
	read_timed(r, object, &to->timed, emulated);
}

static bool same_row(const struct report_row *a, const struct report_row *b)
{
	return strcmp(a->grain, b->grain) == 0 && strcmp(a->policy, b->policy) == 0 &&
	       group_has(a, b);
}

/* Memory for the objects of an array, at least one; NULL after a fault. */
static void *get_array(struct reader *r, json_object *top, const char *name, size_t max,
		       size_t size, json_object **array, size_t *count)
{
	void *memory;

	*array = member(r, top, name, json_type_array);
	if (*array == NULL) {
		return NULL;
	}
	*count = json_object_array_length(*array);
	if (*count == 0 || *count > max) {
		fail(r, name, "holds %zu elements; 1 to %zu can be shown", *count, max);
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

static void read_backings(struct reader *r, json_object *top, struct report *report)
{
	json_object *array;

	report->backing = get_array(r, top, "backings", BACKINGS_MAX, sizeof(report->backing[0]),
				    &array, &report->backing_count);
	for (size_t i = 0; i < report->backing_count; i++) {
		size_t was = enter(r, "backings[%zu].", i);

		read_backing(r, json_object_array_get_idx(array, i), &report->backing[i]);
		leave(r, was);
	}
}

static void read_rows(struct reader *r, json_object *top, struct report *report)
{
	json_object *array;

	report->row = get_array(r, top, "rows", ROWS_MAX, sizeof(report->row[0]), &array,
				&report->row_count);
	for (size_t i = 0; i < report->row_count && r->result == EXIT_CODE_OK; i++) {
		size_t was = enter(r, "rows[%zu].", i);

		read_row(r, json_object_array_get_idx(array, i), &report->row[i],
			 report->board[0] != '\0');
		for (size_t j = 0; j < i && r->result == EXIT_CODE_OK; j++) {
			if (same_row(&report->row[i], &report->row[j])) {
				fail(r, "grain", "the same row as rows[%zu]", j);
			}
		}
		leave(r, was);
	}
}

static void read_schema(struct reader *r, json_object *top)
{
	char schema[REPORT_NAME_MAX] = "";
	uint64_t version;

	get_text(r, top, "schema", schema, sizeof(schema));
	if (strcmp(schema, REPORT_SCHEMA) != 0) {
		fail(r, "schema", "must be \"%s\"; not a file of stage2 measure", REPORT_SCHEMA);
	}
	version = get_count(r, top, "version");
	if (version > REPORT_VERSION) {
		fail(r, "version",
		     "%llu is newer than %d, which this stage2 reads; use a newer one",
		     (unsigned long long)version, REPORT_VERSION);
	} else if (version != REPORT_VERSION) {
		fail(r, "version", "must be %d", REPORT_VERSION);
	}
}

static void read_document(struct reader *r, json_object *top, struct report *report)
{
	json_object *object;
	size_t was;

	read_schema(r, top);
	object = member(r, top, "tool", json_type_object);
	was = enter(r, "tool.");
	get_name(r, object, "version", report->tool_version);
	leave(r, was);

	object = member(r, top, "platform", json_type_object);
	was = enter(r, "platform.");
	get_text(r, object, "board", report->board, sizeof(report->board));
	check_emulated(r, object, report->board[0] != '\0');
	get_name(r, object, "machine", report->machine);
	get_name(r, object, "kernel", report->kernel);
	get_name(r, object, "vm", report->vm);
	leave(r, was);

	object = member(r, top, "config", json_type_object);
	was = enter(r, "config.");
	report->seed = get_uint(r, object, "seed", REPORT_SEED_MAX);
	report->memory = get_count(r, object, "memory");
	leave(r, was);

	get_text(r, top, "leaf_model", report->leaf_model, sizeof(report->leaf_model));
	read_backings(r, top, report);
	read_rows(r, top, report);
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

int report_read_json(struct report *report, const char *path)
{
	struct reader r = {.file = path};
	json_object *top = NULL;
	size_t length = 0;
	char *text = NULL;

	*report = (struct report){0};
	r.result = input_read(path, FILE_SIZE_MAX, &text, &length);
	if (r.result == EXIT_CODE_OK) {
		top = parse(path, text, length);
		r.result = top == NULL ? EXIT_CODE_DATA : EXIT_CODE_OK;
	}
	free(text);
	if (r.result == EXIT_CODE_OK) {
		read_document(&r, top, report);
	}
	json_object_put(top);
	if (r.result != EXIT_CODE_OK) {
		report_free(report);
	}
	return r.result;
}

void report_free(struct report *report)
{
	free(report->backing);
	free(report->row);
	*report = (struct report){0};
}
