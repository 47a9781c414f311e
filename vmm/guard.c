/* SPDX-License-Identifier: BSD-2-Clause */
#include "guard.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#define PENDING 8

/* The access of this thread that may fault: where it reads or writes guest memory. */
static _Thread_local struct {
	sigjmp_buf out;
	uintptr_t start;
	size_t len;
	volatile sig_atomic_t active;
} guard;

/* Errors that wait to be taken: written by the handler, read by the thread that it interrupts. */
static _Thread_local struct {
	struct guard_error error[PENDING];
	volatile sig_atomic_t count;
} pending;

static _Atomic uintptr_t watch_start;
static _Atomic size_t watch_len;

/* Do the aligned 2^lg2 bytes around addr and [start, start + len) have a byte in common? */
static bool overlaps(uintptr_t addr, unsigned int lg2, uintptr_t start, size_t len)
{
	const uintptr_t mask = lg2 < 8 * sizeof(addr) ? ((uintptr_t)1 << lg2) - 1 : UINTPTR_MAX;
	const uintptr_t first = addr & ~mask, last = addr | mask;

	return len > 0 && first <= start + (len - 1) && last >= start;
}

/* Keeps a memory error in guest RAM for later. False if it is not there, or if nobody takes them. */
static bool keep_error(const siginfo_t *info)
{
	const struct guard_error error = {.addr = (uintptr_t)info->si_addr,
					  .lg2 = (unsigned short)info->si_addr_lsb,
					  .required = info->si_code == BUS_MCEERR_AR};

	if (pending.count == PENDING ||
	    !overlaps(error.addr, error.lg2, atomic_load(&watch_start), atomic_load(&watch_len))) {
		return false;
	}
	pending.error[pending.count] = error;
	pending.count = pending.count + 1;
	return true;
}

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
	const bool poison = signal_number == SIGBUS &&
			    (info->si_code == BUS_MCEERR_AR || info->si_code == BUS_MCEERR_AO);
	const bool ours =
		guard.active && info->si_code != BUS_MCEERR_AO &&
		overlaps((uintptr_t)info->si_addr, poison ? (unsigned short)info->si_addr_lsb : 0,
			 guard.start, guard.len);

	(void)context;
	if (ours) {
		siglongjmp(guard.out, poison ? GUARD_POISON : GUARD_REFUSED);
	}
	if (!(poison && keep_error(info)) && info->si_code != BUS_MCEERR_AO) {
		/* Not ours: let the access fault again and end the process as it would have. */
		signal(signal_number, SIG_DFL);
	}
}

int guard_init(void)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};

	sigemptyset(&action.sa_mask);
	if (sigaction(SIGSEGV, &action, NULL) || sigaction(SIGBUS, &action, NULL)) {
		return -errno;
	}
	return 0;
}

static enum guard_err guarded_copy(void *to, const void *from, size_t len, const void *guest)
{
	const int err = sigsetjmp(guard.out, 0);

	if (err) {
		guard.active = 0;
		return (enum guard_err)err;
	}
	guard.start = (uintptr_t)guest;
	guard.len = len;
	guard.active = 1;
	__asm__ volatile("" ::: "memory"); /* the copy happens while the guard is up: not before */
	memcpy(to, from, len);
	__asm__ volatile("" ::: "memory"); /* nor after */
	guard.active = 0;
	return GUARD_OK;
}

enum guard_err guard_read(void *to, const void *guest, size_t len)
{
	return guarded_copy(to, guest, len, guest);
}

enum guard_err guard_write(void *guest, const void *from, size_t len)
{
	return guarded_copy(guest, from, len, guest);
}

void guard_watch(const void *start, size_t len)
{
	atomic_store(&watch_len, 0);
	atomic_store(&watch_start, (uintptr_t)start);
	atomic_store(&watch_len, len);
}

bool guard_error_take(struct guard_error *error)
{
	sigset_t bus, old;
	bool taken;

	if (!pending.count) {
		return false; /* one that comes right now is taken the next time */
	}
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	pthread_sigmask(SIG_BLOCK, &bus, &old);
	taken = pending.count > 0;
	if (taken) {
		*error = pending.error[0];
		pending.count = pending.count - 1;
		memmove(pending.error, pending.error + 1,
			(size_t)pending.count * sizeof(pending.error[0]));
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return taken;
}
