/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * transition-kvm KIND PAYLOAD: a guest with the agent payload under --protect KIND, and requests to the
 * transition engine that it carries out. TAP; the first difference is the last line.
 *
 * STAGE2_MODEL_OPS is how many requests, S2_SEED replays them.
 */
#include "trial.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arch.h"
#include "guard.h"

#define RAM_BYTES (UINT64_C(64) << 20)
#define WINDOW (UINT64_C(4) << 20) /* from the start of RAM, which is the image's */
#define FOLIO_BYTES (UINT64_C(2) << 20)
#define REQUESTS 300

struct trial t = {.running = -1, .ahead = NO_PAGE};

static const struct expected expected[PROTECT_KIND_COUNT] = {
	[PROTECT_PKVM] = {.tested = true},
	[PROTECT_SW] = {.tested = true, .moves = true, .repeats = true},
	[PROTECT_UV] = {.tested = true, .seals = true},
};

static const char *const titles[LOOKS] = {
	[LOOK_ERR] = "each request ends as the oracle says",
	[LOOK_CALL] = "the back end is asked unit by unit, and the guest does it",
	[LOOK_COUNT] = "the counts",
	[LOOK_STATE] = "the state of every page",
	[LOOK_PLAIN] = "a shared page: the host reads what is there, and writes",
	[LOOK_SECURE] = "a secure page: the host cannot read it",
	[LOOK_SEALED] = "an exported page: the host reads cipher text",
	[LOOK_CONTENTS] = "the guest finds what was written last",
	[LOOK_RESUME] = "jobs that wait say where and why, and go on",
	[LOOK_BACK] = "jobs that have confirmed nothing go back, no others",
	[LOOK_STOP] = "jobs are given up",
	[LOOK_REFUSAL] = "a call that the hypervisor refuses",
	[LOOK_HELD] = "pages that are held",
};

void trial_check(enum look look, unsigned page, bool holds, const char *text)
{
	t.looked[look]++;
	if (holds) {
		return;
	}
	printf("not ok %d - %s\n# not %s\n# request %u: %s gpa 0x%" PRIx64 " len 0x%" PRIx64
	       " grain 0x%" PRIx64 " %s%s\n",
	       (int)look + 1, titles[look], text, t.step, s2_move_name(t.request.move),
	       t.request.range.start.val, t.request.range.len, t.request.grain,
	       s2_policy_name(t.request.policy), t.request.guest_offers_grain ? " offered" : "");
	if (t.got != t.want) {
		printf("# \"%s\", and not \"%s\"\n", s2_strerror(t.got), s2_strerror(t.want));
	}
	if (page != NO_PAGE) {
		printf("# page %u: %s%s\n", page, s2_state_name(t.o.flat.page[page].state),
		       t.o.flat.page[page].moving ? ", in transition" : "");
	}
	exit(EXIT_FAILURE);
}

void trial_end(const char *text)
{
	printf("Bail out! request %u: not %s\n", t.step, text);
	exit(EXIT_FAILURE);
}

/* Why there is nothing of it to look at; NULL: there must be. */
static const char *absent(enum look look)
{
	if (look == LOOK_SEALED && !t.expected->seals) {
		return "the host gets no cipher text";
	}
	return look == LOOK_REFUSAL && t.expected->repeats ? "none: calls may be repeated" : NULL;
}

bool looked_at_all(void)
{
	for (int i = 0; i < LOOKS; i++) {
		if (t.looked[i] == 0 && !absent((enum look)i)) {
			return false;
		}
	}
	return true;
}

static void skip(const char *why)
{
	printf("1..0 # SKIP %s\n", why);
}

/* RAM with one large folio and many small ones in the window, if the host has any to give. */
static void make_ram(enum ram_backing backing)
{
	struct s2_range second;

	need(ram_init(&t.ram, arch_ram_base, RAM_BYTES, backing, FOLIO_BYTES, -1) == 0);
	second = s2_range(s2_gpa(t.ram.gpa.val + WINDOW + FOLIO_BYTES), FOLIO_BYTES);
	if (backing == RAM_THP) {
		need(madvise(ram_hva(&t.ram, second.start), second.len, MADV_NOHUGEPAGE) == 0);
	}
	if (!t.expected->moves) {
		need(ram_populate(&t.ram) == 0 && ram_find_runs(&t.ram) == 0);
	}
}

/* The tracker, the engine and the oracle: all of the window is SECURE. */
static void start_engine(void)
{
	t.env = memory_env;
	flat_init(&t.o.flat, (t.ram.gpa.val + WINDOW) / S2_PAGE_SIZE, ORACLE_PAGES);
	for (unsigned i = 0; i < ORACLE_PAGES; i++) {
		t.o.flat.page[i].state = S2_SECURE;
		t.o.page[i].job = -1;
	}
	t.track = &t.vm.memory.track;
	if (t.vm.memory.protect_ops->sees_calls) {
		const struct s2_range all = pages_range(0, ORACLE_PAGES);

		t.track = &t.own;
		need(s2_track_init(&t.own, &t.env, all) == S2_OK);
		need(s2_track_move(&t.own, all, S2_DONATE, false) == S2_OK);
	}
	s2_pins_init(&t.pins, &t.env);
	t.backend = (struct s2_backend){.convert = guest_convert, .cookie = &t};
	t.engine = (struct s2_engine){.track = t.track,
				      .runs = t.ram.run,
				      .run_count = t.ram.run_count,
				      .backend = &t.backend,
				      .pins = &t.pins};
	t.o.track = t.track;
	t.o.run = t.ram.run;
	t.o.run_count = t.ram.run_count;
}

/* What the VM's tracker has outside the window, as sums. */
static void look_outside(struct s2_track_sum sum[2])
{
	const struct s2_track *track = &t.vm.memory.track;
	const struct s2_range window = pages_range(0, ORACLE_PAGES);
	const s2_gpa_t end = s2_gpa(window.start.val + window.len);

	need(s2_track_sum(track, s2_range(t.ram.gpa, WINDOW), &sum[0]) == S2_OK);
	need(s2_track_sum(track, s2_range(end, RAM_BYTES - WINDOW - window.len), &sum[1]) == S2_OK);
}

static unsigned request_count(void)
{
	const char *text = getenv("STAGE2_MODEL_OPS");

	return text ? (unsigned)strtoul(text, NULL, 0) : REQUESTS;
}

static void run(void)
{
	struct s2_track_sum before[2];
	struct s2_track_sum after[2];

	need(vm_start(&t.vm) == 0);
	need(agent_start(&t.agent, &t.vm) == 0);
	start_engine();
	for (unsigned i = 0; i < ORACLE_PAGES; i += 64) {
		guest_writes(i, 64);
	}
	look_outside(before);
	model_run(request_count());
	model_restore();
	look_outside(after);
	check(LOOK_STATE, NO_PAGE, memcmp(before, after, sizeof(before)) == 0);
	need(agent_stop(&t.agent) == 0);
	s2_pins_fini(&t.pins);
	if (t.track == &t.own) {
		s2_track_fini(&t.own);
	}
}

static void print_result(void)
{
	for (int i = 0; i < LOOKS; i++) {
		const char *why = absent((enum look)i);

		if (t.looked[i] == 0 && why) {
			printf("ok %d - %s # SKIP %s\n", i + 1, titles[i], why);
		} else {
			printf("%sok %d - %s: %" PRIu64 "\n", t.looked[i] ? "" : "not ", i + 1,
			       titles[i], t.looked[i]);
		}
	}
}

int main(int argc, char **argv)
{
	enum protect_kind kind = PROTECT_NONE;
	struct vm_config config = {.memory = RAM_BYTES,
				   .cpu_count = 1,
				   .append = "agent",
				   .ram = &t.ram,
				   .console_out = STDERR_FILENO};
	const struct protect_ops *ops;
	int code;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 3 || !protect_parse(argv[1], &kind) || !expected[kind].tested) {
		fputs("usage: transition-kvm pkvm|sw|uv PAYLOAD\n", stderr);
		return EXIT_CODE_USAGE;
	}
	ops = protect_ops(kind);
	if (!ops || (ops->arch && strcmp(ops->arch, arch_name) != 0)) {
		skip("this build does not have that kind");
		return 0;
	}
	t.expected = &expected[kind];
	config.protect = kind;
	config.kernel = argv[2];
	config.backing = ops->backing == RAM_ANON ? RAM_THP : ops->backing;
	need(guard_init() == 0);
	make_ram(config.backing);
	code = vm_create(&t.vm, &config);
	if (code == EXIT_CODE_UNAVAILABLE) {
		skip("this host's KVM does not have that kind");
		ram_fini(&t.ram);
		return 0;
	}
	need(code == 0 && vm_load(&t.vm) == 0);
	printf("1..%d\n", LOOKS);
	run();
	vm_destroy(&t.vm);
	ram_fini(&t.ram);
	print_result();
	return looked_at_all() ? EXIT_SUCCESS : EXIT_FAILURE;
}
