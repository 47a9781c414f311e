/* SPDX-License-Identifier: BSD-2-Clause */
/* What must hold between host pages and guest pages. */
#include "internal.h"

/* A guest page that is somewhere is there in the other table, too; one that is nowhere, is not. */
static bool check_page(const struct s2_uv *uv, const struct s2_uv_conf *conf, uint64_t gaddr,
		       const struct s2_uv_page *page)
{
	uint64_t state = page->word & PAGE_STATE;
	const struct s2_uv_frame *frame = s2_uv_frame_find(uv, page->word & ~PAGE_MASK);

	if ((page->word & PAGE_PLACED) != 0) {
		return (state == S2_UV_SECURE || state == S2_UV_SHARED || state == S2_UV_PINNED) &&
		       frame != NULL && frame->owner == conf->handle &&
		       frame->word == (gaddr | state);
	}
	return page->word == state &&
	       (state == S2_UV_NONE || state == S2_UV_EXPORTED || state == S2_UV_SHARED);
}

static bool check_conf(const struct s2_uv *uv, const struct s2_uv_conf *conf)
{
	for (uint64_t gaddr = conf->origin; gaddr - conf->origin < conf->len;
	     gaddr += S2_PAGE_SIZE) {
		const struct s2_uv_page *page = s2_uv_page_find(conf, gaddr);

		if (page != NULL && !check_page(uv, conf, gaddr, page)) {
			return false;
		}
	}
	return true;
}

static bool check_frame(const struct s2_uv *uv, uint64_t hpa, const struct s2_uv_frame *frame)
{
	switch (s2_uv_frame_state(uv, frame)) {
	case FRAME_SECURE:
	case FRAME_SHARED:
	case FRAME_PINNED:
		return (s2_uv_frame_page(uv, frame)->word & (~PAGE_MASK | PAGE_PLACED)) ==
		       (hpa | PAGE_PLACED);
	case FRAME_DONATED:
		return frame->word == FRAME_DONATED;
	case FRAME_HOST:
	case FRAME_ORPHAN:
		break;
	}
	return true;
}

/* Donated pages that somebody remembers; a list holds none twice, for a page is donated once. */
static uint64_t donated(const struct s2_uv *uv)
{
	uint64_t count = uv->init_count;

	for (uint32_t i = 0; i < uv->config.conf_max; i++) {
		if (uv->conf[i] == NULL) {
			continue;
		}
		count += uv->conf[i]->donated_count;
		for (const struct s2_uv_cpu *cpu = uv->conf[i]->cpus; cpu != NULL;
		     cpu = cpu->next) {
			count++;
		}
	}
	return count;
}

bool s2_uv_check(const struct s2_uv *uv)
{
	uint64_t found = 0;

	for (uint64_t i = 0; i < uv->config.memory_len; i += S2_PAGE_SIZE) {
		uint64_t hpa = uv->config.memory_start.val + i;
		const struct s2_uv_frame *frame = s2_uv_frame_find(uv, hpa);

		if (frame != NULL && !check_frame(uv, hpa, frame)) {
			return false;
		}
		found += frame != NULL && s2_uv_frame_state(uv, frame) == FRAME_DONATED;
	}
	for (uint32_t i = 0; i < uv->config.conf_max; i++) {
		if (uv->conf[i] != NULL && !check_conf(uv, uv->conf[i])) {
			return false;
		}
	}
	return found == donated(uv);
}
