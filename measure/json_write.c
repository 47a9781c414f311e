/* SPDX-License-Identifier: BSD-2-Clause */
/* Members are added in a fixed order and json-c keeps it: equal reports give equal bytes. */
#include "report_parts.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* One failed addition spoils the whole document, so it is remembered and checked at the end. */
struct writer {
	bool no_memory;
	const char *bad; /* the first member that the reader would not accept */
};

static void put(struct writer *w, json_object *object, const char *name, json_object *value)
{
	if (value == NULL || object == NULL || json_object_object_add(object, name, value) != 0) {
		json_object_put(value);
		w->no_memory = true;
	}
}

static void append(struct writer *w, json_object *array, json_object *value)
{
	if (value == NULL || array == NULL || json_object_array_add(array, value) != 0) {
		json_object_put(value);
		w->no_memory = true;
	}
}

static void put_text(struct writer *w, json_object *object, const char *name, const char *text)
{
	if (!text_printable(text, strlen(text))) {
		w->bad = name;
	}
	put(w, object, name, json_object_new_string(text));
}

static void put_count(struct writer *w, json_object *object, const char *name, uint64_t count)
{
	if (count > REPORT_COUNT_MAX) {
		w->bad = name;
	}
	put(w, object, name, json_object_new_uint64(count));
}

static void put_seconds(struct writer *w, json_object *object, const char *name, double seconds)
{
	char text[32];

	/* Also catches NaN. Microseconds are more than an emulated or a real clock is good for. */
	if (!(seconds >= 0 && seconds <= REPORT_SECONDS_MAX)) {
		w->bad = name;
		seconds = 0;
	}
	snprintf(text, sizeof(text), "%.6f", seconds);
	put(w, object, name, json_object_new_double_s(seconds, text));
}

static json_object *platform(struct writer *w, const struct report *report)
{
	json_object *object = json_object_new_object();

	put_text(w, object, "board", report->board);
	put(w, object, "emulated", json_object_new_boolean(report->board[0] != '\0'));
	put_text(w, object, "machine", report->machine);
	put_text(w, object, "kernel", report->kernel);
	put_text(w, object, "vm", report->vm);
	return object;
}

static json_object *backing(struct writer *w, const struct report_backing *from)
{
	json_object *object = json_object_new_object();
	json_object *achieved = json_object_new_array();
	uint8_t lg2 = from->requested_lg2;

	put_text(w, object, "name", from->name);
	put_count(w, object, "requested_folio", lg2 == 0 ? 0 : UINT64_C(1) << lg2);
	for (unsigned int i = 0; i < REPORT_LEAF_LG2_MAX; i++) {
		json_object *item;

		if (from->bytes[i] == 0) {
			continue;
		}
		item = json_object_new_object();
		put_count(w, item, "folio", UINT64_C(1) << i);
		put_count(w, item, "bytes", from->bytes[i]);
		append(w, achieved, item);
	}
	put(w, object, "achieved", achieved);
	return object;
}

static json_object *leaves(struct writer *w, const struct report_leaves *from)
{
	json_object *object = json_object_new_object();
	char name[SIZE_NAME_MAX];

	for (unsigned int lg2 = 0; lg2 < REPORT_LEAF_LG2_MAX; lg2++) {
		if (from->count[lg2] != 0) {
			size_name(name, lg2);
			put_count(w, object, name, from->count[lg2]);
		}
	}
	return object;
}

static json_object *timed(struct writer *w, const struct report_timed *from, bool emulated)
{
	json_object *object = json_object_new_object();

	put_seconds(w, object, "seconds", from->seconds);
	put_seconds(w, object, "share_seconds", from->share_seconds);
	put_seconds(w, object, "unshare_seconds", from->unshare_seconds);
	put_count(w, object, "kvm_exits", from->kvm_exits);
	put(w, object, "emulated", json_object_new_boolean(emulated));
	return object;
}

static json_object *row(struct writer *w, const struct report_row *from, bool emulated)
{
	json_object *object = json_object_new_object();
	json_object *counted = json_object_new_object();
	json_object *modelled = json_object_new_object();

	put_text(w, object, "workload", from->workload);
	put_text(w, object, "backing", from->backing);
	put_text(w, object, "grain", from->grain);
	put_text(w, object, "policy", from->policy);
	for (size_t i = 0; i < counted_field_count; i++) {
		put_count(w, counted, counted_fields[i].name,
			  counted_get(&from->counted, &counted_fields[i]));
	}
	put(w, object, "counted", counted);
	put(w, modelled, "leaves_before", leaves(w, &from->modelled.before));
	put(w, modelled, "leaves_after", leaves(w, &from->modelled.after));
	put(w, object, "modelled", modelled);
	put(w, object, "timed", timed(w, &from->timed, emulated));
	return object;
}

static json_object *document(struct writer *w, const struct report *report)
{
	json_object *top = json_object_new_object();
	json_object *tool = json_object_new_object();
	json_object *config = json_object_new_object();
	json_object *backings = json_object_new_array();
	json_object *rows = json_object_new_array();

	put_text(w, top, "schema", REPORT_SCHEMA);
	put_count(w, top, "version", REPORT_VERSION);
	put_text(w, tool, "name", "stage2");
	put_text(w, tool, "version", report->tool_version);
	put(w, top, "tool", tool);
	put(w, top, "platform", platform(w, report));
	if (report->seed > REPORT_SEED_MAX) {
		w->bad = "seed";
	}
	put(w, config, "seed", json_object_new_uint64(report->seed));
	put_count(w, config, "memory", report->memory);
	put(w, top, "config", config);
	put_text(w, top, "leaf_model", report->leaf_model);
	for (size_t i = 0; i < report->backing_count; i++) {
		append(w, backings, backing(w, &report->backing[i]));
	}
	put(w, top, "backings", backings);
	for (size_t i = 0; i < report->row_count; i++) {
		append(w, rows, row(w, &report->row[i], report->board[0] != '\0'));
	}
	put(w, top, "rows", rows);
	return top;
}

int report_write_json(const struct report *report, const char *path)
{
	struct writer w = {0};
	json_object *top = document(&w, report);
	const char *text = NULL;
	char *whole = NULL;
	int result;

	if (top != NULL && !w.no_memory) {
		text = json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY |
								   JSON_C_TO_STRING_SPACED |
								   JSON_C_TO_STRING_NOSLASHESCAPE);
	}
	if (w.bad != NULL) {
		log_error("%s: not written: \"%s\" holds what the schema does not allow", path,
			  w.bad);
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
