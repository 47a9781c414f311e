/* SPDX-License-Identifier: BSD-2-Clause */
/* `stage2 metal`: options and words. */
#include "metal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "parse.h"
#include "report.h"

static const char usage[] =
	"usage: stage2 metal ARCH [options] [TEST...]\n"
	"\n"
	"Starts QEMU with a hypervisor that is nothing but this library, a guest and\n"
	"tests, and shows what it says. A TEST is a test's name, or one part of it; none\n"
	"is all.\n"
	"\n"
	"ARCH is one of\n";

static const char options_usage[] =
	"\n"
	"  --list          show the names of the tests, and run none\n"
	"  --counts        count instructions and invalidations instead: exact, and the\n"
	"                  same on every run\n"
	"  --mutants       spoil one flush after the other, and show which test notices\n"
	"  --json FILE     with --counts: write them there, for 'stage2 report'\n"
	"  --timeout N     seconds until QEMU is killed (180)\n"
	"  --image FILE    the hypervisor (metal-ARCH.elf beside this program)\n"
	"  --qemu PATH     the emulator\n"
	"  --help          this text\n"
	"\n"
	"Exit codes: 0; 1 a test failed; 2 there is no such test; 3, 4 the hypervisor\n"
	"itself failed; 5 a guest was stopped; 64 usage; 65, 66 bad or missing file;\n"
	"69 no QEMU or no image; 71 out of resources; 73 an output cannot be written;\n"
	"80 the emulator ended otherwise; 124 the time was up; 130, 143 stopped by\n"
	"SIGINT, SIGTERM.\n";

enum option_id {
	OPT_LIST = 256,
	OPT_COUNTS,
	OPT_MUTANTS,
	OPT_JSON,
	OPT_TIMEOUT,
	OPT_IMAGE,
	OPT_QEMU,
	OPT_HELP
};

static const struct option long_options[] = {
	{"list", no_argument, NULL, OPT_LIST},
	{"counts", no_argument, NULL, OPT_COUNTS},
	{"mutants", no_argument, NULL, OPT_MUTANTS},
	{"json", required_argument, NULL, OPT_JSON},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"image", required_argument, NULL, OPT_IMAGE},
	{"qemu", required_argument, NULL, OPT_QEMU},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int take_option(void *cookie, int id, const char *value)
{
	struct metal_request *request = cookie;

	switch (id) {
	case OPT_LIST:
		request->list = true;
		return 0;
	case OPT_COUNTS:
		request->counts = true;
		return 0;
	case OPT_MUTANTS:
		request->mutants = true;
		return 0;
	case OPT_JSON:
		request->json = value;
		return 0;
	case OPT_TIMEOUT:
		return parse_number(value, 1, 86400, &request->seconds)
			       ? 0
			       : parse_bad_value("timeout", value,
						 "must be a number of seconds from 1 to 86400");
	case OPT_IMAGE:
		request->image = value;
		return 0;
	case OPT_QEMU:
		request->qemu = value;
		return 0;
	default:
		request->help = true;
		return 0;
	}
}

static int take_machine(struct metal_request *request, const char *name)
{
	for (const struct metal_machine *m = metal_machines; m->name != NULL; m++) {
		if (strcmp(m->name, name) == 0) {
			request->machine = m;
			return 0;
		}
	}
	log_error("metal: unknown ARCH '%s': see 'stage2 metal --help'", name);
	return EXIT_CODE_USAGE;
}

/* The image would take these for something else. */
static bool is_reserved(const char *word)
{
	return strcmp(word, "list") == 0 || strcmp(word, "counts") == 0 ||
	       strcmp(word, "mutants") == 0;
}

static int take_test(struct metal_request *request, const char *word)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789/._-";
	size_t length = strlen(word);
	size_t used = strlen(request->words);

	if (length == 0 || length > METAL_WORD_MAX || word[strspn(word, allowed)] != '\0' ||
	    is_reserved(word)) {
		log_error("metal: '%s' is no name of a test: see 'stage2 metal ARCH --list'", word);
		return EXIT_CODE_USAGE;
	}
	if (request->word_count == METAL_WORDS_MAX || used + 1 + length > METAL_TEXT_MAX - 32) {
		log_error("metal: more tests than the image takes: name fewer, or parts of names");
		return EXIT_CODE_USAGE;
	}
	snprintf(request->words + used, sizeof(request->words) - used, "%s%s", used > 0 ? " " : "",
		 word);
	request->word_count++;
	return 0;
}

/* Options and words in any order. */
static int parse_arguments(struct metal_request *request, int argc, char **argv)
{
	int rest = 0;
	int code;

	do {
		code = parse_options(argc, argv, long_options, take_option, request, &rest);
		if (code == 0 && rest < argc) {
			code = request->machine == NULL ? take_machine(request, argv[rest])
							: take_test(request, argv[rest]);
			optind = rest + 1;
		}
	} while (code == 0 && !request->help && rest < argc);
	return code;
}

static int check_request(const struct metal_request *request)
{
	if (request->machine == NULL) {
		log_error("metal: which ARCH? See 'stage2 metal --help'");
		return EXIT_CODE_USAGE;
	}
	if (request->list + request->counts + request->mutants > 1) {
		log_error("metal: --list, --counts and --mutants exclude each other");
		return EXIT_CODE_USAGE;
	}
	if (request->json != NULL && !request->counts) {
		log_error("metal: --json FILE needs --counts");
		return EXIT_CODE_USAGE;
	}
	return request->json != NULL ? report_check_output(request->json) : 0;
}

static void help(void)
{
	fputs(usage, stdout);
	for (const struct metal_machine *m = metal_machines; m->name != NULL; m++) {
		printf("  %-14s  %s\n", m->name, m->about);
	}
	fputs(options_usage, stdout);
}

int metal_main(int argc, char **argv)
{
	struct metal_request request = {.seconds = 180};
	char *image = NULL;
	int code = parse_arguments(&request, argc, argv);

	if (code == 0 && request.help) {
		help();
		return 0;
	}
	if (code == 0) {
		code = check_request(&request);
	}
	if (code == 0) {
		code = metal_find_image(&request, &image);
	}
	if (code == 0) {
		code = metal_run(&request, image);
	}
	free(image);
	return code;
}
