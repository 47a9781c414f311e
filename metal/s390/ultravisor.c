/* SPDX-License-Identifier: BSD-2-Clause */
/* What the software Ultravisor asks of the machine around it. */
#include "ultravisor.h"
#include "cpacf.h"
#include "seal.h"

#define LOWCORE_LEN 0x2000
#define BLOCK_MAX \
	UINT64_C(0x1000) /* of a control block: all that is not in one page, is too long */

static struct ultravisor *ours; /* the one that answers */

static void *page(void *cookie, s2_hpa_t hpa)
{
	(void)cookie;
	return hpa.val < machine.ram_size ? (void *)(uintptr_t)hpa.val : NULL;
}

static bool lookup(const struct world *w, uint64_t gaddr, uint64_t *hpa)
{
	struct s2_leaf leaf;

	if (s2_query(&w->space, s2_gpa(gaddr), &leaf) != S2_OK || !leaf.mapped) {
		return false;
	}
	*hpa = leaf.hpa.val + (gaddr - leaf.range.start.val);
	return true;
}

/* DAT is off for the hypervisor: its addresses are those of memory. */
static bool walk(void *cookie, uint64_t asce, uint64_t addr, s2_hpa_t *hpa)
{
	const struct ultravisor *u = cookie;

	if (asce == 0) {
		hpa->val = addr;
		return addr < machine.ram_size;
	}
	for (size_t i = 0; i < ULTRAVISOR_GUESTS; i++) {
		const struct world *w = u->guest[i];

		if (w != NULL && s2_s390_asce(s2_space_root(&w->space), w->space.top) == asce) {
			return lookup(w, addr, &hpa->val);
		}
	}
	return false;
}

static bool in_pool(const struct ultravisor *u, uint64_t hpa)
{
	return hpa - (uint64_t)(uintptr_t)u->pool < u->pool_len;
}

/* IPTE, on all processors. Memory that the host does not see is the hypervisor's. */
static bool hide(void *cookie, s2_hpa_t hpa)
{
	const struct ultravisor *u = cookie;

	if (!in_pool(u, hpa.val)) {
		return false;
	}
	world_unmap(u->host, hpa.val, PAGE);
	world_sync(u->host);
	return true;
}

static void show(void *cookie, s2_hpa_t hpa)
{
	const struct ultravisor *u = cookie;

	world_map(u->host, hpa.val, (void *)(uintptr_t)hpa.val, PAGE, S2_RWX);
	world_sync(u->host);
}

static bool random(void *cookie, void *out, size_t len)
{
	(void)cookie;
	trng(out, len);
	return true;
}

static int inject(void *cookie, uint16_t cmd, uint16_t *rc, uint16_t *rrc)
{
	struct ultravisor *u = cookie;

	return s2_uv_nth(&u->nth, cmd, rc, rrc);
}

/* A UVC of the hypervisor, on the stack for traps. */
static int answer(uint64_t control_block)
{
	uint64_t rest = machine.ram_size - control_block;

	ours->traps++;
	if (control_block % 8 != 0) {
		return -PROGRAM_SPECIFICATION;
	}
	if (control_block >= machine.ram_size) {
		return S2_UVC_ADDRESSING;
	}
	return s2_uvc(&ours->uv, 0, (void *)(uintptr_t)control_block,
		      rest < BLOCK_MAX ? rest : BLOCK_MAX);
}

const char *ultravisor_missing(void)
{
	union s2_uvcb block;

	s2_uvcb_begin(&block, S2_UVC_QUERY);
	if (uvc(&block) != UVC_NO_ULTRAVISOR) {
		return "the machine has an Ultravisor of its own";
	}
	if (!cpacf_has_sha512()) {
		return "the machine has no SHA-512 to seal pages with";
	}
	/* A clock is no source of keys. */
	return cpacf_has_trng() ? NULL : "the machine has no random numbers";
}

void ultravisor_open(struct ultravisor *u, struct world *host, void *pool, uint64_t pool_len)
{
	static const struct s2_uv_ops ops = {
		.page = page,
		.walk = walk,
		.hide = hide,
		.show = show,
		.random = random,
		.inject = inject,
	};
	const struct s2_uv_config config = {
		.env = memory_env,
		.ops = &ops,
		.cookie = u,
		.cipher = &seal_cipher,
		.host_key = u->host_key,
		.memory_len = machine.ram_size,
		.lowcore_len = LOWCORE_LEN,
	};

	MUST(ours == NULL);
	memset(u, 0, sizeof(*u));
	u->host = host;
	u->pool = pool;
	u->pool_len = pool_len;
	trng(u->host_key, sizeof(u->host_key));
	MUST(s2_uv_init(&u->uv, &config) == S2_OK);
	world_map(host, (uint64_t)(uintptr_t)pool, pool, pool_len, S2_RWX);
	world_sync(host);
	ours = u;
	uvc_software = answer;
}

void ultravisor_close(struct ultravisor *u)
{
	uvc_software = NULL;
	ours = NULL;
	s2_uv_fini(&u->uv);
}

/* The block is the guest's: if its page is not secure or shared, the guest cannot get there. */
static int carry_out(struct ultravisor *u, const struct world *w, uint64_t handle, uint64_t gaddr)
{
	uint64_t hpa;
	int code;

	if (gaddr % 8 != 0) {
		return -PROGRAM_SPECIFICATION;
	}
	if (!lookup(w, gaddr, &hpa)) {
		return S2_UVC_TRANSLATION;
	}
	code = s2_uv_guest_access(&u->uv, handle, s2_gpa(gaddr), s2_hpa(hpa));
	if (code != 0) {
		return -code;
	}
	return s2_uvc(&u->uv, handle, (void *)(uintptr_t)hpa, PAGE - hpa % PAGE);
}

int ultravisor_guest(struct ultravisor *u, struct world *w, uint64_t handle, uint64_t gaddr)
{
	struct guest_exit e;
	uint64_t block;
	int cc;

	machine_load(&w->space, w->id);
	guest_run(w, guest_uvc, gaddr, 0, 0, &e);
	if (!uvc_of_guest(&e, &block)) {
		exit_print(&e);
		return ULTRAVISOR_LOST;
	}
	cc = carry_out(u, w, handle, block);
	if (cc < 0) {
		return cc;
	}
	uvc_answer(cc);
	guest_resume(w, &e);
	return e.kind == EXIT_CALL ? (int)e.call[1] : ULTRAVISOR_LOST;
}
