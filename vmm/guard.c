/* SPDX-License-Identifier: BSD-2-Clause */
#include "guard.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

/* The access of this thread that may fault: where it reads or writes guest memory. */
static _Thread_local struct {
	sigjmp_buf out;
	uintptr_t start;
	size_t len;
	volatile sig_atomic_t active;
} guard;

static void on_fault(int signal_number, siginfo_t *info, void *context)
{
	(void)context;
	if (guard.active && (uintptr_t)info->si_addr - guard.start < guard.len) {
		siglongjmp(guard.out, 1);
	}
	/* Not ours: let the access fault again and end the process as it would have. */
	signal(signal_number, SIG_DFL);
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

static bool guarded_copy(void *to, const void *from, size_t len, const void *guest)
{
	if (sigsetjmp(guard.out, 0)) {
		guard.active = 0;
		return false;
	}
	guard.start = (uintptr_t)guest;
	guard.len = len;
	guard.active = 1;
	__asm__ volatile("" ::: "memory"); /* the copy happens while the guard is up: not before */
	memcpy(to, from, len);
	__asm__ volatile("" ::: "memory"); /* nor after */
	guard.active = 0;
	return true;
}

bool guard_read(void *to, const void *guest, size_t len)
{
	return guarded_copy(to, guest, len, guest);
}

bool guard_write(void *guest, const void *from, size_t len)
{
	return guarded_copy(guest, from, len, guest);
}
