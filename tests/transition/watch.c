/* SPDX-License-Identifier: BSD-2-Clause */
/* What must hold: at every step, and between two calls. */
#include "world.h"

#include "model/flat.h"

static bool reaches(struct party *party, uint64_t addr, uint64_t hpa, enum machine_access access)
{
	struct machine_result r;
	bool good = machine_access(&party->m, addr, access, &r);

	must(!good || r.hpa == hpa);
	return good;
}

bool host_reaches(unsigned page)
{
	return reaches(&w.host, hpa_of(page), hpa_of(page), MACHINE_READ);
}

static bool host_writes(unsigned page)
{
	return reaches(&w.host, hpa_of(page), hpa_of(page), MACHINE_WRITE);
}

bool guest_reaches(unsigned page, bool write)
{
	return reaches(&w.guest, page_range(page, 1).start.val, hpa_of(page),
		       write ? MACHINE_WRITE : MACHINE_READ);
}

static struct s2_page tracked(unsigned page)
{
	struct s2_page out;

	must_err(s2_track_get(&w.track, page_range(page, 1).start, &out), S2_OK);
	return out;
}

static bool is_of_guest(enum s2_state state)
{
	return state == S2_SECURE || state == S2_SHARED;
}

/* What the host's processor can read now, with all that is stale in its TLB. */
static void watch_host(unsigned page, struct s2_page is)
{
	if (host_reaches(page)) {
		must_at(page, is.moving || is.state != S2_SECURE);
		must_at(page, w.o.page[page].offered || !page_is_plain(page));
	}
}

/*
 * What the guest relies on it has. An entry that is being replaced faults for a moment and not for good:
 * so the tables are asked as queries are, which see through that.
 */
static void watch_guest(unsigned page, struct s2_page is)
{
	const struct oracle_page *p = &w.o.page[page];
	s2_hpa_t hpa = s2_hpa(0);

	if (!is.moving && is_of_guest(is.state) && !p->late) {
		must_at(page, s2_lookup(&w.guest.space, page_range(page, 1).start, &hpa) == S2_OK);
		must_at(page, hpa.val == hpa_of(page));
		must_at(page, memory_of(page)[0] == p->seed);
		must_at(page, memory_of(page)[3] == (p->seed == 0 ? 0 : p->seed + 3 * p->step));
	}
}

void watch_near(unsigned start, unsigned end)
{
	w.watch_first = start < 8 ? 0 : start - 8;
	w.watch_end = end + 8 < ORACLE_PAGES ? end + 8 : ORACLE_PAGES;
}

void watch_step(void)
{
	w.steps++;
	for (unsigned i = w.watch_first; w.in_call && !w.quiet && i < w.watch_end; i++) {
		struct s2_page is = tracked(i);

		watch_host(i, is);
		watch_guest(i, is);
	}
}

/* The least and the most that a view may show of a page between two calls. */
struct bounds {
	unsigned least;
	unsigned most;
};

static struct bounds bounds_of(const struct party *party, unsigned page)
{
	const struct flat_page *flat = &w.o.flat.page[page];
	const struct oracle_page *p = &w.o.page[page];
	unsigned prot = party->view.prot[flat->state];

	if (flat->moving && w.o.job[p->job].lame) {
		return (struct bounds){0, S2_PROT_ALL};
	}
	if (flat->moving) {
		prot &= party->view.prot[flat_to(flat->move)];
	}
	return (struct bounds){p->late ? 0 : prot, prot};
}

static void check_bounds(unsigned page, struct bounds bounds, bool read, bool write)
{
	must_at(page, read || (bounds.least & S2_READ) == 0);
	must_at(page, write || (bounds.least & S2_WRITE) == 0);
	must_at(page, !read || (bounds.most & S2_READ) != 0);
	must_at(page, !write || (bounds.most & S2_WRITE) != 0);
}

static void check_contents(unsigned page, bool guest_reads, unsigned every)
{
	const struct oracle_page *p = &w.o.page[page];
	const struct flat_page *flat = &w.o.flat.page[page];

	if (is_of_guest(flat->state) && !flat->moving) {
		must_at(page, page_holds(page, p->seed, p->step, every));
		must_at(page, behind_lets_guest(page) == true);
	} else if (!flat->moving && guest_reads) {
		/* What it has shared and not taken back it has, until it is unmapped. */
		must_at(page, p->shown || !behind_lets_guest(page));
	}
	/* Who is behind has hidden what is secure, too. */
	must_at(page, w.choice.behind != BEHIND_UV || flat->moving || flat->state != S2_SECURE ||
			      !behind_lets_host(page));
}

/* every: how many of the words are looked at. */
static void watch_page(unsigned page, unsigned every)
{
	struct s2_page is = tracked(page);
	bool guest_reads = guest_reaches(page, false);

	watch_host(page, is);
	check_bounds(page, bounds_of(&w.host, page), host_reaches(page), host_writes(page));
	check_bounds(page, bounds_of(&w.guest, page), guest_reads, guest_reaches(page, true));
	check_contents(page, guest_reads, every);
}

static void check_count(const struct s2_convert_count *is, const struct s2_convert_count *want)
{
	must(is->requests == want->requests);
	must(is->requests_satisfied == want->requests_satisfied);
	must(is->calls == want->calls);
	must(is->requested == want->requested);
	must(is->satisfied == want->satisfied);
	must(is->converted == want->converted);
	must(is->widened == want->widened);
	must(is->refused == want->refused);
	must(is->kept == want->kept);
}

static void watch_job(int slot)
{
	const struct oracle_job *job = &w.o.job[slot];
	const struct s2_job *is = &w.job[slot];
	unsigned at = oracle_next(&w.o, slot, 0);

	must((is->phase != S2_JOB_IDLE) == job->busy);
	if (!job->busy) {
		return;
	}
	must(is->phase == (job->confirmed ? S2_JOB_PARTIAL : S2_JOB_STARTED));
	check_count(&is->count, &job->count);
	if (at < ORACLE_PAGES && !job->poisoned) {
		must(is->at.val == page_range(at, 1).start.val);
	}
}

static void watch_machines(void)
{
	struct party *const party[] = {&w.guest, &w.host};

	for (size_t i = 0; i < 2; i++) {
		must(s2_check(&party[i]->space, NULL));
		machine_audit(&party[i]->m);
		if (!machine_ok(&party[i]->m)) {
			ck_abort_msg("%s: %s", w.name, machine_error_detail(&party[i]->m));
		}
	}
}

/* What is in no guest is the host's at all times. */
static void watch_host_own(void)
{
	for (uint64_t i = HOST_OWN; i < DONATED; i++) {
		uint64_t hpa = (STORE_FIRST + i) << S2_PAGE_LG2;

		must(reaches(&w.host, hpa, hpa, MACHINE_WRITE));
	}
}

static void watch_pages(unsigned start, unsigned end, unsigned every)
{
	must(!w.in_call);
	flat_compare(&w.o.flat, &w.track, start, end - start);
	for (int slot = 0; slot < ORACLE_JOBS; slot++) {
		watch_job(slot);
	}
	check_count(&w.engine.count, &w.o.count);
	for (unsigned i = start; i < end; i++) {
		watch_page(i, every);
	}
	must(machine_ok(&w.guest.m) && machine_ok(&w.host.m));
}

void watch_window(void)
{
	watch_pages(w.watch_first, w.watch_end, 37);
}

void watch_settled(void)
{
	watch_machines();
	watch_pages(0, ORACLE_PAGES, 1);
	watch_host_own();
	must(s2_track_check(&w.track));
	must(w.choice.behind != BEHIND_UV || s2_uv_check(&w.uv));
}
