/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest that runs the agent payload, and commands to it. The guest really makes the hypercalls;
 * this side waits for its doorbell. One thread.
 */
#ifndef MEASURE_AGENT_H
#define MEASURE_AGENT_H

#include "guest_abi.h"
#include "vm.h"

struct agent {
	struct vm *vm;
	uint64_t exits_mmio_start; /* exits before the first command: not the workload's */
};

/* What a command came to. */
struct agent_result {
	uint64_t done;	 /* pages */
	uint64_t failed; /* refused calls, or pages that differ */
	uint64_t hypercalls;
	double seconds; /* by the guest's counter */
};

/*
 * Runs the guest until it asks for its first command. 0 or an exit code (log.h) after one line; the VM
 * must be started, protected or not.
 */
int agent_start(struct agent *agent, struct vm *vm);

/* Has the guest carry out one command. As agent_start(). */
int agent_call(struct agent *agent, enum agent_op op, struct s2_range range, uint64_t seed,
	       struct agent_result *result);

/* Ends the guest. As agent_start(). */
int agent_stop(struct agent *agent);

#endif
