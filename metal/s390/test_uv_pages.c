/* SPDX-License-Identifier: BSD-2-Clause */
/* Pages: whose they are, what the host sees of them, and what is taken back from it. */
#include "test_uv.h"

#define OK S2_UVC_RC_EXECUTED

static char copy[2][PAGE] __attribute__((aligned(8)));

static s2_hpa_t hpa(unsigned page)
{
	return s2_hpa((uint64_t)(uintptr_t)uv_page(page));
}

/* What the machine would present to a guest that has this page there. */
static int guest_access(unsigned guest, uint64_t gaddr, unsigned page)
{
	return s2_uv_guest_access(&t.u.uv, t.handle[guest], s2_gpa(gaddr), hpa(page));
}

static enum s2_uv_state state(unsigned guest, uint64_t gaddr)
{
	return s2_uv_state(&t.u.uv, t.handle[guest], s2_gpa(gaddr));
}

/* Out of the guest, to the host. */
static bool export(unsigned guest, uint64_t gaddr, unsigned page)
{
	uv_take(guest, gaddr);
	return uv_host(S2_UVC_EXPORT, page, OK);
}

void uv_imports(const struct machine_space *kind)
{
	if (!uv_begin(kind, 1)) {
		return;
	}
	CHECK(guest_absent(0, GADDR(1)));
	CHECK(host_stores(AT_FREE, 0, 0x1111) && host_sees(AT_FREE, 0, 0x1111));
	uv_give(0, GADDR(1), AT_FREE);
	CHECK(guest_access(0, GADDR(1), AT_FREE) == 0x3e);
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, GADDR(1), OK));
	CHECK(guest_access(0, GADDR(1), AT_FREE) == 0 && s2_uv_host_access(&t.u.uv, hpa(AT_FREE)));
	CHECK(host_absent(AT_FREE) && host_sees(AT_FREE + 1, 0, UINT64_C(0xdbdbdbdbdbdbdbdb)));
	/* What the host has put there is not given to the guest. */
	CHECK(guest_sees(0, GADDR(1), 0) && guest_sees(0, GADDR(1) + PAGE - 8, 0));
	CHECK(guest_fills(0, GADDR(1)) && guest_filled(0, GADDR(1)));
	/* Once more: it is there. At another place: it is not. */
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, GADDR(1), OK) && guest_filled(0, GADDR(1)));
	uv_take(0, GADDR(1));
	CHECK(guest_absent(0, GADDR(1)));
	uv_give(0, GADDR(1), AT_FREE + 1);
	CHECK(guest_access(0, GADDR(1), AT_FREE + 1) == 0x3f);
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, GADDR(1), S2_UVC_RC_RESIDENT));
	uv_take(0, GADDR(1));
	uv_give(0, GADDR(1), AT_FREE);
	CHECK(guest_filled(0, GADDR(1)) && host_absent(AT_FREE));
	uv_end();
}

/* How many words of a page are as they are in another. */
static unsigned equal_words(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;
	unsigned equal = 0;

	for (size_t i = 0; i < PAGE / 8; i++) {
		equal += x[i] == y[i];
	}
	return equal;
}

void uv_export(const struct machine_space *kind)
{
	if (!uv_begin(kind, 1)) {
		return;
	}
	CHECK(uv_import(0, GADDR(1), AT_FREE) && guest_fills(0, GADDR(1)));
	memcpy(copy[0], uv_page(AT_FREE), PAGE); /* nothing is hidden from a hypervisor */
	CHECK(export(0, GADDR(1), AT_FREE));
	memcpy(copy[1], uv_page(AT_FREE), PAGE);
	CHECK(equal_words(copy[0], copy[1]) == 0);
	CHECK(host_sees(AT_FREE, 0, *(uint64_t *)(void *)copy[1]));
	CHECK(guest_absent(0, GADDR(1)) && state(0, GADDR(1)) == S2_UV_EXPORTED);
	CHECK(guest_access(0, GADDR(1), AT_FREE) == 0x3e);
	CHECK(uv_import(0, GADDR(1), AT_FREE));
	CHECK(guest_filled(0, GADDR(1)) && equal_words(copy[0], uv_page(AT_FREE)) == PAGE / 8);
	CHECK(host_absent(AT_FREE));
	/* The same contents again, and they look different; they come back at another place. */
	CHECK(export(0, GADDR(1), AT_FREE));
	CHECK(equal_words(copy[1], uv_page(AT_FREE)) == 0);
	memcpy(uv_page(AT_FREE + 1), uv_page(AT_FREE), PAGE);
	CHECK(uv_import(0, GADDR(1), AT_FREE + 1) && guest_filled(0, GADDR(1)));
	CHECK(host_absent(AT_FREE + 1) && host_stores(AT_FREE, 0, 1));
	/* What is not secure, is exported already. */
	CHECK(uv_host(S2_UVC_EXPORT, AT_FREE, OK) && host_sees(AT_FREE, 0, 1));
	CHECK(s2_uv_count(&t.u.uv).exports == 2);
	uv_end();
}

static bool refused(unsigned guest, uint64_t gaddr)
{
	uint64_t count = s2_uv_count(&t.u.uv).refused;

	return uv_gaddr(S2_UVC_IMPORT, guest, gaddr, S2_UVC_RC_SEAL) &&
	       s2_uv_count(&t.u.uv).refused == count + 1 && state(guest, gaddr) == S2_UV_EXPORTED;
}

void uv_tamper(const struct machine_space *kind)
{
	static const unsigned words[] = {0, 1, 255, PAGE / 8 - 1};

	if (!uv_begin(kind, 1)) {
		return;
	}
	CHECK(uv_import(0, GADDR(1), AT_FREE) && guest_fills(0, GADDR(1)));
	CHECK(uv_import(0, GADDR(2), AT_FREE + 1) && guest_fills(0, GADDR(2)));
	CHECK(export(0, GADDR(1), AT_FREE) && export(0, GADDR(2), AT_FREE + 1));
	uv_give(0, GADDR(1), AT_FREE);
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		unsigned at = words[i];
		uint64_t word = ((uint64_t *)(void *)uv_page(AT_FREE))[at];

		CHECK(host_stores(AT_FREE, at, word ^ UINT64_C(1) << 16 * i));
		CHECK(refused(0, GADDR(1)));
		/* Nothing is changed: the host may put right what it has done. */
		CHECK(host_sees(AT_FREE, at, word ^ UINT64_C(1) << 16 * i));
		CHECK(host_stores(AT_FREE, at, word));
	}
	/* Another page of the same guest. */
	uv_take(0, GADDR(1));
	uv_give(0, GADDR(1), AT_FREE + 1);
	CHECK(refused(0, GADDR(1)));
	uv_take(0, GADDR(1));
	CHECK(uv_import(0, GADDR(1), AT_FREE) && guest_filled(0, GADDR(1)));
	CHECK(uv_import(0, GADDR(2), AT_FREE + 1) && guest_filled(0, GADDR(2)));
	uv_end();
}

void uv_replay(const struct machine_space *kind)
{
	if (!uv_begin(kind, 1)) {
		return;
	}
	CHECK(uv_import(0, GADDR(1), AT_FREE) && guest_fills(0, GADDR(1)));
	CHECK(export(0, GADDR(1), AT_FREE));
	memcpy(copy[0], uv_page(AT_FREE), PAGE);
	CHECK(uv_import(0, GADDR(1), AT_FREE) && guest_stores(0, GADDR(1) + 8, 0x2222));
	CHECK(export(0, GADDR(1), AT_FREE));
	memcpy(copy[1], uv_page(AT_FREE), PAGE);
	/* The older one was right in its time. */
	memcpy(uv_page(AT_FREE), copy[0], PAGE);
	uv_give(0, GADDR(1), AT_FREE);
	CHECK(refused(0, GADDR(1)));
	memset(uv_page(AT_FREE), 0, PAGE);
	CHECK(refused(0, GADDR(1)));
	memcpy(uv_page(AT_FREE), copy[1], PAGE);
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, GADDR(1), OK));
	CHECK(guest_sees(0, GADDR(1) + 8, 0x2222) && guest_sees(0, GADDR(1), GADDR(1)));
	uv_end();
}

/* A page of one guest in the other's tables; and its seal. */
void uv_owners(const struct machine_space *kind)
{
	if (!uv_begin(kind, 2)) {
		return;
	}
	CHECK(uv_import(0, GADDR(1), AT_FREE) && guest_fills(0, GADDR(1)));
	uv_give(1, GADDR(1), AT_FREE);
	CHECK(guest_access(1, GADDR(1), AT_FREE) == 0x3f);
	CHECK(uv_gaddr(S2_UVC_IMPORT, 1, GADDR(1), S2_UVC_RC_OWNED));
	CHECK(guest_filled(0, GADDR(1)));
	uv_take(1, GADDR(1));
	CHECK(uv_import(1, GADDR(1), AT_FREE + 1) && guest_fills(1, GADDR(1)));
	CHECK(export(0, GADDR(1), AT_FREE) && export(1, GADDR(1), AT_FREE + 1));
	/* The same contents at the same address, and the same version: the keys differ. */
	CHECK(equal_words(uv_page(AT_FREE), uv_page(AT_FREE + 1)) == 0);
	uv_give(1, GADDR(1), AT_FREE);
	CHECK(refused(1, GADDR(1)));
	/* Where the other has never been, it gets zeros. */
	CHECK(uv_import(1, GADDR(2), AT_FREE) && guest_sees(1, GADDR(2), 0));
	uv_end();
}

void uv_share(const struct machine_space *kind)
{
	if (!uv_begin(kind, 1)) {
		return;
	}
	CHECK(uv_import(0, GADDR(1), AT_FREE) && guest_stores(0, GADDR(1), 0x3333));
	CHECK(host_absent(AT_FREE));
	CHECK(uv_guest_call(0, S2_UVC_SHARE, GADDR(1), S2_UVC_CC_OK, OK));
	CHECK(state(0, GADDR(1)) == S2_UV_SHARED && guest_access(0, GADDR(1), AT_FREE) == 0);
	CHECK(host_sees(AT_FREE, 0, 0x3333) && host_stores(AT_FREE, 1, 0x4444));
	CHECK(guest_sees(0, GADDR(1) + 8, 0x4444) && guest_stores(0, GADDR(1), 0x5555));
	CHECK(host_sees(AT_FREE, 0, 0x5555));
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, GADDR(1), S2_UVC_RC_SHARED));
	CHECK(uv_guest_call(0, S2_UVC_SHARE, GADDR(1), S2_UVC_CC_OK, OK));
	CHECK(uv_guest_call(0, S2_UVC_UNSHARE, GADDR(1), S2_UVC_CC_OK, OK));
	CHECK(host_absent(AT_FREE) && guest_sees(0, GADDR(1), 0x5555));
	CHECK(uv_guest_call(0, S2_UVC_UNSHARE, GADDR(1), S2_UVC_CC_OK, OK));
	/* What has been exported is imported before it is shared. */
	CHECK(export(0, GADDR(1), AT_FREE));
	CHECK(uv_guest_call(0, S2_UVC_SHARE, GADDR(1), S2_UVC_NON_SECURE, 0));
	CHECK(uv_import(0, GADDR(1), AT_FREE));
	CHECK(uv_guest_call(0, S2_UVC_SHARE, GADDR(1), S2_UVC_CC_OK, OK));
	CHECK(host_sees(AT_FREE, 0, 0x5555));
	/* A shared page is the host's to take away; without it, it cannot become secure. */
	uv_take(0, GADDR(1));
	CHECK(uv_guest_call(0, S2_UVC_UNSHARE, GADDR(1), S2_UVC_TRANSLATION, 0));
	uv_give(0, GADDR(1), AT_FREE + 1);
	CHECK(uv_guest_call(0, S2_UVC_UNSHARE, GADDR(1), S2_UVC_CC_OK, OK));
	CHECK(host_absent(AT_FREE + 1) && host_sees(AT_FREE, 0, 0x5555));
	uv_end();
}

void uv_pin(const struct machine_space *kind)
{
	if (!uv_begin(kind, 1)) {
		return;
	}
	CHECK(uv_import(0, GADDR(1), AT_FREE) && guest_stores(0, GADDR(1), 0x3333));
	CHECK(uv_host(S2_UVC_PIN, AT_FREE, S2_UVC_RC_NOT_SHARED));
	CHECK(uv_guest_call(0, S2_UVC_SHARE, GADDR(1), S2_UVC_CC_OK, OK));
	CHECK(uv_host(S2_UVC_PIN, AT_FREE, OK) && state(0, GADDR(1)) == S2_UV_PINNED);
	/* The host is asked before it ends. */
	CHECK(uv_guest_call(0, S2_UVC_UNSHARE, GADDR(1), S2_UVC_NOTIFICATION, 0));
	CHECK(host_sees(AT_FREE, 0, 0x3333) && host_stores(AT_FREE, 0, 0x4444));
	CHECK(guest_sees(0, GADDR(1), 0x4444));
	CHECK(uv_gaddr(S2_UVC_UNPIN, 0, GADDR(1), OK));
	CHECK(uv_gaddr(S2_UVC_UNPIN, 0, GADDR(1), S2_UVC_RC_NOT_PINNED));
	CHECK(uv_guest_call(0, S2_UVC_UNSHARE, GADDR(1), S2_UVC_CC_OK, OK));
	CHECK(host_absent(AT_FREE) && guest_sees(0, GADDR(1), 0x4444));
	uv_end();
}

/* At a reset: the guest's shared pages begin anew; what is secure stays. */
void uv_unshare_all(const struct machine_space *kind)
{
	if (!uv_begin(kind, 1)) {
		return;
	}
	for (unsigned i = 1; i <= 4; i++) {
		CHECK(uv_import(0, GADDR(i), AT_FREE + i) && guest_fills(0, GADDR(i)));
	}
	CHECK(uv_guest_call(0, S2_UVC_SHARE, GADDR(1), S2_UVC_CC_OK, OK));
	CHECK(uv_guest_call(0, S2_UVC_SHARE, GADDR(2), S2_UVC_CC_OK, OK));
	CHECK(uv_host(S2_UVC_PIN, AT_FREE + 2, OK));
	CHECK(export(0, GADDR(4), AT_FREE + 4));
	CHECK(uv_conf(S2_UVC_UNSHARE_ALL, t.handle[0], OK));
	CHECK(state(0, GADDR(1)) == S2_UV_NONE && state(0, GADDR(2)) == S2_UV_NONE);
	CHECK(state(0, GADDR(3)) == S2_UV_SECURE && state(0, GADDR(4)) == S2_UV_EXPORTED);
	CHECK(host_sees(AT_FREE + 1, 0, GADDR(1)) && host_absent(AT_FREE + 3));
	CHECK(guest_access(0, GADDR(1), AT_FREE + 1) == 0x3e);
	CHECK(uv_gaddr(S2_UVC_IMPORT, 0, GADDR(1), OK) && guest_sees(0, GADDR(1), 0));
	CHECK(guest_filled(0, GADDR(3)));
	CHECK(uv_import(0, GADDR(4), AT_FREE + 4) && guest_filled(0, GADDR(4)));
	uv_end();
}

void uv_destroy_page(const struct machine_space *kind)
{
	if (!uv_begin(kind, 1)) {
		return;
	}
	CHECK(uv_import(0, GADDR(1), AT_FREE) && guest_fills(0, GADDR(1)));
	CHECK(host_absent(AT_FREE));
	uv_take(0, GADDR(1));
	CHECK(uv_host(S2_UVC_DESTROY, AT_FREE, OK));
	CHECK(host_sees_zeros(AT_FREE) && host_stores(AT_FREE, 0, 1));
	CHECK(guest_absent(0, GADDR(1)) && state(0, GADDR(1)) == S2_UV_NONE);
	CHECK(s2_uv_count(&t.u.uv).cleared == 1);
	/* The host's own page is not touched. */
	CHECK(uv_host(S2_UVC_DESTROY, AT_FREE, OK) && host_sees(AT_FREE, 0, 1));
	CHECK(uv_import(0, GADDR(1), AT_FREE) && guest_sees(0, GADDR(1), 0));
	uv_end();
}
