/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a guest is protected from the host: one kind a VM, chosen with --protect, a table of functions
 * each. All else in vmm/ asks the table and knows no kind by name.
 *
 *	none  the host sees all of the guest's memory
 *	pkvm  KVM's protected VMs on arm64: the hypervisor takes the guest's pages from the host
 *	sw    KVM's private memory on x86: the guest's pages are in a guest_memfd that nobody maps
 *	uv    a software Ultravisor (stage2/uv.h) in front of an ordinary KVM guest: pages that the host
 *	      reaches for are sealed first
 *
 * What returns int returns 0 or an exit code (log.h) after one line on stderr.
 */
#ifndef VMM_PROTECT_H
#define VMM_PROTECT_H

#include <ram.h>
#include <stage2/convert.h>
#include <stdbool.h>

#include "memory.h"

struct vm;

enum protect_kind {
	PROTECT_NONE = 0,
	PROTECT_PKVM = 1,
	PROTECT_SW = 2,
	PROTECT_UV = 3,
	PROTECT_KIND_COUNT
};

/* NULL for a function: the kind has nothing to do there. */
struct protect_ops {
	const char *arch; /* the only architecture that has it, as arch_name; NULL: any */
	bool secret;	  /* the guest starts with all pages SECURE; else all are SHARED */
	/*
	 * The guest's hypercalls come to us. What it reports through the control device is checked and
	 * converts nothing.
	 */
	bool sees_calls;
	enum ram_backing backing; /* what --backing is if the user says nothing */
	bool idempotent; /* to ask for a state that pages are in already is no error of the guest's */
	bool own_pages; /* the guest's pages are not RAM's own: start() populates, if that is asked for */
	/* For KVM_CREATE_VM; 0: the type of the architecture's ordinary VM. */
	unsigned long vm_type;

	/* Preflight, before anything is created: names the rule of this kind that would break. */
	int (*check)(const struct vm *vm);

	/*
	 * After KVM_CREATE_VM and memory_init(), before interrupt controller and vCPUs: the memory
	 * slots, and all that the kind needs; its own state goes to vm->memory.protect.
	 */
	int (*create)(struct vm *vm);

	/*
	 * The image is loaded, the guest is about to run, and all pages are in their first state.
	 */
	int (*start)(struct vm *vm);

	/*
	 * The engine's back end (stage2/convert.h); the cookie is the struct memory. With memory's lock
	 * held. NULL: the tracker is a ledger of what the guest tells us, there is nothing to do.
	 */
	struct s2_answer (*convert)(void *cookie, enum s2_move move, struct s2_range range);

	/*
	 * KVM_RUN said that the guest used these pages, as private memory or as shared, and that they
	 * are not there as such (KVM_EXIT_MEMORY_FAULT). Makes them so, or tells why not: then the guest
	 * cannot go on. vCPU thread, memory's lock not held. NULL: the guest cannot go on.
	 */
	enum memory_err (*guest_fault)(struct memory *memory, struct s2_range range,
				       bool is_private);

	/*
	 * The MMU refused the host an access to the page that holds gpa. MEMORY_OK: it may try again,
	 * and what it finds in a page that the guest does not share is cipher text. With memory's lock
	 * held. NULL: that was the last word.
	 */
	enum memory_err (*host_access)(struct memory *memory, s2_gpa_t gpa);

	/* Prints the kind's lines of `stage2 run --stats` on stderr; the VM has stopped. */
	void (*stats)(const struct vm *vm);

	/*
	 * Frees memory->protect, if create got that far. KVM has let go of the memory; RAM is still
	 * there. From memory_fini().
	 */
	void (*fini)(struct memory *memory);
};

/* The table of a kind; NULL if this build does not have it. */
const struct protect_ops *protect_ops(enum protect_kind kind);

/* A kind's name as --protect takes it, and back: false, and *out is not set, if there is none. */
const char *protect_name(enum protect_kind kind);
bool protect_parse(const char *name, enum protect_kind *out);

/*
 * For create(): gives KVM all of RAM as memory slot 0. hva is where the slot's mapping starts: RAM's
 * own, or another mapping of the same length.
 */
int protect_slot(struct vm *vm, s2_hva_t hva);

/* For `create`, where a slot of RAM's own mapping is all that is needed. */
int protect_create_slot(struct vm *vm);

extern const struct protect_ops protect_none;
extern const struct protect_ops protect_pkvm;
extern const struct protect_ops protect_sw;
extern const struct protect_ops protect_uv;

#endif
