/* SPDX-License-Identifier: BSD-2-Clause */
/* The state machine of one page: codes, and the steps between them. */
#include "internal.h"

static const struct {
	uint8_t state;
	bool widened;
	uint8_t done;
	uint8_t undo;
} code_info[S2_CODE_COUNT] = {
	[S2_CODE_NONE] = {.state = S2_NONE},
	[S2_CODE_SECURE] = {.state = S2_SECURE},
	[S2_CODE_SHARED] = {.state = S2_SHARED},
	[S2_CODE_EXPORTED] = {.state = S2_EXPORTED},
	[S2_CODE_POISONED] = {.state = S2_POISONED},
	[S2_CODE_SHARED_WIDENED] = {.state = S2_SHARED, .widened = true},
	[S2_CODE_EXPORTED_WIDENED] = {.state = S2_EXPORTED, .widened = true},
	[S2_CODE_DONATING] = {S2_SECURE, false, S2_CODE_SECURE, S2_CODE_NONE},
	[S2_CODE_SHARING] = {S2_SECURE, false, S2_CODE_SHARED, S2_CODE_SECURE},
	[S2_CODE_SHARING_WIDENED] = {S2_SECURE, false, S2_CODE_SHARED_WIDENED, S2_CODE_SECURE},
	[S2_CODE_UNSHARING] = {S2_SECURE, false, S2_CODE_SECURE, S2_CODE_SHARED},
	[S2_CODE_UNSHARING_WIDENED] = {S2_SECURE, false, S2_CODE_SECURE, S2_CODE_SHARED_WIDENED},
	[S2_CODE_EXPORTING] = {S2_SECURE, false, S2_CODE_EXPORTED, S2_CODE_SECURE},
	[S2_CODE_EXPORTING_WIDENED] = {S2_SECURE, false, S2_CODE_EXPORTED_WIDENED, S2_CODE_SECURE},
	[S2_CODE_IMPORTING] = {S2_SECURE, false, S2_CODE_SECURE, S2_CODE_EXPORTED},
	/* There is no way back: s2_step_undo() does not look here. */
	[S2_CODE_RECLAIMING] = {S2_SECURE, false, S2_CODE_NONE, S2_CODE_NONE},
};

enum s2_err s2_code_err(unsigned code)
{
	if (s2_code_moving(code)) {
		return S2_ERR_BUSY;
	}
	return code == S2_CODE_POISONED ? S2_ERR_POISON : S2_ERR_STATE;
}

struct s2_page s2_code_page(unsigned code)
{
	struct s2_page page = {
		.state = (enum s2_state)code_info[code].state,
		.moving = s2_code_moving(code),
		.widened = code_info[code].widened,
	};

	return page;
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

static uint8_t step_err(enum s2_err err)
{
	return (uint8_t)(S2_STEP_ERR + (unsigned)err);
}

/* All codes refuse, each for its own reason; the caller then opens those that may make the step. */
static void step_close(struct s2_step *step)
{
	for (unsigned code = 0; code < S2_CODE_COUNT; code++) {
		step->to[code] = step_err(s2_code_err(code));
	}
}

void s2_step_begin(struct s2_step *step, enum s2_move move, bool widened)
{
	step_close(step);
	switch (move) {
	case S2_DONATE:
		step->to[S2_CODE_NONE] = S2_CODE_DONATING;
		break;
	case S2_SHARE:
		step->to[S2_CODE_SECURE] = widened ? S2_CODE_SHARING_WIDENED : S2_CODE_SHARING;
		break;
	case S2_UNSHARE:
		step->to[S2_CODE_SHARED] = S2_CODE_UNSHARING;
		step->to[S2_CODE_SHARED_WIDENED] = S2_CODE_UNSHARING_WIDENED;
		break;
	case S2_EXPORT:
		step->to[S2_CODE_SECURE] = widened ? S2_CODE_EXPORTING_WIDENED : S2_CODE_EXPORTING;
		break;
	case S2_IMPORT:
		step->to[S2_CODE_EXPORTED] = S2_CODE_IMPORTING;
		step->to[S2_CODE_EXPORTED_WIDENED] = S2_CODE_IMPORTING;
		break;
	case S2_RECLAIM:
		for (unsigned code = 0; !s2_code_moving(code); code++) {
			step->to[code] = S2_CODE_RECLAIMING;
		}
		break;
	case S2_MOVE_COUNT:
		break;
	}
}

void s2_step_done(struct s2_step *step)
{
	for (unsigned code = 0; code < S2_CODE_COUNT; code++) {
		step->to[code] =
			s2_code_moving(code) ? code_info[code].done : step_err(S2_ERR_STATE);
	}
}

void s2_step_undo(struct s2_step *step)
{
	for (unsigned code = 0; code < S2_CODE_COUNT; code++) {
		step->to[code] =
			s2_code_moving(code) ? code_info[code].undo : step_err(S2_ERR_STATE);
	}
	step->to[S2_CODE_RECLAIMING] = step_err(S2_ERR_STATE);
}

/* Neither shared nor exported: that is all a claim or a release has to say of a poisoned page. */
static void step_mark(struct s2_step *step, enum s2_code shared, enum s2_code exported)
{
	step_close(step);
	step->to[S2_CODE_POISONED] = step_err(S2_ERR_STATE);
	step->to[S2_CODE_SHARED] = (uint8_t)shared;
	step->to[S2_CODE_SHARED_WIDENED] = (uint8_t)shared;
	step->to[S2_CODE_EXPORTED] = (uint8_t)exported;
	step->to[S2_CODE_EXPORTED_WIDENED] = (uint8_t)exported;
}

void s2_step_claim(struct s2_step *step)
{
	step_mark(step, S2_CODE_SHARED, S2_CODE_EXPORTED);
}

void s2_step_release(struct s2_step *step)
{
	step_mark(step, S2_CODE_SHARED_WIDENED, S2_CODE_EXPORTED_WIDENED);
}

void s2_step_poison(struct s2_step *step)
{
	memset(step->to, S2_CODE_POISONED, sizeof(step->to));
}

void s2_step_join(struct s2_step *first, const struct s2_step *second)
{
	for (unsigned code = 0; code < S2_CODE_COUNT; code++) {
		if (first->to[code] < S2_STEP_ERR) {
			first->to[code] = second->to[first->to[code]];
		}
	}
}

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
