/* SPDX-License-Identifier: BSD-2-Clause */
/* The control device: how a guest ends the VM, announces shares and talks to the tool (guest_abi.h). */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

#include "bus.h"
#include "memory.h"

struct control {
	struct memory *memory;
	/* Called in the vCPU's thread. exit: the guest wants to end with this code. */
	void (*exit)(void *cookie, uint64_t code);
	void *cookie;
	bool inject_errors; /* the guest may ask for memory errors */
	bool rung;	    /* doorbell: set here, cleared by who waits for it */
	s2_gpa_t mailbox;   /* 0 until the guest has one */
	uint64_t peeked;    /* what the last peek read */
	bool readable;	    /* whether it could */
	bool writable;	    /* whether the last poke could */
	uint64_t differ;    /* pages in which the last audit found tracker and MMU to differ */
};

/* Puts the device on a bus at gpa. Fails as bus_add(). */
int control_attach(struct control *control, struct bus *bus, s2_gpa_t gpa);

#endif
