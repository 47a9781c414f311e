/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The moves of pages. Each checks everything that can be checked, then hides the page, then may fail in
 * the cipher, and only then changes what is recorded: a page is secure for longer than it is recorded
 * to be, never the reverse.
 */
#include "internal.h"

static enum s2_uv_state state_of(const struct s2_uv_page *page)
{
	return page == NULL ? S2_UV_NONE : (enum s2_uv_state)(page->word & PAGE_STATE);
}

static bool is_at(const struct s2_uv_page *page, uint64_t hpa)
{
	return (page->word & PAGE_PLACED) != 0 && (page->word & ~PAGE_MASK) == hpa;
}

/* The host page is the host's again, as far as we are concerned. */
static void drop_frame(struct s2_uv *uv, uint64_t hpa)
{
	memset(s2_uv_frame_find(uv, hpa), 0, sizeof(struct s2_uv_frame));
}

/* A shared page is moved by its host as it likes: forget where it was. */
static void unplace(struct s2_uv *uv, struct s2_uv_page *page)
{
	if ((page->word & PAGE_PLACED) != 0) {
		drop_frame(uv, page->word & ~PAGE_MASK);
		page->word &= PAGE_STATE;
	}
}

static void place(struct s2_uv *uv, struct s2_uv_conf *conf, const struct uv_place *at,
		  enum s2_uv_state state)
{
	if (s2_uv_frame_state(uv, at->frame) == FRAME_SHARED) {
		unplace(uv, s2_uv_frame_page(uv, at->frame));
	}
	unplace(uv, at->page);
	at->frame->owner = conf->handle;
	at->frame->word = at->gaddr | (uint64_t)state; /* the same numbers in both */
	at->page->word = at->hpa | PAGE_PLACED | (uint64_t)state;
}

void s2_uv_place_take(struct s2_uv *uv, struct s2_uv_conf *conf, const struct uv_place *at,
		      enum s2_uv_state state)
{
	place(uv, conf, at, state);
}

/* May a host page become a guest's? It may if nobody has it, or if it is only shown to the host. */
static bool is_takeable(const struct s2_uv *uv, const struct s2_uv_frame *frame)
{
	enum frame_state state = s2_uv_frame_state(uv, frame);

	return state == FRAME_HOST || state == FRAME_SHARED;
}

int s2_uv_place_find(struct uv_call *call, struct s2_uv_conf *conf, struct uv_place *at)
{
	struct s2_uv *uv = call->uv;

	at->frame = NULL;
	at->gaddr = uv_arg(call, S2_UVCB_GADDR);
	if (!s2_uv_in_storage(conf, at->gaddr)) {
		return uv_fail(call, S2_UVC_RC_GADDR);
	}
	if ((at->gaddr & PAGE_MASK) != 0) {
		return uv_fail(call, S2_UVC_RC_ALIGN);
	}
	if (!uv_walk(uv, conf->asce, at->gaddr, &at->hpa)) {
		return uv_fail(call, S2_UVC_RC_NOT_MAPPED);
	}
	at->page = s2_uv_page_make(uv, conf, at->gaddr);
	if (at->page == NULL) {
		return uv_fail(call, S2_UVC_RC_NOMEM);
	}
	if (state_of(at->page) == S2_UV_SECURE) {
		return is_at(at->page, at->hpa) ? S2_UVC_CC_OK : uv_fail(call, S2_UVC_RC_RESIDENT);
	}
	if (state_of(at->page) == S2_UV_SHARED || state_of(at->page) == S2_UV_PINNED) {
		return uv_fail(call, S2_UVC_RC_SHARED);
	}
	at->memory = s2_uv_is_memory(uv, at->hpa) ? uv_memory(uv, at->hpa) : NULL;
	if (at->memory == NULL) {
		return uv_fail(call, S2_UVC_RC_STORAGE);
	}
	at->frame = s2_uv_frame_make(uv, at->hpa);
	if (at->frame == NULL) {
		return uv_fail(call, S2_UVC_RC_NOMEM);
	}
	return is_takeable(uv, at->frame) ? S2_UVC_CC_OK : uv_fail(call, S2_UVC_RC_OWNED);
}

/* The contents of a page that was exported, into the scratch page. */
static uint16_t open_page(struct s2_uv *uv, const struct s2_uv_conf *conf,
			  const struct uv_place *at)
{
	const struct s2_uv_page *page = at->page;

	switch (uv->cipher->open(uv->cipher->cookie, conf->key, at->gaddr, page->version,
				 at->memory, uv->scratch, page->tag)) {
	case S2_UV_GOOD:
		return 0;
	case S2_UV_FORGED:
		uv->count.refused++;
		return S2_UVC_RC_SEAL;
	case S2_UV_FAILED:
		break;
	}
	return S2_UVC_RC_CIPHER;
}

int s2_uv_import(struct uv_call *call)
{
	struct s2_uv *uv = call->uv;
	struct s2_uv_conf *conf;
	struct uv_place at;
	int cc = s2_uv_conf_get(call, uv_arg(call, S2_UVCB_HANDLE), &conf);

	if (conf == NULL) {
		return cc;
	}
	cc = s2_uv_place_find(call, conf, &at);
	if (cc != S2_UVC_CC_OK || at.frame == NULL) {
		return cc;
	}
	if (!uv_hide(uv, at.hpa)) {
		return uv_fail(call, S2_UVC_RC_NOMEM);
	}
	if (state_of(at.page) == S2_UV_EXPORTED) {
		uint16_t rc = open_page(uv, conf, &at);

		if (rc != 0) {
			uv_show(uv, at.hpa);
			return uv_fail(call, rc);
		}
		memcpy(at.memory, uv->scratch, S2_PAGE_SIZE);
	} else {
		memset(at.memory, 0, S2_PAGE_SIZE);
		uv->count.first_imports++;
	}
	place(uv, conf, &at, S2_UV_SECURE);
	uv->count.imports++;
	return S2_UVC_CC_OK;
}

/* The frame that a host's command names by address, if it is one; else the answer is *cc. */
static struct s2_uv_frame *named_frame(struct uv_call *call, uint64_t *hpa, int *cc)
{
	struct s2_uv_frame *frame;

	*hpa = uv_arg(call, S2_UVCB_PADDR);
	*cc = S2_UVC_CC_OK;
	if (!s2_uv_is_memory(call->uv, *hpa)) {
		*cc = uv_fail(call, S2_UVC_RC_STORAGE);
		return NULL;
	}
	if ((*hpa & PAGE_MASK) != 0) {
		*cc = uv_fail(call, S2_UVC_RC_ALIGN);
		return NULL;
	}
	/* A MiB that nobody has been to is the host's. */
	frame = s2_uv_frame_find(call->uv, *hpa);
	if (frame != NULL && s2_uv_frame_state(call->uv, frame) == FRAME_DONATED) {
		*cc = uv_fail(call, S2_UVC_RC_OWNED);
		return NULL;
	}
	return frame;
}

static int export_page(struct uv_call *call, const struct s2_uv_frame *frame, uint64_t hpa)
{
	struct s2_uv *uv = call->uv;
	struct s2_uv_conf *conf = s2_uv_conf_find(uv, frame->owner);
	struct s2_uv_page *page = s2_uv_frame_page(uv, frame);
	uint64_t gaddr = frame->word & ~PAGE_MASK;
	void *memory = uv_memory(uv, hpa);
	uint8_t tag[S2_UV_TAG_BYTES];

	/* Used up even if the cipher fails: who knows what it has shown. */
	conf->version++;
	if (uv->cipher->seal(uv->cipher->cookie, conf->key, gaddr, conf->version, memory,
			     uv->scratch, tag) != S2_UV_GOOD) {
		return uv_fail(call, S2_UVC_RC_CIPHER);
	}
	memcpy(memory, uv->scratch, S2_PAGE_SIZE);
	memcpy(page->tag, tag, sizeof(tag));
	page->version = conf->version;
	page->word = S2_UV_EXPORTED;
	drop_frame(uv, hpa);
	uv_show(uv, hpa);
	uv->count.exports++;
	return S2_UVC_CC_OK;
}

int s2_uv_export(struct uv_call *call)
{
	uint64_t hpa;
	int cc;
	struct s2_uv_frame *frame = named_frame(call, &hpa, &cc);

	if (frame == NULL) {
		return cc;
	}
	switch (s2_uv_frame_state(call->uv, frame)) {
	case FRAME_SECURE:
		return export_page(call, frame, hpa);
	case FRAME_ORPHAN:
		s2_uv_scrub(call->uv, hpa); /* nobody has the key */
		break;
	case FRAME_HOST:
	case FRAME_SHARED:
	case FRAME_PINNED:
	case FRAME_DONATED:
		break; /* the host reads it already */
	}
	return S2_UVC_CC_OK;
}

int s2_uv_destroy(struct uv_call *call)
{
	struct s2_uv *uv = call->uv;
	uint64_t hpa;
	int cc;
	struct s2_uv_frame *frame = named_frame(call, &hpa, &cc);
	enum frame_state state = frame == NULL ? FRAME_HOST : s2_uv_frame_state(uv, frame);

	if (state == FRAME_SECURE) {
		struct s2_uv_conf *conf = s2_uv_conf_find(uv, frame->owner);

		/* Its guest would find zeros where it left something. */
		if (conf->cpus != NULL) {
			return uv_fail(call, S2_UVC_RC_IN_USE);
		}
		conf->spoilt = true;
		memset(s2_uv_frame_page(uv, frame), 0, sizeof(struct s2_uv_page));
	}
	if (state == FRAME_SECURE || state == FRAME_ORPHAN) {
		s2_uv_scrub(uv, hpa);
	}
	return cc;
}

int s2_uv_pin(struct uv_call *call)
{
	uint64_t hpa;
	int cc;
	struct s2_uv_frame *frame = named_frame(call, &hpa, &cc);
	enum frame_state state = frame == NULL ? FRAME_HOST : s2_uv_frame_state(call->uv, frame);

	if (cc != S2_UVC_CC_OK || state == FRAME_PINNED) {
		return cc;
	}
	if (state != FRAME_SHARED) {
		return uv_fail(call, S2_UVC_RC_NOT_SHARED);
	}
	frame->word = (frame->word & ~PAGE_MASK) | FRAME_PINNED;
	s2_uv_frame_page(call->uv, frame)->word = hpa | PAGE_PLACED | S2_UV_PINNED;
	call->uv->count.pins++;
	return S2_UVC_CC_OK;
}

/* The page that a command names by guest address; *cc is not OK if there can be none. */
static struct s2_uv_page *named_page(struct uv_call *call, struct s2_uv_conf *conf, int *cc)
{
	uint64_t gaddr = uv_arg(call, S2_UVCB_GADDR);

	if (!s2_uv_in_storage(conf, gaddr)) {
		*cc = uv_fail(call, S2_UVC_RC_GADDR);
		return NULL;
	}
	if ((gaddr & PAGE_MASK) != 0) {
		*cc = uv_fail(call, S2_UVC_RC_ALIGN);
		return NULL;
	}
	*cc = S2_UVC_CC_OK;
	return s2_uv_page_find(conf, gaddr);
}

int s2_uv_unpin(struct uv_call *call)
{
	struct s2_uv *uv = call->uv;
	struct s2_uv_conf *conf;
	struct s2_uv_page *page;
	struct s2_uv_frame *frame;
	int cc = s2_uv_conf_get(call, uv_arg(call, S2_UVCB_HANDLE), &conf);

	if (conf == NULL) {
		return cc;
	}
	page = named_page(call, conf, &cc);
	if (cc != S2_UVC_CC_OK) {
		return cc;
	}
	if (state_of(page) != S2_UV_PINNED) {
		return uv_fail(call, S2_UVC_RC_NOT_PINNED);
	}
	frame = s2_uv_frame_find(uv, page->word & ~PAGE_MASK);
	frame->word = (frame->word & ~PAGE_MASK) | FRAME_SHARED;
	page->word = (page->word & ~PAGE_STATE) | S2_UV_SHARED;
	uv->count.unpins++;
	return S2_UVC_CC_OK;
}

/* The configuration of the guest that calls. While something is half-way there, it waits. */
static struct s2_uv_conf *caller(const struct uv_call *call)
{
	struct s2_uv_conf *conf = s2_uv_conf_find(call->uv, call->guest);

	return conf->op == 0 ? conf : NULL;
}

int s2_uv_share(struct uv_call *call)
{
	struct s2_uv *uv = call->uv;
	struct s2_uv_conf *conf = caller(call);
	struct s2_uv_page *page;
	struct s2_uv_frame *frame;
	uint64_t hpa;
	int cc;

	if (conf == NULL) {
		return S2_UVC_CC_BUSY;
	}
	page = named_page(call, conf, &cc);
	if (cc != S2_UVC_CC_OK) {
		return cc;
	}
	switch (state_of(page)) {
	case S2_UV_NONE:
	case S2_UV_EXPORTED:
		return S2_UVC_NON_SECURE;
	case S2_UV_SHARED:
	case S2_UV_PINNED:
		return S2_UVC_CC_OK;
	case S2_UV_SECURE:
		break;
	}
	hpa = page->word & ~PAGE_MASK;
	frame = s2_uv_frame_find(uv, hpa);
	frame->word = (frame->word & ~PAGE_MASK) | FRAME_SHARED;
	page->word = hpa | PAGE_PLACED | S2_UV_SHARED;
	uv_show(uv, hpa);
	uv->count.shares++;
	return S2_UVC_CC_OK;
}

/*
 * The page becomes secure where it is mapped now. A guest treats every error as the end of the world, so
 * that a lack of memory is "busy".
 */
int s2_uv_unshare(struct uv_call *call)
{
	struct s2_uv *uv = call->uv;
	struct s2_uv_conf *conf = caller(call);
	struct uv_place at = {.gaddr = uv_arg(call, S2_UVCB_GADDR)};
	int cc;

	if (conf == NULL) {
		return S2_UVC_CC_BUSY;
	}
	at.page = named_page(call, conf, &cc);
	if (cc != S2_UVC_CC_OK) {
		return cc;
	}
	if (state_of(at.page) == S2_UV_PINNED) {
		return S2_UVC_NOTIFICATION;
	}
	if (state_of(at.page) != S2_UV_SHARED) {
		return S2_UVC_CC_OK;
	}
	if (!uv_walk(uv, conf->asce, at.gaddr, &at.hpa)) {
		return S2_UVC_TRANSLATION;
	}
	if (!s2_uv_is_memory(uv, at.hpa) || uv_memory(uv, at.hpa) == NULL) {
		return S2_UVC_VIOLATION;
	}
	at.frame = s2_uv_frame_make(uv, at.hpa);
	if (at.frame == NULL) {
		return S2_UVC_CC_BUSY;
	}
	if (!is_takeable(uv, at.frame)) {
		return S2_UVC_VIOLATION;
	}
	if (!uv_hide(uv, at.hpa)) {
		return S2_UVC_CC_BUSY;
	}
	place(uv, conf, &at, S2_UV_SECURE);
	uv->count.unshares++;
	return S2_UVC_CC_OK;
}

/*
 * At a reset: nothing is shared any longer. The pages are not made secure where they are, for their host
 * does not expect it; the guest gets new ones.
 */
int s2_uv_unshare_all(struct uv_call *call)
{
	struct s2_uv_conf *conf;
	struct s2_uv_page *page;
	int cc = s2_uv_conf_get(call, uv_arg(call, S2_UVCB_HANDLE), &conf);

	if (conf == NULL) {
		return cc;
	}
	s2_uv_part_begin(conf, S2_UVC_UNSHARE_ALL);
	while ((page = s2_uv_part_page(conf, 1u << S2_UV_SHARED | 1u << S2_UV_PINNED)) != NULL) {
		if (call->budget == 0) {
			return S2_UVC_CC_PARTIAL;
		}
		call->budget--;
		unplace(call->uv, page);
		memset(page, 0, sizeof(*page));
	}
	conf->op = 0;
	conf->cursor = 0;
	return S2_UVC_CC_OK;
}

/* Program interruption codes: PoP, chapter 6; named in Linux's arch/s390/mm/fault.c. */
#define SECURE_STORAGE_ACCESS 0x3d
#define NON_SECURE_STORAGE_ACCESS 0x3e
#define SECURE_STORAGE_VIOLATION 0x3f

static enum frame_state frame_at(const struct s2_uv *uv, uint64_t hpa)
{
	const struct s2_uv_frame *frame = s2_uv_frame_find(uv, hpa & ~PAGE_MASK);

	return frame == NULL ? FRAME_HOST : s2_uv_frame_state(uv, frame);
}

int s2_uv_host_access(const struct s2_uv *uv, s2_hpa_t hpa)
{
	switch (frame_at(uv, hpa.val)) {
	case FRAME_SECURE:
	case FRAME_ORPHAN:
	case FRAME_DONATED:
		return SECURE_STORAGE_ACCESS;
	case FRAME_HOST:
	case FRAME_SHARED:
	case FRAME_PINNED:
		break;
	}
	return 0;
}

/* A guest uses a page that it shares: where it is now is where the host can pin it. */
static void shared_moved(struct s2_uv *uv, struct s2_uv_conf *conf, struct s2_uv_page *page,
			 uint64_t gaddr, uint64_t hpa)
{
	struct uv_place at = {.page = page, .gaddr = gaddr, .hpa = hpa};

	at.frame = s2_uv_frame_make(uv, hpa);
	if (at.frame != NULL && s2_uv_frame_state(uv, at.frame) == FRAME_HOST) {
		place(uv, conf, &at, S2_UV_SHARED);
	}
}

int s2_uv_guest_access(struct s2_uv *uv, uint64_t handle, s2_gpa_t gpa, s2_hpa_t hpa)
{
	struct s2_uv_conf *conf = s2_uv_conf_find(uv, handle);
	uint64_t gaddr = gpa.val & ~PAGE_MASK;
	uint64_t place_now = hpa.val & ~PAGE_MASK;
	struct s2_uv_page *page;

	/* Without a configuration the guest is like its host. */
	if (conf == NULL || !s2_uv_in_storage(conf, gaddr)) {
		return s2_uv_host_access(uv, hpa);
	}
	page = s2_uv_page_find(conf, gaddr);
	if (state_of(page) == S2_UV_SECURE) {
		return is_at(page, place_now) ? 0 : SECURE_STORAGE_VIOLATION;
	}
	if (frame_at(uv, place_now) == FRAME_SECURE) {
		return SECURE_STORAGE_VIOLATION;
	}
	if (s2_uv_host_access(uv, hpa) != 0) {
		return SECURE_STORAGE_ACCESS;
	}
	if (state_of(page) != S2_UV_SHARED && state_of(page) != S2_UV_PINNED) {
		return NON_SECURE_STORAGE_ACCESS;
	}
	if (state_of(page) == S2_UV_SHARED && !is_at(page, place_now)) {
		shared_moved(uv, conf, page, gaddr, place_now);
	}
	return 0;
}

enum s2_uv_state s2_uv_state(const struct s2_uv *uv, uint64_t handle, s2_gpa_t gpa)
{
	const struct s2_uv_conf *conf = s2_uv_conf_find(uv, handle);

	return conf == NULL || !s2_uv_in_storage(conf, gpa.val)
		       ? S2_UV_NONE
		       : state_of(s2_uv_page_find(conf, gpa.val));
}
