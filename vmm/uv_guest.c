/* SPDX-License-Identifier: BSD-2-Clause */
#include "uv_guest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "log.h"
#include "memory.h"

#define MIB (UINT64_C(1) << 20)
#define IMAGE_ID 1
/* A segment table and private space: what the Ultravisor checks; nothing walks it here. */
#define ASCE UINT64_C(0x100)

/* Is this RAM, and not the storage behind it? What lies between the two is neither. */
static bool is_ram(const struct uv_guest *guest, s2_hpa_t hpa)
{
	return hpa.val < guest->views->len;
}

static void *page(void *cookie, s2_hpa_t hpa)
{
	const struct uv_guest *guest = cookie;

	if (is_ram(guest, hpa)) {
		return guest->views->inner + hpa.val;
	}
	return hpa.val < guest->ram_len ? NULL : guest->donated + (hpa.val - guest->ram_len);
}

/* Guest addresses begin where RAM does; host-virtual addresses in blocks are host addresses. */
static bool walk(void *cookie, uint64_t asce, uint64_t addr, s2_hpa_t *hpa)
{
	const struct uv_guest *guest = cookie;

	*hpa = s2_hpa(asce ? addr - guest->base.val : addr);
	return true;
}

/* Donated storage is in nobody's reach anyhow. */
static bool hide(void *cookie, s2_hpa_t hpa)
{
	const struct uv_guest *guest = cookie;

	return !is_ram(guest, hpa) || !uv_views_hide(guest->views, hpa.val);
}

static void show(void *cookie, s2_hpa_t hpa)
{
	const struct uv_guest *guest = cookie;

	/* Should it fail, the window stays closed, and the next access tries again. */
	if (is_ram(guest, hpa) && guest->handle) {
		(void)uv_views_show(guest->views, hpa.val);
	}
}

static const struct s2_uv_ops uv_ops = {
	.page = page, .walk = walk, .hide = hide, .show = show, .random = s2_uv_openssl_random};

static void begin(struct uv_guest *guest, uint16_t cmd)
{
	s2_uvcb_begin(&guest->block, cmd);
}

static void put(struct uv_guest *guest, size_t offset, uint64_t value)
{
	s2_uvcb_put64(&guest->block, offset, value);
}

/* What is done in part goes on. */
static int issue(void *cookie, uint64_t by, union s2_uvcb *block)
{
	struct uv_guest *guest = cookie;
	int cc;

	do {
		cc = s2_uvc(&guest->uv, by, block, sizeof(*block));
	} while (cc == S2_UVC_CC_PARTIAL);
	return cc;
}

/* A call of the guest's setting up, which has no reason to fail but a lack of memory. */
static int set_up(struct uv_guest *guest, const char *what)
{
	const int cc = issue(guest, 0, &guest->block);

	if (cc == S2_UVC_CC_OK) {
		return 0;
	}
	log_error("the Ultravisor cannot %s: condition %d, return code 0x%x, reason 0x%x", what, cc,
		  (unsigned int)s2_uvcb_get(&guest->block, S2_UVCB_RC, 2),
		  (unsigned int)s2_uvcb_get(&guest->block, S2_UVCB_RRC, 2));
	return -EIO;
}

/* The next len bytes of donated storage, as a host address. */
static uint64_t donate(struct uv_guest *guest, uint64_t len)
{
	const uint64_t at = guest->ram_len + guest->donated_at;

	guest->donated_at += (len + S2_PAGE_SIZE - 1) & ~(S2_PAGE_SIZE - 1);
	return at;
}

/* Lengths of storage, from the Ultravisor itself. */
struct lengths {
	uint64_t init;
	uint64_t base;
	uint64_t virt;
	uint64_t cpu;
};

static struct lengths query(struct uv_guest *guest)
{
	const union s2_uvcb *block = &guest->block;

	begin(guest, S2_UVC_QUERY);
	issue(guest, 0, &guest->block);
	return (struct lengths){.init = s2_uvcb_get64(block, S2_UVCB_QUERY_BASE),
				.base = s2_uvcb_get64(block, S2_UVCB_QUERY_CONF_BASE),
				.virt = s2_uvcb_get64(block, S2_UVCB_QUERY_CONF_VIRT) +
					s2_uvcb_get64(block, S2_UVCB_QUERY_CONF_VAR) *
						(guest->ram_len / MIB),
				.cpu = s2_uvcb_get64(block, S2_UVCB_QUERY_CPU)};
}

static int create(struct uv_guest *guest, unsigned int cpu_count)
{
	const struct lengths len = query(guest);
	const uint64_t sca = donate(guest, S2_PAGE_SIZE);
	int err;

	begin(guest, S2_UVC_INIT);
	put(guest, S2_UVCB_INIT_ORIGIN, donate(guest, len.init));
	put(guest, S2_UVCB_INIT_LEN, len.init);
	err = set_up(guest, "start");
	if (err) {
		return err;
	}
	begin(guest, S2_UVC_CREATE_CONF);
	put(guest, S2_UVCB_CONF_BASE, donate(guest, len.base));
	put(guest, S2_UVCB_CONF_VIRT, donate(guest, len.virt));
	put(guest, S2_UVCB_CONF_ORIGIN, guest->base.val);
	put(guest, S2_UVCB_CONF_LEN, guest->ram_len);
	put(guest, S2_UVCB_CONF_SCA, sca);
	put(guest, S2_UVCB_CONF_ASCE, ASCE);
	err = set_up(guest, "create the guest's configuration");
	if (err) {
		return err;
	}
	guest->handle = s2_uvcb_get64(&guest->block, S2_UVCB_HANDLE);
	guest->backend.handle = guest->handle;
	while (!err && guest->cpu_count < cpu_count) {
		begin(guest, S2_UVC_CREATE_CPU);
		put(guest, S2_UVCB_CPU_CONF, guest->handle);
		put(guest, S2_UVCB_CPU_STORAGE, donate(guest, len.cpu));
		s2_uvcb_put(&guest->block, S2_UVCB_CPU_NUMBER, 2, guest->cpu_count);
		put(guest, S2_UVCB_CPU_STATE, sca);
		err = set_up(guest, "create a CPU");
		if (!err) {
			guest->cpu[guest->cpu_count++] =
				s2_uvcb_get64(&guest->block, S2_UVCB_HANDLE);
		}
	}
	return err;
}

/* Enough for all that is donated and for an image's header, and a multiple of a MiB. */
static uint64_t donated_len(const struct uv_guest *guest)
{
	/* 128 bytes for each MiB of a guest, and some tens of pages. */
	return MIB + (guest->ram_len / 1024 & ~(MIB - 1));
}

int uv_guest_init(struct uv_guest *guest, struct uv_views *views, const struct ram *ram,
		  unsigned int cpu_count)
{
	struct s2_uv_config config = {
		.env = memory_env, .ops = &uv_ops, .cookie = guest, .host_key = guest->host_key};
	int err = -ENOMEM;

	*guest = (struct uv_guest){.views = views, .base = ram->gpa};
	guest->ram_len = (ram->len + MIB - 1) & ~(MIB - 1);
	config.memory_len = guest->ram_len + donated_len(guest);
	config.guest_max = ram->gpa.val + guest->ram_len - 1;
	guest->run = (struct s2_run){ram->gpa, s2_hpa(0), ram->len, S2_FOLIO_ORDER_MAX};
	guest->backend = (struct s2_uv_backend){
		.issue = issue, .cookie = guest, .runs = &guest->run, .run_count = 1};
	s2_uv_backend_init(&guest->backend);
	guest->openssl = s2_uv_openssl_new();
	guest->donated = mmap(NULL, donated_len(guest), PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (guest->donated == MAP_FAILED) {
		guest->donated = NULL;
	}
	if (guest->openssl && guest->donated &&
	    s2_uv_openssl_random(NULL, guest->host_key, sizeof(guest->host_key))) {
		config.cipher = s2_uv_openssl_cipher(guest->openssl);
		guest->have_uv = !s2_uv_init(&guest->uv, &config);
		err = guest->have_uv ? create(guest, cpu_count) : -ENOMEM;
	}
	if (err) {
		uv_guest_fini(guest);
	}
	return err;
}

/* From a handle: destroys a CPU or the configuration. */
static void destroy(struct uv_guest *guest, uint16_t cmd, uint64_t handle)
{
	begin(guest, cmd);
	put(guest, S2_UVCB_HANDLE, handle);
	issue(guest, 0, &guest->block);
}

void uv_guest_destroy(struct uv_guest *guest)
{
	const uint64_t handle = guest->handle;
	uint64_t pages = 0;

	if (!handle) {
		return;
	}
	for (uint64_t at = 0; at < guest->views->len; at += S2_PAGE_SIZE) {
		pages += s2_uv_state(&guest->uv, handle, s2_gpa(guest->base.val + at)) ==
			 S2_UV_SECURE;
	}
	while (guest->cpu_count) {
		destroy(guest, S2_UVC_DESTROY_CPU, guest->cpu[--guest->cpu_count]);
	}
	guest->handle = 0; /* nothing is shown any longer */
	destroy(guest, S2_UVC_DESTROY_CONF, handle);
	guest->destroyed = pages;
}

void uv_guest_fini(struct uv_guest *guest)
{
	uv_guest_destroy(guest);
	if (guest->have_uv) {
		s2_uv_fini(&guest->uv);
	}
	if (guest->donated) {
		munmap(guest->donated, donated_len(guest));
	}
	s2_uv_openssl_free(guest->openssl);
	explicit_bzero(guest->host_key, sizeof(guest->host_key));
}

static bool is_zero(const uint8_t *from)
{
	static const uint8_t zeros[S2_PAGE_SIZE];

	return !memcmp(from, zeros, sizeof(zeros));
}

/* What is done to each page of the image, in the same order each time. */
typedef int page_step(struct uv_guest *guest, uint64_t offset, void *cookie);

/* Is the page in one of the first ranges? Loaders may come to a page twice. */
static bool in_first(const struct uv_guest *guest, const struct s2_range *loaded, size_t count,
		     uint64_t offset)
{
	for (size_t i = 0; i < count; i++) {
		if (guest->base.val + offset - loaded[i].start.val < loaded[i].len) {
			return true;
		}
	}
	return false;
}

/*
 * Zeros are what the guest finds anyhow in a page that is new to it: no part of the image, once it has
 * been packed. Packed pages are not zero, or never were.
 */
static int for_each_page(struct uv_guest *guest, const struct s2_range *loaded, size_t count,
			 page_step *step, void *cookie)
{
	int err = 0;

	for (size_t i = 0; i < count; i++) {
		const uint64_t start = loaded[i].start.val - guest->base.val;
		const uint64_t end = start + loaded[i].len;

		for (uint64_t at = start; at < end && !err; at += S2_PAGE_SIZE) {
			if (!in_first(guest, loaded, i, at) && !is_zero(guest->views->inner + at)) {
				err = step(guest, at, cookie);
			}
		}
	}
	return err;
}

/* The owner's part: the page as it travels. */
struct packing {
	struct s2_uv_image image;
	uint64_t tweak[2];
};

static int pack(struct uv_guest *guest, uint64_t offset, void *cookie)
{
	struct packing *packing = cookie;
	uint8_t *at = guest->views->inner + offset;
	uint8_t packed[S2_PAGE_SIZE];

	packing->tweak[1] = guest->base.val + offset;
	if (!s2_uv_image_add(&packing->image, s2_uv_openssl_cipher(guest->openssl),
			     s2_gpa(packing->tweak[1]), packing->tweak, at, packed)) {
		log_error("the cipher cannot encrypt the guest's image");
		return -EIO;
	}
	memcpy(at, packed, sizeof(packed));
	return 0;
}

/* The host's part. */
static int unpack(struct uv_guest *guest, uint64_t offset, void *cookie)
{
	const struct packing *packing = cookie;

	begin(guest, S2_UVC_UNPACK);
	put(guest, S2_UVCB_HANDLE, guest->handle);
	put(guest, S2_UVCB_GADDR, guest->base.val + offset);
	put(guest, S2_UVCB_TWEAK, packing->tweak[0]);
	put(guest, S2_UVCB_TWEAK + 8, guest->base.val + offset);
	return set_up(guest, "unpack the image");
}

/* Verified, and all CPUs in the state in which they run. */
static int verify(struct uv_guest *guest)
{
	int err;

	begin(guest, S2_UVC_VERIFY);
	put(guest, S2_UVCB_HANDLE, guest->handle);
	err = set_up(guest, "verify the image");
	for (unsigned int i = 0; i < guest->cpu_count && !err; i++) {
		begin(guest, S2_UVC_CPU_SET_STATE);
		put(guest, S2_UVCB_HANDLE, guest->cpu[i]);
		guest->block.byte[S2_UVCB_CPU_ORDER] = i ? S2_UV_CPU_OPERATING : S2_UV_CPU_LOAD;
		err = set_up(guest, "start a CPU");
	}
	return err;
}

/* The guest finds its image without having to wait for each page. */
static int give(struct uv_guest *guest, uint64_t offset, void *cookie)
{
	(void)cookie;
	return uv_views_give(guest->views, offset, S2_PAGE_SIZE);
}

int uv_guest_boot(struct uv_guest *guest, const struct s2_range *loaded, size_t count)
{
	const uint64_t header = donate(guest, S2_UV_HEADER_BYTES);
	uint8_t key[S2_UV_IMAGE_KEY_BYTES];
	struct packing packing = {0};
	int err = uv_views_close(guest->views);

	if (err || !s2_uv_openssl_random(NULL, key, sizeof(key)) ||
	    !s2_uv_openssl_random(NULL, packing.tweak, sizeof(packing.tweak))) {
		log_error("cannot close the host's window: %s", strerror(err ? -err : EIO));
		return -EIO;
	}
	s2_uv_image_begin(&packing.image, key);
	err = for_each_page(guest, loaded, count, pack, &packing);
	if (!err && !s2_uv_image_header(&packing.image, s2_uv_openssl_cipher(guest->openssl),
					guest->host_key, IMAGE_ID,
					guest->donated + (header - guest->ram_len))) {
		log_error("the cipher cannot seal the image's header");
		err = -EIO;
	}
	if (!err) {
		begin(guest, S2_UVC_SET_PARAMS);
		put(guest, S2_UVCB_HANDLE, guest->handle);
		put(guest, S2_UVCB_HEADER, header);
		s2_uvcb_put(&guest->block, S2_UVCB_HEADER_LEN, 4, S2_UV_HEADER_BYTES);
		err = set_up(guest, "take the image's header");
	}
	if (!err) {
		err = for_each_page(guest, loaded, count, unpack, &packing);
	}
	explicit_bzero(&packing, sizeof(packing));
	explicit_bzero(key, sizeof(key));
	if (!err) {
		err = verify(guest);
	}
	return err ? err : for_each_page(guest, loaded, count, give, NULL);
}

bool uv_guest_unused(const struct uv_guest *guest, s2_gpa_t gpa)
{
	return s2_uv_state(&guest->uv, guest->handle, gpa) == S2_UV_NONE;
}

/* Until the first failure. */
static struct s2_answer import_new(struct uv_guest *guest, struct s2_range range)
{
	const struct s2_backend *backend = &guest->backend.backend;
	struct s2_answer answer = {.reply = S2_REPLY_OK};

	while (answer.done < range.len && answer.reply == S2_REPLY_OK) {
		const s2_gpa_t gpa = s2_gpa(range.start.val + answer.done);

		if (uv_guest_unused(guest, gpa)) {
			answer.reply = backend->convert(backend->cookie, S2_DONATE,
							s2_range(gpa, S2_PAGE_SIZE))
					       .reply;
		}
		answer.done += answer.reply == S2_REPLY_OK ? S2_PAGE_SIZE : 0;
	}
	return answer;
}

struct s2_answer uv_guest_convert(struct uv_guest *guest, enum s2_move move, struct s2_range range)
{
	const struct s2_backend *backend = &guest->backend.backend;
	struct s2_answer answer = {.reply = S2_REPLY_OK};
	const uint64_t offset = range.start.val - guest->base.val;

	if (move == S2_DONATE || move == S2_SHARE || move == S2_EXPORT) {
		answer = import_new(guest, range);
		if (move == S2_DONATE) {
			return answer;
		}
		answer.done = 0; /* pages of zeros that have become the guest's, and no move */
	}
	if (answer.reply != S2_REPLY_OK) {
		return answer;
	}
	/* The guest first: it must not write while its page is sealed. It gets back what is not. */
	if (move == S2_EXPORT && uv_views_take(guest->views, offset, range.len)) {
		return (struct s2_answer){.reply = S2_REPLY_FAILED};
	}
	return backend->convert(backend->cookie, move, range);
}
