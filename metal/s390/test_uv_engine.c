/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The transition engine over the real instruction: the same back end (stage2/uv_backend.h) that hosted
 * programs have over calls of a function. As on this machine it should be, the guest has its pages mapped
 * at all times, and the Ultravisor keeps it from what is not secure; the guest issues its own calls.
 */
#include "test_uv.h"
#include <stage2/uv_backend.h>

#define PAGES 4u

static struct s2_track track;
static struct s2_engine engine;
static struct s2_uv_backend backend;
static struct s2_run run;
static struct s2_job job;
static uint64_t issued;

/* The host's calls by UVC; what the guest has to call it has called. */
static int issue(void *cookie, uint64_t guest, union s2_uvcb *block)
{
	(void)cookie;
	if (guest != 0) {
		return S2_UVC_CC_OK;
	}
	issued++;
	return uvc(block);
}

static bool engine_begin(const struct machine_space *kind)
{
	if (!uv_begin(kind, 1)) {
		return false;
	}
	for (unsigned i = 0; i < PAGES; i++) {
		uv_give(0, GADDR(1 + i), AT_FREE + i);
	}
	run = (struct s2_run){s2_gpa(GADDR(1)), s2_hpa((uint64_t)(uintptr_t)uv_page(AT_FREE)),
			      PAGES * PAGE, 0};
	run.folio_order = S2_FOLIO_ORDER_MAX;
	backend = (struct s2_uv_backend){
		.issue = issue, .handle = t.handle[0], .runs = &run, .run_count = 1};
	s2_uv_backend_init(&backend);
	job = (struct s2_job){.phase = S2_JOB_IDLE};
	issued = 0;
	MUST(s2_track_init(&track, &memory_env, s2_run_range(&run)) == S2_OK);
	engine = (struct s2_engine){
		.track = &track, .runs = &run, .run_count = 1, .backend = &backend.backend};
	return true;
}

static void engine_end(void)
{
	CHECK(s2_track_check(&track));
	s2_track_fini(&track);
	uv_end();
}

static enum s2_err move(enum s2_move move, unsigned first, unsigned count)
{
	const struct s2_request request = {
		.move = move,
		.range = s2_range(s2_gpa(GADDR(1 + first)), count * PAGE),
		.grain = S2_GRAIN_FOLIO,
		.policy = S2_EXACT,
	};

	return s2_convert(&engine, &request, &job);
}

static bool is(unsigned page, enum s2_state state)
{
	struct s2_page out;

	return s2_track_get(&track, s2_gpa(GADDR(1 + page)), &out) == S2_OK && out.state == state;
}

void uv_engine(const struct machine_space *kind)
{
	if (!engine_begin(kind)) {
		return;
	}
	CHECK(move(S2_DONATE, 0, PAGES) == S2_OK && issued == PAGES);
	for (unsigned i = 0; i < PAGES; i++) {
		CHECK(host_absent(AT_FREE + i) && guest_fills(0, GADDR(1 + i)));
	}
	CHECK(move(S2_EXPORT, 1, 2) == S2_OK && issued == PAGES + 2);
	CHECK(host_absent(AT_FREE) && host_absent(AT_FREE + 3));
	CHECK(host_stores(AT_FREE + 1, 9, 5)); /* the host may; the guest will not have it */
	CHECK(move(S2_IMPORT, 1, 2) == S2_ERR_BACKEND && job.at.val == GADDR(2));
	CHECK(backend.last.cmd == S2_UVC_IMPORT && backend.last.rc == S2_UVC_RC_SEAL);
	CHECK(s2_convert_back(&engine, &job) == S2_OK && is(1, S2_EXPORTED) && is(2, S2_EXPORTED));
	CHECK(move(S2_IMPORT, 2, 1) == S2_OK && guest_filled(0, GADDR(3)));
	/* Shared by the guest itself; the host's part is to know it. */
	CHECK(uv_guest_call(0, S2_UVC_SHARE, GADDR(3), S2_UVC_CC_OK, S2_UVC_RC_EXECUTED));
	CHECK(move(S2_SHARE, 2, 1) == S2_OK && is(2, S2_SHARED));
	CHECK(host_sees(AT_FREE + 2, 0, GADDR(3)) && guest_filled(0, GADDR(3)));
	CHECK(uv_guest_call(0, S2_UVC_UNSHARE, GADDR(3), S2_UVC_CC_OK, S2_UVC_RC_EXECUTED));
	CHECK(move(S2_UNSHARE, 2, 1) == S2_OK && host_absent(AT_FREE + 2));
	CHECK(move(S2_RECLAIM, 0, PAGES) == S2_OK && is(0, S2_NONE) && is(3, S2_NONE));
	CHECK(host_sees_zeros(AT_FREE) && host_sees_zeros(AT_FREE + 3));
	engine_end();
}

void uv_engine_busy(const struct machine_space *kind)
{
	if (!engine_begin(kind)) {
		return;
	}
	/* The third call is busy: two pages are there, and the job says where it waits. */
	t.u.nth = (struct s2_uv_nth){
		.skip = 2, .count = 1, .cmd = S2_UVC_IMPORT, .cc = S2_UVC_CC_BUSY};
	CHECK(move(S2_DONATE, 0, PAGES) == S2_ERR_AGAIN && job.phase == S2_JOB_PARTIAL);
	CHECK(job.at.val == GADDR(3) && is(1, S2_SECURE) && host_absent(AT_FREE + 1));
	CHECK(host_stores(AT_FREE + 2, 0, 1));
	CHECK(s2_convert_resume(&engine, &job) == S2_OK && host_absent(AT_FREE + 2));
	/* The first one fails: nothing has happened, and all goes back. */
	t.u.nth = (struct s2_uv_nth){
		.count = 1, .cmd = S2_UVC_EXPORT, .cc = S2_UVC_CC_ERROR, .rc = 0x7abc};
	CHECK(guest_fills(0, GADDR(1)));
	CHECK(move(S2_EXPORT, 0, 2) == S2_ERR_BACKEND && backend.last.rc == 0x7abc);
	CHECK(s2_convert_back(&engine, &job) == S2_OK && is(0, S2_SECURE));
	CHECK(host_absent(AT_FREE) && guest_filled(0, GADDR(1)));
	engine_end();
}
