/* SPDX-License-Identifier: BSD-2-Clause */
/* A made-up report, plausible enough to look at; its figures are nobody's results. */
#ifndef TESTS_REPORT_EXAMPLE_H
#define TESTS_REPORT_EXAMPLE_H

#include "report.h"

/* Three workloads on two backings, all grains and policies. Free it with report_free(). */
void example_make(struct report *report);

#endif
