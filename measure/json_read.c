/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads what json_write.c wrote. */
#include <stdlib.h>
#include <string.h>

#include "json_in.h"
#include "log.h"
#include "report_parts.h"

#define BACKINGS_MAX 64
#define ROWS_MAX 4096

static double get_seconds(struct reader *r, json_object *object, const char *name)
{
	json_object *value;
	double seconds;

	if (r->result == EXIT_CODE_OK && json_object_object_get_ex(object, name, &value) &&
	    json_object_is_type(value, json_type_int)) {
		return (double)reader_uint(r, object, name, (uint64_t)REPORT_SECONDS_MAX);
	}
	value = reader_member(r, object, name, json_type_double);
	if (value == NULL) {
		return 0;
	}
	seconds = json_object_get_double(value);
	if (!(seconds >= 0 && seconds <= REPORT_SECONDS_MAX)) {
		reader_fail(r, name, "not a time in seconds");
		return 0;
	}
	return seconds;
}

static void check_emulated(struct reader *r, json_object *object, bool emulated)
{
	json_object *value = reader_member(r, object, "emulated", json_type_boolean);

	if (value != NULL && json_object_get_boolean(value) != emulated) {
		reader_fail(r, "emulated", "does not go with the name in platform.board");
	}
}

/* The log2 of a power of two that a table by size can hold; 0, after a fault, if it is none. */
static unsigned int get_size(struct reader *r, json_object *object, const char *name)
{
	uint64_t size = reader_count(r, object, name);

	for (unsigned int lg2 = 12; lg2 < REPORT_LEAF_LG2_MAX; lg2++) {
		if (size == UINT64_C(1) << lg2) {
			return lg2;
		}
	}
	reader_fail(r, name, "not a power of two from 4 KiB to 512 GiB");
	return 0;
}

static void read_backing(struct reader *r, json_object *object, struct report_backing *to)
{
	json_object *achieved;

	reader_name(r, object, "name", to->name);
	if (reader_count(r, object, "requested_folio") != 0) {
		to->requested_lg2 = (uint8_t)get_size(r, object, "requested_folio");
	}
	achieved = reader_member(r, object, "achieved", json_type_array);
	for (size_t i = 0; achieved != NULL && i < json_object_array_length(achieved); i++) {
		json_object *item = json_object_array_get_idx(achieved, i);
		size_t was = reader_enter(r, "achieved[%zu].", i);
		unsigned int lg2 = get_size(r, item, "folio");

		if (to->bytes[lg2] != 0) {
			reader_fail(r, "folio", "the same size twice");
		}
		to->bytes[lg2] = reader_count(r, item, "bytes");
		reader_leave(r, was);
	}
}

static void read_leaves(struct reader *r, json_object *object, const char *name,
			struct report_leaves *to)
{
	json_object *leaves = reader_member(r, object, name, json_type_object);
	size_t was = reader_enter(r, "%s.", name);

	if (leaves != NULL) {
		json_object_object_foreach(leaves, size, count)
		{
			unsigned int lg2 = 0;

			(void)count;
			if (!size_parse(size, &lg2) || lg2 < 12) {
				/* Not the name itself: it may be long and hold anything. */
				reader_fail(r, "", "has a member that is no leaf size");
				break;
			}
			to->count[lg2] = reader_count(r, leaves, size);
		}
	}
	reader_leave(r, was);
}

static void read_counted(struct reader *r, json_object *object, struct report_counted *to)
{
	json_object *counted = reader_member(r, object, "counted", json_type_object);
	size_t was = reader_enter(r, "counted.");

	for (size_t i = 0; i < counted_field_count; i++) {
		counted_set(to, &counted_fields[i],
			    reader_count(r, counted, counted_fields[i].name));
	}
	reader_leave(r, was);
}

static void read_timed(struct reader *r, json_object *object, struct report_timed *to,
		       bool emulated)
{
	json_object *timed = reader_member(r, object, "timed", json_type_object);
	size_t was = reader_enter(r, "timed.");

	to->seconds = get_seconds(r, timed, "seconds");
	to->share_seconds = get_seconds(r, timed, "share_seconds");
	to->unshare_seconds = get_seconds(r, timed, "unshare_seconds");
	to->kvm_exits = reader_count(r, timed, "kvm_exits");
	check_emulated(r, timed, emulated);
	reader_leave(r, was);
}

static void check_names(struct reader *r, const struct report_row *row)
{
	unsigned int lg2 = 0;

	if (strcmp(row->grain, "folio") != 0 && (!size_parse(row->grain, &lg2) || lg2 < 12)) {
		reader_fail(r, "grain", "\"%s\" is neither a size from 4K up nor \"folio\"",
			    row->grain);
	}
	if (strcmp(row->policy, "exact") != 0 && strcmp(row->policy, "widen") != 0 &&
	    strcmp(row->policy, "refuse") != 0) {
		reader_fail(r, "policy", "\"%s\" is not exact, widen or refuse", row->policy);
	}
}

static void read_row(struct reader *r, json_object *object, struct report_row *to, bool emulated)
{
	json_object *modelled;
	size_t was;

	reader_name(r, object, "workload", to->workload);
	reader_name(r, object, "backing", to->backing);
	reader_name(r, object, "grain", to->grain);
	reader_name(r, object, "policy", to->policy);
	check_names(r, to);
	read_counted(r, object, &to->counted);
	modelled = reader_member(r, object, "modelled", json_type_object);
	was = reader_enter(r, "modelled.");
	read_leaves(r, modelled, "leaves_before", &to->modelled.before);
	read_leaves(r, modelled, "leaves_after", &to->modelled.after);
	reader_leave(r, was);
	read_timed(r, object, &to->timed, emulated);
}

static bool same_row(const struct report_row *a, const struct report_row *b)
{
	return strcmp(a->grain, b->grain) == 0 && strcmp(a->policy, b->policy) == 0 &&
	       group_has(a, b);
}

static void read_backings(struct reader *r, json_object *top, struct report *report)
{
	json_object *array;

	report->backing = reader_array(r, top, "backings", BACKINGS_MAX, sizeof(report->backing[0]),
				       &array, &report->backing_count);
	for (size_t i = 0; i < report->backing_count; i++) {
		size_t was = reader_enter(r, "backings[%zu].", i);

		read_backing(r, json_object_array_get_idx(array, i), &report->backing[i]);
		reader_leave(r, was);
	}
}

static void read_rows(struct reader *r, json_object *top, struct report *report)
{
	json_object *array;

	report->row = reader_array(r, top, "rows", ROWS_MAX, sizeof(report->row[0]), &array,
				   &report->row_count);
	for (size_t i = 0; i < report->row_count && r->result == EXIT_CODE_OK; i++) {
		size_t was = reader_enter(r, "rows[%zu].", i);

		read_row(r, json_object_array_get_idx(array, i), &report->row[i],
			 report->board[0] != '\0');
		for (size_t j = 0; j < i && r->result == EXIT_CODE_OK; j++) {
			if (same_row(&report->row[i], &report->row[j])) {
				reader_fail(r, "grain", "the same row as rows[%zu]", j);
			}
		}
		reader_leave(r, was);
	}
}

static void read_document(struct reader *r, json_object *top, struct report *report)
{
	json_object *object;
	size_t was;

	reader_schema(r, top, REPORT_SCHEMA, REPORT_VERSION);
	object = reader_member(r, top, "tool", json_type_object);
	was = reader_enter(r, "tool.");
	reader_name(r, object, "version", report->tool_version);
	reader_leave(r, was);

	object = reader_member(r, top, "platform", json_type_object);
	was = reader_enter(r, "platform.");
	reader_text(r, object, "board", report->board, sizeof(report->board));
	check_emulated(r, object, report->board[0] != '\0');
	reader_name(r, object, "machine", report->machine);
	reader_name(r, object, "kernel", report->kernel);
	reader_name(r, object, "vm", report->vm);
	reader_leave(r, was);

	object = reader_member(r, top, "config", json_type_object);
	was = reader_enter(r, "config.");
	report->seed = reader_uint(r, object, "seed", REPORT_SEED_MAX);
	report->memory = reader_count(r, object, "memory");
	reader_leave(r, was);

	reader_text(r, top, "leaf_model", report->leaf_model, sizeof(report->leaf_model));
	read_backings(r, top, report);
	read_rows(r, top, report);
}

int report_from_json(struct report *report, json_object *top, const char *path)
{
	struct reader r = {.file = path};

	*report = (struct report){0};
	read_document(&r, top, report);
	if (r.result != EXIT_CODE_OK) {
		report_free(report);
	}
	return r.result;
}

int report_read_json(struct report *report, const char *path)
{
	json_object *top;
	int result = document_open(path, &top);

	*report = (struct report){0};
	if (result == EXIT_CODE_OK) {
		result = report_from_json(report, top, path);
	}
	json_object_put(top);
	return result;
}

void report_free(struct report *report)
{
	free(report->backing);
	free(report->row);
	*report = (struct report){0};
}
