/* SPDX-License-Identifier: BSD-2-Clause */
/* One row of the sweep: one workload at one grain and policy, on a fresh protected guest. */
#ifndef MEASURE_ROW_H
#define MEASURE_ROW_H

#include <stage2/convert.h>

#include "report.h"
#include "vm.h"
#include "workload.h"

struct row_input {
	const struct workload *workload;
	uint64_t grain; /* bytes, or S2_GRAIN_FOLIO */
	enum s2_policy policy;
	const char *payload;   /* path of the agent payload */
	const struct ram *ram; /* guest RAM, populated, its runs known; lent to each row in turn */
};

/* Runs the row and fills all but the names of *row. 0 or an exit code (log.h) after one line. */
int row_run(const struct row_input *input, struct report_row *row);

#endif
