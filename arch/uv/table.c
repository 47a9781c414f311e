/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has which page: host pages by address, guest pages by configuration and address. */
#include "internal.h"

bool s2_uv_is_memory(const struct s2_uv *uv, uint64_t hpa)
{
	return hpa - uv->config.memory_start.val < uv->config.memory_len;
}

static struct s2_uv_frame **frame_chunk(const struct s2_uv *uv, uint64_t hpa)
{
	return &uv->frame[(hpa - uv->config.memory_start.val) >> MIB_LG2];
}

static size_t index_in_chunk(uint64_t addr)
{
	return (size_t)(addr >> S2_PAGE_LG2) % MIB_PAGES;
}

struct s2_uv_frame *s2_uv_frame_find(const struct s2_uv *uv, uint64_t hpa)
{
	struct s2_uv_frame *chunk = s2_uv_is_memory(uv, hpa) ? *frame_chunk(uv, hpa) : NULL;

	return chunk == NULL ? NULL : &chunk[index_in_chunk(hpa)];
}

struct s2_uv_frame *s2_uv_frame_make(struct s2_uv *uv, uint64_t hpa)
{
	if (s2_uv_is_memory(uv, hpa) && *frame_chunk(uv, hpa) == NULL) {
		*frame_chunk(uv, hpa) = uv_alloc(uv, MIB_PAGES * sizeof(struct s2_uv_frame));
	}
	return s2_uv_frame_find(uv, hpa);
}

enum frame_state s2_uv_frame_state(const struct s2_uv *uv, const struct s2_uv_frame *frame)
{
	enum frame_state state = (enum frame_state)(frame->word & PAGE_MASK);

	if (state == FRAME_HOST || state == FRAME_DONATED ||
	    s2_uv_conf_find(uv, frame->owner) != NULL) {
		return state;
	}
	return state == FRAME_SECURE ? FRAME_ORPHAN : FRAME_HOST;
}

/* Handles: the generation, and in the last two bytes the slot, counted from 1. */
struct s2_uv_conf *s2_uv_conf_find(const struct s2_uv *uv, uint64_t handle)
{
	uint64_t slot = (handle & 0xffff) - 1;
	struct s2_uv_conf *conf = slot < uv->config.conf_max ? uv->conf[slot] : NULL;

	return conf != NULL && conf->handle == handle ? conf : NULL;
}

bool s2_uv_in_storage(const struct s2_uv_conf *conf, uint64_t gaddr)
{
	return gaddr - conf->origin < conf->len;
}

struct s2_uv_page *s2_uv_page_find(const struct s2_uv_conf *conf, uint64_t gaddr)
{
	struct s2_uv_page *chunk = conf->chunk[(gaddr - conf->origin) >> MIB_LG2];

	return chunk == NULL ? NULL : &chunk[index_in_chunk(gaddr)];
}

struct s2_uv_page *s2_uv_page_make(const struct s2_uv *uv, struct s2_uv_conf *conf, uint64_t gaddr)
{
	struct s2_uv_page **chunk = &conf->chunk[(gaddr - conf->origin) >> MIB_LG2];

	if (*chunk == NULL) {
		*chunk = uv_alloc(uv, MIB_PAGES * sizeof(struct s2_uv_page));
	}
	return s2_uv_page_find(conf, gaddr);
}

struct s2_uv_page *s2_uv_frame_page(const struct s2_uv *uv, const struct s2_uv_frame *frame)
{
	return s2_uv_page_find(s2_uv_conf_find(uv, frame->owner), frame->word & ~PAGE_MASK);
}

void s2_uv_scrub(struct s2_uv *uv, uint64_t hpa)
{
	memset(uv_memory(uv, hpa), 0, S2_PAGE_SIZE);
	memset(s2_uv_frame_find(uv, hpa), 0, sizeof(struct s2_uv_frame));
	uv->count.cleared++;
	uv_show(uv, hpa);
}

static uint16_t donate_page(struct s2_uv *uv, uint64_t owner, uint64_t hpa)
{
	struct s2_uv_frame *frame = s2_uv_frame_make(uv, hpa);

	if (frame == NULL) {
		return s2_uv_is_memory(uv, hpa) ? S2_UVC_RC_NOMEM : S2_UVC_RC_STORAGE;
	}
	if (s2_uv_frame_state(uv, frame) != FRAME_HOST) {
		return S2_UVC_RC_OWNED;
	}
	if (uv_memory(uv, hpa) == NULL) {
		return S2_UVC_RC_STORAGE;
	}
	if (!uv_hide(uv, hpa)) {
		return S2_UVC_RC_NOMEM;
	}
	frame->owner = owner;
	frame->word = FRAME_DONATED;
	return 0;
}

uint16_t s2_uv_donate(struct s2_uv *uv, uint64_t owner, const uint64_t *hpa, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		uint16_t rc = donate_page(uv, owner, hpa[i]);

		if (rc != 0) {
			/* Nothing has been written to them: they go back as they came. */
			while (i-- > 0) {
				memset(s2_uv_frame_find(uv, hpa[i]), 0, sizeof(struct s2_uv_frame));
				uv_show(uv, hpa[i]);
			}
			return rc;
		}
	}
	return 0;
}

void s2_uv_give_back(struct s2_uv *uv, const uint64_t *hpa, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		s2_uv_scrub(uv, hpa[i]);
	}
}
