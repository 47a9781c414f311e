/* SPDX-License-Identifier: BSD-2-Clause */
/* What the tests of the Ultravisor share, and the list of them. */
#include "test_uv.h"

#define CONF_PAGES 8u
#define SHARE_WORDS 6

struct uv_test t;

char *uv_page(unsigned page)
{
	return t.u.pool + page * PAGE;
}

static uint64_t address(unsigned page)
{
	return (uint64_t)(uintptr_t)uv_page(page);
}

void uv_block(uint16_t cmd)
{
	s2_uvcb_begin(&t.block, cmd);
}

static bool report(const char *who, int cc, uint16_t rc)
{
	if (args.mutant == 0) {
		print("# %s: UVC %#x is answered by %s%u, return code %#x, reason %#x\n", who,
		      (unsigned)s2_uvcb_get(&t.block, S2_UVCB_CMD, 2), cc < 0 ? "-" : "",
		      (unsigned)(cc < 0 ? -cc : cc), (unsigned)rc,
		      (unsigned)s2_uvcb_get(&t.block, S2_UVCB_RRC, 2));
	}
	return false;
}

bool uv_call(int cc, uint16_t rc)
{
	uint64_t traps = t.u.traps;
	int is = uvc(&t.block);
	uint16_t rc_is = (uint16_t)s2_uvcb_get(&t.block, S2_UVCB_RC, 2);

	CHECK(t.u.traps == traps + 1);
	return (is == cc && rc_is == rc) || report("host", is, rc_is);
}

static int cc_of(uint16_t rc)
{
	return rc == S2_UVC_RC_EXECUTED ? S2_UVC_CC_OK : S2_UVC_CC_ERROR;
}

bool uv_conf(uint16_t cmd, uint64_t handle, uint16_t rc)
{
	uv_block(cmd);
	s2_uvcb_put64(&t.block, S2_UVCB_HANDLE, handle);
	return uv_call(cc_of(rc), rc);
}

bool uv_gaddr(uint16_t cmd, unsigned guest, uint64_t gaddr, uint16_t rc)
{
	uv_block(cmd);
	s2_uvcb_put64(&t.block, S2_UVCB_HANDLE, t.handle[guest]);
	s2_uvcb_put64(&t.block, S2_UVCB_GADDR, gaddr);
	return uv_call(cc_of(rc), rc);
}

bool uv_host(uint16_t cmd, unsigned page, uint16_t rc)
{
	uv_block(cmd);
	s2_uvcb_put64(&t.block, S2_UVCB_PADDR, address(page));
	return uv_call(cc_of(rc), rc);
}

void uv_conf_block(unsigned guest)
{
	const struct s2_space *s = &t.guest[guest].space;
	unsigned base = AT_CONF + guest * CONF_PAGES;

	uv_block(S2_UVC_CREATE_CONF);
	s2_uvcb_put64(&t.block, S2_UVCB_CONF_BASE, address(base));
	s2_uvcb_put64(&t.block, S2_UVCB_CONF_VIRT, address(base + CONF_BASE_PAGES));
	s2_uvcb_put64(&t.block, S2_UVCB_CONF_ORIGIN, TEST_GPA);
	s2_uvcb_put64(&t.block, S2_UVCB_CONF_LEN, GUEST_LEN);
	s2_uvcb_put64(&t.block, S2_UVCB_CONF_SCA, address(AT_SCA));
	s2_uvcb_put64(&t.block, S2_UVCB_CONF_ASCE, s2_s390_asce(s2_space_root(s), s->top));
}

bool uv_guest_call(unsigned guest, uint16_t cmd, uint64_t gaddr, int cc, uint16_t rc)
{
	struct world *w = &t.guest[guest];
	struct guest_exit e;
	uint16_t rc_is;
	int is;

	uv_block(cmd);
	s2_uvcb_put64(&t.block, S2_UVCB_GADDR, gaddr);
	for (unsigned i = 0; i < SHARE_WORDS; i++) {
		CHECK(guest_stores(guest, BLOCK_GADDR + 8 * i, s2_uvcb_get64(&t.block, 8 * i)));
	}
	is = ultravisor_guest(&t.u, w, t.handle[guest], BLOCK_GADDR);
	if (is < 0) {
		return is == cc || report("guest", is, 0);
	}
	guest_run(w, guest_read, BLOCK_GADDR, 0, 0, &e);
	rc_is = (uint16_t)(e.call[1] >> 16);
	return (is == cc && e.kind == EXIT_CALL && rc_is == rc) || report("guest", is, rc_is);
}

void uv_give(unsigned guest, uint64_t gaddr, unsigned page)
{
	world_map(&t.guest[guest], gaddr, uv_page(page), PAGE, S2_RWX);
	world_sync(&t.guest[guest]);
}

void uv_take(unsigned guest, uint64_t gaddr)
{
	world_unmap(&t.guest[guest], gaddr, PAGE);
	world_sync(&t.guest[guest]);
}

bool uv_import(unsigned guest, uint64_t gaddr, unsigned page)
{
	uv_give(guest, gaddr, page);
	return uv_gaddr(S2_UVC_IMPORT, guest, gaddr, S2_UVC_RC_EXECUTED);
}

static struct world *switch_to(struct world *w)
{
	machine_load(&w->space, w->id);
	return w;
}

bool guest_sees(unsigned guest, uint64_t gaddr, uint64_t value)
{
	return guest_returns(switch_to(&t.guest[guest]), guest_read, gaddr, 0, value);
}

bool guest_stores(unsigned guest, uint64_t gaddr, uint64_t value)
{
	return guest_returns(switch_to(&t.guest[guest]), guest_write, gaddr, value, 0);
}

bool guest_fills(unsigned guest, uint64_t gaddr)
{
	struct guest_exit e;

	guest_run(switch_to(&t.guest[guest]), guest_touch, gaddr, PAGE, 8, &e);
	return e.kind == EXIT_CALL && e.call[1] == PAGE;
}

bool guest_filled(unsigned guest, uint64_t gaddr)
{
	for (uint64_t at = gaddr; at < gaddr + PAGE; at += PAGE / 16 - 8) {
		if (!guest_sees(guest, at, at)) {
			return false;
		}
	}
	return true;
}

bool guest_absent(unsigned guest, uint64_t gaddr)
{
	return guest_faults(switch_to(&t.guest[guest]), guest_read, gaddr, S2_READ, false);
}

bool host_sees(unsigned page, unsigned word, uint64_t value)
{
	return guest_returns(switch_to(&t.host), guest_read, address(page) + 8 * word, 0, value);
}

bool host_stores(unsigned page, unsigned word, uint64_t value)
{
	return guest_returns(switch_to(&t.host), guest_write, address(page) + 8 * word, value, 0);
}

bool host_absent(unsigned page)
{
	return guest_faults(switch_to(&t.host), guest_read, address(page), S2_READ, false) &&
	       guest_faults(&t.host, guest_write, address(page), S2_WRITE, false);
}

bool host_sees_zeros(unsigned page)
{
	const uint64_t *word = (const uint64_t *)(void *)uv_page(page);

	for (size_t i = 0; i < PAGE / 8; i++) {
		if (word[i] != 0) {
			return false;
		}
	}
	return host_sees(page, 0, 0) && host_sees(page, (unsigned)(PAGE / 8 - 1), 0);
}

static void open_guests(const struct machine_space *kind)
{
	for (unsigned i = 0; i < ULTRAVISOR_GUESTS; i++) {
		world_open(&t.guest[i], kind, 0);
		t.u.guest[i] = &t.guest[i];
	}
}

static void create_guest(unsigned guest)
{
	uv_conf_block(guest);
	CHECK(uv_call(S2_UVC_CC_OK, S2_UVC_RC_EXECUTED));
	t.handle[guest] = s2_uvcb_get64(&t.block, S2_UVCB_HANDLE);
	CHECK(uv_import(guest, BLOCK_GADDR, AT_BLOCK + guest));
}

bool uv_begin(const struct machine_space *kind, unsigned guests)
{
	const char *missing = ultravisor_missing();
	char *pool;

	if (missing != NULL) {
		test_skip(missing);
		return false;
	}
	memset(&t, 0, sizeof(t));
	world_open(&t.host, kind, PAGE);
	pool = memory_alloc(POOL_PAGES * PAGE);
	MUST((uint64_t)(uintptr_t)pool + POOL_PAGES * PAGE <= GUEST_CODE_GPA);
	memset(pool, 0xdb, POOL_PAGES * PAGE);
	ultravisor_open(&t.u, &t.host, pool, POOL_PAGES * PAGE);
	open_guests(kind);
	if (guests > 0) {
		uv_block(S2_UVC_INIT);
		s2_uvcb_put64(&t.block, S2_UVCB_INIT_ORIGIN, address(AT_INIT));
		s2_uvcb_put64(&t.block, S2_UVCB_INIT_LEN, 0x4000);
		CHECK(uv_call(S2_UVC_CC_OK, S2_UVC_RC_EXECUTED));
	}
	for (unsigned i = 0; i < guests; i++) {
		create_guest(i);
	}
	return true;
}

/* What is hidden then is shown and clear. */
void uv_end(void)
{
	CHECK(s2_uv_check(&t.u.uv));
	ultravisor_close(&t.u);
	for (unsigned i = 0; i < POOL_PAGES; i++) {
		struct s2_leaf leaf;

		CHECK(s2_query(&t.host.space, s2_gpa(address(i)), &leaf) == S2_OK && leaf.mapped);
	}
	for (unsigned i = 0; i < ULTRAVISOR_GUESTS; i++) {
		world_close(&t.guest[i]);
	}
	world_close(&t.host);
	memory_free(t.u.pool, POOL_PAGES * PAGE);
}

const struct test machine_tests[] = {
	{"uv-sha512", uv_sha512, false},
	{"uv-seal", uv_seal, false},
	{"uv-random", uv_random, false},
	{"uv-query", uv_query, false},
	{"uv-init", uv_init, false},
	{"uv-create", uv_create, false},
	{"uv-cpus", uv_cpus, false},
	{"uv-import", uv_imports, false},
	{"uv-export", uv_export, false},
	{"uv-tamper", uv_tamper, false},
	{"uv-replay", uv_replay, false},
	{"uv-owners", uv_owners, false},
	{"uv-share", uv_share, false},
	{"uv-pin", uv_pin, false},
	{"uv-unshare-all", uv_unshare_all, false},
	{"uv-destroy-page", uv_destroy_page, false},
	{"uv-destroy", uv_destroy, false},
	{"uv-destroy-fast", uv_destroy_fast, false},
	{"uv-busy", uv_busy, false},
	{"uv-partial", uv_partial, false},
	{"uv-errors", uv_errors, false},
	{"uv-no-block", uv_no_block, false},
	{"uv-engine", uv_engine, false},
	{"uv-engine-busy", uv_engine_busy, false},
	{"uv-image", uv_image, false},
	{"uv-image-bad", uv_image_tampered, false},
	{NULL, NULL, false},
};
