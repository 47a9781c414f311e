/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a conversion of 2 MiB between private and shared costs through all of our layers (tracker, journal,
 * lock, both discards), beside the system calls that nobody can do without, made by hand on a VM of their
 * own in the same run.
 */
#ifndef MEASURE_CONVERT_COST_H
#define MEASURE_CONVERT_COST_H

#include <ram.h>

/* Prints a table on stdout. 0 or an exit code (log.h) after one line. */
int convert_cost(const char *payload, uint64_t memory, enum ram_backing backing);

#endif
