/* SPDX-License-Identifier: BSD-2-Clause */
/* The format and its engine, in which threads lose the processor. */
#include "preempt.h"

#include "../../arch/riscv/gstage.c"
