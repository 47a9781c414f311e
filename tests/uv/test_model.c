/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random calls of two guests and a host that plays every trick it can, against a model that is written
 * from stage2/uv.h: one structure a guest page, one a host page. S2_SEED replays a run.
 */
#include <time.h>

#include "check_main.h"
#include "world.h"

#define GUESTS 2u
#define PAGES 12u  /* of each guest, in two MiB */
#define FRAMES 20u /* of the pool */
#define NOWHERE 99u

enum frame {
	HOST,
	SECURE,
	SHARED,
	PINNED,
	ORPHAN
};

struct page {
	enum s2_uv_state state;
	unsigned frame; /* NOWHERE, or where it is as far as is known */
	unsigned mapped;
	uint8_t value;		    /* SECURE, SHARED, PINNED: all bytes */
	uint8_t seal[S2_PAGE_SIZE]; /* EXPORTED: what the host got */
};

struct model {
	struct world w;
	uint64_t handle[GUESTS]; /* 0: none */
	struct page page[GUESTS][PAGES];
	enum frame frame[FRAMES];
	unsigned owner[FRAMES];		/* guest * PAGES + page */
	uint8_t stash[4][S2_PAGE_SIZE]; /* the host's, of sealed pages */
	uint64_t seed;
	uint64_t injected;
};

static unsigned roll(struct model *m, unsigned count)
{
	m->seed = m->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (unsigned)(m->seed >> 33) % count;
}

static uint64_t gaddr_of(unsigned page)
{
	return (page < PAGES / 2 ? page : 700 + page) * S2_PAGE_SIZE;
}

static struct page *owner_of(struct model *m, unsigned frame)
{
	return &m->page[m->owner[frame] / PAGES][m->owner[frame] % PAGES];
}

static bool host_reads(const struct model *m, unsigned frame)
{
	return m->frame[frame] == HOST || m->frame[frame] == SHARED || m->frame[frame] == PINNED;
}

/* Once in a while the call is answered otherwise; then nothing may have happened. */
static bool disturbed(struct model *m, uint64_t guest)
{
	static const int cc[] = {S2_UVC_CC_BUSY, S2_UVC_CC_PARTIAL, S2_UVC_CC_ERROR};
	union s2_uvcb block = m->w.block;
	int want = cc[roll(m, 3)];

	if (roll(m, 8) != 0 || want == S2_UVC_CC_PARTIAL) {
		return false;
	}
	m->w.nth = (struct s2_uv_nth){.count = 1, .cc = want, .rc = 0x1fe};
	ck_assert_int_eq(issue(&m->w, guest), want);
	m->w.block = block;
	m->injected++;
	return true;
}

static int call(struct model *m, uint16_t cmd, uint64_t handle, uint64_t gaddr)
{
	bool guest = cmd == S2_UVC_SHARE || cmd == S2_UVC_UNSHARE;

	begin(&m->w, cmd);
	put(&m->w, S2_UVCB_HANDLE, guest ? 0 : handle);
	put(&m->w, S2_UVCB_GADDR, gaddr);
	disturbed(m, guest ? handle : 0);
	return issue(&m->w, guest ? handle : 0);
}

static void answers(struct model *m, int cc, uint16_t rc)
{
	if (rc == 0) {
		return;
	}
	ck_assert_int_eq(cc, rc == S2_UVC_RC_EXECUTED ? S2_UVC_CC_OK : S2_UVC_CC_ERROR);
	ck_assert_uint_eq(m->w.rc, rc);
}

/* The page comes to a frame that nobody has, or that somebody shares. */
static void settle(struct model *m, unsigned guest, unsigned page, unsigned frame,
		   enum s2_uv_state state)
{
	struct page *p = &m->page[guest][page];

	if (m->frame[frame] == SHARED) {
		owner_of(m, frame)->frame = NOWHERE;
	}
	if (p->frame != NOWHERE) {
		m->frame[p->frame] = HOST;
	}
	p->frame = frame;
	p->state = state;
	m->frame[frame] = state == S2_UV_SECURE ? SECURE : SHARED;
	m->owner[frame] = guest * PAGES + page;
}

static uint16_t import_rc(struct model *m, const struct page *p)
{
	if (p->mapped == NOWHERE) {
		return S2_UVC_RC_NOT_MAPPED;
	}
	if (p->state == S2_UV_SECURE) {
		return p->mapped == p->frame ? S2_UVC_RC_EXECUTED : S2_UVC_RC_RESIDENT;
	}
	if (p->state == S2_UV_SHARED || p->state == S2_UV_PINNED) {
		return S2_UVC_RC_SHARED;
	}
	if (m->frame[p->mapped] != HOST && m->frame[p->mapped] != SHARED) {
		return S2_UVC_RC_OWNED;
	}
	if (p->state == S2_UV_EXPORTED &&
	    memcmp(p->seal, at(&m->w, AT_POOL + p->mapped), S2_PAGE_SIZE) != 0) {
		return S2_UVC_RC_SEAL;
	}
	return S2_UVC_RC_EXECUTED;
}

static void do_import(struct model *m, unsigned guest, unsigned page)
{
	struct page *p = &m->page[guest][page];
	uint16_t rc = import_rc(m, p);

	answers(m, call(m, S2_UVC_IMPORT, m->handle[guest], gaddr_of(page)), rc);
	if (rc == S2_UVC_RC_EXECUTED && p->state != S2_UV_SECURE) {
		p->value = p->state == S2_UV_NONE ? 0 : p->value;
		settle(m, guest, page, p->mapped, S2_UV_SECURE);
	}
}

static void do_export(struct model *m, unsigned frame)
{
	answers(m, call(m, S2_UVC_EXPORT, HPA(AT_POOL + frame), 0), S2_UVC_RC_EXECUTED);
	if (m->frame[frame] == SECURE) {
		struct page *p = owner_of(m, frame);

		memcpy(p->seal, at(&m->w, AT_POOL + frame), S2_PAGE_SIZE);
		ck_assert(!is_filled(&m->w, AT_POOL + frame, p->value));
		p->state = S2_UV_EXPORTED;
		p->frame = NOWHERE;
		m->frame[frame] = HOST;
	} else if (m->frame[frame] == ORPHAN) {
		ck_assert(is_filled(&m->w, AT_POOL + frame, 0));
		m->frame[frame] = HOST;
	}
}

static void do_destroy(struct model *m, unsigned frame)
{
	answers(m, call(m, S2_UVC_DESTROY, HPA(AT_POOL + frame), 0), S2_UVC_RC_EXECUTED);
	if (m->frame[frame] == SECURE || m->frame[frame] == ORPHAN) {
		ck_assert(is_filled(&m->w, AT_POOL + frame, 0));
		if (m->frame[frame] == SECURE) {
			owner_of(m, frame)->state = S2_UV_NONE;
			owner_of(m, frame)->frame = NOWHERE;
		}
		m->frame[frame] = HOST;
	}
}

static void do_pin(struct model *m, unsigned frame)
{
	bool may = m->frame[frame] == SHARED || m->frame[frame] == PINNED;

	answers(m, call(m, S2_UVC_PIN, HPA(AT_POOL + frame), 0),
		may ? S2_UVC_RC_EXECUTED : S2_UVC_RC_NOT_SHARED);
	if (may) {
		m->frame[frame] = PINNED;
		owner_of(m, frame)->state = S2_UV_PINNED;
	}
}

static void do_unpin(struct model *m, unsigned guest, unsigned page)
{
	struct page *p = &m->page[guest][page];
	bool may = p->state == S2_UV_PINNED;

	answers(m, call(m, S2_UVC_UNPIN, m->handle[guest], gaddr_of(page)),
		may ? S2_UVC_RC_EXECUTED : S2_UVC_RC_NOT_PINNED);
	if (may) {
		p->state = S2_UV_SHARED;
		m->frame[p->frame] = SHARED;
	}
}

static void do_share(struct model *m, unsigned guest, unsigned page)
{
	struct page *p = &m->page[guest][page];
	bool away = p->state == S2_UV_NONE || p->state == S2_UV_EXPORTED;
	int cc = call(m, S2_UVC_SHARE, m->handle[guest], gaddr_of(page));

	ck_assert_int_eq(cc, away ? S2_UVC_NON_SECURE : S2_UVC_CC_OK);
	if (p->state == S2_UV_SECURE) {
		p->state = S2_UV_SHARED;
		m->frame[p->frame] = SHARED;
	}
}

static int unshare_cc(struct model *m, const struct page *p)
{
	if (p->state == S2_UV_PINNED) {
		return S2_UVC_NOTIFICATION;
	}
	if (p->state != S2_UV_SHARED) {
		return S2_UVC_CC_OK;
	}
	if (p->mapped == NOWHERE) {
		return S2_UVC_TRANSLATION;
	}
	return m->frame[p->mapped] == HOST || m->frame[p->mapped] == SHARED ? S2_UVC_CC_OK
									    : S2_UVC_VIOLATION;
}

static void do_unshare(struct model *m, unsigned guest, unsigned page)
{
	struct page *p = &m->page[guest][page];
	int want = unshare_cc(m, p);

	ck_assert_int_eq(call(m, S2_UVC_UNSHARE, m->handle[guest], gaddr_of(page)), want);
	if (want == S2_UVC_CC_OK && p->state == S2_UV_SHARED) {
		p->value = at(&m->w, AT_POOL + p->mapped)[0];
		/* the host may have left anything there: make it one value */
		fill(&m->w, AT_POOL + p->mapped, p->value);
		settle(m, guest, page, p->mapped, S2_UV_SECURE);
	}
}

static int access_code(struct model *m, unsigned guest, const struct page *p)
{
	enum frame frame = m->frame[p->mapped];

	(void)guest;
	if (p->state == S2_UV_SECURE) {
		return p->frame == p->mapped ? 0 : 0x3f;
	}
	if (frame == SECURE || frame == ORPHAN) {
		return frame == SECURE ? 0x3f : 0x3d;
	}
	return p->state == S2_UV_SHARED || p->state == S2_UV_PINNED ? 0 : 0x3e;
}

/* The guest writes, if it may. */
static void do_access(struct model *m, unsigned guest, unsigned page)
{
	struct page *p = &m->page[guest][page];
	int code;

	if (p->mapped == NOWHERE) {
		return;
	}
	code = access_code(m, guest, p);
	ck_assert_int_eq(s2_uv_guest_access(&m->w.uv, m->handle[guest], s2_gpa(gaddr_of(page)),
					    s2_hpa(HPA(AT_POOL + p->mapped))),
			 code);
	if (code != 0) {
		return;
	}
	if (p->state == S2_UV_SHARED && p->frame != p->mapped && m->frame[p->mapped] == HOST) {
		settle(m, guest, page, p->mapped, S2_UV_SHARED);
	}
	if (p->state == S2_UV_SECURE) {
		p->value = (uint8_t)roll(m, 256);
		fill(&m->w, AT_POOL + p->mapped, p->value);
	}
}

/* What a host does to memory that it can reach. */
static void do_host(struct model *m, unsigned frame, unsigned other)
{
	unsigned n = roll(m, 4);

	if (!host_reads(m, frame)) {
		ck_assert_int_eq(s2_uv_host_access(&m->w.uv, s2_hpa(HPA(AT_POOL + frame))), 0x3d);
		return;
	}
	switch (roll(m, 5)) {
	case 0:
		fill(&m->w, AT_POOL + frame, (uint8_t)roll(m, 256));
		break;
	case 1:
		at(&m->w, AT_POOL + frame)[roll(m, S2_PAGE_SIZE)] ^= (uint8_t)(1 << roll(m, 8));
		break;
	case 2:
		memcpy(m->stash[n], at(&m->w, AT_POOL + frame), S2_PAGE_SIZE);
		break;
	case 3:
		memcpy(at(&m->w, AT_POOL + frame), m->stash[n], S2_PAGE_SIZE);
		break;
	default:
		if (host_reads(m, other)) {
			memmove(at(&m->w, AT_POOL + frame), at(&m->w, AT_POOL + other),
				S2_PAGE_SIZE);
		}
		break;
	}
}

/* A host that means well: the page goes to a frame, and its seal is put there. */
static void do_swap_in(struct model *m, unsigned guest, unsigned page, unsigned frame)
{
	struct page *p = &m->page[guest][page];

	if (p->state == S2_UV_EXPORTED && m->frame[frame] == HOST) {
		memcpy(at(&m->w, AT_POOL + frame), p->seal, S2_PAGE_SIZE);
		map(&m->w, guest, gaddr_of(page), AT_POOL + frame);
		p->mapped = frame;
		do_import(m, guest, page);
		ck_assert_int_eq(p->state, S2_UV_SECURE);
	}
}

static void do_map(struct model *m, unsigned guest, unsigned page, unsigned frame)
{
	struct page *p = &m->page[guest][page];

	if (roll(m, 6) == 0) {
		struct mapping *old = world_mapping(&m->w, ASCE(guest), gaddr_of(page));

		if (old != NULL) {
			old->page = 0;
		}
		p->mapped = NOWHERE;
		return;
	}
	if (roll(m, 2) == 0 && p->frame != NOWHERE) {
		frame = p->frame;
	}
	map(&m->w, guest, gaddr_of(page), AT_POOL + frame);
	p->mapped = frame;
}

static void do_unshare_all(struct model *m, unsigned guest)
{
	int cc;

	while ((cc = call(m, S2_UVC_UNSHARE_ALL, m->handle[guest], 0)) == S2_UVC_CC_PARTIAL) {
		ck_assert(s2_uv_check(&m->w.uv));
		ck_assert_int_eq(call(m, S2_UVC_IMPORT, m->handle[guest], 0), S2_UVC_CC_BUSY);
	}
	ck_assert_int_eq(cc, S2_UVC_CC_OK);
	for (unsigned i = 0; i < PAGES; i++) {
		struct page *p = &m->page[guest][i];

		if (p->state == S2_UV_SHARED || p->state == S2_UV_PINNED) {
			if (p->frame != NOWHERE) {
				m->frame[p->frame] = HOST;
			}
			p->state = S2_UV_NONE;
			p->frame = NOWHERE;
		}
	}
}

static void new_guest(struct model *m, unsigned guest)
{
	m->handle[guest] = create(&m->w, guest);
	for (unsigned i = 0; i < PAGES; i++) {
		m->page[guest][i].state = S2_UV_NONE;
		m->page[guest][i].frame = NOWHERE;
	}
}

static void do_end(struct model *m, unsigned guest, bool fast)
{
	int cc;

	do {
		cc = call(m, fast ? S2_UVC_DESTROY_CONF_FAST : S2_UVC_DESTROY_CONF,
			  m->handle[guest], 0);
	} while (cc == S2_UVC_CC_PARTIAL);
	ck_assert_int_eq(cc, S2_UVC_CC_OK);
	for (unsigned i = 0; i < FRAMES; i++) {
		if (m->frame[i] != HOST && m->frame[i] != ORPHAN && m->owner[i] / PAGES == guest) {
			bool secure = m->frame[i] == SECURE;

			m->frame[i] = secure && fast ? ORPHAN : HOST;
			ck_assert(!secure || fast || is_filled(&m->w, AT_POOL + i, 0));
		}
	}
	new_guest(m, guest);
}

static void step(struct model *m)
{
	unsigned guest = roll(m, GUESTS);
	unsigned page = roll(m, PAGES);
	unsigned frame = roll(m, FRAMES);
	unsigned kind = roll(m, 1000);

	if (kind < 130) {
		do_map(m, guest, page, frame);
	} else if (kind < 330) {
		do_import(m, guest, page);
	} else if (kind < 430) {
		do_export(m, frame);
	} else if (kind < 450) {
		do_destroy(m, frame);
	} else if (kind < 520) {
		do_pin(m, frame);
	} else if (kind < 590) {
		do_unpin(m, guest, page);
	} else if (kind < 650) {
		do_share(m, guest, page);
	} else if (kind < 720) {
		do_unshare(m, guest, page);
	} else if (kind < 830) {
		do_access(m, guest, page);
	} else if (kind < 900) {
		do_host(m, frame, roll(m, FRAMES));
	} else if (kind < 990) {
		do_swap_in(m, guest, page, frame);
	} else if (kind < 997) {
		do_unshare_all(m, guest);
	} else {
		do_end(m, guest, kind == 997);
	}
}

/* Every page and every frame. */
static void compare(struct model *m)
{
	world_check(&m->w);
	for (unsigned i = 0; i < FRAMES; i++) {
		ck_assert_int_eq(m->w.hidden[AT_POOL + i], !host_reads(m, i));
		if (m->frame[i] == SECURE) {
			ck_assert(is_filled(&m->w, AT_POOL + i, owner_of(m, i)->value));
		}
	}
	for (unsigned i = 0; i < GUESTS * PAGES; i++) {
		const struct page *p = &m->page[i / PAGES][i % PAGES];

		ck_assert_int_eq(
			s2_uv_state(&m->w.uv, m->handle[i / PAGES], s2_gpa(gaddr_of(i % PAGES))),
			p->state);
	}
}

START_TEST(random_calls)
{
	const char *seed = getenv("S2_SEED");
	const char *ops = getenv("STAGE2_MODEL_OPS");
	unsigned long count = ops != NULL ? strtoul(ops, NULL, 10) : 20000;
	static struct model m;

	memset(&m, 0, sizeof(m));
	m.seed = seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) * 1000003;
	printf("# S2_SEED=%llu\n", (unsigned long long)m.seed);
	fflush(stdout);
	world_init(&m.w);
	ck_assert_int_eq(uv_initialise(&m.w), S2_UVC_CC_OK);
	for (unsigned guest = 0; guest < GUESTS; guest++) {
		for (unsigned i = 0; i < PAGES; i++) {
			m.page[guest][i].mapped = NOWHERE;
		}
		new_guest(&m, guest);
	}
	for (unsigned long i = 0; i < count; i++) {
		step(&m);
		if (i % 16 == 0) {
			compare(&m);
		}
	}
	compare(&m);
	if (count >= 10000) {
		struct s2_uv_count done = s2_uv_count(&m.w.uv);

		/* The run has been everywhere. */
		ck_assert_uint_gt(done.imports, done.first_imports);
		ck_assert(done.exports && done.shares && done.unshares && done.pins &&
			  done.unpins && done.cleared && done.refused && m.injected);
		ck_assert(done.cc[S2_UVC_CC_BUSY] && done.cc[S2_UVC_CC_ERROR]);
	}
	world_fini(&m.w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("uv model");
	TCase *tcase = tcase_create("uv model");

	tcase_set_timeout(tcase, 280);
	tcase_add_test(tcase, random_calls);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
