/* SPDX-License-Identifier: BSD-2-Clause */
/* The stage2 program: one table of commands. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "measure.h"
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

/* A closed stdin, stdout or stderr would hand its number to one of our own files. */
static int open_standard_files(void)
{
	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) {
			return EXIT_CODE_OS;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	stats_start();
	if (open_standard_files()) {
		return EXIT_CODE_OS;
	}
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
