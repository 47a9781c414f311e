/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the TLB's suite. */
#ifndef TESTS_MACHINE_TEST_TLB_H
#define TESTS_MACHINE_TEST_TLB_H

#include "test_tables.h"

void add_stale(TCase *tcase);  /* test_tlb_stale.c */
void add_breaks(TCase *tcase); /* test_tlb_break.c */

#endif
