/* SPDX-License-Identifier: BSD-2-Clause */
/* Random operations on a tracker and on the naive model: every answer must be the same. */
#define FLAT_MAX 264000u

#include "check_main.h"
#include "flat.h"
#include "test_env.h"
#include <stage2/track.h>

#define OP_COUNT 20000u	    /* for each shape, but for */
#define LARGE_OP_COUNT 300u /* large ones */
#define LARGE 100000u	    /* pages */
#define REGION 262144u	    /* pages of 1 GiB */

enum op {
	OP_BEGIN,
	OP_DONE,
	OP_UNDO,
	OP_MOVE,
	OP_CLAIM,
	OP_RELEASE,
	OP_POISON,
	OP_COUNT_OF
};

struct pick {
	enum op op;
	unsigned start;
	unsigned count;
	enum s2_move move;
	bool widened;
};

/* Where trackers begin and how large they are, in pages. */
static const struct {
	uint64_t first;
	unsigned count;
} shapes[] = {
	{512 * 3, 1024},
	{512 * 5 + 100, 2100},
	{(UINT64_C(1) << 52) - 1300, 1300}, /* up to the last byte of all */
	{512 - 8, 16},
	{777, 1},
	{REGION * 3 - 900, 2100},
	{REGION * 2 - 700, 700 + REGION + 900},
};

#define SHAPE_COUNT ((int)(sizeof(shapes) / sizeof(shapes[0])))

static uint64_t seed;
static struct flat flat;
static struct pick last; /* the last operation that was possible */
static struct test_env env;
static struct s2_track track;
/* Where each move began and ended; finishing it as a whole must not need memory. */
static struct {
	unsigned start;
	unsigned count;
} moves[OP_COUNT + 1];

/* The page as it would be after the operation; on an error it is not to be used. */
static enum s2_err apply(struct flat_page *page, const struct pick *pick)
{
	bool open = page->state == S2_SHARED || page->state == S2_EXPORTED;
	enum s2_err err = S2_OK;

	switch (pick->op) {
	case OP_BEGIN:
	case OP_MOVE:
		err = flat_begin_err(page, pick->move);
		flat_begin(page, pick->move, pick->widened, flat.next_id);
		if (pick->op == OP_MOVE) {
			flat_done(page);
		}
		break;
	case OP_DONE:
		err = page->moving ? S2_OK : S2_ERR_STATE;
		flat_done(page);
		break;
	case OP_UNDO:
		err = page->moving && page->move != S2_RECLAIM ? S2_OK : S2_ERR_STATE;
		flat_undo(page);
		break;
	case OP_CLAIM:
	case OP_RELEASE:
		err = page->moving ? S2_ERR_BUSY : open ? S2_OK : S2_ERR_STATE;
		page->widened = pick->op == OP_RELEASE;
		break;
	case OP_POISON:
		memset(page, 0, sizeof(*page));
		page->state = S2_POISONED;
		break;
	case OP_COUNT_OF:
		break;
	}
	return err;
}

static enum s2_err call(const struct pick *pick)
{
	struct s2_range range = flat_range(&flat, pick->start, pick->count);

	switch (pick->op) {
	case OP_BEGIN:
		return s2_track_begin(&track, range, pick->move, pick->widened);
	case OP_MOVE:
		return s2_track_move(&track, range, pick->move, pick->widened);
	case OP_DONE:
		return s2_track_done(&track, range);
	case OP_UNDO:
		return s2_track_undo(&track, range);
	case OP_CLAIM:
		return s2_track_claim(&track, range);
	case OP_RELEASE:
		return s2_track_release(&track, range);
	case OP_POISON:
	case OP_COUNT_OF:
		break;
	}
	return s2_track_poison(&track, range);
}

/* A stretch of pages around a random one that are alike; so that operations have a chance. */
static void pick_alike(struct pick *pick)
{
	unsigned at = flat_below(flat.count);
	unsigned limit = flat_below(4) == 0 ? 1 : flat_below(4) == 0 ? 16 : flat.count;
	unsigned start = at;
	unsigned end = at + 1;
	struct s2_page page = flat_answer(&flat.page[at]);

	while (start > 0 && at - start < limit &&
	       flat_same(flat_answer(&flat.page[start - 1]), page)) {
		start--;
	}
	while (end < flat.count && end - at < limit &&
	       flat_same(flat_answer(&flat.page[end]), page)) {
		end++;
	}
	pick->start = start;
	pick->count = end - start;
	if (flat_below(4) == 0) {
		pick->start += flat_below(pick->count);
		pick->count = 1 + flat_below(end - pick->start);
	}
}

/* Widens a range to whole blocks, as far as the tracker has them. */
static void pick_blocks(struct pick *pick, uint64_t size)
{
	uint64_t start = (flat.first + pick->start) / size * size;
	uint64_t end = (flat.first + pick->start + pick->count + size - 1) / size * size;

	pick->start = start > flat.first ? (unsigned)(start - flat.first) : 0;
	end -= flat.first;
	pick->count = (unsigned)(end < flat.count ? end : flat.count) - pick->start;
}

/* A range of any kind; now and then one that is cut at chunks or at regions of them. */
static void pick_any(struct pick *pick)
{
	pick->start = flat_below(flat.count);
	pick->count = 1 + flat_below(flat.count - pick->start);
	if (flat_below(4) == 0) {
		unsigned to_chunk = (unsigned)(512 - (flat.first + pick->start) % 512) % 512;

		if (pick->start + to_chunk + 512 <= flat.count) {
			pick->start += to_chunk;
			pick->count = 512;
		}
	}
	if (flat_below(4) == 0) {
		pick_blocks(pick, flat_below(2) == 0 ? 512 : REGION);
	}
	if (flat_below(64) == 0) {
		pick->start = 0;
		pick->count = flat.count;
	}
}

static struct pick pick_op(void)
{
	static const enum op ops[] = {OP_BEGIN, OP_BEGIN, OP_BEGIN, OP_BEGIN, OP_DONE,	OP_DONE,
				      OP_DONE,	OP_UNDO,  OP_MOVE,  OP_MOVE,  OP_CLAIM, OP_RELEASE};
	struct pick pick = {.op = ops[flat_below(12)]};
	const struct flat_page *page;

	if (last.count > 0 && flat_below(3) == 0) {
		pick.start = last.start;
		pick.count = last.count;
	} else if (flat_below(8) == 0) {
		pick_any(&pick);
	} else {
		pick_alike(&pick);
	}
	/* Always possible, so that there are blocks that are alike to begin with. */
	if (flat_below(60) == 0) {
		pick.op = OP_POISON;
		pick_blocks(&pick, flat_below(2) == 0 ? 512 : REGION);
	}
	page = &flat.page[pick.start];
	pick.move = (enum s2_move)flat_below(S2_MOVE_COUNT);
	/* Mostly something that is possible. */
	while (flat_below(8) != 0 && pick.op < OP_DONE &&
	       flat_begin_err(page, pick.move) != S2_OK && !page->moving) {
		pick.move = (enum s2_move)flat_below(S2_MOVE_COUNT);
	}
	if (pick.move == S2_SHARE || pick.move == S2_EXPORT) {
		pick.widened = flat_below(2) == 0;
	}
	return pick;
}

/* Does the range hold whole moves only, so that finishing it may not need memory? */
static bool is_whole_move(const struct pick *pick)
{
	unsigned id = flat.page[pick->start].id;

	if (pick->op != OP_DONE && pick->op != OP_UNDO) {
		return false;
	}
	for (unsigned i = pick->start; i < pick->start + pick->count; i++) {
		if (!flat.page[i].moving || flat.page[i].id != id) {
			return false;
		}
	}
	return moves[id].start == pick->start && moves[id].count == pick->count;
}

/* Once in a while, finish a move exactly as it began. */
static void pick_whole_move(struct pick *pick)
{
	const struct flat_page *page = &flat.page[pick->start];

	if (page->moving && (pick->op == OP_DONE || pick->op == OP_UNDO) && flat_below(2) == 0) {
		pick->start = moves[page->id].start;
		pick->count = moves[page->id].count;
	}
}

/* Looks at where something was to happen, and at a block there or elsewhere. */
static void compare(const struct pick *pick)
{
	unsigned at[] = {pick->start, pick->start + pick->count - 1, flat_below(flat.count)};
	unsigned which = flat_below(3);

	flat_compare_block(&flat, &track, at[which], 21);
	flat_compare_block(&flat, &track, at[which], 30);
	if (pick->count < LARGE || flat_below(8) == 0) {
		flat_compare(&flat, &track, pick->start, pick->count);
	}
}

/* Returns whether the operation was possible. */
static bool one_op(unsigned number)
{
	static struct flat_page after[FLAT_MAX];
	struct pick pick = pick_op();
	bool starved = flat_below(8) == 0;
	enum s2_err want = S2_OK;
	enum s2_err got;

	pick_whole_move(&pick);
	flat.next_id = number + 1;
	for (unsigned i = pick.start; i < pick.start + pick.count && want == S2_OK; i++) {
		after[i] = flat.page[i];
		want = apply(&after[i], &pick);
	}
	test_env_fail(&env, starved ? 1 + flat_below(2) : 0);
	got = call(&pick);
	test_env_fail(&env, 0);
	if (got == S2_ERR_NOMEM && starved && !is_whole_move(&pick) && want == S2_OK) {
		want = S2_ERR_NOMEM;
	}
	if (got != want) {
		ck_abort_msg("operation %u: op %d of %u pages from %u, move %d: %s, not %s", number,
			     pick.op, pick.count, pick.start, pick.move, s2_strerror(got),
			     s2_strerror(want));
	}
	if (want == S2_OK) {
		memcpy(&flat.page[pick.start], &after[pick.start],
		       pick.count * sizeof(flat.page[0]));
		moves[flat.next_id].start = pick.start;
		moves[flat.next_id].count = pick.count;
		last = pick;
	}
	compare(&pick);
	return want == S2_OK;
}

START_TEST(model)
{
	unsigned op_count = shapes[_i].count < LARGE ? OP_COUNT : LARGE_OP_COUNT;
	unsigned done = 0;

	flat_random_state = seed + (uint64_t)_i * UINT64_C(0x9e3779b97f4a7c15);
	flat_init(&flat, shapes[_i].first, shapes[_i].count);
	memset(&last, 0, sizeof(last));
	test_env_init(&env);
	ck_assert_int_eq(s2_track_init(&track, &env.env, flat_range(&flat, 0, flat.count)), S2_OK);
	for (unsigned number = 0; number < op_count; number++) {
		done += one_op(number);
		if (number % 8 == 0 && !s2_track_check(&track)) {
			ck_abort_msg("operation %u: s2_track_check() fails", number);
		}
		if (number % 64 == 0) {
			flat_compare(&flat, &track, 0, flat.count);
		}
	}
	flat_compare(&flat, &track, 0, flat.count);
	/* A walk that is refused everywhere would prove nothing. */
	ck_assert_uint_gt(done, op_count / 5);
	ck_assert_uint_eq(env.live, 1 + track.map_count);
	s2_track_fini(&track);
	ck_assert_uint_eq(env.live, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("track_model");
	TCase *tcase = tcase_create("model");

	seed = flat_seed();
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, model, 0, SHAPE_COUNT);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
