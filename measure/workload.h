/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Workloads: what a guest asks for, as a list of requests. README.md says what each one stands for.
 * The same name, memory and seed give the same list on every machine.
 */
#ifndef MEASURE_WORKLOAD_H
#define MEASURE_WORKLOAD_H

#include <stage2/track.h>
#include <stage2/types.h>

/* One request of the guest: S2_SHARE or S2_UNSHARE of whole pages. */
struct step {
	enum s2_move move;
	struct s2_range range;
};

struct workload {
	struct step *step;
	size_t count;
	size_t size; /* allocated */
};

/* What the payload itself lives in, at the start of RAM: no request may touch it. */
#define WORKLOAD_RESERVED (UINT64_C(2) << 20)

/* What a workload is made for. */
struct workload_input {
	struct s2_range ram; /* the guest's RAM */
	uint64_t seed;
	const char *trace; /* file, for "trace" */
};

/* The names, for option parsing and help: NULL-terminated. */
extern const char *const workload_names[];

/*
 * Fills *workload, which workload_free() frees. 0 or an exit code (vmm/log.h) after one line: a trace
 * file that is missing or malformed, RAM that is too small.
 */
int workload_make(struct workload *workload, const char *name, const struct workload_input *input);
void workload_free(struct workload *workload);

/* Appends a request; 0 or EXIT_CODE_OS. For the makers. */
int workload_add(struct workload *workload, enum s2_move move, struct s2_range range);

/* Reads a recorded trace; the format is in traces/README.md. As workload_make(). */
int trace_read(struct workload *workload, const char *path, struct s2_range ram);

#endif
