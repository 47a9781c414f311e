/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The oracle: one structure a page, written from the text of convert.h, track.h and pin.h. It says what
 * a request comes to before the engine is asked, and is told by the back end what was confirmed.
 */
#ifndef TESTS_TRANSITION_ORACLE_H
#define TESTS_TRANSITION_ORACLE_H

/* How many pages there are: a matter of the program that it is part of. */
#ifndef ORACLE_PAGES
#define ORACLE_PAGES 590u
#endif
#define ORACLE_JOBS 4
#define FLAT_MAX ORACLE_PAGES

#include "model/flat_page.h"
#include <stage2/convert.h>

/* Besides its state (struct flat_page): */
struct oracle_page {
	int job;	/* that moves it; -1: none */
	bool late;	/* confirmed, and not yet in the views, or perhaps not */
	uint64_t seed;	/* what the guest has there, or finds there after an import; 0: zeros */
	uint64_t step;	/* who wrote it: STEP_GUEST, STEP_HOST */
	bool offered;	/* the host page holds what the guest has agreed to show */
	bool sealed;	/* NONE, and who is behind still has the seal */
	bool shown;	/* NONE, and who is behind still calls it shared */
	bool scribbled; /* the host has changed what was sealed */
	unsigned pins;
	bool kept; /* to be marked widened when its job ends */
};

struct oracle_job {
	bool busy;
	bool confirmed; /* a page is */
	bool poisoned;	/* lost one to an error: where it waits is not known until it goes on */
	bool lame;	/* a way back ended for want of memory: views may have more, or less */
	struct s2_request request;
	unsigned start, end; /* what is asked for */
	unsigned scope_start, scope_end;
	struct s2_convert_count count;
};

struct oracle {
	struct flat flat;
	struct oracle_page page[ORACLE_PAGES];
	struct oracle_job job[ORACLE_JOBS];
	struct s2_convert_count count;
	const struct s2_run *run; /* the folios, as the engine has them */
	size_t run_count;
	const struct s2_track *track; /* asked where the headers leave the engine a choice */
};

/* Where the grain of a page starts and ends. */
void oracle_grain(const struct oracle *o, const struct s2_request *request, unsigned page,
		  unsigned *start, unsigned *end);

/* What the start of this request must answer; with S2_OK, takes it. */
enum s2_err oracle_start(struct oracle *o, int slot, const struct s2_request *request);

/* The first page from here on that the job moves; ORACLE_PAGES if there is none. */
unsigned oracle_next(const struct oracle *o, int slot, unsigned from);

/* What the next call of the back end must be about; of no length if there is none to come. */
struct s2_range oracle_unit(const struct oracle *o, int slot, uint64_t max_len);

void oracle_confirm(struct oracle *o, unsigned page);
void oracle_undo(struct oracle *o, unsigned page);
void oracle_poison(struct oracle *o, unsigned page);

/* The job has ended: all is done; it was stopped; it was rolled back. */
void oracle_finish(struct oracle *o, int slot);
void oracle_stop(struct oracle *o, int slot);
void oracle_back(struct oracle *o, int slot);

/* How a resume ends after the back end has said this. */
enum s2_err oracle_err(enum s2_reply reply);

/* What s2_pin() must answer, of a range of pages in the tracker. */
enum s2_err oracle_pin(const struct oracle *o, unsigned start, unsigned count);

#endif
