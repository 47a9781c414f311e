/* SPDX-License-Identifier: BSD-2-Clause */
/* UVC: how the Ultravisor is called, and what takes its place where the machine has none. */
#ifndef METAL_S390_UVC_H
#define METAL_S390_UVC_H

#include <stdbool.h>
#include <stdint.h>

struct guest_exit;

#define UVC_NO_ULTRAVISOR (-1) /* an operation exception, program interruption code 1 */

/*
 * Executes UVC with this control block; returns the condition code, 0 to 3, or UVC_NO_ULTRAVISOR:
 * the instruction is not installed, and uvc_software is NULL. Codes 2 and 3 (busy, partial) are the
 * caller's to repeat. Others below 0 are program interruptions that uvc_software wants, negated.
 */
int uvc(void *control_block);

/*
 * Carries out the call in the machine's place, on the stack for traps; returns the condition code,
 * or a program interruption code, negated. Must not itself execute UVC.
 */
extern int (*uvc_software)(uint64_t control_block);

/*
 * Has the guest stopped at a UVC that this machine does not have? Then *control_block is its R2. A
 * machine that has UVC would tell our guests, in the problem state, that it is privileged.
 */
bool uvc_of_guest(const struct guest_exit *e, uint64_t *control_block);

/* The guest's UVC has been carried out: it goes on behind it, with this condition code. */
void uvc_answer(int cc);

#endif
