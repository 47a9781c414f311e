/* SPDX-License-Identifier: BSD-2-Clause */
/* Rows about the software Ultravisor: what it costs beside its cipher. */
#include <stdlib.h>
#include <string.h>

#include "bench.h"

#ifdef BENCH_UV
#include <stage2/uv_openssl.h>

/* Host memory, by host-physical address: what is donated, then the guest's pages. */
#define GUEST_LEN (UINT64_C(1) << 20)
#define GUEST_HOST (UINT64_C(1) << 20)
#define MEMORY_LEN (UINT64_C(4) << 20)

struct work {
	struct s2_uv uv;
	struct s2_uv_openssl *openssl;
	const struct s2_uv_cipher *cipher;
	unsigned char *memory;
	uint64_t handle;
	unsigned char page[S2_PAGE_SIZE];
	unsigned char sealed[S2_PAGE_SIZE];
	unsigned failed;
};

static void *page_at(void *cookie, s2_hpa_t hpa)
{
	struct work *w = cookie;

	return w->memory + hpa.val;
}

/* The guest's pages follow each other in the host, too; what the host gives as virtual is physical. */
static bool walk(void *cookie, uint64_t asce, uint64_t addr, s2_hpa_t *hpa)
{
	(void)cookie;
	hpa->val = asce != 0 ? addr + GUEST_HOST : addr;
	return true;
}

static void issue(struct work *w, union s2_uvcb *block)
{
	w->failed += s2_uvc(&w->uv, 0, block, sizeof(*block)) != 0;
}

static void import_page(struct work *w, uint64_t gpa)
{
	union s2_uvcb block;

	s2_uvcb_begin(&block, S2_UVC_IMPORT);
	s2_uvcb_put64(&block, S2_UVCB_HANDLE, w->handle);
	s2_uvcb_put64(&block, S2_UVCB_GADDR, gpa);
	issue(w, &block);
}

static void export_page(struct work *w, uint64_t gpa)
{
	union s2_uvcb block;

	s2_uvcb_begin(&block, S2_UVC_EXPORT);
	s2_uvcb_put64(&block, S2_UVCB_PADDR, gpa + GUEST_HOST);
	issue(w, &block);
}

static void run_pair(void *cookie)
{
	struct work *w = cookie;

	for (uint64_t gpa = 0; gpa < GUEST_LEN; gpa += S2_PAGE_SIZE) {
		export_page(w, gpa);
		import_page(w, gpa);
	}
}

/* The same bytes, sealed and opened by the same cipher, and nothing else. */
static void limit_pair(void *cookie)
{
	static const unsigned char key[32] = {1};
	struct work *w = cookie;
	const struct s2_uv_cipher *c = w->cipher;
	unsigned char tag[16];

	for (uint64_t gpa = 0; gpa < GUEST_LEN; gpa += S2_PAGE_SIZE) {
		c->seal(c->cookie, key, 0, gpa, w->memory + GUEST_HOST + gpa, w->sealed, tag);
		w->failed += c->open(c->cookie, key, 0, gpa, w->sealed, w->page, tag) != 0;
	}
}

static bool check_pair(void *cookie)
{
	const struct work *w = cookie;

	return w->failed == 0 && s2_uv_check(&w->uv);
}

static void donate(struct work *w)
{
	union s2_uvcb block;

	s2_uvcb_begin(&block, S2_UVC_INIT);
	s2_uvcb_put64(&block, 0x18, 0x10000);
	s2_uvcb_put64(&block, 0x20, 0x4000);
	issue(w, &block);
	s2_uvcb_begin(&block, S2_UVC_CREATE_CONF);
	s2_uvcb_put64(&block, S2_UVCB_CONF_BASE, 0x20000);
	s2_uvcb_put64(&block, S2_UVCB_CONF_VIRT, 0x30000);
	s2_uvcb_put64(&block, S2_UVCB_CONF_LEN, GUEST_LEN);
	s2_uvcb_put64(&block, S2_UVCB_CONF_SCA, 0x5000);
	s2_uvcb_put64(&block, S2_UVCB_CONF_ASCE, 0x1100);
	issue(w, &block);
	w->handle = s2_uvcb_get64(&block, S2_UVCB_HANDLE);
	for (uint64_t gpa = 0; gpa < GUEST_LEN; gpa += S2_PAGE_SIZE) {
		import_page(w, gpa);
	}
}

static bool open_uv(struct work *w)
{
	static const struct s2_uv_ops ops = {
		.page = page_at, .walk = walk, .random = s2_uv_openssl_random};
	struct s2_uv_config config = {
		.ops = &ops, .cookie = w, .env = heap_env, .memory_len = MEMORY_LEN};

	w->openssl = s2_uv_openssl_new();
	if (w->openssl == NULL) {
		return false;
	}
	w->cipher = s2_uv_openssl_cipher(w->openssl);
	w->memory = allocate(MEMORY_LEN);
	memset(w->memory, 3, MEMORY_LEN);
	config.cipher = w->cipher;
	return s2_uv_init(&w->uv, &config) == S2_OK;
}

static bool measure_pair(const struct setup *setup, struct result *result)
{
	static const struct way ways[] = {{"", NULL, run_pair, check_pair},
					  {"the cipher alone", NULL, limit_pair, NULL}};
	struct work *w = allocate(sizeof(*w));
	bool good;

	memset(w, 0, sizeof(*w));
	good = open_uv(w);
	if (good) {
		donate(w);
		good = measure_row(setup, ways, 2, w, (double)(GUEST_LEN >> S2_PAGE_LG2), result) &&
		       w->failed == 0;
		s2_uv_fini(&w->uv);
	}
	s2_uv_openssl_free(w->openssl);
	free(w->memory);
	free(w);
	return good;
}
#else
static bool measure_pair(const struct setup *setup, struct result *result)
{
	(void)setup;
	result->absent = "built without libcrypto";
	return true;
}
#endif

const struct row uv_rows[] = {
	{"uv-export-import", "a page sealed and opened by the Ultravisor, AES-256-GCM", "ns/page",
	 1.3, 0, false, false, measure_pair, 0},
};

const size_t uv_row_count = sizeof(uv_rows) / sizeof(uv_rows[0]);
