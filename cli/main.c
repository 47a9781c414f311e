/* SPDX-License-Identifier: BSD-2-Clause */
/* The stage2 program: one table of commands. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "measure.h"
#include "metal.h"
#include "report.h"
#include "run.h"
#include "stats.h"

static const struct command {
	const char *name;
	int (*main)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{"run", run_main, "run a guest on KVM, plain or protected"},
	{"measure", measure_main, "measure what conversions cost at each grain and policy"},
	{"report", report_main, "print a report, or draw it as HTML"},
	{"metal", metal_main, "test the library's tables under the MMUs of emulated machines"},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(*commands))

static void help(FILE *out)
{
	fprintf(out, "usage: stage2 COMMAND [options]\n\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].summary);
	}
	fprintf(out, "\n'stage2 COMMAND --help' has the options. 'stage2 --version' prints %s.\n",
		STAGE2_VERSION);
}

/*
 * A closed stdin, stdout or stderr would hand its number to one of our own files. Writing to a stdout
 * that was closed stays an error.
 */
static int open_standard_files(void)
{
	for (int fd = 0; fd < 3; fd++) {
		const int mode = fd == STDOUT_FILENO ? O_RDONLY : O_RDWR;

		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", mode) != fd) {
			return EXIT_CODE_OS;
		}
	}
	return 0;
}

static int run_command(int argc, char **argv)
{
	if (argc < 2) {
		log_error("no command: see 'stage2 --help'");
		return EXIT_CODE_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "help")) {
		help(stdout);
		return 0;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("stage2 %s\n", STAGE2_VERSION);
		return 0;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (!strcmp(argv[1], commands[i].name)) {
			return commands[i].main(argc - 1, argv + 1);
		}
	}
	log_error("unknown command '%s': see 'stage2 --help'", argv[1]);
	return EXIT_CODE_USAGE;
}

int main(int argc, char **argv)
{
	int code;

	stats_start();
	if (open_standard_files()) {
		return EXIT_CODE_OS;
	}
	code = run_command(argc, argv);
	errno = 0;
	if (!code && (fflush(stdout) || ferror(stdout))) {
		log_error("cannot write to standard output: %s: check where it goes",
			  strerror(errno ? errno : EIO));
		code = EXIT_CODE_CANT_CREATE;
	}
	return code;
}
