/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Images: the first pages of a guest, encrypted for one host. A header holds the key of the image and
 * digests of addresses, tweaks and encrypted contents, in the order of the pages; VERIFY compares them
 * with what was unpacked.
 *
 * The header: a plain page, then one that is sealed with the host's key.
 *
 *	00 magic   08 version, 4   0c length, 4   10 flags   18 id   20 tag, 16
 *	00 key, 64   40 pages   48 digests of addresses, contents, tweaks, 32 each
 */
#include "internal.h"

#define MAGIC UINT64_C(0x533255562d494d47) /* "S2UV-IMG" */
#define VERSION UINT64_C(0x100)

#define HEADER_MAGIC 0x00
#define HEADER_VERSION 0x08
#define HEADER_LEN 0x0c
#define HEADER_FLAGS 0x10
#define HEADER_ID 0x18
#define HEADER_TAG 0x20
#define SEALED_KEY 0x00
#define SEALED_PAGES 0x40
#define SEALED_ADDRESSES 0x48
#define SEALED_CONTENTS 0x68
#define SEALED_TWEAKS 0x88

#define RRC_VERSION 0x0001
#define RRC_HOST_KEY 0x0005
#define RRC_FLAGS 0x0030
#define RRC_LEN 0x0031

void s2_uv_image_begin(struct s2_uv_image *image, const uint8_t *key)
{
	memset(image, 0, sizeof(*image));
	memcpy(image->key, key, sizeof(image->key));
}

/* Adds a page to the digests of *image. If the cipher fails, *image is as before. */
static bool count_page(struct s2_uv_image *image, const struct s2_uv_cipher *cipher, uint64_t gaddr,
		       const uint8_t *tweak, const void *packed)
{
	struct s2_uv_image next = *image;
	uint8_t address[8];
	bool good;

	s2_uvcb_put64(address, 0, gaddr);
	next.pages++;
	good = cipher->digest(cipher->cookie, next.addresses, address, sizeof(address)) &&
	       cipher->digest(cipher->cookie, next.contents, packed, S2_PAGE_SIZE) &&
	       cipher->digest(cipher->cookie, next.tweaks, tweak, 16);
	if (good) {
		*image = next;
	}
	return good;
}

bool s2_uv_image_add(struct s2_uv_image *image, const struct s2_uv_cipher *cipher, s2_gpa_t gpa,
		     const uint64_t tweak[2], const void *plain, void *packed)
{
	uint8_t bytes[16];

	s2_uvcb_put64(bytes, 0, tweak[0]);
	s2_uvcb_put64(bytes, 8, tweak[1]);
	return cipher->image(cipher->cookie, image->key, bytes, true, plain, packed) &&
	       count_page(image, cipher, gpa.val, bytes, packed);
}

bool s2_uv_image_header(const struct s2_uv_image *image, const struct s2_uv_cipher *cipher,
			const uint8_t *host_key, uint64_t id, void *header)
{
	uint8_t *plain = header;
	uint8_t sealed[S2_PAGE_SIZE];
	bool good;

	memset(plain, 0, S2_UV_HEADER_BYTES);
	s2_uvcb_put64(plain, HEADER_MAGIC, MAGIC);
	s2_uvcb_put(plain, HEADER_VERSION, 4, VERSION);
	s2_uvcb_put(plain, HEADER_LEN, 4, S2_UV_HEADER_BYTES);
	s2_uvcb_put64(plain, HEADER_ID, id);
	memset(sealed, 0, sizeof(sealed));
	memcpy(sealed + SEALED_KEY, image->key, sizeof(image->key));
	s2_uvcb_put64(sealed, SEALED_PAGES, image->pages);
	memcpy(sealed + SEALED_ADDRESSES, image->addresses, S2_UV_DIGEST_BYTES);
	memcpy(sealed + SEALED_CONTENTS, image->contents, S2_UV_DIGEST_BYTES);
	memcpy(sealed + SEALED_TWEAKS, image->tweaks, S2_UV_DIGEST_BYTES);
	good = cipher->seal(cipher->cookie, host_key, 0, id, sealed, plain + S2_PAGE_SIZE,
			    plain + HEADER_TAG) == S2_UV_GOOD;
	memset(sealed, 0, sizeof(sealed));
	return good;
}

/* Host-virtual memory, a page or less at a time. */
static bool read_host(const struct s2_uv *uv, uint64_t addr, uint8_t *to, size_t len)
{
	while (len > 0) {
		size_t offset = (size_t)(addr & PAGE_MASK);
		size_t part = S2_PAGE_SIZE - offset < len ? S2_PAGE_SIZE - offset : len;
		const uint8_t *from;
		uint64_t hpa;

		if (!uv_walk(uv, 0, addr, &hpa) || !s2_uv_is_memory(uv, hpa) ||
		    s2_uv_host_access(uv, s2_hpa(hpa)) != 0) {
			return false;
		}
		from = uv_memory(uv, hpa);
		if (from == NULL) {
			return false;
		}
		memcpy(to, from + offset, part);
		addr += part;
		to += part;
		len -= part;
	}
	return true;
}

static int check_header(struct uv_call *call, const uint8_t *header)
{
	if (s2_uvcb_get64(header, HEADER_MAGIC) != MAGIC ||
	    s2_uvcb_get(header, HEADER_VERSION, 4) != VERSION) {
		return uv_fail_because(call, S2_UVC_RC_PARAMS_VERSION, RRC_VERSION);
	}
	if (s2_uvcb_get(header, HEADER_LEN, 4) != S2_UV_HEADER_BYTES) {
		return uv_fail_because(call, S2_UVC_RC_PARAMS_CORRUPT, RRC_LEN);
	}
	if (s2_uvcb_get64(header, HEADER_FLAGS) != 0) {
		return uv_fail_because(call, S2_UVC_RC_PARAMS_FLAGS, RRC_FLAGS);
	}
	return S2_UVC_CC_OK;
}

static int open_header(struct uv_call *call, struct s2_uv_conf *conf, const uint8_t *header)
{
	struct s2_uv *uv = call->uv;
	const uint8_t *sealed = uv->scratch;
	int cc = check_header(call, header);

	if (cc != S2_UVC_CC_OK) {
		return cc;
	}
	switch (uv->cipher->open(uv->cipher->cookie, uv->host_key, 0,
				 s2_uvcb_get64(header, HEADER_ID), header + S2_PAGE_SIZE,
				 uv->scratch, header + HEADER_TAG)) {
	case S2_UV_GOOD:
		break;
	case S2_UV_FORGED:
		return uv_fail_because(call, S2_UVC_RC_PARAMS_KEY, RRC_HOST_KEY);
	case S2_UV_FAILED:
		return uv_fail(call, S2_UVC_RC_CIPHER);
	}
	s2_uv_image_begin(&conf->want, sealed + SEALED_KEY);
	conf->want.pages = s2_uvcb_get64(sealed, SEALED_PAGES);
	memcpy(conf->want.addresses, sealed + SEALED_ADDRESSES, S2_UV_DIGEST_BYTES);
	memcpy(conf->want.contents, sealed + SEALED_CONTENTS, S2_UV_DIGEST_BYTES);
	memcpy(conf->want.tweaks, sealed + SEALED_TWEAKS, S2_UV_DIGEST_BYTES);
	s2_uv_image_begin(&conf->have, conf->want.key);
	memset(uv->scratch, 0, S2_PAGE_SIZE);
	conf->phase = PHASE_UNPACK;
	return S2_UVC_CC_OK;
}

int s2_uv_set_params(struct uv_call *call)
{
	struct s2_uv *uv = call->uv;
	struct s2_uv_conf *conf;
	uint8_t *header;
	int cc = s2_uv_conf_get(call, uv_arg(call, S2_UVCB_HANDLE), &conf);

	if (conf == NULL) {
		return cc;
	}
	if (conf->phase != PHASE_NEW) {
		return uv_fail(call, S2_UVC_RC_INV_STATE);
	}
	if (s2_uvcb_get(call->block, S2_UVCB_HEADER_LEN, 4) != S2_UV_HEADER_BYTES) {
		return uv_fail_because(call, S2_UVC_RC_PARAMS_CORRUPT, RRC_LEN);
	}
	header = uv_alloc(uv, S2_UV_HEADER_BYTES);
	if (header == NULL) {
		return uv_fail(call, S2_UVC_RC_NOMEM);
	}
	if (read_host(uv, uv_arg(call, S2_UVCB_HEADER), header, S2_UV_HEADER_BYTES)) {
		cc = open_header(call, conf, header);
	} else {
		cc = uv_fail(call, S2_UVC_RC_PARAMS_ACCESS);
	}
	uv_free(uv, header, S2_UV_HEADER_BYTES);
	return cc;
}

int s2_uv_unpack(struct uv_call *call)
{
	struct s2_uv *uv = call->uv;
	const struct s2_uv_cipher *cipher = uv->cipher;
	const uint8_t *tweak = call->block + S2_UVCB_TWEAK;
	struct s2_uv_conf *conf;
	struct uv_place at;
	int cc = s2_uv_conf_get(call, uv_arg(call, S2_UVCB_HANDLE), &conf);

	if (conf == NULL) {
		return cc;
	}
	if (conf->phase != PHASE_UNPACK) {
		return uv_fail(call, S2_UVC_RC_INV_STATE);
	}
	cc = s2_uv_place_find(call, conf, &at);
	if (cc != S2_UVC_CC_OK) {
		return cc;
	}
	/* Each page once: where something is, or was, there is nothing to unpack. */
	if (at.frame == NULL || (at.page->word & PAGE_STATE) != S2_UV_NONE) {
		return uv_fail(call, S2_UVC_RC_RESIDENT);
	}
	if (!uv_hide(uv, at.hpa)) {
		return uv_fail(call, S2_UVC_RC_NOMEM);
	}
	if (!cipher->image(cipher->cookie, conf->want.key, tweak, false, at.memory, uv->scratch) ||
	    !count_page(&conf->have, cipher, at.gaddr, tweak, at.memory)) {
		uv_show(uv, at.hpa);
		return uv_fail(call, S2_UVC_RC_CIPHER);
	}
	memcpy(at.memory, uv->scratch, S2_PAGE_SIZE);
	s2_uv_place_take(uv, conf, &at, S2_UV_SECURE);
	uv->count.unpacked++;
	return S2_UVC_CC_OK;
}

static uint16_t compare(const struct s2_uv_image *want, const struct s2_uv_image *have)
{
	if (want->pages != have->pages) {
		return S2_UVC_RRC_VERIFY_COUNT;
	}
	if (memcmp(want->addresses, have->addresses, S2_UV_DIGEST_BYTES) != 0) {
		return S2_UVC_RRC_VERIFY_ADDRESSES;
	}
	if (memcmp(want->tweaks, have->tweaks, S2_UV_DIGEST_BYTES) != 0) {
		return S2_UVC_RRC_VERIFY_TWEAKS;
	}
	return memcmp(want->contents, have->contents, S2_UV_DIGEST_BYTES) != 0
		       ? S2_UVC_RRC_VERIFY_PAGES
		       : 0;
}

int s2_uv_verify(struct uv_call *call)
{
	struct s2_uv_conf *conf;
	int cc = s2_uv_conf_get(call, uv_arg(call, S2_UVCB_HANDLE), &conf);
	uint16_t rrc;

	if (conf == NULL) {
		return cc;
	}
	if (conf->phase != PHASE_UNPACK) {
		return uv_fail(call, S2_UVC_RC_INV_STATE);
	}
	rrc = compare(&conf->want, &conf->have);
	conf->phase = rrc == 0 ? PHASE_VERIFIED : PHASE_FAILED;
	memset(conf->want.key, 0, sizeof(conf->want.key));
	memset(conf->have.key, 0, sizeof(conf->have.key));
	return rrc == 0 ? S2_UVC_CC_OK : uv_fail_because(call, S2_UVC_RC_VERIFY, rrc);
}
