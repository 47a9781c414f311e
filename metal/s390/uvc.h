/* SPDX-License-Identifier: BSD-2-Clause */
/* UVC: how the Ultravisor is called, and what takes its place where the machine has none. */
#ifndef METAL_S390_UVC_H
#define METAL_S390_UVC_H

#include <stdint.h>

#define UVC_NO_ULTRAVISOR (-1)

/*
 * Executes UVC with this control block; returns the condition code, 0 to 3, or UVC_NO_ULTRAVISOR:
 * the instruction is not installed, and uvc_software is NULL. Codes 2 and 3 (busy, partial) are the
 * caller's to repeat.
 */
int uvc(void *control_block);

/*
 * Carries out the call in the machine's place, on the stack for traps; returns the condition code.
 * Must not itself execute UVC.
 */
extern int (*uvc_software)(uint64_t control_block);

#endif
