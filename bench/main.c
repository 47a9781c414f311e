/* SPDX-License-Identifier: BSD-2-Clause */
/* stage2-bench: one row after the other. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct program {
	struct options options;
	struct setup setup;
	struct host host;
	struct pool pool;
	uint32_t *order;
	struct result *results;
	size_t result_count;
};

void error(const char *format, ...)
{
	va_list args;

	fputs("stage2-bench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

void *allocate(size_t size)
{
	void *memory = malloc(size > 0 ? size : 1);

	if (memory == NULL) {
		error("out of memory: take a smaller --mem");
		exit(EXIT_OS);
	}
	return memory;
}

static void *heap_alloc(void *cookie, size_t size)
{
	(void)cookie;
	return malloc(size);
}

static void heap_free(void *cookie, void *ptr, size_t size)
{
	(void)cookie;
	(void)size;
	free(ptr);
}

const struct s2_env heap_env = {.alloc = heap_alloc, .free = heap_free};

/* Fisher and Yates, with a generator that is the same everywhere. */
static uint32_t *shuffled(uint64_t count)
{
	uint32_t *order = allocate((size_t)count * sizeof(*order));
	uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

	for (uint64_t i = 0; i < count; i++) {
		order[i] = (uint32_t)i;
	}
	for (uint64_t i = count - 1; i > 0; i--) {
		uint64_t j;
		uint32_t page;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		j = seed % (i + 1);
		page = order[i];
		order[i] = order[j];
		order[j] = page;
	}
	return order;
}

static int start(struct program *p)
{
	struct setup *setup = &p->setup;

	if (!host_cpus(p->options.cpu, setup->cpu) || !host_pin(setup->cpu[0])) {
		error("cannot run on processor %d: choose another --cpu", setup->cpu[0]);
		return EXIT_OS;
	}
	host_read(&p->host, setup->cpu[0]);
	setup->memory = p->options.memory;
	setup->repeat = p->options.repeat;
	/* Leaf tables take 1/512 of the memory they map, or 1/256; and some for roots. */
	if (!pool_init(&p->pool, (size_t)(setup->memory / 128 + (UINT64_C(8) << 20)))) {
		error("out of memory: take a smaller --mem");
		return EXIT_OS;
	}
	setup->pool = &p->pool;
	p->order = shuffled(setup->memory / S2_PAGE_SIZE);
	setup->order = p->order;
	return 0;
}

/* Is there a table on standard output, or JSON? */
static bool has_table(const struct program *p)
{
	return p->options.json == NULL || strcmp(p->options.json, "-") != 0;
}

static const struct result *find_arm64(const struct program *p, const struct row *row)
{
	for (size_t i = 0; i < p->result_count; i++) {
		if (p->results[i].row == row && p->results[i].format == &formats[0]) {
			return &p->results[i];
		}
	}
	return NULL;
}

static int run_row(struct program *p, const struct row *row, bool relative)
{
	struct result *result = &p->results[p->result_count];
	uint64_t preempted = host_preempted();

	memset(result, 0, sizeof(*result));
	result->row = row;
	result->format = p->setup.format;
	result->load = host_load();
	if (!row->measure(&p->setup, result)) {
		error("%s %s: the library did not do its work: run its tests",
		      result->format != NULL ? result->format->name : "tracker", row->name);
		return EXIT_INTERNAL;
	}
	result->preempted = host_preempted() - preempted;
	if (has_table(p)) {
		table_row(result, relative ? find_arm64(p, row) : NULL);
	}
	p->result_count++;
	return 0;
}

/* All chosen rows of a format; or, for NULL, those that have none. */
static int run_section(struct program *p, const struct format *format)
{
	bool relative = format != NULL && format != &formats[0] &&
			options_want_format(&p->options, &formats[0]);
	bool begun = !has_table(p);
	int code = 0;

	p->setup.format = format;
	for (size_t i = 0; code == 0 && row_at(i) != NULL; i++) {
		const struct row *row = row_at(i);

		if (row->has_format != (format != NULL) || !options_want_row(&p->options, row)) {
			continue;
		}
		if (!begun) {
			table_section(format, relative);
			begun = true;
		}
		code = run_row(p, row, relative);
	}
	return code;
}

static int run(struct program *p)
{
	size_t rows = 0;
	int code = 0;

	while (row_at(rows) != NULL) {
		rows++;
	}
	p->results = allocate(rows * (format_count + 1) * sizeof(*p->results));
	if (has_table(p)) {
		table_head(&p->host, &p->setup);
	}
	for (size_t i = 0; code == 0 && i < format_count; i++) {
		if (options_want_format(&p->options, &formats[i])) {
			code = run_section(p, &formats[i]);
		}
	}
	if (code == 0) {
		code = run_section(p, NULL);
	}
	if (code == 0 && has_table(p)) {
		table_foot();
	}
	if (code == 0 && p->options.json != NULL) {
		code = json_write(p->options.json, &p->host, &p->setup, p->results,
				  p->result_count);
	}
	return code;
}

static int finish(int code)
{
	errno = 0;
	if (code == 0 && (fflush(stdout) != 0 || ferror(stdout))) {
		error("cannot write to standard output: %s: check where it goes",
		      strerror(errno ? errno : EIO));
		code = EXIT_CANT_CREATE;
	}
	return code;
}

int main(int argc, char **argv)
{
	static struct program p = {
		.options = {.memory = UINT64_C(1) << 30, .repeat = 15, .cpu = -1}};
	bool done = false;
	int code = options_parse(argc, argv, &p.options, &done);

	if (code != 0 || done) {
		return finish(code);
	}
	if (p.options.json != NULL) {
		code = json_check(p.options.json);
	}
	if (code == 0) {
		code = start(&p);
	}
	if (code == 0) {
		code = run(&p);
		pool_fini(&p.pool);
		free(p.results);
		free(p.order);
	}
	return finish(code);
}
