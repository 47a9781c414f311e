/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the Ultravisor share. Nothing here is installed. */
#ifndef UV_INTERNAL_H
#define UV_INTERNAL_H

#include <stage2/uv.h>

/* All that is asked of a C library; where there is none, there is no <string.h> either. */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

#define MIB_LG2 20
#define MIB (UINT64_C(1) << MIB_LG2)
#define MIB_PAGES 256u
#define PAGE_MASK (S2_PAGE_SIZE - 1)

/* What QUERY says of storage. */
#define UV_BASE_LEN UINT64_C(0x4000)
#define CONF_BASE_LEN UINT64_C(0x4000)
#define CONF_VIRT_LEN UINT64_C(0x1000)
#define CONF_VAR_LEN UINT64_C(0x80) /* for each MiB of guest storage */
#define CPU_LEN UINT64_C(0x1000)

/* Whose a host page is. */
enum frame_state {
	FRAME_HOST = 0,
	FRAME_SECURE = 1,
	FRAME_SHARED = 2,
	FRAME_PINNED = 3,
	FRAME_DONATED = 4,
	FRAME_ORPHAN = 5, /* SECURE, of a configuration that is no more; never stored */
};

/* A host page. If its owner is gone, so is the meaning of SHARED and PINNED. */
struct s2_uv_frame {
	uint64_t owner; /* handle; 0: the Ultravisor itself */
	uint64_t word;	/* guest page address | state */
};

/* A guest page. */
struct s2_uv_page {
	uint64_t word;	  /* host page address | PAGE_PLACED | enum s2_uv_state */
	uint64_t version; /* EXPORTED: of the seal */
	uint8_t tag[S2_UV_TAG_BYTES];
};

#define PAGE_STATE UINT64_C(7)
#define PAGE_PLACED UINT64_C(8) /* the address is known: always, if SECURE or PINNED */

enum phase {
	PHASE_NEW = 0,
	PHASE_UNPACK = 1, /* parameters are set */
	PHASE_VERIFIED = 2,
	PHASE_FAILED = 3,
};

struct s2_uv_cpu {
	struct s2_uv_cpu *next;
	uint64_t handle;
	uint64_t page; /* donated */
	uint16_t number;
	uint8_t order;
};

struct s2_uv_conf {
	uint64_t handle;
	uint64_t asce;
	uint64_t origin; /* guest storage */
	uint64_t len;
	struct s2_uv_page **chunk; /* a MiB each, made when needed */
	uint64_t chunk_count;
	uint64_t *donated;
	uint64_t donated_count;
	struct s2_uv_cpu *cpus;
	uint8_t key[S2_UV_KEY_BYTES];
	uint64_t version;
	enum phase phase;
	uint16_t op; /* the command that is half-way; 0: none */
	uint64_t cursor;
	bool spoilt; /* a page was destroyed: no CPU may run this any more */
	struct s2_uv_image want;
	struct s2_uv_image have;
};

/* One call. */
struct uv_call {
	struct s2_uv *uv;
	uint8_t *block;
	uint64_t guest;
	uint16_t cmd;
	uint16_t rc;
	uint16_t rrc;
	uint32_t budget; /* pages */
};

static inline int uv_fail(struct uv_call *call, uint16_t rc)
{
	call->rc = rc;
	return S2_UVC_CC_ERROR;
}

static inline int uv_fail_because(struct uv_call *call, uint16_t rc, uint16_t rrc)
{
	call->rrc = rrc;
	return uv_fail(call, rc);
}

static inline uint64_t uv_arg(const struct uv_call *call, size_t offset)
{
	return s2_uvcb_get64(call->block, offset);
}

static inline void *uv_memory(const struct s2_uv *uv, uint64_t hpa)
{
	return uv->config.ops->page(uv->config.cookie, s2_hpa(hpa));
}

static inline void *uv_alloc(const struct s2_uv *uv, size_t size)
{
	void *memory = uv->config.env.alloc(uv->config.env.cookie, size);

	return memory == NULL ? NULL : memset(memory, 0, size);
}

static inline void uv_free(const struct s2_uv *uv, void *memory, size_t size)
{
	if (memory != NULL) {
		uv->config.env.free(uv->config.env.cookie, memory, size);
	}
}

static inline bool uv_hide(const struct s2_uv *uv, uint64_t hpa)
{
	return uv->config.ops->hide == NULL || uv->config.ops->hide(uv->config.cookie, s2_hpa(hpa));
}

static inline void uv_show(const struct s2_uv *uv, uint64_t hpa)
{
	if (uv->config.ops->show != NULL) {
		uv->config.ops->show(uv->config.cookie, s2_hpa(hpa));
	}
}

static inline bool uv_walk(const struct s2_uv *uv, uint64_t asce, uint64_t addr, uint64_t *hpa)
{
	s2_hpa_t found;

	if (!uv->config.ops->walk(uv->config.cookie, asce, addr, &found)) {
		return false;
	}
	*hpa = found.val & ~PAGE_MASK;
	return true;
}

/* table.c */
bool s2_uv_is_memory(const struct s2_uv *uv, uint64_t hpa);
/* NULL: not memory; or, of make, no memory for it. */
struct s2_uv_frame *s2_uv_frame_find(const struct s2_uv *uv, uint64_t hpa);
struct s2_uv_frame *s2_uv_frame_make(struct s2_uv *uv, uint64_t hpa);
enum frame_state s2_uv_frame_state(const struct s2_uv *uv, const struct s2_uv_frame *frame);
struct s2_uv_conf *s2_uv_conf_find(const struct s2_uv *uv, uint64_t handle);
/* gaddr lies in the guest's storage. NULL: no memory, or, of find, never used. */
bool s2_uv_in_storage(const struct s2_uv_conf *conf, uint64_t gaddr);
struct s2_uv_page *s2_uv_page_find(const struct s2_uv_conf *conf, uint64_t gaddr);
struct s2_uv_page *s2_uv_page_make(const struct s2_uv *uv, struct s2_uv_conf *conf, uint64_t gaddr);
/* The guest page of a frame that is SECURE, SHARED or PINNED; not for orphans. */
struct s2_uv_page *s2_uv_frame_page(const struct s2_uv *uv, const struct s2_uv_frame *frame);
/* Clears the page, then shows it to the host. */
void s2_uv_scrub(struct s2_uv *uv, uint64_t hpa);
/* All or none. Returns a return code, 0 if all were taken. */
uint16_t s2_uv_donate(struct s2_uv *uv, uint64_t owner, const uint64_t *hpa, uint64_t count);
void s2_uv_give_back(struct s2_uv *uv, const uint64_t *hpa, uint64_t count);

/* conf.c */
/* The configuration that a host's command names. Else *conf is NULL, and that is the answer. */
int s2_uv_conf_get(struct uv_call *call, uint64_t handle, struct s2_uv_conf **conf);
void s2_uv_conf_free(struct s2_uv *uv, struct s2_uv_conf *conf);
/* A command that may take several calls: begins, or goes on. */
void s2_uv_part_begin(struct s2_uv_conf *conf, uint16_t cmd);
/*
 * The next page in one of these states, bit n for enum s2_uv_state n, from the cursor on; NULL if there is
 * none. A MiB in which the guest never had a page costs nothing.
 */
struct s2_uv_page *s2_uv_part_page(struct s2_uv_conf *conf, unsigned states);
int s2_uv_create_conf(struct uv_call *call);
int s2_uv_destroy_conf(struct uv_call *call);
int s2_uv_destroy_conf_fast(struct uv_call *call);
int s2_uv_create_cpu(struct uv_call *call);
int s2_uv_destroy_cpu(struct uv_call *call);
int s2_uv_cpu_set_state(struct uv_call *call);

/* page.c */
/* Where an import or unpack is to happen. */
struct uv_place {
	struct s2_uv_page *page;
	struct s2_uv_frame *frame;
	void *memory;
	uint64_t gaddr;
	uint64_t hpa;
};
/* Checks everything. S2_UVC_CC_OK with frame == NULL: the page is there already. */
int s2_uv_place_find(struct uv_call *call, struct s2_uv_conf *conf, struct uv_place *place);
void s2_uv_place_take(struct s2_uv *uv, struct s2_uv_conf *conf, const struct uv_place *place,
		      enum s2_uv_state state);
int s2_uv_import(struct uv_call *call);
int s2_uv_export(struct uv_call *call);
int s2_uv_destroy(struct uv_call *call);
int s2_uv_pin(struct uv_call *call);
int s2_uv_unpin(struct uv_call *call);
int s2_uv_share(struct uv_call *call);
int s2_uv_unshare(struct uv_call *call);
int s2_uv_unshare_all(struct uv_call *call);

/* image.c */
int s2_uv_set_params(struct uv_call *call);
int s2_uv_unpack(struct uv_call *call);
int s2_uv_verify(struct uv_call *call);

#endif
