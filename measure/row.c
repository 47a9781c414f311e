/* SPDX-License-Identifier: BSD-2-Clause */
#include "row.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent.h"
#include "arch.h"
#include "shape.h"
#include "stats.h"

/* What the row knows of each page, beside the tracker. */
struct page_note {
	uint32_t exposed_since; /* step in which it became widened, 1-based; 0: it is not */
	bool donated; /* the guest has it for certain: the host must not be able to read it */
};

struct row_run {
	const struct row_input *input;
	struct report_row *row;
	struct vm vm;
	struct agent agent;
	struct s2_backend backend;
	struct s2_engine engine;
	struct page_note *page; /* one a page of RAM */
	uint64_t step;		/* 1-based */
	uint64_t exposed;	/* widened pages after the last step */
	uint64_t donated_start; /* what the payload itself needed */
	int code;		/* of an agent call that failed inside the back end */
};

static struct page_note *note_of(const struct row_run *run, s2_gpa_t gpa)
{
	return &run->page[(gpa.val - run->input->ram->gpa.val) / S2_PAGE_SIZE];
}

/* The back end of s2_convert(): the guest makes the hypercalls. */
static struct s2_answer convert_in_guest(void *cookie, enum s2_move move, struct s2_range range)
{
	struct row_run *run = cookie;
	struct report_counted *counted = &run->row->counted;
	struct agent_result result;

	run->code = agent_call(&run->agent, move == S2_SHARE ? AGENT_SHARE : AGENT_UNSHARE, range,
			       0, &result);
	counted->hypercalls_failed += result.failed;
	if (move == S2_SHARE) {
		counted->hypercalls_share += result.hypercalls;
		run->row->timed.share_seconds += result.seconds;
	} else {
		counted->hypercalls_unshare += result.hypercalls;
		run->row->timed.unshare_seconds += result.seconds;
	}
	for (uint64_t i = 0; i < result.done; i++) {
		note_of(run, s2_gpa(range.start.val + i * S2_PAGE_SIZE))->donated = true;
	}
	return (struct s2_answer){S2_REPLY_FAILED, result.done * S2_PAGE_SIZE};
}

/*
 * Has the host try to read a page, and compares the MMU's answer with the tracker's. A page that the
 * guest has never used is still the host's, although the tracker calls it secure: nothing to compare.
 */
static void probe(struct row_run *run, s2_gpa_t gpa)
{
	struct report_counted *counted = &run->row->counted;
	const struct s2_page page = memory_page(&run->vm.memory, gpa);
	uint64_t value;
	bool readable;

	if (!note_of(run, gpa)->donated) {
		return;
	}
	readable = memory_probe(&run->vm.memory, gpa, &value);
	counted->probes++;
	counted->probes_refused += !readable;
	if (readable != (page.state == S2_SHARED)) {
		counted->probes_wrong++;
		log_note("gpa 0x%" PRIx64 " is %s, but the host %s read it", gpa.val,
			 s2_state_name(page.state), readable ? "could" : "could not");
	}
}

/* The longest exposure, when the exposure of a page ends or the row does. */
static void end_exposure(struct row_run *run, struct page_note *note)
{
	const uint64_t steps = run->step - note->exposed_since;

	if (note->exposed_since && steps > run->row->counted.exposed_longest) {
		run->row->counted.exposed_longest = steps;
	}
	note->exposed_since = 0;
}

/* After each step: who is exposed, since when. */
static void note_exposure(struct row_run *run)
{
	const struct s2_track *track = &run->vm.memory.track;
	struct report_counted *counted = &run->row->counted;
	uint64_t exposed = 0;
	struct s2_span span;

	for (uint64_t offset = 0; offset < track->range.len; offset += span.range.len) {
		if (s2_track_next(track, s2_gpa(track->range.start.val + offset), track->range,
				  &span)) {
			break;
		}
		if (!span.page.widened && !run->exposed) {
			continue; /* nothing begins here, and nothing can end */
		}
		for (uint64_t i = 0; i < span.range.len; i += S2_PAGE_SIZE) {
			struct page_note *note = note_of(run, s2_gpa(span.range.start.val + i));

			if (!span.page.widened) {
				end_exposure(run, note);
			} else if (!note->exposed_since) {
				note->exposed_since = (uint32_t)run->step;
			}
		}
		exposed += span.page.widened ? span.range.len / S2_PAGE_SIZE : 0;
	}
	run->exposed = exposed;
	counted->exposed_page_steps += exposed;
	if (exposed > counted->exposed_peak) {
		counted->exposed_peak = exposed;
	}
}

static int run_step(struct row_run *run, const struct step *step)
{
	const struct s2_request request = {
		.move = step->move,
		.range = step->range,
		.grain = run->input->grain,
		.policy = run->input->policy,
		/* Our guest is asked for the grain, and converts it itself. */
		.guest_offers_grain = true};
	const uint64_t widened = run->engine.count.widened;
	struct s2_job job = {.phase = S2_JOB_IDLE};
	enum s2_err err = s2_convert(&run->engine, &request, &job);

	if (err) {
		log_error("step %" PRIu64 ": cannot %s %" PRIu64 " pages at gpa 0x%" PRIx64 ": %s",
			  run->step, s2_move_name(step->move), step->range.len / S2_PAGE_SIZE,
			  step->range.start.val, s2_strerror(err));
		if (s2_convert_stop(&run->engine, &job)) {
			log_error("cannot undo the rest of the step: please report this bug");
		}
		return run->code ? run->code : EXIT_CODE_GUEST_FAILED;
	}
	/* Pages that go back to secure with their grain are no exposure. */
	if (step->move == S2_SHARE) {
		run->row->counted.pages_widened += run->engine.count.widened - widened;
	}
	probe(run, step->range.start);
	probe(run, s2_gpa(s2_range_last(step->range).val & ~(S2_PAGE_SIZE - 1)));
	note_exposure(run);
	return 0;
}

static int run_steps(struct row_run *run)
{
	const struct workload *workload = run->input->workload;
	int code = 0;

	for (size_t i = 0; i < workload->count && !code; i++) {
		run->step = i + 1;
		code = run_step(run, &workload->step[i]);
	}
	run->step++;
	for (uint64_t i = 0; i < run->input->ram->len / S2_PAGE_SIZE; i++) {
		end_exposure(run, &run->page[i]);
	}
	return code;
}

static void fill_counts(struct row_run *run)
{
	struct report_counted *counted = &run->row->counted;
	const struct s2_convert_count *count = &run->engine.count;

	counted->steps = run->input->workload->count;
	counted->requests_satisfied = count->requests_satisfied;
	counted->ranged_calls = count->calls;
	counted->pages_requested = count->requested;
	counted->pages_satisfied = count->satisfied;
	counted->pages_converted = count->converted;
	counted->pages_refused = count->refused;
	counted->pages_kept = count->kept;
	counted->exits_donate = stats_donated_pages() - run->donated_start;
	counted->exits_mmio = run->vm.vcpu[0].exits_mmio - run->agent.exits_mmio_start;
	run->row->timed.kvm_exits = stats_kvm_exits(&run->vm.vcpu[0]);
	shape_measure(&run->vm.memory.ram, &run->vm.memory.track, arch_leaf_sizes, counted,
		      &run->row->modelled);
}

/* The guest from its start to its end. */
static int run_guest(struct row_run *run)
{
	int code = vm_load(&run->vm);

	if (!code) {
		code = vm_start(&run->vm);
	}
	if (!code) {
		code = agent_start(&run->agent, &run->vm);
	}
	if (!code) {
		run->donated_start = stats_donated_pages();
		run->backend = (struct s2_backend){.convert = convert_in_guest, .cookie = run};
		run->engine = (struct s2_engine){.track = &run->vm.memory.track,
						 .runs = run->vm.memory.ram.run,
						 .run_count = run->vm.memory.ram.run_count,
						 .backend = &run->backend};
		code = run_steps(run);
	}
	if (!code) {
		fill_counts(run);
		code = agent_stop(&run->agent);
	}
	return code;
}

int row_run(const struct row_input *input, struct report_row *row)
{
	const struct vm_config config = {.protect = PROTECT_PKVM,
					 .memory = input->ram->len,
					 .cpu_count = 1,
					 .kernel = input->payload,
					 .append = "agent",
					 .backing = input->ram->backing,
					 .ram = input->ram,
					 .console_out = STDERR_FILENO};
	struct row_run *run = calloc(1, sizeof(*run));
	const double start = stats_now();
	int code;

	if (run) {
		run->page = calloc(input->ram->len / S2_PAGE_SIZE, sizeof(*run->page));
	}
	if (!run || !run->page) {
		free(run);
		log_error("out of memory for the measurement");
		return EXIT_CODE_OS;
	}
	run->input = input;
	run->row = row;
	code = vm_create(&run->vm, &config);
	if (!code) {
		code = run_guest(run);
		vm_destroy(&run->vm);
	}
	row->timed.seconds = stats_now() - start;
	free(run->page);
	free(run);
	return code;
}
