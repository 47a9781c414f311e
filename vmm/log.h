/* SPDX-License-Identifier: BSD-2-Clause */
/* What the user is told, and the exit codes of every stage2 command. */
#ifndef VMM_LOG_H
#define VMM_LOG_H

/*
 * Exit codes. A guest's own exit code (0 to 63 can be told from ours) is passed through by
 * `stage2 run`. The rest follows sysexits(3), timeout(1) and the shell.
 */
enum exit_code {
	EXIT_CODE_OK = 0,
	EXIT_CODE_USAGE = 64, /* unknown option, bad value */
	EXIT_CODE_DATA =
		65, /* an input file is empty, truncated, oversized or not what it must be */
	EXIT_CODE_NO_INPUT = 66,      /* an input file cannot be opened */
	EXIT_CODE_UNAVAILABLE = 69,   /* no KVM, or a KVM that cannot do what is asked */
	EXIT_CODE_INTERNAL = 70,      /* our bug */
	EXIT_CODE_OS = 71,	      /* the system refused: memory, threads, descriptors */
	EXIT_CODE_CANT_CREATE = 73,   /* an output file cannot be written */
	EXIT_CODE_TEMPFAIL = 75,      /* network or archive not reachable and nothing cached */
	EXIT_CODE_NO_PERMISSION = 77, /* no right to use /dev/kvm, to lock memory, ... */
	EXIT_CODE_GUEST_FAILED =
		80, /* the guest cannot go on: KVM_RUN failed, crash, unknown exit */
	EXIT_CODE_GUEST_RESET =
		81,		 /* the guest asked for a reset, which is what a Linux panic does */
	EXIT_CODE_TIMEOUT = 124, /* a board or a guest did not end in time */
	EXIT_CODE_SIGNAL = 128	 /* plus the signal's number: 130 for SIGINT, 143 for SIGTERM */
};

/*
 * One line on stderr, "stage2: " in front: what is wrong and what to do. No full stop, no newline in
 * the format.
 */
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, "stage2: note: " in front: something the user should know but need not act on. */
void log_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same, for work that takes more than a second: what is being done. */
void log_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
