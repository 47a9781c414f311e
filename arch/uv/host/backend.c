/* SPDX-License-Identifier: BSD-2-Clause */
/* Moves of pages as Ultravisor calls, one a page. */
#include <stage2/uv_backend.h>

/* Beside another return code, of a configuration that is to be destroyed. */
#define RC_MASK ((uint16_t)~S2_UVC_RC_NEED_DESTROY)

enum s2_reply s2_uv_reply(int cc, uint16_t rc)
{
	switch (cc) {
	case S2_UVC_CC_OK:
		return S2_REPLY_OK;
	case S2_UVC_CC_BUSY:
	case S2_UVC_CC_PARTIAL:
	case S2_UVC_TRANSLATION:
		return S2_REPLY_AGAIN;
	case S2_UVC_NOTIFICATION:
		return S2_REPLY_BUSY;
	case S2_UVC_CC_ERROR:
		return (rc & RC_MASK) == S2_UVC_RC_NOT_MAPPED ? S2_REPLY_AGAIN : S2_REPLY_FAILED;
	default:
		return S2_REPLY_FAILED;
	}
}

/* The block has its arguments. */
static enum s2_reply issue(struct s2_uv_backend *b, s2_gpa_t gpa, uint64_t guest)
{
	struct s2_uv_refusal answer = {.gpa = gpa};

	answer.cmd = (uint16_t)s2_uvcb_get(&b->block, S2_UVCB_CMD, 2);
	answer.cc = b->issue(b->cookie, guest, &b->block);
	if (answer.cc == S2_UVC_CC_OK) {
		return S2_REPLY_OK;
	}
	if (answer.cc == S2_UVC_CC_ERROR) {
		answer.rc = (uint16_t)s2_uvcb_get(&b->block, S2_UVCB_RC, 2);
		answer.rrc = (uint16_t)s2_uvcb_get(&b->block, S2_UVCB_RRC, 2);
	}
	b->last = answer;
	return s2_uv_reply(answer.cc, answer.rc);
}

/* Calls that name the host page. */
static enum s2_reply by_paddr(struct s2_uv_backend *b, uint16_t cmd, s2_gpa_t gpa)
{
	const struct s2_run *run = s2_runs_find(b->runs, b->run_count, gpa);

	if (run == NULL) {
		b->last = (struct s2_uv_refusal){.cmd = cmd, .cc = S2_UVC_ADDRESSING, .gpa = gpa};
		return S2_REPLY_FAILED;
	}
	s2_uvcb_begin(&b->block, cmd);
	s2_uvcb_put64(&b->block, S2_UVCB_PADDR, run->hpa.val + (gpa.val - run->gpa.val));
	return issue(b, gpa, 0);
}

/* Calls that name the guest's page: the host's for a configuration, or the guest's own. */
static enum s2_reply by_gaddr(struct s2_uv_backend *b, uint16_t cmd, s2_gpa_t gpa)
{
	bool guest = cmd == S2_UVC_SHARE || cmd == S2_UVC_UNSHARE;

	s2_uvcb_begin(&b->block, cmd);
	if (!guest) {
		s2_uvcb_put64(&b->block, S2_UVCB_HANDLE, b->handle);
	}
	s2_uvcb_put64(&b->block, S2_UVCB_GADDR, gpa.val);
	return issue(b, gpa, guest ? b->handle : 0);
}

static enum s2_reply import_page(struct s2_uv_backend *b, s2_gpa_t gpa)
{
	return by_gaddr(b, S2_UVC_IMPORT, gpa);
}

static enum s2_reply share_page(struct s2_uv_backend *b, s2_gpa_t gpa)
{
	return by_gaddr(b, S2_UVC_SHARE, gpa);
}

static enum s2_reply unshare_page(struct s2_uv_backend *b, s2_gpa_t gpa)
{
	return by_gaddr(b, S2_UVC_UNSHARE, gpa);
}

static enum s2_reply export_page(struct s2_uv_backend *b, s2_gpa_t gpa)
{
	return by_paddr(b, S2_UVC_EXPORT, gpa);
}

/* Linux does the same: a page that cannot be cleared is sealed, and the host has it either way. */
static enum s2_reply reclaim_page(struct s2_uv_backend *b, s2_gpa_t gpa)
{
	enum s2_reply reply = by_paddr(b, S2_UVC_DESTROY, gpa);

	return reply == S2_REPLY_FAILED ? export_page(b, gpa) : reply;
}

static enum s2_reply pin_page(struct s2_uv_backend *b, s2_gpa_t gpa)
{
	return by_paddr(b, S2_UVC_PIN, gpa);
}

static enum s2_reply unpin_page(struct s2_uv_backend *b, s2_gpa_t gpa)
{
	enum s2_reply reply = by_gaddr(b, S2_UVC_UNPIN, gpa);

	return reply == S2_REPLY_FAILED && (b->last.rc & RC_MASK) == S2_UVC_RC_NOT_PINNED
		       ? S2_REPLY_OK
		       : reply;
}

static struct s2_answer each_page(struct s2_uv_backend *b, struct s2_range range,
				  enum s2_reply (*do_page)(struct s2_uv_backend *b, s2_gpa_t gpa))
{
	struct s2_answer answer = {.reply = S2_REPLY_OK};

	while (answer.done < range.len) {
		answer.reply = do_page(b, s2_gpa(range.start.val + answer.done));
		if (answer.reply != S2_REPLY_OK) {
			break;
		}
		answer.done += S2_PAGE_SIZE;
	}
	return answer;
}

static struct s2_answer convert(void *cookie, enum s2_move move, struct s2_range range)
{
	static enum s2_reply (*const do_page[S2_MOVE_COUNT])(struct s2_uv_backend * b,
							     s2_gpa_t gpa) = {
		[S2_DONATE] = import_page, [S2_SHARE] = share_page,   [S2_UNSHARE] = unshare_page,
		[S2_EXPORT] = export_page, [S2_IMPORT] = import_page, [S2_RECLAIM] = reclaim_page,
	};

	return each_page(cookie, range, do_page[move]);
}

void s2_uv_backend_init(struct s2_uv_backend *b)
{
	b->backend = (struct s2_backend){.convert = convert, .cookie = b};
	b->last = (struct s2_uv_refusal){.cc = S2_UVC_CC_OK};
}

struct s2_answer s2_uv_backend_pin(struct s2_uv_backend *b, struct s2_range range)
{
	return each_page(b, range, pin_page);
}

struct s2_answer s2_uv_backend_unpin(struct s2_uv_backend *b, struct s2_range range)
{
	return each_page(b, range, unpin_page);
}
