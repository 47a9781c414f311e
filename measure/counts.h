/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What operations of the library cost on a bare machine, counted by `stage2 metal --counts`: exact, and
 * the same on every run. measure/README.md documents the JSON schema.
 */
#ifndef MEASURE_COUNTS_H
#define MEASURE_COUNTS_H

#include "report.h"

#define COUNTS_SCHEMA "stage2-metal"
#define COUNTS_VERSION 1
#define COUNTS_ROWS_MAX 4096

struct counts_row {
	char space[REPORT_NAME_MAX];	 /* kind of address space, "4-level" */
	char operation[REPORT_NAME_MAX]; /* "map", "unmap", "demand-run" */
	uint64_t pages;			 /* 4 KiB pages that the operation was asked for */
	uint64_t instructions;
	uint64_t flushes; /* instructions that flush something from a TLB */
	uint64_t calls;	  /* of the back end's flush */
	uint64_t ranges;  /* that these calls were given */
};

struct counts {
	char tool_version[REPORT_NAME_MAX];
	char arch[REPORT_NAME_MAX];	/* as in `stage2 metal ARCH` */
	char emulator[REPORT_NAME_MAX]; /* "qemu-system-aarch64" */
	char emulator_version[REPORT_NAME_MAX];
	struct counts_row *row;
	size_t row_count;
};

/* A line of the image, "count SPACE OPERATION pages=N ...". False: it is no such line. */
bool counts_parse(const char *line, struct counts_row *row);

/*
 * All return 0 or an exit code of vmm/log.h, after one line with log_error(). counts_free() frees the rows,
 * and accepts counts that are all zero.
 */
int counts_add(struct counts *counts, const struct counts_row *row);
int counts_write_json(const struct counts *counts, const char *path);
int counts_read_json(struct counts *counts, const char *path);
int counts_print_table(const struct counts *counts, FILE *out);
void counts_free(struct counts *counts);

#endif
