/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back end. Ours is in front: it looks at what it was asked, does what it was ordered to, and tells
 * the oracle what was confirmed. Behind it is a toy, or the software Ultravisor.
 */
#include "world.h"

#ifdef UV_OPENSSL
#include <stage2/uv_openssl.h>
#else
#include "uv/toy.h"
#endif

#define WORDS (S2_PAGE_SIZE / sizeof(uint64_t))

static unsigned page_of(s2_gpa_t gpa)
{
	return (unsigned)((gpa.val >> S2_PAGE_LG2) - GPA_FIRST);
}

/* There and back: not a cipher, but nobody takes what comes out for what went in. */
static uint64_t toy_crypt(unsigned page, uint64_t version, bool seal)
{
	uint64_t key = (version * 1024 + page + 1) * UINT64_C(0xff51afd7ed558ccd);
	uint64_t tag = version;
	uint64_t *word = memory_of(page);

	for (size_t i = 0; i < WORDS; i++) {
		uint64_t cipher = seal ? word[i] ^ key : word[i];

		tag = (tag ^ cipher) * UINT64_C(0xc4ceb9fe1a85ec53);
		word[i] ^= key;
		key += key >> 7 ^ UINT64_C(0x632be59bd9b4e019);
	}
	return tag;
}

static bool toy_export(unsigned page)
{
	struct toy_page *toy = &w.toy[page];

	must_at(page, !toy->sealed);
	toy->version = ++w.toy_version;
	toy->tag = toy_crypt(page, toy->version, true);
	toy->sealed = true;
	return true;
}

static bool toy_import(unsigned page)
{
	struct toy_page *toy = &w.toy[page];

	must_at(page, toy->sealed);
	if (toy_crypt(page, toy->version, false) != toy->tag) {
		toy_crypt(page, toy->version, false); /* as it was */
		return false;
	}
	toy->sealed = false;
	return true;
}

static struct s2_answer toy_convert(enum s2_move move, struct s2_range range)
{
	struct s2_answer answer = {.reply = S2_REPLY_OK};

	for (; answer.done < range.len; answer.done += S2_PAGE_SIZE) {
		unsigned page = page_of(s2_gpa(range.start.val + answer.done));
		bool good = true;

		if (move == S2_DONATE ||
		    (move == S2_RECLAIM && w.o.flat.page[page].state == S2_SECURE)) {
			fill_page(page, 0, 0);
		} else if (move == S2_EXPORT) {
			good = toy_export(page);
		} else if (move == S2_IMPORT) {
			good = toy_import(page);
		}
		w.toy[page].sealed = w.toy[page].sealed && move != S2_RECLAIM;
		if (!good) {
			answer.reply = S2_REPLY_FAILED;
			break;
		}
	}
	return answer;
}

/* The machine around the Ultravisor. */

static void *uv_page(void *cookie, s2_hpa_t hpa)
{
	uint64_t page = (hpa.val >> S2_PAGE_LG2) - STORE_FIRST;

	(void)cookie;
	must(page < STORE_PAGES);
	return w.store + page * WORDS;
}

/* Host-virtual is host-physical; the guest's tables are walked where they say all there is. */
static bool uv_walk(void *cookie, uint64_t asce, uint64_t addr, s2_hpa_t *hpa)
{
	struct machine_walk walk;

	(void)cookie;
	if (asce == 0) {
		hpa->val = addr;
		return true;
	}
	if (!w.choice.all_mapped) {
		unsigned page = page_of(s2_gpa(addr));

		hpa->val = page < ORACLE_PAGES ? hpa_of(page) : 0;
		return page < ORACLE_PAGES;
	}
	machine_walk(&w.guest.m, addr, &walk);
	hpa->val = walk.hpa;
	return walk.fault == MACHINE_OK;
}

static bool uv_hide(void *cookie, s2_hpa_t hpa)
{
	bool *hidden = &w.hidden[(hpa.val >> S2_PAGE_LG2) - STORE_FIRST];

	(void)cookie;
	must(!*hidden);
	*hidden = true;
	return true;
}

static void uv_show(void *cookie, s2_hpa_t hpa)
{
	bool *hidden = &w.hidden[(hpa.val >> S2_PAGE_LG2) - STORE_FIRST];

	(void)cookie;
	must(*hidden);
	*hidden = false;
}

static bool uv_random(void *cookie, void *out, size_t len)
{
	(void)cookie;
	for (size_t i = 0; i < len; i++) {
		((uint8_t *)out)[i] = (uint8_t)world_random();
	}
	return true;
}

static int uv_inject(void *cookie, uint16_t cmd, uint16_t *rc, uint16_t *rrc)
{
	(void)cookie;
	return s2_uv_nth(&w.order.nth, cmd, rc, rrc);
}

/* Who issues the calls of the adapter: this, or on s390 the instruction. */
static int uv_issue(void *cookie, uint64_t guest, union s2_uvcb *block)
{
	(void)cookie;
	watch_step();
	return s2_uvc(&w.uv, guest, block, sizeof(*block));
}

static uint64_t donate(uint64_t *at, uint64_t len)
{
	uint64_t here = *at;

	*at += (len + S2_PAGE_SIZE - 1) & ~(S2_PAGE_SIZE - 1);
	must(*at <= (STORE_FIRST + STORE_PAGES) << S2_PAGE_LG2);
	return here;
}

static void uv_create(void)
{
	uint64_t at = (STORE_FIRST + DONATED) << S2_PAGE_LG2;
	uint64_t sca = donate(&at, S2_PAGE_SIZE);
	uint64_t len = 3u << 20;
	union s2_uvcb *block = &w.uv_backend.block;
	union s2_uvcb query;

	s2_uvcb_begin(&query, S2_UVC_QUERY);
	must(s2_uvc(&w.uv, 0, &query, sizeof(query)) == S2_UVC_CC_OK);
	s2_uvcb_begin(block, S2_UVC_INIT);
	s2_uvcb_put64(block, S2_UVCB_INIT_LEN, s2_uvcb_get64(&query, S2_UVCB_QUERY_BASE));
	s2_uvcb_put64(block, S2_UVCB_INIT_ORIGIN,
		      donate(&at, s2_uvcb_get64(&query, S2_UVCB_QUERY_BASE)));
	must(s2_uvc(&w.uv, 0, block, sizeof(*block)) == S2_UVC_CC_OK);
	s2_uvcb_begin(block, S2_UVC_CREATE_CONF);
	s2_uvcb_put64(block, S2_UVCB_CONF_BASE,
		      donate(&at, s2_uvcb_get64(&query, S2_UVCB_QUERY_CONF_BASE)));
	s2_uvcb_put64(
		block, S2_UVCB_CONF_VIRT,
		donate(&at, s2_uvcb_get64(&query, S2_UVCB_QUERY_CONF_VIRT) +
				    s2_uvcb_get64(&query, S2_UVCB_QUERY_CONF_VAR) * (len >> 20)));
	s2_uvcb_put64(block, S2_UVCB_CONF_ORIGIN, GPA_FIRST << S2_PAGE_LG2);
	s2_uvcb_put64(block, S2_UVCB_CONF_LEN, len);
	s2_uvcb_put64(block, S2_UVCB_CONF_SCA, sca);
	s2_uvcb_put64(block, S2_UVCB_CONF_ASCE, 0x100);
	must(s2_uvc(&w.uv, 0, block, sizeof(*block)) == S2_UVC_CC_OK);
	w.uv_backend.handle = s2_uvcb_get64(block, S2_UVCB_HANDLE);
}

static void uv_start(void)
{
	static const struct s2_uv_ops ops = {.page = uv_page,
					     .walk = uv_walk,
					     .hide = uv_hide,
					     .show = uv_show,
					     .random = uv_random,
					     .inject = uv_inject};

	w.uv_config = (struct s2_uv_config){.env = w.env.env,
					    .ops = &ops,
					    .memory_start = s2_hpa(STORE_FIRST << S2_PAGE_LG2),
					    .memory_len = STORE_PAGES * S2_PAGE_SIZE};
	/* Its memory is its own: what fails there is not the engine's. */
	w.uv_config.env.alloc = test_env_alloc;
#ifdef UV_OPENSSL
	w.openssl = s2_uv_openssl_new();
	must(w.openssl != NULL);
	w.uv_config.cipher = s2_uv_openssl_cipher(w.openssl);
#else
	w.uv_config.cipher = toy_cipher();
#endif
	must_err(s2_uv_init(&w.uv, &w.uv_config), S2_OK);
	w.uv_backend =
		(struct s2_uv_backend){.issue = uv_issue, .runs = w.run, .run_count = w.run_count};
	s2_uv_backend_init(&w.uv_backend);
	uv_create();
}

/* Nature: what the host has done to a page, and what the Ultravisor still knows of it. */
bool behind_refuses(unsigned page, enum s2_move move)
{
	const struct oracle_page *p = &w.o.page[page];

	if (move == S2_IMPORT) {
		return p->scribbled;
	}
	return move == S2_DONATE && (p->shown || (p->sealed && p->scribbled));
}

bool behind_lets_guest(unsigned page)
{
	return w.choice.behind != BEHIND_UV ||
	       s2_uv_guest_access(&w.uv, w.uv_backend.handle, page_range(page, 1).start,
				  s2_hpa(hpa_of(page))) == 0;
}

bool behind_lets_host(unsigned page)
{
	return w.choice.behind != BEHIND_UV || s2_uv_host_access(&w.uv, s2_hpa(hpa_of(page))) == 0;
}

/* What the real one must answer to this, if nothing is ordered: as far as nature lets it. */
static uint64_t natural(enum s2_move move, struct s2_range range)
{
	uint64_t done = 0;

	while (done < range.len && !behind_refuses(page_of(s2_gpa(range.start.val + done)), move)) {
		done += S2_PAGE_SIZE;
	}
	return done;
}

static struct s2_answer carry_out(enum s2_move move, struct s2_range range)
{
	bool by_uv = w.order.nth.count != 0;
	uint64_t wanted = natural(move, range);
	struct s2_answer answer;

	if (w.choice.behind == BEHIND_TOY) {
		answer = toy_convert(move, range);
	} else {
		const struct s2_backend *real = &w.uv_backend.backend;

		answer = real->convert(real->cookie, move, range);
	}
	if (by_uv && answer.done < wanted) {
		/* It was ordered to fail; and says how. */
		must(w.uv_backend.last.cc == w.order.nth.cc);
		must(answer.reply == s2_uv_reply(w.order.nth.cc, w.order.nth.rc));
	} else {
		must(answer.done == wanted);
		must((answer.reply == S2_REPLY_OK) == (answer.done == range.len));
	}
	return answer;
}

/* What the Ultravisor remembers of a page that the host has back. */
static void note_reclaim(unsigned page)
{
	enum s2_uv_state state;

	if (w.choice.behind == BEHIND_UV) {
		state = s2_uv_state(&w.uv, w.uv_backend.handle, page_range(page, 1).start);
		must_at(page, state != S2_UV_SECURE);
		w.o.page[page].sealed = state == S2_UV_EXPORTED;
		w.o.page[page].shown = state == S2_UV_SHARED || state == S2_UV_PINNED;
	}
}

static void confirm(enum s2_move move, struct s2_range range, uint64_t done)
{
	for (uint64_t at = 0; at < done; at += S2_PAGE_SIZE) {
		unsigned page = page_of(s2_gpa(range.start.val + at));

		oracle_confirm(&w.o, page);
		if (move == S2_RECLAIM) {
			note_reclaim(page);
		}
	}
}

/* What must hold when the back end is called: the pages are this job's, next, and out of reach. */
static void look_at_call(enum s2_move move, struct s2_range range)
{
	struct s2_range unit = oracle_unit(&w.o, w.running, w.backend.max_len);
	unsigned start = page_of(range.start);

	must(move == w.o.job[w.running].request.move);
	must(range.start.val == unit.start.val && range.len == unit.len);
	for (unsigned i = start; i < start + range.len / S2_PAGE_SIZE; i++) {
		unsigned both =
			w.host.view.prot[w.o.flat.page[i].state] & w.host.view.prot[flat_to(move)];

		must_at(i, both != 0 || !host_reaches(i));
	}
}

static struct s2_answer convert(void *cookie, enum s2_move move, struct s2_range range)
{
	struct order *order = &w.order;
	bool now = order->armed && !order->by_uv && order->skip == 0;
	struct s2_answer answer;
	uint64_t len = range.len;

	must(cookie == &w && w.running >= 0);
	look_at_call(move, range);
	watch_step();
	w.o.job[w.running].count.calls++;
	if (now && order->wild) {
		order->armed = false;
		w.answered = S2_REPLY_FAILED; /* as convert.h has it */
		return order->answer;
	}
	if (now && order->done * S2_PAGE_SIZE < len) {
		len = order->done * S2_PAGE_SIZE;
	}
	answer = len == 0 ? (struct s2_answer){.reply = S2_REPLY_OK}
			  : carry_out(move, s2_range(range.start, len));
	if (now && answer.reply == S2_REPLY_OK && answer.done < range.len) {
		answer.reply = order->reply;
	}
	order->armed = order->armed && !now;
	order->skip -= order->skip != 0 && !order->by_uv;
	confirm(move, range, answer.done);
	w.answered = answer.done == range.len	   ? S2_REPLY_OK
		     : answer.reply == S2_REPLY_OK ? S2_REPLY_AGAIN
						   : answer.reply;
	return answer;
}

void behind_start(void)
{
	w.backend = (struct s2_backend){.convert = convert, .cookie = &w};
	if (w.choice.behind == BEHIND_UV) {
		uv_start();
	}
}

void behind_finish(void)
{
	if (w.choice.behind == BEHIND_UV) {
		must(s2_uv_check(&w.uv));
		s2_uv_fini(&w.uv);
#ifdef UV_OPENSSL
		s2_uv_openssl_free(w.openssl);
#endif
	}
	for (unsigned i = 0; i < STORE_PAGES; i++) {
		must(!w.hidden[i]);
	}
}
