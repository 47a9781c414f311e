/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What metal/ needs of a machine: the one interface between the tests, which know no machine, and
 * the folders arm64/, riscv/, x86/ and s390/, which know no test.
 *
 * One guest, one virtual CPU on each processor. Every call acts on the processor that makes it. The
 * hypervisor runs with interrupts off; only a guest is interrupted, by the deadline or by a kick.
 */
#ifndef METAL_MACHINE_H
#define METAL_MACHINE_H

#include <stage2/stage2.h>

/* A kind of space that this machine runs guests in. */
struct machine_space {
	const char *name; /* "4-level", for the tests' names */
	const struct s2_fmt *fmt;
	uint64_t features;
	uint8_t gpa_bits;
	uint8_t hpa_bits;
};

/* What the machine is, filled in by machine_init() from what the processor reports. */
struct machine {
	const char *name; /* as in `stage2 metal NAME` */
	const struct machine_space *space;
	size_t space_count;
	uint64_t ram; /* the host's memory: RAM from here ... */
	uint64_t ram_size;
	bool fault_exact;	  /* faults tell every bit of the gpa, not only the page */
	bool fault_permission;	  /* faults tell a missing right from a missing page */
	bool flush_halves;	  /* a flush has two parts: see machine_flush_half */
	const struct s2_mmu *mmu; /* the back end, with the machine's own instructions */
};

extern struct machine machine;

/* The first processor, before anything else: console, vectors, what the processor can do. */
void machine_init(void);

/* A character for the console; "\n" is a line's end. */
void machine_putc(char c);

/* What the command line has left for us: a text; "" if there is none. */
const char *machine_arguments(void);

/* Ends the emulator with this code, 0 to 63, by its exit device. */
_Noreturn void machine_exit(unsigned code);

/* 0 or 1. */
unsigned machine_cpu(void);

/* Starts processor 1, which calls entry on a stack of its own. False: there is none. */
bool machine_cpu_start(void (*entry)(void));

/* Waiting for the other processor. */
void machine_relax(void);

/* Makes the other processor leave its guest, if it is in one: its exit is EXIT_KICK. */
void machine_kick(void);

/* Instructions executed so far by this processor. Exact under the emulator's counting clock. */
uint64_t machine_instructions(void);

/* Instructions that flushed something from a TLB, since the start, of all processors. */
uint64_t machine_flushes(void);

/*
 * Maps in a new space what the guest needs besides its code and its data (page tables of its own);
 * nothing on most machines. Must stay clear of the addresses in metal.h.
 */
enum s2_err machine_guest_open(struct s2_space *s, struct s2_gather *g);

/* Writes a function of at most 64 bytes that returns value to memory, and makes it ready to be executed. */
void machine_code(void *to, uint16_t value);

/* What the guest runs: one page, or more, position-independent (guest.S), and the gpa it is put at. */
extern const char guest_code[], guest_code_end[];

/* Entry points of guest.S; what each does is in guest.h. */
extern const char guest_read[], guest_write[], guest_call[], guest_touch[], guest_poll[],
	guest_hypercall[], guest_spin[];

/*
 * Points this processor at a space; the VMID or ASID is id (1 to 7). What the processor remembers of
 * the id is NOT flushed: that is the tests' subject. s == NULL: at none.
 */
void machine_load(const struct s2_space *s, unsigned id);

/* Flushes everything of all guests on this processor: between tests. */
void machine_forget(void);

/* The guest's registers: where it goes on, and up to three arguments. Nothing else is kept. */
void machine_start(uint64_t pc, uint64_t a, uint64_t b, uint64_t c);

/* Why a guest has stopped. */
struct guest_exit {
	enum guest_exit_kind {
		EXIT_CALL = 0,	   /* hypercall: call[0] is its number, the rest are arguments */
		EXIT_FAULT = 1,	   /* of stage 2 */
		EXIT_DEADLINE = 2, /* it ran for as long as it may */
		EXIT_KICK = 3,	   /* machine_kick() of the other processor */
		EXIT_OTHER = 4,	   /* what no guest of ours does: why, raw */
	} kind;
	uint64_t call[3];
	uint64_t gpa;	 /* of the fault; machine.fault_exact */
	uint8_t access;	 /* S2_READ, S2_WRITE or S2_EXEC; 0 where the machine does not say */
	uint8_t level;	 /* where the walk ended, in the library's counting; S2_LEVEL_ANY */
	bool permission; /* mapped, but not so; machine.fault_permission */
	bool mark; /* mapped, but an accessed or dirty mark is missing: s2_touch(); where known */
	uint64_t pc;
	uint64_t raw[3]; /* the machine's own words for it: ESR, scause, EXITCODE, ... */
};

/*
 * Runs the guest until it exits. After a fault the next run repeats the instruction; after a hypercall
 * it goes on behind it. deadline is in microseconds of the machine's clock.
 */
void machine_run(struct guest_exit *e, uint64_t deadline);

#ifdef METAL_MUTANTS
/* The image with mutants: the back end flushes this processor only. */
extern bool machine_flush_local;
/* And where a flush has two parts (stage 2, then what combines both stages), only the first. */
extern bool machine_flush_half;
#endif

/* What the hypercall that the guest has made returns. */
void machine_answer(uint64_t value);

#endif
