/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the suite of jobs. */
#ifndef TESTS_UNIT_TEST_JOB_H
#define TESTS_UNIT_TEST_JOB_H

#include <check.h>

void add_random_jobs(TCase *tcase); /* test_job_random.c */

#endif
