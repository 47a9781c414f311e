/* SPDX-License-Identifier: BSD-2-Clause */
/* One run: shows what the machine says as it says it, and sees to it that there is an end. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "counts.h"
#include "log.h"
#include "metal.h"

#define PIECE 4096 /* what poll() promises of a pipe that can be written: PIPE_BUF */

enum {
	EVENT_SIGNAL,
	EVENT_QMP,
	EVENT_ERR,
	EVENT_OUT,
	EVENT_SHOW,
	EVENTS
};

struct run {
	const struct metal_request *request;
	struct metal_qmp qmp;
	struct metal_stream qmp_stream, err, out;
	struct counts counts;
	bool firmware;	       /* is speaking */
	uint64_t said;	       /* lines of the kind that this run is for */
	char shown[4 * PIECE]; /* on its way to our stdout */
	size_t shown_length;
	int64_t deadline; /* milliseconds, as now() */
	int signals;
	pid_t pid;  /* of the emulator; 0 after its end */
	int status; /* at its end */
	int code;   /* not 0: we end it, for a reason of our own */
};

static bool begins(const char *line, const char *with)
{
	return strncmp(line, with, strlen(with)) == 0;
}

/* What the lines that a run is for begin with. */
static const char *wanted(const struct metal_request *request)
{
	if (request->counts) {
		return "count ";
	}
	if (request->mutants) {
		return "mutant ";
	}
	return request->list ? "" : "1..";
}

static void take_count(struct run *run, const char *line)
{
	struct counts_row row;

	if (!counts_parse(line, &row)) {
		log_error("metal: '%.80s': no line of counts: is the image of this version?", line);
		run->code = EXIT_CODE_GUEST_FAILED;
	} else if (counts_add(&run->counts, &row) != 0) {
		run->code = EXIT_CODE_OS;
	}
}

static void take_line(void *cookie, const char *line)
{
	struct run *run = cookie;
	size_t length = strlen(line);

	if (run->firmware) {
		run->firmware = !begins(line, run->request->machine->firmware_end);
		return;
	}
	/* There is room: nothing is read before all has been shown. */
	assert(run->shown_length + length + 1 <= sizeof(run->shown));
	memcpy(run->shown + run->shown_length, line, length);
	run->shown[run->shown_length + length] = '\n';
	run->shown_length += length + 1;
	if (begins(line, wanted(run->request))) {
		run->said++;
		if (run->request->counts) {
			take_count(run, line);
		}
	}
}

static void take_message(void *cookie, const char *line)
{
	(void)cookie;
	/* That nothing wakes a machine that has come to its end is not worth a word. */
	if (strstr(line, "icount sleep disabled and no active timers") != NULL) {
		return;
	}
	log_note("metal: %s", line);
}

static void show(struct run *run)
{
	size_t length = run->shown_length < PIECE ? run->shown_length : PIECE;
	ssize_t done = write(STDOUT_FILENO, run->shown, length);

	if (done < 0 && errno != EINTR && errno != EAGAIN) {
		log_error("cannot write to standard output: %s: check where it goes",
			  strerror(errno));
		run->code = EXIT_CODE_CANT_CREATE;
	} else if (done > 0) {
		run->shown_length -= (size_t)done;
		memmove(run->shown, run->shown + done, run->shown_length);
	}
}

static void take_signal(struct run *run)
{
	struct signalfd_siginfo info;

	if (read(run->signals, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
		return;
	}
	if (info.ssi_signo != SIGCHLD) {
		run->code = EXIT_CODE_SIGNAL + (int)info.ssi_signo;
	} else if (run->pid != 0 && waitpid(run->pid, &run->status, WNOHANG) == run->pid) {
		run->pid = 0;
	}
}

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Waits for something to happen, and sees to it; false: nothing did. */
static bool step(struct run *run, int timeout)
{
	struct pollfd event[EVENTS] = {
		[EVENT_SIGNAL] = {.fd = run->signals, .events = POLLIN},
		[EVENT_QMP] = {.fd = run->qmp_stream.fd, .events = POLLIN},
		[EVENT_ERR] = {.fd = run->err.fd, .events = POLLIN},
		[EVENT_OUT] = {.fd = run->shown_length == 0 ? run->out.fd : -1, .events = POLLIN},
		[EVENT_SHOW] = {.fd = run->shown_length != 0 ? STDOUT_FILENO : -1,
				.events = POLLOUT},
	};
	int count = poll(event, EVENTS, timeout);

	if (count <= 0) {
		return count < 0;
	}
	if (event[EVENT_SIGNAL].revents != 0) {
		take_signal(run);
	}
	if (event[EVENT_QMP].revents != 0) {
		metal_stream_read(&run->qmp_stream);
	}
	if (event[EVENT_ERR].revents != 0) {
		metal_stream_read(&run->err);
	}
	if (event[EVENT_OUT].revents != 0) {
		metal_stream_read(&run->out);
	}
	if (event[EVENT_SHOW].revents != 0) {
		show(run);
	}
	return true;
}

/* To the emulator's end, and to that of what it has said. */
static void wait_for_end(struct run *run)
{
	while (run->code == 0) {
		int64_t left = run->deadline - now();
		bool ended = run->pid == 0 && run->shown_length == 0;

		if (left <= 0) {
			log_error("metal: %s: did not end in %" PRIu64
				  " seconds: --timeout gives more",
				  run->request->machine->name, run->request->seconds);
			run->code = EXIT_CODE_TIMEOUT;
		} else if (!step(run, ended ? 0 : (int)left) && ended) {
			/* All has been read, whoever else may have the other end. */
			metal_stream_end(&run->out);
			if (run->shown_length == 0) {
				return;
			}
		}
	}
}

/* What would end us, and the emulator's end, arrive as data from here on. */
static int catch_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGCHLD,
	       SIG_DFL); /* whoever started us may ignore it, and then there is no status */
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0) {
		log_error("metal: cannot catch signals: %s", strerror(errno));
	}
	return fd;
}

static void listen_to(struct run *run, const struct metal_emulator *emulator)
{
	run->pid = emulator->pid;
	run->firmware = run->request->machine->firmware_end != NULL;
	run->out = (struct metal_stream){emulator->out, take_line, run, 0, ""};
	run->err = (struct metal_stream){emulator->err, take_message, run, 0, ""};
	run->qmp_stream = (struct metal_stream){emulator->qmp, metal_qmp_line, &run->qmp, 0, ""};
	run->qmp.stream = &run->qmp_stream;
	run->deadline = now() + (int64_t)run->request->seconds * 1000;
}

static void stop(struct run *run)
{
	if (run->pid != 0) {
		kill(-run->pid, SIGKILL);
		waitpid(run->pid, &run->status, 0);
	}
	if (run->code == EXIT_CODE_TIMEOUT && run->shown_length == 0) {
		/* The line that it stopped in says most. */
		metal_stream_end(&run->out);
		step(run, 0);
	}
	run->out.length = run->err.length = run->qmp_stream.length = 0;
	metal_stream_end(&run->out);
	metal_stream_end(&run->err);
	metal_stream_end(&run->qmp_stream);
}

static int write_counts(struct run *run, const char *version)
{
	const struct metal_request *request = run->request;
	const char *qemu = request->qemu != NULL ? request->qemu : request->machine->qemu;
	const char *slash = strrchr(qemu, '/');
	struct counts *counts = &run->counts;

	snprintf(counts->tool_version, sizeof(counts->tool_version), "%s", version);
	snprintf(counts->arch, sizeof(counts->arch), "%s", request->machine->name);
	snprintf(counts->emulator, sizeof(counts->emulator), "%s",
		 slash != NULL ? slash + 1 : qemu);
	snprintf(counts->emulator_version, sizeof(counts->emulator_version), "%s",
		 run->qmp.version);
	return counts_write_json(counts, request->json);
}

int metal_run(const struct metal_request *request, const char *image)
{
	static struct run run; /* large for a stack */
	struct metal_emulator emulator;
	int code;

	run = (struct run){.request = request, .signals = catch_signals()};
	if (run.signals < 0) {
		return EXIT_CODE_OS;
	}
	code = metal_emulator_start(&emulator, request, image);
	if (code == 0) {
		listen_to(&run, &emulator);
		wait_for_end(&run);
		stop(&run);
		code = run.code != 0 ? run.code
				     : metal_verdict(request, run.status, &run.qmp, run.said);
	}
	if (code == 0 && request->json != NULL) {
		code = write_counts(&run, STAGE2_VERSION);
	}
	counts_free(&run.counts);
	close(run.signals);
	return code;
}
