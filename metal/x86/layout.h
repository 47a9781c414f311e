/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses and selectors that C and assembler share. */
#ifndef METAL_X86_LAYOUT_H
#define METAL_X86_LAYOUT_H

/* The host's. The image is at 32 MiB: metal.ld. */
#define TRAMPOLINE 0x8000    /* where processor 1 starts */
#define ARGUMENTS 0x01000000 /* put there by the emulator's loader */

/* The guest's: its own page tables. */
#define GUEST_TABLES_GPA 0x18000000

/* The host's segments; the guest's have the same selectors. */
#define CODE64 0x08
#define DATA 0x10
#define CODE32 0x18

#endif
