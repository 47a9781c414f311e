/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "counts_parts.h"
#include "json_in.h"
#include "json_out.h"
#include "log.h"
#include "report_parts.h"

/* The only kind there is: nothing in these files depends on a clock. */
#define KIND "counted"

static json_object *name_and_version(struct writer *w, const char *name, const char *version)
{
	json_object *object = json_object_new_object();

	writer_text(w, object, "name", name);
	writer_text(w, object, "version", version);
	return object;
}

static json_object *row(struct writer *w, const struct counts_row *from)
{
	json_object *object = json_object_new_object();
	json_object *counted = json_object_new_object();

	writer_text(w, object, "space", from->space);
	writer_text(w, object, "operation", from->operation);
	writer_count(w, object, "pages", from->pages);
	for (size_t i = 1; i < COUNTS_FIELDS; i++) {
		writer_count(w, counted, counts_fields[i].name,
			     counts_get(from, &counts_fields[i]));
	}
	writer_put(w, object, KIND, counted);
	return object;
}

/* Does it hold a row twice, or more rows than the reader takes? */
static bool is_bad(const struct counts *counts)
{
	for (size_t i = 0; i < counts->row_count && i < COUNTS_ROWS_MAX; i++) {
		for (size_t j = 0; j < i; j++) {
			if (counts_same(&counts->row[i], &counts->row[j])) {
				return true;
			}
		}
	}
	return counts->row_count == 0 || counts->row_count > COUNTS_ROWS_MAX;
}

int counts_write_json(const struct counts *counts, const char *path)
{
	struct writer w = {0};
	json_object *top = json_object_new_object();
	json_object *rows = json_object_new_array();

	if (is_bad(counts)) {
		w.bad = "rows";
	}
	writer_text(&w, top, "schema", COUNTS_SCHEMA);
	writer_count(&w, top, "version", COUNTS_VERSION);
	writer_put(&w, top, "tool", name_and_version(&w, "stage2", counts->tool_version));
	writer_text(&w, top, "kind", KIND);
	writer_text(&w, top, "arch", counts->arch);
	writer_put(&w, top, "emulator",
		   name_and_version(&w, counts->emulator, counts->emulator_version));
	for (size_t i = 0; i < counts->row_count; i++) {
		writer_append(&w, rows, row(&w, &counts->row[i]));
	}
	writer_put(&w, top, "rows", rows);
	return writer_finish(&w, top, path);
}

static void read_row(struct reader *r, json_object *object, struct counts_row *to)
{
	json_object *counted;
	size_t was;

	reader_name(r, object, "space", to->space);
	reader_name(r, object, "operation", to->operation);
	to->pages = reader_count(r, object, "pages");
	counted = reader_member(r, object, KIND, json_type_object);
	was = reader_enter(r, KIND ".");
	for (size_t i = 1; i < COUNTS_FIELDS; i++) {
		counts_set(to, &counts_fields[i], reader_count(r, counted, counts_fields[i].name));
	}
	reader_leave(r, was);
}

static void read_rows(struct reader *r, json_object *top, struct counts *counts)
{
	json_object *array;

	counts->row = reader_array(r, top, "rows", COUNTS_ROWS_MAX, sizeof(counts->row[0]), &array,
				   &counts->row_count);
	for (size_t i = 0; i < counts->row_count && r->result == EXIT_CODE_OK; i++) {
		size_t was = reader_enter(r, "rows[%zu].", i);

		read_row(r, json_object_array_get_idx(array, i), &counts->row[i]);
		for (size_t j = 0; j < i && r->result == EXIT_CODE_OK; j++) {
			if (counts_same(&counts->row[i], &counts->row[j])) {
				reader_fail(r, "operation", "the same row as rows[%zu]", j);
			}
		}
		reader_leave(r, was);
	}
}

static void read_kind(struct reader *r, json_object *top)
{
	char kind[REPORT_NAME_MAX] = "";

	reader_name(r, top, "kind", kind);
	if (strcmp(kind, KIND) != 0) {
		reader_fail(r, "kind", "must be \"%s\"", KIND);
	}
}

int counts_from_json(struct counts *counts, json_object *top, const char *path)
{
	struct reader r = {.file = path};
	json_object *object;
	size_t was;

	*counts = (struct counts){0};
	reader_schema(&r, top, COUNTS_SCHEMA, COUNTS_VERSION);
	object = reader_member(&r, top, "tool", json_type_object);
	was = reader_enter(&r, "tool.");
	reader_name(&r, object, "version", counts->tool_version);
	reader_leave(&r, was);
	read_kind(&r, top);
	reader_name(&r, top, "arch", counts->arch);
	object = reader_member(&r, top, "emulator", json_type_object);
	was = reader_enter(&r, "emulator.");
	reader_name(&r, object, "name", counts->emulator);
	reader_name(&r, object, "version", counts->emulator_version);
	reader_leave(&r, was);
	read_rows(&r, top, counts);
	if (r.result != EXIT_CODE_OK) {
		counts_free(counts);
	}
	return r.result;
}

int counts_read_json(struct counts *counts, const char *path)
{
	json_object *top;
	int result = document_open(path, &top);

	*counts = (struct counts){0};
	if (result == EXIT_CODE_OK) {
		result = counts_from_json(counts, top, path);
	}
	json_object_put(top);
	return result;
}
