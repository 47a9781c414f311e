/* SPDX-License-Identifier: BSD-2-Clause */
/* Members are added in a fixed order and json-c keeps it: equal reports give equal bytes. */
#include "json_out.h"
#include "report_parts.h"

static void put_seconds(struct writer *w, json_object *object, const char *name, double seconds)
{
	char text[32];

	/* Also catches NaN. Microseconds are more than an emulated or a real clock is good for. */
	if (!(seconds >= 0 && seconds <= REPORT_SECONDS_MAX)) {
		w->bad = name;
		seconds = 0;
	}
	snprintf(text, sizeof(text), "%.6f", seconds);
	writer_put(w, object, name, json_object_new_double_s(seconds, text));
}

static json_object *platform(struct writer *w, const struct report *report)
{
	json_object *object = json_object_new_object();

	writer_text(w, object, "board", report->board);
	writer_put(w, object, "emulated", json_object_new_boolean(report->board[0] != '\0'));
	writer_text(w, object, "machine", report->machine);
	writer_text(w, object, "kernel", report->kernel);
	writer_text(w, object, "vm", report->vm);
	return object;
}

static json_object *backing(struct writer *w, const struct report_backing *from)
{
	json_object *object = json_object_new_object();
	json_object *achieved = json_object_new_array();
	uint8_t lg2 = from->requested_lg2;

	writer_text(w, object, "name", from->name);
	writer_count(w, object, "requested_folio", lg2 == 0 ? 0 : UINT64_C(1) << lg2);
	for (unsigned int i = 0; i < REPORT_LEAF_LG2_MAX; i++) {
		json_object *item;

		if (from->bytes[i] == 0) {
			continue;
		}
		item = json_object_new_object();
		writer_count(w, item, "folio", UINT64_C(1) << i);
		writer_count(w, item, "bytes", from->bytes[i]);
		writer_append(w, achieved, item);
	}
	writer_put(w, object, "achieved", achieved);
	return object;
}

static json_object *leaves(struct writer *w, const struct report_leaves *from)
{
	json_object *object = json_object_new_object();
	char name[SIZE_NAME_MAX];

	for (unsigned int lg2 = 0; lg2 < REPORT_LEAF_LG2_MAX; lg2++) {
		if (from->count[lg2] != 0) {
			size_name(name, lg2);
			writer_count(w, object, name, from->count[lg2]);
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
	writer_count(w, object, "kvm_exits", from->kvm_exits);
	writer_put(w, object, "emulated", json_object_new_boolean(emulated));
	return object;
}

static json_object *row(struct writer *w, const struct report_row *from, bool emulated)
{
	json_object *object = json_object_new_object();
	json_object *counted = json_object_new_object();
	json_object *modelled = json_object_new_object();

	writer_text(w, object, "workload", from->workload);
	writer_text(w, object, "backing", from->backing);
	writer_text(w, object, "grain", from->grain);
	writer_text(w, object, "policy", from->policy);
	for (size_t i = 0; i < counted_field_count; i++) {
		writer_count(w, counted, counted_fields[i].name,
			     counted_get(&from->counted, &counted_fields[i]));
	}
	writer_put(w, object, "counted", counted);
	writer_put(w, modelled, "leaves_before", leaves(w, &from->modelled.before));
	writer_put(w, modelled, "leaves_after", leaves(w, &from->modelled.after));
	writer_put(w, object, "modelled", modelled);
	writer_put(w, object, "timed", timed(w, &from->timed, emulated));
	return object;
}

static json_object *document(struct writer *w, const struct report *report)
{
	json_object *top = json_object_new_object();
	json_object *tool = json_object_new_object();
	json_object *config = json_object_new_object();
	json_object *backings = json_object_new_array();
	json_object *rows = json_object_new_array();

	writer_text(w, top, "schema", REPORT_SCHEMA);
	writer_count(w, top, "version", REPORT_VERSION);
	writer_text(w, tool, "name", "stage2");
	writer_text(w, tool, "version", report->tool_version);
	writer_put(w, top, "tool", tool);
	writer_put(w, top, "platform", platform(w, report));
	if (report->seed > REPORT_SEED_MAX) {
		w->bad = "seed";
	}
	writer_put(w, config, "seed", json_object_new_uint64(report->seed));
	writer_count(w, config, "memory", report->memory);
	writer_put(w, top, "config", config);
	writer_text(w, top, "leaf_model", report->leaf_model);
	for (size_t i = 0; i < report->backing_count; i++) {
		writer_append(w, backings, backing(w, &report->backing[i]));
	}
	writer_put(w, top, "backings", backings);
	for (size_t i = 0; i < report->row_count; i++) {
		writer_append(w, rows, row(w, &report->row[i], report->board[0] != '\0'));
	}
	writer_put(w, top, "rows", rows);
	return top;
}

int report_write_json(const struct report *report, const char *path)
{
	struct writer w = {0};
	json_object *top = document(&w, report);

	return writer_finish(&w, top, path);
}
