/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Starts QEMU. Nothing of a run is in the file system: the arguments are a file in memory, and the
 * monitor is a socket, both of which QEMU inherits.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "metal.h"

#define ARGV_MAX 64

/* QEMU's command line. */
struct command {
	const char *argv[ARGV_MAX];
	size_t count;
	char monitor[64];
	char loader[128];
};

/* What the emulator gets from us: its ends of pipes and sockets. */
struct ends {
	int out[2], err[2], qmp[2], failure[2];
	int arguments;
};

static void add(struct command *command, const char *word)
{
	if (command->count < ARGV_MAX - 1) {
		command->argv[command->count++] = word;
	}
}

static void add_all(struct command *command, const char *const *words)
{
	while (*words != NULL) {
		add(command, *words++);
	}
}

static void make_command(struct command *command, const struct metal_request *request,
			 const char *image, const struct ends *ends)
{
	const struct metal_machine *machine = request->machine;
	static const char *const always[] = {"-S",
					     "-nodefaults",
					     "-display",
					     "none",
					     "-no-reboot",
					     "-accel",
					     "tcg",
					     "-m",
					     "256",
					     "-chardev",
					     "stdio,id=io,signal=off",
					     "-serial",
					     "chardev:io",
					     NULL};
	/*
	 * One instruction is one nanosecond, and waiting takes none: the same on every run. With one
	 * processor, as the order in which two run is the host's.
	 */
	static const char *const counting[] = {"-smp", "1", "-icount", "shift=0,sleep=off", NULL};
	static const char *const testing[] = {"-smp", "2", NULL};

	*command = (struct command){0};
	snprintf(command->monitor, sizeof(command->monitor), "socket,id=qmp,fd=%d", ends->qmp[1]);
	snprintf(command->loader, sizeof(command->loader),
		 "loader,file=/proc/self/fd/%d,addr=%#" PRIx64 ",force-raw=on", ends->arguments,
		 machine->arguments);
	add(command, request->qemu != NULL ? request->qemu : machine->qemu);
	add_all(command, always);
	add_all(command, request->counts ? counting : testing);
	add_all(command, machine->options);
	add_all(command, (const char *const[]){"-chardev", command->monitor, "-mon",
					       "chardev=qmp,mode=control", "-device",
					       command->loader, "-kernel", image, NULL});
}

/* The words for the image, and the byte that ends them. -1 with errno set. */
static int make_arguments(const struct metal_request *request)
{
	char text[sizeof(request->words) + 32];
	int length = snprintf(text, sizeof(text), "%s%s%s%s", request->list ? "list " : "",
			      request->counts ? "counts " : "", request->mutants ? "mutants " : "",
			      request->words);
	int fd = memfd_create("arguments", MFD_CLOEXEC);

	if (fd >= 0 && write(fd, text, (size_t)length + 1) != length + 1) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* In the child: never returns. */
static _Noreturn void become(const struct command *command, const struct ends *ends, pid_t parent)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;
	int error;

	/* A group of its own: what is typed at the terminal is for us, who end it. */
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (getppid() == parent && null >= 0 && dup2(null, STDIN_FILENO) >= 0 &&
	    dup2(ends->out[1], STDOUT_FILENO) >= 0 && dup2(ends->err[1], STDERR_FILENO) >= 0 &&
	    fcntl(ends->arguments, F_SETFD, 0) == 0 && fcntl(ends->qmp[1], F_SETFD, 0) == 0) {
		execvp(command->argv[0], (char *const *)(uintptr_t)command->argv);
	}
	error = errno;
	(void)!write(ends->failure[1], &error, sizeof(error));
	_exit(EXIT_CODE_OS);
}

static void close_pair(int pair[2])
{
	for (int i = 0; i < 2; i++) {
		if (pair[i] >= 0) {
			close(pair[i]);
		}
	}
}

static bool open_ends(struct ends *ends, const struct metal_request *request)
{
	*ends = (struct ends){{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}, -1};
	ends->arguments = make_arguments(request);
	return ends->arguments >= 0 && pipe2(ends->out, O_CLOEXEC) == 0 &&
	       pipe2(ends->err, O_CLOEXEC) == 0 && pipe2(ends->failure, O_CLOEXEC) == 0 &&
	       socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends->qmp) == 0;
}

static void close_ends(struct ends *ends)
{
	close_pair(ends->out);
	close_pair(ends->err);
	close_pair(ends->qmp);
	close_pair(ends->failure);
	if (ends->arguments >= 0) {
		close(ends->arguments);
	}
}

/* Our end, out of the reach of close_ends(). */
static int keep(int *end)
{
	int fd = *end;

	*end = -1;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* Returns 0, or the errno that says why there is no emulator. */
static int start(pid_t *pid, const struct command *command, struct ends *ends)
{
	pid_t parent = getpid();
	int error = 0;

	*pid = fork();
	if (*pid < 0) {
		return errno;
	}
	if (*pid == 0) {
		become(command, ends, parent);
	}
	close(ends->failure[1]);
	ends->failure[1] = -1;
	/* Nothing comes, and the end is closed, when the program has been started. */
	if (read(ends->failure[0], &error, sizeof(error)) > 0) {
		waitpid(*pid, NULL, 0);
		return error;
	}
	return 0;
}

int metal_emulator_start(struct metal_emulator *emulator, const struct metal_request *request,
			 const char *image)
{
	struct command command;
	struct ends ends;
	int error = 0;

	if (!open_ends(&ends, request)) {
		log_error("metal: the emulator cannot be started: %s", strerror(errno));
		close_ends(&ends);
		return EXIT_CODE_OS;
	}
	make_command(&command, request, image, &ends);
	error = start(&emulator->pid, &command, &ends);
	if (error == 0) {
		emulator->out = keep(&ends.out[0]);
		emulator->err = keep(&ends.err[0]);
		emulator->qmp = keep(&ends.qmp[0]);
	} else {
		log_error(
			error == ENOENT
				? "metal: %s: %s: install the package %s, or use --qemu PATH"
				: "metal: %s cannot be started: %s: it should be the one of the package %s",
			command.argv[0], strerror(error), request->machine->package);
	}
	close_ends(&ends);
	return error == 0 ? 0 : EXIT_CODE_UNAVAILABLE;
}
