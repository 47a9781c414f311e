/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random requests, several at a time, with a back end that answers what it likes, an allocator that
 * fails, hardware errors, pins, and a guest and a host that write meanwhile; against the oracle.
 * STAGE2_MODEL_OPS says how many operations for a format; S2_SEED replays, S2_TRACE shows.
 */
#include "cases.h"

#define WORLD_OPS 1500u /* then a new one, because what is poisoned stays so */
#define SETTLED_EVERY 128u

static unsigned some_page(void)
{
	static const struct spot parts[] = {{0, ORACLE_PAGES}, {512, 78}, {560, 30}, {0, 64}};
	const struct spot *part = &parts[world_below(4)];

	return part->start + world_below(part->count);
}

static unsigned some_count(unsigned start)
{
	unsigned count = 1 + world_below(1u << world_below(6));

	if (world_below(300) == 0) {
		count = 1 + world_below(ORACLE_PAGES);
	}
	return count < ORACLE_PAGES - start ? count : ORACLE_PAGES - start;
}

/* A move that the first page can make, mostly; reclaims are rare, or little would be left. */
static enum s2_move some_move(unsigned page)
{
	switch (w.o.flat.page[page].state) {
	case S2_NONE:
		return S2_DONATE;
	case S2_SECURE:
		return world_below(30) == 0  ? S2_RECLAIM
		       : world_below(2) == 0 ? S2_SHARE
					     : S2_EXPORT;
	case S2_SHARED:
		return world_below(40) == 0 ? S2_RECLAIM : S2_UNSHARE;
	case S2_EXPORTED:
		return world_below(40) == 0 ? S2_RECLAIM : S2_IMPORT;
	case S2_POISONED:
	case S2_STATE_COUNT:
		break;
	}
	return (enum s2_move)world_below(S2_MOVE_COUNT);
}

/* Most requests begin with a page that can make the move, and end with the last one that can. */
static struct s2_request some_request(void)
{
	unsigned start = some_page();
	unsigned count = some_count(start);
	struct s2_request request =
		request_of(some_move(start), start, count, grains[world_below(GRAIN_COUNT)],
			   (enum s2_policy)world_below(S2_POLICY_COUNT));

	if (world_below(20) == 0) {
		request.move = (enum s2_move)world_below(S2_MOVE_COUNT);
	}
	while (count > 1 && world_below(4) != 0 &&
	       w.o.flat.page[start + count - 1].state != w.o.flat.page[start].state) {
		count--;
	}
	request.range = page_range(start, count);
	request.guest_offers_grain = world_below(2) == 0;
	if (request.grain == M2 && world_below(8) != 0) {
		request.grain = K16;
	}
	return request;
}

static void some_order(void)
{
	w.order = (struct order){.skip = world_below(3), .armed = world_below(2) == 0};
	w.order.reply = (enum s2_reply)world_below(S2_REPLY_COUNT);
	if (w.order.reply == S2_REPLY_POISON && world_below(30) != 0) {
		w.order.reply = S2_REPLY_FAILED;
	}
	w.order.done = world_below(5);
	if (w.choice.behind == BEHIND_UV && world_below(3) == 0) {
		w.order.by_uv = true;
		w.order.nth = (struct s2_uv_nth){.skip = world_below(4), .count = 1};
		w.order.nth.cc = 1 + (int)world_below(3);
		w.order.nth.rc = world_below(2) == 0 ? S2_UVC_RC_NOMEM : S2_UVC_RC_NOT_MAPPED;
	}
	w.alloc_fail = world_below(12) == 0 ? w.alloc_calls + 1 + world_below(4) : 0;
	w.backend.max_len = world_below(3) * 3 * S2_PAGE_SIZE;
}

static void no_order(void)
{
	w.order = (struct order){.armed = false};
	w.alloc_fail = 0;
}

static void some_writes(void)
{
	unsigned page = some_page();

	switch (world_below(3)) {
	case 0:
		act_guest_writes(page);
		break;
	case 1:
		act_host_writes(page);
		break;
	default:
		/* Cipher text is the host's to spoil. */
		if (!w.o.flat.page[page].moving && host_reaches(page) &&
		    (w.o.flat.page[page].state == S2_EXPORTED || w.o.page[page].sealed)) {
			act_host_scribbles(page);
		}
	}
}

/* The host puts right what the job waits for, in half of all cases. */
static void some_mercy(int slot)
{
	unsigned page = oracle_next(&w.o, slot, 0);

	if (page < ORACLE_PAGES && world_below(2) == 0) {
		act_host_repairs(page);
	}
}

static void some_pins(void)
{
	unsigned start = some_page();
	unsigned count = 1 + world_below(4);

	count = count < ORACLE_PAGES - start ? count : ORACLE_PAGES - start;
	if (world_below(2) == 0) {
		act_pin(start, count);
	} else {
		act_unpin(start, count);
	}
}

static void one_op(void)
{
	int slot = (int)world_below(ORACLE_JOBS);
	unsigned what = world_below(100);

	some_order();
	if (what < 70) {
		some_mercy(slot);
		if (!w.o.job[slot].busy) {
			if (world_below(4) == 0) {
				act_start(slot, some_request());
			} else {
				act_convert(slot, some_request());
			}
		} else if (what < 62) {
			act_resume(slot);
		} else if (what < 66) {
			act_back(slot);
		} else {
			act_stop(slot);
		}
	} else if (what < 90) {
		some_writes();
	} else if (what < 97) {
		some_pins();
	} else if (what < 99) {
		struct party *party = world_below(2) == 0 ? &w.guest : &w.host;

		s2_view_rejoin(&party->view, w.run, w.run_count, world_below(64) * S2_PAGE_SIZE);
	} else if (world_below(10) == 0) {
		act_poison(some_page(), 1);
	}
	no_order();
}

/* Whatever is under way comes to an end. */
static void end_jobs(void)
{
	for (int slot = 0; slot < ORACLE_JOBS; slot++) {
		while (w.o.job[slot].busy && act_stop(slot) != S2_OK) {
			some_mercy(slot);
			act_resume(slot);
		}
	}
}

static void run_world(const struct choice *choice, unsigned ops)
{
	world_start(choice);
	act_populate();
	for (unsigned i = 0; i < ops; i++) {
		one_op();
		watch_window();
		if (i % SETTLED_EVERY == 0) {
			watch_settled();
		}
	}
	end_jobs();
	watch_settled();
	world_finish();
}

START_TEST(random_requests)
{
	const char *text = getenv("STAGE2_MODEL_OPS");
	unsigned ops = text != NULL ? (unsigned)strtoul(text, NULL, 0) : 100000;
	unsigned kinds = choice_count(world_format(), only_few());
	uint64_t seed = flat_seed();

	/* On all machines of the format and both back ends in turn. */
	for (unsigned done = 0; done < ops; done += WORLD_OPS) {
		struct choice choice =
			choice_at(world_format(), only_few(), done / WORLD_OPS % kinds);

		w.random = seed + done;
		run_world(&choice, WORLD_OPS);
	}
}
END_TEST

TCase *case_model(void)
{
	TCase *tcase = tcase_create("model");

	tcase_add_test(tcase, random_requests);
	return tcase;
}
