/* SPDX-License-Identifier: BSD-2-Clause */
#include "engine.h"

struct engine_world w;

static void *table_alloc(void *cookie, size_t size)
{
	struct test_env *env = cookie;
	void *table;

	env->calls++;
	if (env->fail_from != 0 && env->calls >= env->fail_from) {
		return NULL;
	}
	table = aligned_alloc(size, size);
	ck_assert_ptr_nonnull(table);
	memset(table, 0xa5, size);
	env->live++;
	return table;
}

static void table_free(void *cookie, void *table, size_t size)
{
	struct test_env *env = cookie;

	memset(table, 0x5a, size);
	env->live--;
	free(table);
}

/* The address of a page of the guest in a party's tables. */
static uint64_t address_of(const struct party *party, unsigned i)
{
	for (size_t r = 0; party->by_hpa && r < w.run_count; r++) {
		uint64_t offset = (FIRST + i) * S2_PAGE_SIZE - w.runs[r].gpa.val;

		if (offset < w.runs[r].len) {
			return w.runs[r].hpa.val + offset;
		}
	}
	return (FIRST + i) * S2_PAGE_SIZE;
}

/* What a page may be used for by the tables, which do not change during a check. */
static unsigned rights(struct party *party, unsigned i)
{
	struct s2_leaf *leaf = &party->leaf;
	uint64_t address = address_of(party, i);

	if (address - leaf->range.start.val >= leaf->range.len &&
	    s2_query(&party->space, s2_gpa(address), leaf) != S2_OK) {
		ck_abort_msg("page %u has no address", i);
	}
	return leaf->mapped ? leaf->prot : 0;
}

static void forget(void *cookie, const struct s2_flush *flush, size_t count)
{
	struct party *party = cookie;

	for (unsigned i = 0; i < w.page_count; i++) {
		uint64_t address = party->may_use[i] != 0 ? address_of(party, i) : 0;

		for (size_t f = 0; f < count && party->may_use[i] != 0; f++) {
			if (flush[f].kind == S2_FLUSH_ALL ||
			    address - flush[f].range.start.val < flush[f].range.len) {
				party->may_use[i] = 0;
			}
		}
	}
}

static const struct s2_mmu mmu = {.flush = forget, .flush_max = 64};

static enum s2_state end_of(enum s2_move move)
{
	static const enum s2_state end[S2_MOVE_COUNT] = {
		[S2_DONATE] = S2_SECURE,   [S2_SHARE] = S2_SHARED,  [S2_UNSHARE] = S2_SECURE,
		[S2_EXPORT] = S2_EXPORTED, [S2_IMPORT] = S2_SECURE, [S2_RECLAIM] = S2_NONE,
	};

	return end[move];
}

/* The move that a page makes: that of the job that has it. */
static enum s2_move move_of(unsigned i)
{
	for (const struct s2_job *job = w.engine.jobs; job != NULL; job = job->next) {
		if ((FIRST + i) * S2_PAGE_SIZE - job->scope.start.val < job->scope.len) {
			return job->request.move;
		}
	}
	ck_abort_msg("page %u is in transition and in no job", i);
	return S2_RECLAIM;
}

static bool in_a_job(unsigned i)
{
	for (const struct s2_job *job = w.engine.jobs; job != NULL; job = job->next) {
		if ((FIRST + i) * S2_PAGE_SIZE - job->scope.start.val < job->scope.len) {
			return true;
		}
	}
	return false;
}

/* A page's rights, and what may be cached, are what its state allows; or less, if they may be. */
static void check_page(struct party *party, unsigned i, struct s2_page page)
{
	const uint8_t *prot = party->view.prot;
	unsigned now = rights(party, i);
	unsigned most = prot[page.state];
	bool slack = w.slack && in_a_job(i);

	/* Processors run all the time: whatever is in the tables may be cached. */
	party->may_use[i] |= now;

	if (page.moving) {
		most = prot[w.from[i]] & (unsigned)prot[end_of(move_of(i))];
	}
	if ((now | party->may_use[i]) & ~most || (now != most && !slack)) {
		ck_abort_msg("page %u, %s%s, %s: rights %x, cached %x, should be %x", i,
			     s2_state_name(page.state), page.moving ? ", moving" : "",
			     party->by_hpa ? "host" : "guest", now, party->may_use[i], most);
	}
}

static void check_pages(bool all)
{
	w.guest.leaf.range.len = 0;
	w.host.leaf.range.len = 0;
	for (unsigned i = 0; i < w.page_count; i++) {
		struct s2_page page = page_at(&w.track, FIRST + i);

		if (!all && !page.moving && in_a_job(i)) {
			continue; /* confirmed by this very call: the views get it at its end */
		}
		check_page(&w.guest, i, page);
		check_page(&w.host, i, page);
		if (!page.moving) {
			w.from[i] = (unsigned char)page.state;
		}
	}
}

void world_check(void)
{
	check_pages(true);
	ck_assert(s2_track_check(&w.track));
	ck_assert(!s2_gather_owes(&w.guest.view.gather));
	ck_assert(!s2_gather_owes(&w.host.view.gather));
}

static struct s2_answer world_convert(void *cookie, enum s2_move move, struct s2_range range)
{
	unsigned first = (unsigned)(range.start.val / S2_PAGE_SIZE - FIRST);

	ck_assert_ptr_eq(cookie, &w);
	ck_assert_int_eq(move, w.move);
	ck_assert(w.backend.max_len == 0 || range.len <= w.backend.max_len);
	check_pages(false);
	for (unsigned i = first; i < first + range.len / S2_PAGE_SIZE; i++) {
		struct s2_page page = page_at(&w.track, FIRST + i);

		EXPECT_PAGE(page.moving && page.state == S2_SECURE, i);
	}
	if (++w.call_count == w.stop_at) {
		w.stopped_len = range.len;
		if (w.stop.done <= range.len && w.stop.reply < S2_REPLY_COUNT) {
			w.confirmed += (unsigned)(w.stop.done / S2_PAGE_SIZE);
		}
		return w.stop;
	}
	w.confirmed += (unsigned)(range.len / S2_PAGE_SIZE);
	return (struct s2_answer){S2_REPLY_OK, range.len};
}

static void add_run(unsigned page_count, uint64_t hpa_page, unsigned order)
{
	w.runs[w.run_count++] = (struct s2_run){s2_gpa((FIRST + w.page_count) * S2_PAGE_SIZE),
						s2_hpa((HPA_FIRST + hpa_page) * S2_PAGE_SIZE),
						page_count * S2_PAGE_SIZE, (uint8_t)order};
	w.page_count += page_count;
}

static void add_runs(enum world_shape shape)
{
	if (shape == SHAPE_LARGE) {
		add_run(512, 4096, 9);
		add_run(1024, 2048, 10);
	}
	/* Small folios lie in the host's memory the other way round. */
	for (unsigned i = 0; i < 4; i++) {
		add_run(SMALL, (3 - i) * SMALL, SMALL_ORDER);
	}
}

static void start_party(struct party *party, const struct world_config *config,
			const uint8_t prot[S2_STATE_COUNT])
{
	struct s2_config space = {
		.fmt = config->fmt,
		.features = config->features,
		.gpa_bits = 39,
		.tables = {table_alloc, table_free, &w.env, 0},
		.mmu = &mmu,
		.mmu_cookie = party,
	};

	ck_assert_int_eq(s2_space_init(&party->space, &space), S2_OK);
	party->view = (struct s2_view){
		.space = &party->space, .by_hpa = party->by_hpa, .rejoin = config->rejoin};
	memcpy(party->view.prot, prot, S2_STATE_COUNT);
	ck_assert_int_eq(s2_view_init(&party->view), S2_OK);
}

static void map_host(void)
{
	for (size_t i = 0; i < w.run_count; i++) {
		struct s2_run run = w.runs[i];

		run.gpa.val = run.hpa.val;
		ck_assert_int_eq(s2_map(&w.host.space, &run, 1, w.host.view.prot[S2_NONE],
					S2_MEM_NORMAL, &w.host.view.gather, NULL),
				 S2_OK);
	}
	s2_gather_sync(&w.host.view.gather);
}

void world_start(const struct world_config *config)
{
	const uint8_t guest[S2_STATE_COUNT] = {
		[S2_SECURE] = S2_RWX, [S2_SHARED] = config->equal_rights ? S2_RWX : S2_RW};
	const uint8_t host[S2_STATE_COUNT] = {
		[S2_NONE] = S2_RWX, [S2_SHARED] = S2_RW, [S2_EXPORTED] = S2_READ};

	memset(&w, 0, sizeof(w));
	test_env_init(&w.env);
	w.host.by_hpa = true;
	add_runs(config->shape);
	ck_assert_int_eq(s2_track_init(&w.track, &w.env.env, pages(FIRST, w.page_count)), S2_OK);
	start_party(&w.guest, config, guest);
	start_party(&w.host, config, host);
	map_host();
	s2_pins_init(&w.pins, &w.env.env);
	w.backend = (struct s2_backend){world_convert, &w, 0};
	w.engine = (struct s2_engine){.track = &w.track,
				      .runs = w.runs,
				      .run_count = w.run_count,
				      .backend = &w.backend,
				      .guest = &w.guest.view,
				      .host = &w.host.view,
				      .pins = &w.pins};
	world_check();
}

void world_finish(void)
{
	ck_assert_ptr_null(w.engine.jobs);
	world_check();
	s2_view_fini(&w.guest.view);
	s2_view_fini(&w.host.view);
	ck_assert(s2_check(&w.guest.space, NULL));
	ck_assert(s2_check(&w.host.space, NULL));
	s2_space_fini(&w.guest.space);
	s2_space_fini(&w.host.space);
	s2_pins_fini(&w.pins);
	s2_track_fini(&w.track);
	ck_assert_uint_eq(w.env.live, 0);
}

struct s2_request world_request(enum s2_move move, uint64_t start, uint64_t count, uint64_t grain,
				enum s2_policy policy)
{
	return (struct s2_request){.move = move,
				   .range = pages(start, count),
				   .grain = grain,
				   .policy = policy,
				   .guest_offers_grain = true};
}

void world_move(enum s2_move move, uint64_t start, uint64_t count)
{
	struct s2_request request = world_request(move, start, count, S2_GRAIN_FOLIO, S2_EXACT);
	struct s2_job job = {.phase = S2_JOB_IDLE};

	ck_assert_int_eq(world_begin(&request, &job), S2_OK);
	ck_assert_int_eq(world_resume(&job), S2_OK);
}

enum s2_err world_begin(const struct s2_request *request, struct s2_job *job)
{
	enum s2_err err = s2_convert_start(&w.engine, request, job);

	world_check();
	return err;
}

enum s2_err world_resume(struct s2_job *job)
{
	enum s2_err err;

	w.move = job->request.move;
	err = s2_convert_resume(&w.engine, job);
	w.slack = w.slack || err == S2_ERR_NOMEM;
	world_check();
	return err;
}

enum s2_err world_back(struct s2_job *job)
{
	enum s2_err err = s2_convert_back(&w.engine, job);

	w.slack = w.slack || err == S2_ERR_NOMEM;
	if (err != S2_ERR_NOMEM) {
		world_check();
	}
	return err;
}

enum s2_err world_stop(struct s2_job *job)
{
	enum s2_err err = s2_convert_stop(&w.engine, job);

	w.slack = w.slack || err == S2_ERR_NOMEM;
	if (err != S2_ERR_NOMEM) {
		world_check();
	}
	return err;
}

enum s2_err world_poison(uint64_t start, uint64_t count)
{
	enum s2_err err = s2_convert_poison(&w.engine, pages(start, count));

	world_check();
	return err;
}

uint64_t world_leaves(const struct party *party, unsigned lg2)
{
	struct s2_count count;

	ck_assert_int_eq(s2_count(&party->space, s2_space_range(&party->space), &count), S2_OK);
	return count.leaf[lg2];
}

static size_t spare(const struct party *party)
{
	const struct s2_gather *g = &party->view.gather;

	return g->spare[S2_TABLE_LEAF].count + g->spare[S2_TABLE_UPPER].count;
}

size_t world_tables(void)
{
	return w.env.live - spare(&w.guest) - spare(&w.host);
}
