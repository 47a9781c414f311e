/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of this folder share. */
#ifndef METAL_S390_S390_H
#define METAL_S390_S390_H

#include <stage2/s390.h>

#include "../metal.h"
#include "lowcore.h"

/* External interruptions, PoP chapter 6. */
#define EXTERNAL_CLOCK_COMPARATOR 0x1004
#define EXTERNAL_EMERGENCY_SIGNAL 0x1201
#define EXTERNAL_SERVICE_SIGNAL 0x2401

/* Program interruptions, PoP chapter 6. */
#define PROGRAM_OPERATION 0x01
#define PROGRAM_PROTECTION 0x04
#define PROGRAM_SPECIFICATION 0x06
#define PROGRAM_SEGMENT 0x10
#define PROGRAM_PAGE 0x11
#define PROGRAM_ASCE_TYPE 0x38
#define PROGRAM_REGION_FIRST 0x39
#define PROGRAM_REGION_SECOND 0x3a
#define PROGRAM_REGION_THIRD 0x3b

/* Facility bits, PoP chapter 4, "Facility Indications". */
enum facility {
	FACILITY_EDAT1 = 8,
	FACILITY_IPTE_RANGE = 13,
	FACILITY_MSA = 17,    /* message-security assist: KM, KIMD, KLMD */
	FACILITY_MSA5 = 57,   /* PRNO */
	FACILITY_ACCESS = 75, /* access-exception fetch/store indication */
	FACILITY_EDAT2 = 78,
	FACILITY_IEP = 130,
	FACILITY_MSA8 = 146, /* KMA */
	FACILITY_RDP = 194,  /* reset-DAT-protection */
};

bool facility(enum facility bit);

/* mmu.c */
extern const struct s2_mmu s390_mmu;
void mmu_forget(void);

/* sclp.c */
uint64_t sclp_memory_size(void);
void sclp_done(void); /* the service signal has come, to whichever processor */
void console_init(void);
void console_flush(void);

/* start.S */
unsigned guest_enter(void);
void external_wait(uint64_t until);

/* guest.S: UVC with the control block at a; CALL_DONE(condition code) */
extern const char guest_uvc[];

/* uvc.c: true if the program interruption is a UVC that this machine does not have. */
bool uvc_trapped(void);

/* machine.c: waits for an interruption, but no longer than that. */
void wait(uint64_t microseconds);

/* run.c: sees to an interruption that is not the guest's; 0: there was none. */
unsigned external_arrived(void);

/* The TOD clock: bit 51 is a microsecond. PoP chapter 4, "Timing". */
#define CLOCK_US UINT64_C(4096)
#define CLOCK_NEVER UINT64_MAX

static inline void clock_comparator(uint64_t value)
{
	__asm__ volatile("sckc	%0" : : "Q"(value) : "memory");
}

static inline uint64_t clock_now(void)
{
	uint64_t now;

	__asm__ volatile("stckf %0" : "=Q"(now) : : "cc");
	return now;
}

#endif
