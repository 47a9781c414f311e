/* SPDX-License-Identifier: BSD-2-Clause */
/* The shape of guest memory at the end of a row: whole and mixed folios, holes, and leaves. */
#ifndef MEASURE_SHAPE_H
#define MEASURE_SHAPE_H

#include <ram.h>
#include <stage2/track.h>

#include "report.h"

/*
 * Counts folios and holes (a hole: a maximal stretch of shared pages in a folio that is otherwise
 * secure) into *counted, and models the largest legal leaves before (all secure) and after: leaves
 * never cross a change of state. The runs that begin in the part of RAM that is reserved for the payload
 * are left out. leaf_sizes as in <stage2/run.h>.
 */
void shape_measure(const struct ram *ram, const struct s2_track *track, uint64_t leaf_sizes,
		   struct report_counted *counted, struct report_modelled *modelled);

#endif
