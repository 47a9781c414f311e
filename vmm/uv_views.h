/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One piece of shared memory, mapped three times, for --protect uv:
 *
 *	window  RAM's own mapping: the only one through which the host may reach the guest's memory. A
 *	        page is closed unless it was opened; touching a closed one is SIGBUS
 *	slot    KVM's: a page that the guest uses and that is not there is reported by a userfaultfd,
 *	        and the guest waits
 *	inner   the Ultravisor's, always open; nobody else has its address
 *
 * The same memory lies behind all of them, so a page is sealed and opened where it is.
 *
 * All this rests on userfaultfd's minor faults on shared memory (Linux 5.13, Documentation/admin-guide/
 * mm/userfaultfd.rst): MADV_DONTNEED takes a page out of one mapping, KVM's stage 2 included, while the
 * page stays in the memory behind it, and UFFDIO_CONTINUE puts it in again.
 *
 * Offsets are bytes from the start of RAM, multiples of the page. Functions return 0 or -errno.
 *
 * Context: one thread at a time, but for uv_views_wait().
 */
#ifndef VMM_UV_VIEWS_H
#define VMM_UV_VIEWS_H

#include <ram.h>

struct uv_views {
	uint8_t *window;
	uint8_t *slot;
	uint8_t *inner;
	uint64_t len;
	int window_faults; /* userfaultfds */
	int slot_faults;
};

/*
 * May this process have userfaultfds that see KVM's faults, and does this kernel have all that is
 * needed? 0; -EPERM; -ENOSYS.
 */
int uv_views_possible(void);

/*
 * Makes slot and inner from RAM's mapping, which must be of a memfd (RAM_MEMFD). kvm: the slot is to
 * be used by the kernel on a guest's behalf, which takes a privilege; else only by threads of this
 * process, for tests. On failure nothing is left.
 */
int uv_views_init(struct uv_views *views, const struct ram *ram, bool kvm);

/* No VM may use slot any longer. window stays, and is open again. */
void uv_views_fini(struct uv_views *views);

/* Closes the whole window. Once, when the image is loaded. */
int uv_views_close(struct uv_views *views);

/* Opens and closes a page of the window; both may be so already. */
int uv_views_show(const struct uv_views *views, uint64_t offset);
int uv_views_hide(const struct uv_views *views, uint64_t offset);

/*
 * Gives the guest len bytes of pages that are there, and lets it go on if it waits for one; takes pages
 * away; lets it run into an error (KVM_RUN fails with EFAULT) instead, for good. What lies behind a page
 * that the guest has already is not given.
 */
int uv_views_give(const struct uv_views *views, uint64_t offset, uint64_t len);
int uv_views_take(const struct uv_views *views, uint64_t offset, uint64_t len);
int uv_views_deny(const struct uv_views *views, uint64_t offset);

/*
 * Waits until the guest waits for a page, whose offset is *offset, or until stop, a file descriptor, is
 * readable: then false. The same page may be reported several times.
 */
bool uv_views_wait(const struct uv_views *views, int stop, uint64_t *offset);

#endif
