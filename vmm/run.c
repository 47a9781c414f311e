/* SPDX-License-Identifier: BSD-2-Clause */
/* `stage2 run`: options, then a VM from start to end. */
#include "run.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "console.h"
#include "guard.h"
#include "log.h"
#include "parse.h"
#include "stats.h"
#include "vm.h"

static const char usage[] =
	"usage: stage2 run --kernel FILE [options]\n"
	"\n"
	"Runs a guest on KVM until it powers off; its exit code becomes ours.\n"
	"\n"
	"  --kernel FILE        arm64: an Image; x86_64: an ELF file with a PVH entry\n"
	"  --initrd FILE        initial RAM disk\n"
	"  --append STR         kernel command line, or the payload's commands\n"
	"  --memory SIZE        guest RAM, a multiple of 4K, with K, M or G (256M)\n"
	"  --cpus N             vCPUs, 1 to 8 (1)\n"
	"  --backing KIND       anon, thp, memfd, or file:PATH (anon; memfd for uv)\n"
	"  --populate           allocate all guest RAM before the start\n"
	"  --protect KIND       keep the guest's memory from the host: none, pkvm, sw, uv\n"
	"                       (none)\n"
	"  --inject-errors      for tests: the guest may break pages of its memory; needs\n"
	"                       root, and this machine loses the pages until it reboots\n"
	"  --stats              at the end, print what it cost and which folios it got\n"
	"  --help               this text\n"
	"\n"
	"The serial console is stdin and stdout. Ctrl-C, SIGINT, SIGTERM stop the guest.\n"
	"\n"
	"Exit codes: the guest's own (0 after a power-off); 81 it asked for a reset (a\n"
	"Linux panic does); 80 it failed; 64 usage; 65, 66 bad or missing file; 69 KVM\n"
	"cannot do it; 71 out of resources; 73 stdout cannot be written; 77 no\n"
	"permission; 130, 143 stopped by SIGINT, SIGTERM.\n";

struct run_options {
	struct vm_config vm;
	bool backing; /* was given */
	bool stats;
	bool help;
};

enum option_id {
	OPT_KERNEL = 256,
	OPT_INITRD,
	OPT_APPEND,
	OPT_MEMORY,
	OPT_CPUS,
	OPT_BACKING,
	OPT_POPULATE,
	OPT_PROTECT,
	OPT_INJECT_ERRORS,
	OPT_STATS,
	OPT_HELP
};

static const struct option long_options[] = {
	{"kernel", required_argument, NULL, OPT_KERNEL},
	{"initrd", required_argument, NULL, OPT_INITRD},
	{"append", required_argument, NULL, OPT_APPEND},
	{"memory", required_argument, NULL, OPT_MEMORY},
	{"cpus", required_argument, NULL, OPT_CPUS},
	{"backing", required_argument, NULL, OPT_BACKING},
	{"populate", no_argument, NULL, OPT_POPULATE},
	{"protect", required_argument, NULL, OPT_PROTECT},
	{"inject-errors", no_argument, NULL, OPT_INJECT_ERRORS},
	{"stats", no_argument, NULL, OPT_STATS},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static int take_option(void *cookie, int id, const char *value)
{
	struct run_options *options = cookie;
	struct vm_config *vm = &options->vm;
	uint64_t number;

	switch (id) {
	case OPT_KERNEL:
		vm->kernel = value;
		return 0;
	case OPT_INITRD:
		vm->initrd = value;
		return 0;
	case OPT_APPEND:
		vm->append = value;
		return 0;
	case OPT_MEMORY:
		return parse_size(value, &vm->memory)
			       ? 0
			       : parse_bad_value("memory", value, "must be a size such as 256M");
	case OPT_CPUS:
		if (!parse_number(value, 1, VM_CPU_MAX, &number)) {
			return parse_bad_value("cpus", value, "must be a number from 1 to 8");
		}
		vm->cpu_count = (unsigned int)number;
		return 0;
	case OPT_BACKING:
		options->backing = true;
		return parse_backing(value, &vm->backing, &vm->backing_path)
			       ? 0
			       : parse_bad_value("backing", value,
						 "must be anon, thp, memfd or file:PATH");
	case OPT_POPULATE:
		vm->populate = true;
		return 0;
	case OPT_PROTECT:
		return protect_parse(value, &vm->protect)
			       ? 0
			       : parse_bad_value("protect", value, "must be none, pkvm, sw or uv");
	case OPT_INJECT_ERRORS:
		vm->inject_errors = true;
		return 0;
	case OPT_STATS:
		options->stats = true;
		return 0;
	default:
		options->help = true;
		return 0;
	}
}

static int parse_arguments(struct run_options *options, int argc, char **argv)
{
	int rest, code = parse_options(argc, argv, long_options, take_option, options, &rest);

	if (code || options->help) {
		return code;
	}
	if (rest < argc) {
		log_error("unexpected argument '%s': see 'stage2 run --help'", argv[rest]);
		return EXIT_CODE_USAGE;
	}
	if (!options->backing && protect_ops(options->vm.protect)) {
		options->vm.backing = protect_ops(options->vm.protect)->backing;
	}
	if (!options->vm.kernel) {
		log_error("no guest to run: use --kernel FILE, or see 'stage2 run --help'");
		return EXIT_CODE_USAGE;
	}
	return 0;
}

/* How much input the guest can take now. */
static size_t input_room(struct vm *vm)
{
	return serial_listening(&vm->serial) ? serial_room(&vm->serial) : 0;
}

/* Keys for the guest; at end of file or error, no more of them. Returns whether to go on. */
static bool read_input(struct vm *vm, size_t room)
{
	uint8_t input[256];
	ssize_t len = read(STDIN_FILENO, input, room < sizeof(input) ? room : sizeof(input));

	if (len > 0) {
		serial_input(&vm->serial, input, (size_t)len);
	}
	return len > 0 || (len < 0 && errno == EINTR);
}

static void take_signal(struct vm *vm, int signals)
{
	struct signalfd_siginfo info;

	if (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		vm_stop(vm, EXIT_CODE_SIGNAL + (int)info.ssi_signo);
	}
}

/* Waits for the end of the VM, feeding it input; a signal ends it. */
static void wait_for_end(struct vm *vm, int signals)
{
	const int look_again =
		50; /* milliseconds, while there may be input that the guest cannot take */
	struct pollfd poll_fd[] = {{.fd = vm->stop_event, .events = POLLIN},
				   {.fd = signals, .events = POLLIN},
				   {.fd = -1, .events = POLLIN}};
	bool input = true;

	while (!vm_stopped(vm)) {
		const size_t room = input ? input_room(vm) : 0;

		poll_fd[2].fd = room ? STDIN_FILENO : -1;
		if (poll(poll_fd, 3, input && !room ? look_again : -1) < 0 && errno != EINTR) {
			vm_stop(vm, EXIT_CODE_OS);
		}
		vm_take_errors(vm);
		if (poll_fd[1].revents & POLLIN) {
			take_signal(vm, signals);
		}
		if (room && poll_fd[2].revents) {
			input = read_input(vm, room);
		}
	}
}

/* SIGINT and SIGTERM arrive as data, for every thread that is started from here on. */
static int catch_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* Early notice of memory errors comes to this thread, before a guest runs into them. */
	prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0 || guard_init()) {
		log_error("cannot catch signals: %s", strerror(errno));
	}
	return fd;
}

static int run_vm(struct vm *vm, const struct run_options *options, int signals)
{
	int code = vm_load(vm);

	if (!code) {
		code = vm_start(vm);
	}
	if (code) {
		return code;
	}
	console_raw();
	vcpu_start(vm);
	wait_for_end(vm, signals);
	vcpu_join(vm);
	console_restore();
	if (options->stats) {
		stats_print(vm);
	}
	if (!vm->exit_code && vm->serial.out_error) {
		log_error("cannot write the console to standard output: %s: check where it goes",
			  strerror(vm->serial.out_error));
		return EXIT_CODE_CANT_CREATE;
	}
	return vm->exit_code;
}

int run_main(int argc, char **argv)
{
	struct run_options options = {.vm = {.memory = UINT64_C(256) << 20,
					     .cpu_count = 1,
					     .console_out = STDOUT_FILENO}};
	uint64_t locked, donated = 0;
	struct vm vm;
	int signals, code = parse_arguments(&options, argc, argv);

	if (code) {
		return code;
	}
	if (options.help) {
		fputs(usage, stdout);
		return 0;
	}
	signals = catch_signals();
	if (signals < 0) {
		return EXIT_CODE_OS;
	}
	locked = stats_donated_pages();
	code = vm_create(&vm, &options.vm);
	if (!code) {
		code = run_vm(&vm, &options, signals);
		donated = stats_donated_pages() - locked;
		vm_destroy(&vm);
	}
	if (options.stats && donated) {
		stats_print_reclaimed(locked, donated);
	}
	close(signals);
	return code;
}
