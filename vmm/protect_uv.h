/* SPDX-License-Identifier: BSD-2-Clause */
/* What --protect uv is without KVM: for tests, whose guest is a thread that uses views.slot. */
#ifndef VMM_PROTECT_UV_H
#define VMM_PROTECT_UV_H

#include "protect.h"
#include "uv_guest.h"

struct protect_uv {
	struct uv_views views;
	struct uv_guest guest;
	pthread_t handler; /* brings in what the guest waits for */
	int stop;	   /* eventfd: ends it */
	bool handling;
	/*
	 * The guest cannot go on, after one line on stderr. In the handler's thread, memory's lock not
	 * held; then the guest's access fails.
	 */
	void (*fail)(void *cookie);
	void *cookie;
};

/* In memory->protect from the one to the other. 0 or -errno; -EIO and -ENOSYS after a line on stderr. */
int protect_uv_init(struct memory *memory, unsigned int cpu_count, bool kvm,
		    void (*fail)(void *cookie), void *cookie);
void protect_uv_fini(struct memory *memory);

/* The guest's image is what the loader has put there, and the window is closed. As above. */
int protect_uv_boot(struct memory *memory);

#endif
