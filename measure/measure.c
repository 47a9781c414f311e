/* SPDX-License-Identifier: BSD-2-Clause */
/* `stage2 measure`: options, and the sweep over workloads, grains and policies. */
#include "measure.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "arch.h"
#include "convert_cost.h"
#include "guard.h"
#include "parse.h"
#include "report.h"
#include "row.h"
#include "stats.h"

static const char usage[] =
	"usage: stage2 measure --payload FILE [options]\n"
	"\n"
	"Launches a protected guest for each workload, grain and policy, has it share and\n"
	"unshare its memory, and prints what that cost.\n"
	"\n"
	"  --payload FILE       the payload (guest-images/payload)\n"
	"  --workload LIST      of trace, ring, bounce, sparse (ring,bounce,sparse; and\n"
	"                       trace, if there is a --trace)\n"
	"  --trace FILE         the recorded guest that 'trace' replays (measure/traces)\n"
	"  --grain LIST         of 4K, 16K, 64K, 2M, folio (all)\n"
	"  --policy LIST        of exact, widen, refuse (all); at 4K they are the same\n"
	"  --backing KIND       anon, thp, memfd (thp)\n"
	"  --memory SIZE        guest RAM (256M)\n"
	"  --seed N             of the generated workloads (1)\n"
	"  --json FILE          write the report there\n"
	"  --convert-cost       instead of all that: what it costs to make 2 MiB private\n"
	"                       or shared on x86_64, beside the bare system calls\n"
	"  --help               this text\n"
	"\n"
	"Exit codes: 0; 64 usage; 65, 66 bad or missing file; 69 KVM cannot do it;\n"
	"71 out of resources; 73 the report cannot be written; 77 no permission; 80 the\n"
	"guest failed.\n";

/* A grain, and its name. */
struct grain {
	const char *name;
	uint64_t bytes;
};

static const struct grain grains[] = {
	{"4K", UINT64_C(1) << 12}, {"16K", UINT64_C(1) << 14}, {"64K", UINT64_C(1) << 16},
	{"2M", UINT64_C(1) << 21}, {"folio", S2_GRAIN_FOLIO},
};

#define GRAIN_COUNT (sizeof(grains) / sizeof(*grains))
#define WORKLOAD_MAX 8

struct measure_options {
	const char *payload;
	const char *trace;
	const char *json;
	unsigned int workloads; /* bit n: workload_names[n] */
	unsigned int grains;	/* bit n: grains[n] */
	unsigned int policies;	/* bit n: enum s2_policy */
	enum ram_backing backing;
	uint64_t memory;
	uint64_t seed;
	bool convert_cost;
	bool help;
};

enum option_id {
	OPT_PAYLOAD = 256,
	OPT_WORKLOAD,
	OPT_TRACE,
	OPT_GRAIN,
	OPT_POLICY,
	OPT_BACKING,
	OPT_MEMORY,
	OPT_SEED,
	OPT_JSON,
	OPT_CONVERT_COST,
	OPT_HELP
};

static const struct option long_options[] = {
	{"payload", required_argument, NULL, OPT_PAYLOAD},
	{"workload", required_argument, NULL, OPT_WORKLOAD},
	{"trace", required_argument, NULL, OPT_TRACE},
	{"grain", required_argument, NULL, OPT_GRAIN},
	{"policy", required_argument, NULL, OPT_POLICY},
	{"backing", required_argument, NULL, OPT_BACKING},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"seed", required_argument, NULL, OPT_SEED},
	{"json", required_argument, NULL, OPT_JSON},
	{"convert-cost", no_argument, NULL, OPT_CONVERT_COST},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static const char *grain_name(unsigned int i)
{
	return i < GRAIN_COUNT ? grains[i].name : NULL;
}

static const char *policy_name(unsigned int i)
{
	return i < S2_POLICY_COUNT ? s2_policy_name((enum s2_policy)i) : NULL;
}

static const char *workload_name(unsigned int i)
{
	return workload_names[i];
}

/* A list of names with commas, as a set of bits; 0 or a usage error. */
static int parse_set(const char *option, const char *text, const char *(*name)(unsigned int i),
		     unsigned int *set)
{
	*set = 0;
	while (*text) {
		const size_t len = strcspn(text, ",");
		unsigned int i = 0;

		while (name(i) && (strlen(name(i)) != len || strncmp(text, name(i), len) != 0)) {
			i++;
		}
		if (!name(i)) {
			log_error("--%s: '%.*s' is unknown: see 'stage2 measure --help'", option,
				  (int)len, text);
			return EXIT_CODE_USAGE;
		}
		*set |= 1U << i;
		text += len + (text[len] == ',');
	}
	if (!*set) {
		log_error("--%s needs at least one name: see 'stage2 measure --help'", option);
		return EXIT_CODE_USAGE;
	}
	return 0;
}

static int take_option(void *cookie, int id, const char *value)
{
	struct measure_options *options = cookie;
	const char *path;

	switch (id) {
	case OPT_PAYLOAD:
		options->payload = value;
		return 0;
	case OPT_WORKLOAD:
		return parse_set("workload", value, workload_name, &options->workloads);
	case OPT_TRACE:
		options->trace = value;
		return 0;
	case OPT_GRAIN:
		return parse_set("grain", value, grain_name, &options->grains);
	case OPT_POLICY:
		return parse_set("policy", value, policy_name, &options->policies);
	case OPT_BACKING:
		if (!parse_backing(value, &options->backing, &path) || path) {
			return parse_bad_value("backing", value, "must be anon, thp or memfd");
		}
		return 0;
	case OPT_MEMORY:
		return parse_size(value, &options->memory)
			       ? 0
			       : parse_bad_value("memory", value, "must be a size such as 256M");
	case OPT_SEED:
		return parse_number(value, 0, REPORT_SEED_MAX, &options->seed)
			       ? 0
			       : parse_bad_value("seed", value, "must be a number below 2^63");
	case OPT_JSON:
		options->json = value;
		return 0;
	case OPT_CONVERT_COST:
		options->convert_cost = true;
		return 0;
	default:
		options->help = true;
		return 0;
	}
}

static int parse_arguments(struct measure_options *options, int argc, char **argv)
{
	int rest, code = parse_options(argc, argv, long_options, take_option, options, &rest);

	if (code || options->help) {
		return code;
	}
	if (rest < argc) {
		log_error("unexpected argument '%s': see 'stage2 measure --help'", argv[rest]);
		return EXIT_CODE_USAGE;
	}
	if (!options->payload) {
		log_error("no payload: use --payload FILE, or see 'stage2 measure --help'");
		return EXIT_CODE_USAGE;
	}
	if (!options->workloads) {
		parse_set("workload",
			  options->trace ? "trace,ring,bounce,sparse" : "ring,bounce,sparse",
			  workload_name, &options->workloads);
	}
	if (options->workloads & 1 && !options->trace) {
		log_error("workload 'trace' needs a recorded guest: use --trace FILE");
		return EXIT_CODE_USAGE;
	}
	return 0;
}

/* The sweep at work. */
struct sweep {
	const struct measure_options *options;
	struct report *report;
	struct ram ram;
	size_t row_max;
};

/* At a grain of one page every policy does the same: one row is enough. */
static bool wanted(const struct measure_options *options, unsigned int grain, unsigned int policy)
{
	if (!(options->grains >> grain & 1)) {
		return false;
	}
	return grains[grain].bytes == S2_PAGE_SIZE ? policy == S2_EXACT
						   : options->policies >> policy & 1;
}

static size_t count_rows(const struct measure_options *options)
{
	size_t rows = 0;

	for (unsigned int workload = 0; workload_names[workload]; workload++) {
		for (unsigned int i = 0; i < GRAIN_COUNT * S2_POLICY_COUNT; i++) {
			rows += options->workloads >> workload & 1 &&
				wanted(options, i / S2_POLICY_COUNT, i % S2_POLICY_COUNT);
		}
	}
	return rows;
}

static void set_name(char *out, const char *name)
{
	snprintf(out, REPORT_NAME_MAX, "%.*s", REPORT_NAME_MAX - 1, name);
}

static int run_row(struct sweep *sweep, const struct workload *workload, const char *name,
		   unsigned int grain, unsigned int policy)
{
	struct report_row *row = &sweep->report->row[sweep->report->row_count];
	const struct row_input input = {.workload = workload,
					.grain = grains[grain].bytes,
					.policy = (enum s2_policy)policy,
					.payload = sweep->options->payload,
					.ram = &sweep->ram};
	int code;

	set_name(row->workload, name);
	set_name(row->backing, ram_backing_name(sweep->ram.backing));
	set_name(row->grain, grains[grain].name);
	set_name(row->policy, s2_policy_name((enum s2_policy)policy));
	log_progress("measure: row %zu of %zu: %s %s %s", sweep->report->row_count + 1,
		     sweep->row_max, name, row->grain, row->policy);
	code = row_run(&input, row);
	if (!code) {
		sweep->report->row_count++;
	}
	return code;
}

static int run_workload(struct sweep *sweep, const char *name)
{
	const struct workload_input input = {.ram = s2_range(sweep->ram.gpa, sweep->ram.len),
					     .seed = sweep->options->seed,
					     .trace = sweep->options->trace};
	struct workload workload;
	int code = workload_make(&workload, name, &input);

	if (code) {
		return code;
	}
	for (unsigned int i = 0; i < GRAIN_COUNT * S2_POLICY_COUNT && !code; i++) {
		const unsigned int grain = i / S2_POLICY_COUNT, policy = i % S2_POLICY_COUNT;

		if (wanted(sweep->options, grain, policy)) {
			code = run_row(sweep, &workload, name, grain, policy);
		}
	}
	workload_free(&workload);
	return code;
}

/* RAM for all rows: one after another they use the same pages, so the same folios. */
static int make_ram(struct sweep *sweep)
{
	const uint64_t leaf_max = UINT64_C(1) << 21;
	uint64_t bytes[64];
	int err = ram_init(&sweep->ram, arch_ram_base, sweep->options->memory,
			   sweep->options->backing, leaf_max, -1);

	if (!err) {
		err = ram_populate(&sweep->ram);
	}
	if (!err) {
		err = ram_find_runs(&sweep->ram);
	}
	if (err == -EPERM) {
		log_error(
			"only root may ask the kernel which folios guest memory has: run as root");
		return EXIT_CODE_NO_PERMISSION;
	}
	if (err) {
		log_error("cannot get the guest's memory: %s: use less --memory", strerror(-err));
		return EXIT_CODE_OS;
	}
	ram_count_folios(&sweep->ram, bytes);
	memcpy(sweep->report->backing->bytes, bytes, sizeof(sweep->report->backing->bytes));
	return 0;
}

static void describe_platform(const struct measure_options *options, struct report *report)
{
	struct utsname name;

	set_name(report->tool_version, STAGE2_VERSION);
	set_name(report->board, stats_board() ? stats_board() : "");
	if (!uname(&name)) {
		set_name(report->machine, name.machine);
		set_name(report->kernel, name.release);
	}
	set_name(report->vm, "pkvm-protected");
	snprintf(report->leaf_model, sizeof(report->leaf_model), "%s", arch_leaf_model);
	report->seed = options->seed;
	report->memory = options->memory;
	set_name(report->backing->name, ram_backing_name(options->backing));
	report->backing->requested_lg2 = (uint8_t)ram_requested_lg2(options->backing);
}

static int run_sweep(const struct measure_options *options, struct report *report)
{
	struct sweep sweep = {.options = options, .report = report};
	int code;

	sweep.row_max = count_rows(options);
	report->row = calloc(sweep.row_max, sizeof(*report->row));
	report->backing = calloc(1, sizeof(*report->backing));
	if (!report->row || !report->backing) {
		log_error("out of memory for the report");
		return EXIT_CODE_OS;
	}
	report->backing_count = 1;
	describe_platform(options, report);
	code = make_ram(&sweep);
	for (unsigned int i = 0; workload_names[i] && !code; i++) {
		if (options->workloads >> i & 1) {
			code = run_workload(&sweep, workload_names[i]);
		}
	}
	ram_fini(&sweep.ram);
	return code;
}

/* Each workload is made once, so that none of them fails when others have run. */
static int preflight_workloads(const struct measure_options *options)
{
	const struct workload_input input = {.ram = s2_range(arch_ram_base, options->memory),
					     .seed = options->seed,
					     .trace = options->trace};
	struct workload workload;
	int code = 0;

	for (unsigned int i = 0; workload_names[i] && !code; i++) {
		if (options->workloads >> i & 1) {
			code = workload_make(&workload, workload_names[i], &input);
			workload_free(&workload);
		}
	}
	return code;
}

/* What would fail in a row, or after the last one, said before memory is allocated. */
static int preflight(const struct measure_options *options)
{
	const struct vm_config config = {.protect = PROTECT_PKVM,
					 .memory = options->memory,
					 .cpu_count = 1,
					 .backing = options->backing,
					 .kernel = options->payload,
					 .append = "agent",
					 .console_out = STDERR_FILENO};
	struct vm vm;
	int code = options->json ? report_check_output(options->json) : 0;

	if (!code) {
		code = vm_create(&vm, &config);
	}
	if (!code) {
		code = vm_load(&vm);
		vm_destroy(&vm);
	}
	return code ? code : preflight_workloads(options);
}

int measure_main(int argc, char **argv)
{
	struct measure_options options = {.grains = (1U << GRAIN_COUNT) - 1,
					  .policies = (1U << S2_POLICY_COUNT) - 1,
					  .backing = RAM_THP,
					  .memory = UINT64_C(256) << 20,
					  .seed = 1};
	struct report report = {0};
	int code = parse_arguments(&options, argc, argv);

	if (code) {
		return code;
	}
	if (options.help) {
		fputs(usage, stdout);
		return 0;
	}
	if (guard_init()) {
		log_error("cannot catch signals: %s", strerror(errno));
		return EXIT_CODE_OS;
	}
	if (options.convert_cost) {
		return convert_cost(options.payload, options.memory, options.backing);
	}
	code = preflight(&options);
	if (!code) {
		code = run_sweep(&options, &report);
	}
	if (!code && options.json) {
		code = report_write_json(&report, options.json);
	}
	if (!code) {
		code = report_print_table(&report, stdout);
	}
	report_free(&report);
	return code;
}
