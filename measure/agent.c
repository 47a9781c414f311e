/* SPDX-License-Identifier: BSD-2-Clause */
#include "agent.h"

#include <stddef.h>

/* Lets the guest run until it rings. */
static int wait_for_doorbell(struct vm *vm)
{
	vm->control.rung = false;
	while (!vm->control.rung) {
		if (!vcpu_run(&vm->vcpu[0])) {
			log_error("the guest ended in the middle of a measurement");
			return vm->exit_code ? vm->exit_code : EXIT_CODE_GUEST_FAILED;
		}
	}
	return 0;
}

int agent_start(struct agent *agent, struct vm *vm)
{
	int code = wait_for_doorbell(vm);

	*agent = (struct agent){.vm = vm};
	if (!code && !vm->control.mailbox.val) {
		log_error("the payload has no mailbox: is it run with --append agent?");
		code = EXIT_CODE_DATA;
	}
	agent->exits_mmio_start = vm->vcpu[0].exits_mmio;
	return code;
}

int agent_call(struct agent *agent, enum agent_op op, struct s2_range range, uint64_t seed,
	       struct agent_result *result)
{
	struct vm *vm = agent->vm;
	struct agent_mailbox box = {
		.op = op, .gpa = range.start.val, .pages = range.len / S2_PAGE_SIZE, .seed = seed};
	int code;

	*result = (struct agent_result){0};
	if (memory_write(&vm->memory, vm->control.mailbox, &box,
			 offsetof(struct agent_mailbox, done))) {
		return EXIT_CODE_INTERNAL;
	}
	code = wait_for_doorbell(vm);
	if (code) {
		return code;
	}
	if (memory_read(&vm->memory, vm->control.mailbox, &box, sizeof(box))) {
		return EXIT_CODE_INTERNAL;
	}
	result->done = box.done;
	result->failed = box.failed;
	result->hypercalls = box.hypercalls;
	result->seconds = box.tick_hz ? (double)box.ticks / (double)box.tick_hz : 0;
	return 0;
}

int agent_stop(struct agent *agent)
{
	const struct agent_mailbox box = {.op = AGENT_EXIT};
	struct vm *vm = agent->vm;

	if (memory_write(&vm->memory, vm->control.mailbox, &box,
			 offsetof(struct agent_mailbox, done))) {
		return EXIT_CODE_INTERNAL;
	}
	while (vcpu_run(&vm->vcpu[0])) {
	}
	return vm->exit_code;
}
