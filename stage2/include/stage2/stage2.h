/* SPDX-License-Identifier: BSD-2-Clause */
/* libstage2, all of it. Each part can be included alone. */
#ifndef STAGE2_STAGE2_H
#define STAGE2_STAGE2_H

#include <stage2/clean.h>
#include <stage2/convert.h>
#include <stage2/env.h>
#include <stage2/err.h>
#include <stage2/fmt.h>
#include <stage2/gather.h>
#include <stage2/hole.h>
#include <stage2/map.h>
#include <stage2/mark.h>
#include <stage2/mmu.h>
#include <stage2/pin.h>
#include <stage2/run.h>
#include <stage2/space.h>
#include <stage2/track.h>
#include <stage2/types.h>
#include <stage2/view.h>
#include <stage2/walk.h>

#endif
