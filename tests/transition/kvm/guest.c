/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine's back end: the guest makes the calls, the host reaches for pages; and what a guest does. */
#include "trial.h"

static struct agent_result ask(enum agent_op op, unsigned start, unsigned count, uint64_t seed)
{
	struct agent_result result;

	need(agent_call(&t.agent, op, pages_range(start, count), seed, &result) == 0);
	return result;
}

/* Where the stretch of pages ends in which the guest has the same pattern. */
static unsigned pattern_end(unsigned start, unsigned end)
{
	unsigned at = start + 1;

	while (at < end && t.o.page[at].seed == t.o.page[start].seed) {
		at++;
	}
	return at;
}

void guest_writes(unsigned start, unsigned count)
{
	const uint64_t seed = ++t.seeds;

	need(ask(AGENT_TOUCH, start, count, seed).done == count);
	for (unsigned i = start; i < start + count; i++) {
		t.o.page[i].seed = seed;
	}
}

void guest_verifies(unsigned start, unsigned count)
{
	unsigned at = start;

	while (at < start + count) {
		const unsigned end = pattern_end(at, start + count);
		const struct agent_result result =
			ask(AGENT_VERIFY, at, end - at, t.o.page[at].seed);

		check(LOOK_CONTENTS, at, result.done == end - at && result.failed == 0);
		at = end;
	}
}

static bool is_usable(unsigned page)
{
	return rests(page, S2_SECURE) || rests(page, S2_SHARED);
}

void guest_verifies_what_is_there(unsigned start, unsigned end)
{
	for (unsigned i = start; i < end;) {
		unsigned stop = i;

		while (stop < end && is_usable(stop) && t.o.page[stop].seed != 0) {
			stop++;
		}
		guest_verifies(i, stop - i);
		i = stop + 1;
	}
}

void guest_fills_empty(unsigned start, unsigned end)
{
	for (unsigned i = start; i < end;) {
		unsigned stop = i;

		while (stop < end && is_usable(stop) && t.o.page[stop].seed == 0) {
			stop++;
		}
		if (stop != i) {
			guest_writes(i, stop - i);
		}
		i = stop + 1;
	}
}

void guest_moves(enum s2_move move, unsigned page)
{
	const struct agent_result result =
		ask(move == S2_SHARE ? AGENT_SHARE : AGENT_UNSHARE, page, 1, 0);

	need(result.done == 1 && result.failed == 0);
}

/* Pages that the guest has converted. A page that it had converted before is where KVM stops it. */
static unsigned call(enum s2_move move, unsigned start, unsigned count)
{
	const struct agent_result result =
		ask(move == S2_SHARE ? AGENT_SHARE : AGENT_UNSHARE, start, count, 0);

	if (start <= t.ahead && t.ahead < start + count) {
		check(LOOK_REFUSAL, t.ahead, result.done == t.ahead - start && result.failed == 1);
	} else {
		check(LOOK_CALL, start, result.done == count && result.failed == 0);
	}
	return (unsigned)result.done;
}

/* The host reaches for pages: they are sealed. */
static void export(unsigned start, unsigned count)
{
	for (unsigned i = start; i < start + count; i++) {
		uint64_t value;

		check(LOOK_SEALED, i,
		      memory_probe(&t.vm.memory, pages_range(i, 1).start, &value) &&
			      value != word_of(i, 0));
	}
}

static unsigned carry_out(enum s2_move move, unsigned start, unsigned count)
{
	switch (move) {
	case S2_SHARE:
	case S2_UNSHARE:
		return call(move, start, count);
	case S2_EXPORT:
		export(start, count);
		return count;
	case S2_IMPORT:
		guest_verifies(start, count);
		return count;
	case S2_DONATE:
	case S2_RECLAIM:
	case S2_MOVE_COUNT:
		break;
	}
	trial_end("a move that a running guest does not make");
}

static void confirm(unsigned start, unsigned count)
{
	for (unsigned i = start; i < start + count; i++) {
		oracle_confirm(&t.o, i);
		if (t.expected->moves) {
			t.o.page[i].seed = 0;
		}
	}
}

struct s2_answer guest_convert(void *cookie, enum s2_move move, struct s2_range range)
{
	const unsigned start = page_of(range.start);
	const unsigned asked = (unsigned)(range.len / S2_PAGE_SIZE);
	const bool now = t.armed && t.skip == 0;
	unsigned count = now && t.pages < asked ? t.pages : asked;
	struct s2_answer answer = {.reply = S2_REPLY_OK};
	struct s2_range unit;

	need(cookie == &t && t.running >= 0);
	unit = oracle_unit(&t.o, t.running, t.backend.max_len);
	check(LOOK_CALL, start, move == t.o.job[t.running].request.move);
	check(LOOK_CALL, start, range.start.val == unit.start.val && range.len == unit.len);
	t.o.job[t.running].count.calls++;
	t.armed = t.armed && !now;
	t.skip -= t.skip != 0;
	if (count < asked) {
		answer.reply = t.reply;
	}
	if (count != 0) {
		const unsigned done = carry_out(move, start, count);

		answer.reply = done < count ? S2_REPLY_FAILED : answer.reply;
		count = done;
	}
	confirm(start, count);
	answer.done = count * S2_PAGE_SIZE;
	t.answered = count == asked		   ? S2_REPLY_OK
		     : answer.reply == S2_REPLY_OK ? S2_REPLY_AGAIN
						   : answer.reply;
	return answer;
}
