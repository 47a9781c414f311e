/* SPDX-License-Identifier: BSD-2-Clause */
#include "report.h"

#include <getopt.h>

#include "counts_parts.h"
#include "json_in.h"
#include "log.h"
#include "report_parts.h"

static const char help[] =
	"Usage: stage2 report FILE.json [--html FILE]\n"
	"\n"
	"Shows what `stage2 measure` found out: what it costs to convert guest pages\n"
	"between secure and shared at 4K, 16K, 64K, 2M or whole folios. Or what\n"
	"`stage2 metal --counts` has counted.\n"
	"\n"
	"  FILE.json        written with --json by `stage2 measure` or `stage2 metal`\n"
	"      --html FILE  also write one self-contained web page with plots (needs\n"
	"                   gnuplot)\n"
	"  -h, --help       show this text\n"
	"\n"
	"Exit codes: 64 wrong use, 65 FILE.json is no such report, 66 it cannot be\n"
	"opened, 69 gnuplot is missing, 73 an output cannot be written.\n";

enum {
	OPT_HTML = 256
};

/* What getopt_long() stumbled over: it is not past "-xyz" yet when it has seen the x. */
static int unknown_option(char **argv)
{
	if (optopt > 0 && optopt < OPT_HTML && optopt != 'h') {
		log_error("report: unknown option -%c; see stage2 report --help", optopt);
	} else {
		log_error("report: unknown option %s; see stage2 report --help", argv[optind - 1]);
	}
	return EXIT_CODE_USAGE;
}

/* Returns -1 to go on, or the exit code. */
static int parse_options(int argc, char **argv, const char **input, const char **html)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"html", required_argument, NULL, OPT_HTML},
		{NULL, 0, NULL, 0},
	};
	int option;

	optind = 0; /* start anew: the command line before the subcommand was parsed, too */
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		switch (option) {
		case 'h':
			fputs(help, stdout);
			return EXIT_CODE_OK;
		case OPT_HTML:
			*html = optarg;
			break;
		case ':':
			log_error("report: %s needs a value; see stage2 report --help",
				  argv[optind - 1]);
			return EXIT_CODE_USAGE;
		default:
			return unknown_option(argv);
		}
	}
	if (argc - optind != 1) {
		log_error("report: needs one FILE.json; see stage2 report --help");
		return EXIT_CODE_USAGE;
	}
	*input = argv[optind];
	return -1;
}

static int show_report(json_object *top, const char *input, const char *html)
{
	struct report report;
	int result = report_from_json(&report, top, input);

	if (result == EXIT_CODE_OK && html != NULL) {
		result = report_check_output(html);
	}
	if (result == EXIT_CODE_OK) {
		result = report_print_table(&report, stdout);
	}
	if (result == EXIT_CODE_OK && html != NULL) {
		result = report_write_html(&report, html);
	}
	report_free(&report);
	return result;
}

static int show_counts(json_object *top, const char *input, const char *html)
{
	struct counts counts;
	int result = counts_from_json(&counts, top, input);

	if (result == EXIT_CODE_OK && html != NULL) {
		log_error("%s: holds counts of stage2 metal, which no page shows: leave --html out",
			  input);
		result = EXIT_CODE_USAGE;
	}
	if (result == EXIT_CODE_OK) {
		result = counts_print_table(&counts, stdout);
	}
	counts_free(&counts);
	return result;
}

int report_main(int argc, char **argv)
{
	const char *input = NULL;
	const char *html = NULL;
	json_object *top = NULL;
	int result = parse_options(argc, argv, &input, &html);

	if (result >= 0) {
		return result;
	}
	result = document_open(input, &top);
	if (result == EXIT_CODE_OK) {
		result = document_is(top, COUNTS_SCHEMA) ? show_counts(top, input, html)
							 : show_report(top, input, html);
	}
	json_object_put(top);
	return result;
}
