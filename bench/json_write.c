/* SPDX-License-Identifier: BSD-2-Clause */
/* The same as JSON. README.md has the members. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "bench.h"

/* One failed addition spoils the document: remembered, and checked at the end. */
struct writer {
	bool no_memory;
};

static void put(struct writer *w, json_object *object, const char *name, json_object *value)
{
	if (value == NULL || object == NULL || json_object_object_add(object, name, value) != 0) {
		json_object_put(value);
		w->no_memory = true;
	}
}

static void put_text(struct writer *w, json_object *object, const char *name, const char *text)
{
	put(w, object, name, json_object_new_string(text));
}

static void put_count(struct writer *w, json_object *object, const char *name, uint64_t count)
{
	put(w, object, name, json_object_new_uint64(count));
}

static void put_number(struct writer *w, json_object *object, const char *name, double value)
{
	char text[32];

	snprintf(text, sizeof(text), "%.6g", value);
	put(w, object, name, json_object_new_double_s(value, text));
}

static void put_figure(struct writer *w, json_object *object, const struct figure *figure)
{
	put_number(w, object, "best", figure->best);
	put_number(w, object, "median", figure->median);
	put_number(w, object, "worst", figure->worst);
}

static json_object *machine(struct writer *w, const struct host *host, const struct setup *setup)
{
	json_object *object = json_object_new_object();

	put_text(w, object, "cpu", host->cpu);
	put_count(w, object, "cpus", (uint64_t)host->cpus);
	put_text(w, object, "governor", host->governor);
	put_text(w, object, "kernel", host->kernel);
	put_text(w, object, "compiler", host->compiler);
	put_text(w, object, "flags", host->flags);
	put_count(w, object, "cpu_used", (uint64_t)setup->cpu[0]);
	return object;
}

static json_object *limits(struct writer *w, const struct result *result)
{
	json_object *array = json_object_new_array();

	for (unsigned i = 0; i < LIMITS_MAX && result->limit[i].name != NULL; i++) {
		json_object *object = json_object_new_object();

		put_text(w, object, "name", result->limit[i].name);
		put_figure(w, object, &result->limit[i].figure);
		put_number(w, object, "ratio", result->figure.best / result->limit[i].figure.best);
		if (array == NULL || json_object_array_add(array, object) != 0) {
			json_object_put(object);
			w->no_memory = true;
		}
	}
	return array;
}

static json_object *counted(struct writer *w, const struct result *result)
{
	json_object *object = json_object_new_object();

	for (unsigned i = 0; i < COUNTED_MAX && result->counted[i].name != NULL; i++) {
		put_count(w, object, result->counted[i].name, result->counted[i].value);
	}
	return object;
}

static json_object *row(struct writer *w, const struct result *result)
{
	json_object *object = json_object_new_object();

	put_text(w, object, "row", result->row->name);
	put_text(w, object, "format", result->format != NULL ? result->format->name : "");
	put_text(w, object, "unit", result->row->unit);
	if (result->absent != NULL) {
		put_text(w, object, "absent", result->absent);
		return object;
	}
	put_figure(w, object, &result->figure);
	put(w, object, "limits", limits(w, result));
	put(w, object, "counted", counted(w, result));
	put_number(w, object, "load", result->load);
	put_count(w, object, "preempted", result->preempted);
	if (result->row->reach > 0) {
		put_number(w, object, "to_reach", result->row->reach);
	}
	if (result->row->elsewhere > 0) {
		put_number(w, object, "elsewhere", result->row->elsewhere);
	}
	return object;
}

static json_object *document(struct writer *w, const struct host *host, const struct setup *setup,
			     const struct result *results, size_t result_count)
{
	json_object *object = json_object_new_object();
	json_object *rows = json_object_new_array();

	put_text(w, object, "schema", "stage2-bench");
	put_count(w, object, "version", 1);
	put_text(w, object, "date", host->date);
	put(w, object, "machine", machine(w, host, setup));
	put_count(w, object, "memory", setup->memory);
	put_count(w, object, "repeat", setup->repeat);
	for (size_t i = 0; i < result_count; i++) {
		json_object *value = row(w, &results[i]);

		if (rows == NULL || json_object_array_add(rows, value) != 0) {
			json_object_put(value);
			w->no_memory = true;
		}
	}
	put(w, object, "rows", rows);
	return object;
}

static int cannot(const char *path)
{
	error("'%s' cannot be written: %s; choose another place", path, strerror(errno));
	return EXIT_CANT_CREATE;
}

int json_check(const char *path)
{
	FILE *file;

	if (strcmp(path, "-") == 0) {
		return 0;
	}
	file = fopen(path, "a");
	return file != NULL && fclose(file) == 0 ? 0 : cannot(path);
}

static int write_text(const char *path, const char *text)
{
	bool to_stdout = strcmp(path, "-") == 0;
	FILE *file = to_stdout ? stdout : fopen(path, "w");
	bool good = file != NULL && fprintf(file, "%s\n", text) >= 0 && fflush(file) == 0;

	if (file != NULL && !to_stdout && fclose(file) != 0) {
		good = false;
	}
	return good ? 0 : cannot(path);
}

int json_write(const char *path, const struct host *host, const struct setup *setup,
	       const struct result *results, size_t result_count)
{
	struct writer w = {false};
	json_object *object = document(&w, host, setup, results, result_count);
	const char *text =
		w.no_memory || object == NULL
			? NULL
			: json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY);
	int code = EXIT_OS;

	if (text == NULL) {
		error("out of memory: close other programs");
	} else {
		code = write_text(path, text);
	}
	json_object_put(object);
	return code;
}
