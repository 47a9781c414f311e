/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * State by call: what each call answers in each state of a page. Beside each row is what Linux's hypervisor
 * for protected guests answers in the same place; its own test of ownership
 * (arch/arm64/kvm/hyp/nvhe/mem_protect.c, pkvm_ownership_selftest) drives a page through the same states.
 * NONE is host-owned there; SECURE guest-owned; SHARED guest-owned and borrowed by the host. It has no
 * EXPORTED; a page is poisoned there when the host took it by force.
 *
 * Where we say success and it says EPERM, the page is there already: requests are for ranges, and one
 * that was carried out in part is made again as a whole.
 */
#include "cases.h"

#define PAGE 565u

enum where {
	IS_NONE = 0,
	IS_SECURE,
	IS_SHARED,
	IS_PINNED,  /* shared, and the host needs it */
	IS_WIDENED, /* shared, and nobody has asked for it */
	IS_EXPORTED,
	IS_POISONED,
	IS_MOVING, /* its export has begun */
	WHERE_COUNT
};

struct row {
	enum where where;
	enum s2_err answer[S2_MOVE_COUNT];
	enum s2_err pin;
	enum s2_err unpin;
};

#define OK S2_OK
#define STATE S2_ERR_STATE
#define HELD S2_ERR_HELD
#define BUSY S2_ERR_BUSY
#define POISON S2_ERR_POISON
#define EXPOSE S2_ERR_EXPOSE

/* In order of enum s2_move: donate, share, unshare, export, import, reclaim; pin, unpin. */
static const struct row rows[] = {
	/* host_donate_guest 0; guest_share, guest_unshare ENOENT; reclaim EPERM */
	{IS_NONE, {OK, STATE, STATE, STATE, STATE, OK}, STATE, STATE},
	/* donate EPERM; share 0; unshare EPERM; reclaim 0, and the page is cleared */
	{IS_SECURE, {OK, OK, OK, OK, OK, OK}, STATE, STATE},
	/* donate EPERM; share EPERM; unshare 0; reclaim 0, and the page is not cleared */
	{IS_SHARED, {STATE, OK, OK, STATE, STATE, OK}, OK, STATE},
	/* unshare of what is pinned EBUSY (of hyp's; guests' pages cannot be pinned there) */
	{IS_PINNED, {STATE, OK, HELD, STATE, STATE, HELD}, OK, OK},
	/* no such thing */
	{IS_WIDENED, {STATE, OK, OK, STATE, STATE, OK}, EXPOSE, STATE},
	/* no such thing */
	{IS_EXPORTED, {STATE, STATE, STATE, OK, OK, OK}, STATE, STATE},
	/* donate, share to it EPERM; guest_share, guest_unshare EHWPOISON; reclaim: 0, for EHWPOISON */
	{IS_POISONED, {POISON, POISON, POISON, POISON, POISON, OK}, POISON, STATE},
	/* no such thing: locks are held for as long as it takes */
	{IS_MOVING, {BUSY, BUSY, BUSY, BUSY, BUSY, BUSY}, BUSY, STATE},
};

static void bring(enum where where)
{
	struct s2_request request = request_of(S2_SHARE, PAGE - 1, 1, K16, S2_WIDEN);

	request.guest_offers_grain = true;
	switch (where) {
	case IS_NONE:
		act_move(S2_RECLAIM, PAGE, 1);
		break;
	case IS_PINNED:
		act_move(S2_SHARE, PAGE, 1);
		must_err(act_pin(PAGE, 1), S2_OK);
		break;
	case IS_SHARED:
		act_move(S2_SHARE, PAGE, 1);
		break;
	case IS_WIDENED:
		must_err(act_convert(0, request), S2_OK);
		must(w.o.flat.page[PAGE].widened);
		break;
	case IS_EXPORTED:
		act_move(S2_EXPORT, PAGE, 1);
		break;
	case IS_POISONED:
		must_err(act_poison(PAGE, 1), S2_OK);
		break;
	case IS_MOVING:
		must_err(act_start(3, request_of(S2_EXPORT, PAGE, 1, K4, S2_EXACT)), S2_OK);
		break;
	case IS_SECURE:
	case WHERE_COUNT:
		break;
	}
}

/* Whatever it is in, the world ends; that is part of the test. */
static void end(void)
{
	struct choice choice = w.choice;

	if (w.o.job[3].busy) {
		must_err(act_resume(3), S2_OK);
	}
	while (w.o.page[PAGE].pins != 0) {
		must_err(act_unpin(PAGE, 1), S2_OK);
	}
	watch_settled();
	world_finish();
	world_start(&choice);
}

static void one_move(const struct row *row, enum s2_move move, enum s2_policy policy)
{
	struct s2_request request = request_of(move, PAGE, 1, K4, policy);

	act_move(S2_DONATE, 556, 30);
	bring(row->where);
	watch_settled();
	must_err(act_convert(1, request), row->answer[move]);
	watch_settled();
	end();
}

IN_WORLDS(states_by_moves, true)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (unsigned move = 0; move < S2_MOVE_COUNT; move++) {
			one_move(&rows[i], (enum s2_move)move, (enum s2_policy)(i % 3));
		}
	}
}

IN_WORLDS(states_by_pins, true)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		act_move(S2_DONATE, 556, 30);
		bring(rows[i].where);
		must_err(act_unpin(PAGE, 1), rows[i].unpin);
		must_err(act_pin(PAGE, 1), rows[i].pin);
		watch_settled();
		end();
	}
}

/* One page through all of its life, as that test does it: the other rows are tried at each stop. */
IN_WORLDS(one_life, true)
{
	static const enum s2_move life[] = {S2_DONATE, S2_SHARE,   S2_UNSHARE, S2_EXPORT, S2_IMPORT,
					    S2_SHARE,  S2_UNSHARE, S2_RECLAIM, S2_DONATE};

	for (size_t i = 0; i < sizeof(life) / sizeof(life[0]); i++) {
		act_move(life[i], PAGE, 1);
		for (unsigned move = 0; move < S2_MOVE_COUNT; move++) {
			enum s2_state state = w.o.flat.page[PAGE].state;
			bool there = state == flat_to((enum s2_move)move);
			bool can = move == S2_RECLAIM || state == flat_from((enum s2_move)move);

			if (can && !there) {
				continue;
			}
			must_err(act_convert(1,
					     request_of((enum s2_move)move, PAGE, 1, K4, S2_EXACT)),
				 there ? S2_OK : S2_ERR_STATE);
		}
		watch_settled();
	}
	/* Taken by a hardware error; neither comes back, and the folio's others are as they were. */
	must_err(act_poison(PAGE, 1), S2_OK);
	must_err(act_convert(1, request_of(S2_RECLAIM, PAGE, 1, K4, S2_EXACT)), S2_OK);
	must(w.o.flat.page[PAGE].state == S2_POISONED);
}

/* What the Ultravisor says, in the engine's words. */
START_TEST(replies)
{
	static const struct {
		int cc;
		uint16_t rc;
		enum s2_reply reply;
	} answers[] = {
		{S2_UVC_CC_OK, S2_UVC_RC_EXECUTED, S2_REPLY_OK},
		{S2_UVC_CC_BUSY, 0, S2_REPLY_AGAIN},
		{S2_UVC_CC_PARTIAL, 0, S2_REPLY_AGAIN},
		{S2_UVC_TRANSLATION, 0, S2_REPLY_AGAIN},
		{S2_UVC_CC_ERROR, S2_UVC_RC_NOT_MAPPED, S2_REPLY_AGAIN},
		{S2_UVC_CC_ERROR, S2_UVC_RC_NOT_MAPPED | S2_UVC_RC_NEED_DESTROY, S2_REPLY_AGAIN},
		{S2_UVC_NOTIFICATION, 0, S2_REPLY_BUSY},
		{S2_UVC_CC_ERROR, S2_UVC_RC_SEAL, S2_REPLY_FAILED},
		{S2_UVC_CC_ERROR, S2_UVC_RC_INV_CMD, S2_REPLY_FAILED},
		{S2_UVC_CC_ERROR, 0, S2_REPLY_FAILED},
		{S2_UVC_VIOLATION, 0, S2_REPLY_FAILED},
		{S2_UVC_NON_SECURE, 0, S2_REPLY_FAILED},
		{S2_UVC_ADDRESSING, 0, S2_REPLY_FAILED},
		{4, S2_UVC_RC_EXECUTED, S2_REPLY_FAILED},
	};

	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		must(s2_uv_reply(answers[i].cc, answers[i].rc) == answers[i].reply);
	}
}
END_TEST

TCase *case_matrix(void)
{
	TCase *tcase = tcase_create("matrix");

	tcase_add_test(tcase, states_by_moves);
	tcase_add_test(tcase, states_by_pins);
	tcase_add_test(tcase, one_life);
	tcase_add_test(tcase, replies);
	return tcase;
}
