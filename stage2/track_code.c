/* SPDX-License-Identifier: BSD-2-Clause */
/* The state machine of one page: codes, and the steps between them. All of it is tables. */
#include "internal.h"

/* A page in transition, whichever way it goes. */
#define MOVING                         \
	{                              \
		S2_SECURE, true, false \
	}

const struct s2_page s2_code_pages[S2_CODE_COUNT] = {
	[S2_CODE_NONE] = {S2_NONE, false, false},
	[S2_CODE_SECURE] = {S2_SECURE, false, false},
	[S2_CODE_SHARED] = {S2_SHARED, false, false},
	[S2_CODE_EXPORTED] = {S2_EXPORTED, false, false},
	[S2_CODE_POISONED] = {S2_POISONED, false, false},
	[S2_CODE_SHARED_WIDENED] = {S2_SHARED, false, true},
	[S2_CODE_EXPORTED_WIDENED] = {S2_EXPORTED, false, true},
	[S2_CODE_DONATING] = MOVING,
	[S2_CODE_SHARING] = MOVING,
	[S2_CODE_SHARING_WIDENED] = MOVING,
	[S2_CODE_UNSHARING] = MOVING,
	[S2_CODE_UNSHARING_WIDENED] = MOVING,
	[S2_CODE_EXPORTING] = MOVING,
	[S2_CODE_EXPORTING_WIDENED] = MOVING,
	[S2_CODE_IMPORTING] = MOVING,
	[S2_CODE_RECLAIMING] = MOVING,
};

enum s2_err s2_code_err(unsigned code)
{
	if (s2_code_moving(code)) {
		return S2_ERR_BUSY;
	}
	return code == S2_CODE_POISONED ? S2_ERR_POISON : S2_ERR_STATE;
}

unsigned s2_code_alike(unsigned code)
{
	if (s2_code_moving(code)) {
		return S2_CODE_ALL & ~(S2_CODE_BIT(S2_CODE_DONATING) - 1);
	}
	return S2_CODE_BIT(code);
}

unsigned s2_code_resting(enum s2_state state)
{
	unsigned codes = S2_CODE_BIT(state);

	if (state == S2_SHARED) {
		codes |= S2_CODE_BIT(S2_CODE_SHARED_WIDENED);
	}
	if (state == S2_EXPORTED) {
		codes |= S2_CODE_BIT(S2_CODE_EXPORTED_WIDENED);
	}
	return codes;
}

/* In the place of a next code: there is none, and why. */
enum {
	INVAL = S2_STEP_ERR + S2_ERR_INVAL,
	STATE = S2_STEP_ERR + S2_ERR_STATE,
	BUSY = S2_STEP_ERR + S2_ERR_BUSY,
	POISON = S2_STEP_ERR + S2_ERR_POISON,
};

/* Where the moves end. */
enum {
	DONE_DONATING = S2_CODE_SECURE,
	DONE_SHARING = S2_CODE_SHARED,
	DONE_SHARING_WIDENED = S2_CODE_SHARED_WIDENED,
	DONE_UNSHARING = S2_CODE_SECURE,
	DONE_UNSHARING_WIDENED = S2_CODE_SECURE,
	DONE_EXPORTING = S2_CODE_EXPORTED,
	DONE_EXPORTING_WIDENED = S2_CODE_EXPORTED_WIDENED,
	DONE_IMPORTING = S2_CODE_SECURE,
	DONE_RECLAIMING = S2_CODE_NONE,
};

/* Steps, in the order of enum s2_code. Some start from pages at rest, some from moving ones. */
#define AT_REST(...)                                                                      \
	{                                                                                 \
		{                                                                         \
			__VA_ARGS__, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY, BUSY \
		}                                                                         \
	}
#define IN_TRANSITION(...)                                                           \
	{                                                                            \
		{                                                                    \
			STATE, STATE, STATE, STATE, STATE, STATE, STATE, __VA_ARGS__ \
		}                                                                    \
	}
#define SAME(to)                                                                       \
	{                                                                              \
		{                                                                      \
			to, to, to, to, to, to, to, to, to, to, to, to, to, to, to, to \
		}                                                                      \
	}

/* The moves, plain and widened; TO is where to: the code in transition, or the one behind it. */
#define MOVES(TO)                                                                                 \
	{                                                                                         \
		[S2_DONATE] = {AT_REST(TO(DONATING), STATE, STATE, STATE, POISON, STATE, STATE),  \
			       SAME(INVAL)},                                                      \
		[S2_SHARE] = {AT_REST(STATE, TO(SHARING), STATE, STATE, POISON, STATE, STATE),    \
			      AT_REST(STATE, TO(SHARING_WIDENED), STATE, STATE, POISON, STATE,    \
				      STATE)},                                                    \
		[S2_UNSHARE] = {AT_REST(STATE, STATE, TO(UNSHARING), STATE, POISON,               \
					TO(UNSHARING_WIDENED), STATE),                            \
				SAME(INVAL)},                                                     \
		[S2_EXPORT] = {AT_REST(STATE, TO(EXPORTING), STATE, STATE, POISON, STATE, STATE), \
			       AT_REST(STATE, TO(EXPORTING_WIDENED), STATE, STATE, POISON, STATE, \
				       STATE)},                                                   \
		[S2_IMPORT] = {AT_REST(STATE, STATE, STATE, TO(IMPORTING), POISON, STATE,         \
				       TO(IMPORTING)),                                            \
			       SAME(INVAL)},                                                      \
		[S2_RECLAIM] = {AT_REST(TO(RECLAIMING), TO(RECLAIMING), TO(RECLAIMING),           \
					TO(RECLAIMING), TO(RECLAIMING), TO(RECLAIMING),           \
					TO(RECLAIMING)),                                          \
				SAME(INVAL)},                                                     \
		[S2_MOVE_COUNT] = {SAME(INVAL), SAME(INVAL)},                                     \
	}
#define BEGUN(code) S2_CODE_##code
#define DONE(code) DONE_##code

const struct s2_step s2_begin_steps[S2_MOVE_COUNT + 1][2] = MOVES(BEGUN);
const struct s2_step s2_move_steps[S2_MOVE_COUNT + 1][2] = MOVES(DONE);

const struct s2_step s2_done_step = IN_TRANSITION(
	DONE_DONATING, DONE_SHARING, DONE_SHARING_WIDENED, DONE_UNSHARING, DONE_UNSHARING_WIDENED,
	DONE_EXPORTING, DONE_EXPORTING_WIDENED, DONE_IMPORTING, DONE_RECLAIMING);

/* A reclaim goes forward only. */
const struct s2_step s2_undo_step = IN_TRANSITION(
	S2_CODE_NONE, S2_CODE_SECURE, S2_CODE_SECURE, S2_CODE_SHARED, S2_CODE_SHARED_WIDENED,
	S2_CODE_SECURE, S2_CODE_SECURE, S2_CODE_EXPORTED, STATE);

/* Neither shared nor exported: that is all a claim or a release has to say of a poisoned page. */
const struct s2_step s2_claim_step = AT_REST(STATE, STATE, S2_CODE_SHARED, S2_CODE_EXPORTED, STATE,
					     S2_CODE_SHARED, S2_CODE_EXPORTED);

const struct s2_step s2_release_step =
	AT_REST(STATE, STATE, S2_CODE_SHARED_WIDENED, S2_CODE_EXPORTED_WIDENED, STATE,
		S2_CODE_SHARED_WIDENED, S2_CODE_EXPORTED_WIDENED);

const struct s2_step s2_poison_step = SAME(S2_CODE_POISONED);

const char *s2_state_name(enum s2_state state)
{
	static const char *const name[S2_STATE_COUNT] = {
		[S2_NONE] = "none",	    [S2_SECURE] = "secure",	[S2_SHARED] = "shared",
		[S2_EXPORTED] = "exported", [S2_POISONED] = "poisoned",
	};

	return (unsigned)state < S2_STATE_COUNT ? name[state] : "unknown";
}

const char *s2_move_name(enum s2_move move)
{
	static const char *const name[S2_MOVE_COUNT] = {
		[S2_DONATE] = "donate", [S2_SHARE] = "share",	[S2_UNSHARE] = "unshare",
		[S2_EXPORT] = "export", [S2_IMPORT] = "import", [S2_RECLAIM] = "reclaim",
	};

	return (unsigned)move < S2_MOVE_COUNT ? name[move] : "unknown";
}
