/* SPDX-License-Identifier: BSD-2-Clause */
/* The cases of the suite: one for each file test_*.c of this folder. */
#ifndef TESTS_CONFORMANCE_CASES_H
#define TESTS_CONFORMANCE_CASES_H

#include <check.h>

TCase *case_shape(void);
TCase *case_rights(void);
TCase *case_map(void);
TCase *case_size(void);
TCase *case_errors(void);
TCase *case_marks(void);
TCase *case_read(void);
TCase *case_hooks(void);
TCase *case_flush(void);
TCase *case_deeds(void);
TCase *case_beside(void);
TCase *case_small(void);
TCase *case_walk_cache(void);

#endif
