/* SPDX-License-Identifier: BSD-2-Clause */
/* Configurations and their CPUs. */
#include "internal.h"

/* PoP chapter 3, "Address-Space-Control Element" */
#define ASCE_PRIVATE UINT64_C(0x100)
#define ASCE_REAL_SPACE UINT64_C(0x20)

int s2_uv_conf_get(struct uv_call *call, uint64_t handle, struct s2_uv_conf **conf)
{
	struct s2_uv_conf *found = s2_uv_conf_find(call->uv, handle);

	*conf = NULL;
	if (found == NULL) {
		return uv_fail(call, S2_UVC_RC_INV_CONF);
	}
	if (found->op == S2_UVC_UNSHARE_ALL && call->cmd != S2_UVC_UNSHARE_ALL) {
		return S2_UVC_CC_BUSY;
	}
	if (found->op == S2_UVC_DESTROY_CONF && call->cmd != S2_UVC_DESTROY_CONF) {
		return uv_fail(call, call->cmd == S2_UVC_DESTROY_CONF_FAST ? S2_UVC_RC_NO_RESUME
									   : S2_UVC_RC_INV_STATE);
	}
	*conf = found;
	return S2_UVC_CC_OK;
}

static uint64_t virt_pages(uint64_t guest_len)
{
	return (CONF_VIRT_LEN + (guest_len >> MIB_LG2) * CONF_VAR_LEN + PAGE_MASK) >> S2_PAGE_LG2;
}

static bool is_low(const struct s2_uv *uv, uint64_t hpa)
{
	return hpa < uv->config.lowcore_len;
}

static uint16_t check_guest(const struct s2_uv *uv, uint64_t origin, uint64_t len, uint64_t asce)
{
	if (origin > uv->config.guest_max) {
		return S2_UVC_RC_CONF_ORIGIN;
	}
	if (len == 0 || len - 1 > uv->config.guest_max - origin) {
		return S2_UVC_RC_CONF_LEN;
	}
	if ((origin | len) % MIB != 0) {
		return S2_UVC_RC_ALIGN;
	}
	if ((asce & ASCE_PRIVATE) == 0 || (asce & ASCE_REAL_SPACE) != 0) {
		return S2_UVC_RC_CONF_ASCE;
	}
	for (uint32_t i = 0; i < uv->config.conf_max; i++) {
		if (uv->conf[i] != NULL && uv->conf[i]->asce == asce) {
			return S2_UVC_RC_ASCE_USED;
		}
	}
	return 0;
}

static uint16_t check_storage(const struct s2_uv *uv, uint64_t base, uint64_t sca)
{
	if (!s2_uv_is_memory(uv, base) || !s2_uv_is_memory(uv, base + CONF_BASE_LEN - 1)) {
		return S2_UVC_RC_CONF_BASE;
	}
	if (is_low(uv, base)) {
		return S2_UVC_RC_CONF_BASE_LOW;
	}
	if ((base & PAGE_MASK) != 0) {
		return S2_UVC_RC_ALIGN;
	}
	if (sca == 0) {
		return S2_UVC_RC_CONF_NO_SCA;
	}
	return s2_uv_is_memory(uv, sca) ? 0 : S2_UVC_RC_CONF_SCA;
}

/* The pages of base and virtual storage. */
static uint16_t list_storage(const struct s2_uv *uv, struct s2_uv_conf *conf, uint64_t base,
			     uint64_t virt)
{
	uint64_t count = 0;

	for (uint64_t i = 0; i < CONF_BASE_LEN >> S2_PAGE_LG2; i++) {
		conf->donated[count++] = base + (i << S2_PAGE_LG2);
	}
	for (; count < conf->donated_count; virt += S2_PAGE_SIZE) {
		if (!uv_walk(uv, 0, virt, &conf->donated[count])) {
			return S2_UVC_RC_STORAGE;
		}
		if (is_low(uv, conf->donated[count++])) {
			return S2_UVC_RC_CONF_VIRT_LOW;
		}
	}
	return 0;
}

/* Its memory; what is in it, is donated, or is secure is another's business. */
static void conf_free_memory(const struct s2_uv *uv, struct s2_uv_conf *conf)
{
	for (uint64_t i = 0; conf->chunk != NULL && i < conf->chunk_count; i++) {
		uv_free(uv, conf->chunk[i], MIB_PAGES * sizeof(struct s2_uv_page));
	}
	uv_free(uv, conf->chunk, (size_t)conf->chunk_count * sizeof(struct s2_uv_page *));
	uv_free(uv, conf->donated, (size_t)conf->donated_count * sizeof(uint64_t));
	memset(conf, 0, sizeof(*conf)); /* keys */
	uv_free(uv, conf, sizeof(*conf));
}

static struct s2_uv_conf *conf_alloc(const struct s2_uv *uv, uint64_t len)
{
	struct s2_uv_conf *conf = uv_alloc(uv, sizeof(*conf));

	if (conf == NULL) {
		return NULL;
	}
	conf->chunk_count = len >> MIB_LG2;
	conf->donated_count = (CONF_BASE_LEN >> S2_PAGE_LG2) + virt_pages(len);
	conf->chunk = uv_alloc(uv, (size_t)conf->chunk_count * sizeof(struct s2_uv_page *));
	conf->donated = uv_alloc(uv, (size_t)conf->donated_count * sizeof(uint64_t));
	if (conf->chunk == NULL || conf->donated == NULL) {
		conf_free_memory(uv, conf);
		return NULL;
	}
	return conf;
}

static uint16_t conf_fill(const struct uv_call *call, struct s2_uv_conf *conf)
{
	struct s2_uv *uv = call->uv;
	uint16_t rc;

	conf->origin = uv_arg(call, S2_UVCB_CONF_ORIGIN);
	conf->len = uv_arg(call, S2_UVCB_CONF_LEN);
	conf->asce = uv_arg(call, S2_UVCB_CONF_ASCE);
	if (!uv->config.ops->random(uv->config.cookie, conf->key, sizeof(conf->key))) {
		return S2_UVC_RC_CIPHER;
	}
	rc = list_storage(uv, conf, uv_arg(call, S2_UVCB_CONF_BASE),
			  uv_arg(call, S2_UVCB_CONF_VIRT));
	return rc != 0 ? rc : s2_uv_donate(uv, conf->handle, conf->donated, conf->donated_count);
}

int s2_uv_create_conf(struct uv_call *call)
{
	struct s2_uv *uv = call->uv;
	uint64_t len = uv_arg(call, S2_UVCB_CONF_LEN);
	struct s2_uv_conf *conf;
	uint32_t slot = 0;
	uint16_t rc;

	rc = check_guest(uv, uv_arg(call, S2_UVCB_CONF_ORIGIN), len,
			 uv_arg(call, S2_UVCB_CONF_ASCE));
	if (rc == 0) {
		rc = check_storage(uv, uv_arg(call, S2_UVCB_CONF_BASE),
				   uv_arg(call, S2_UVCB_CONF_SCA));
	}
	if (rc != 0) {
		return uv_fail(call, rc);
	}
	while (slot < uv->config.conf_max && uv->conf[slot] != NULL) {
		slot++;
	}
	if (slot == uv->config.conf_max) {
		return uv_fail(call, S2_UVC_RC_LIMIT);
	}
	conf = conf_alloc(uv, len);
	if (conf == NULL) {
		return uv_fail(call, S2_UVC_RC_NOMEM);
	}
	conf->handle = (uv->generation + 1) << 16 | (slot + 1);
	rc = conf_fill(call, conf);
	if (rc != 0) {
		conf_free_memory(uv, conf);
		return uv_fail(call, rc);
	}
	uv->generation++;
	uv->conf[slot] = conf;
	s2_uvcb_put64(call->block, S2_UVCB_HANDLE, conf->handle);
	return S2_UVC_CC_OK;
}

/* What is left of it is secure pages without an owner. */
void s2_uv_conf_free(struct s2_uv *uv, struct s2_uv_conf *conf)
{
	while (conf->cpus != NULL) {
		struct s2_uv_cpu *cpu = conf->cpus;

		conf->cpus = cpu->next;
		s2_uv_give_back(uv, &cpu->page, 1);
		uv_free(uv, cpu, sizeof(*cpu));
	}
	s2_uv_give_back(uv, conf->donated, conf->donated_count);
	uv->conf[(conf->handle & 0xffff) - 1] = NULL;
	conf_free_memory(uv, conf);
}

void s2_uv_part_begin(struct s2_uv_conf *conf, uint16_t cmd)
{
	if (conf->op == 0) {
		conf->cursor = 0;
	}
	conf->op = cmd;
}

struct s2_uv_page *s2_uv_part_page(struct s2_uv_conf *conf, unsigned states)
{
	for (; conf->cursor < conf->chunk_count * MIB_PAGES; conf->cursor++) {
		struct s2_uv_page *chunk = conf->chunk[conf->cursor / MIB_PAGES];
		struct s2_uv_page *page;

		if (chunk == NULL) {
			conf->cursor |= MIB_PAGES - 1;
			continue;
		}
		page = &chunk[conf->cursor % MIB_PAGES];
		if ((states >> (page->word & PAGE_STATE) & 1) != 0) {
			return page;
		}
	}
	return NULL;
}

/* Clears the secure pages of a part of guest storage. False: there are more. */
static bool clear_pages(struct uv_call *call, struct s2_uv_conf *conf)
{
	struct s2_uv_page *page;

	while ((page = s2_uv_part_page(conf, 1u << S2_UV_SECURE)) != NULL) {
		if (call->budget == 0) {
			return false;
		}
		call->budget--;
		s2_uv_scrub(call->uv, page->word & ~PAGE_MASK);
		memset(page, 0, sizeof(*page));
	}
	return true;
}

/* A configuration that may go: it has no CPUs. Else *conf is NULL, and that is the answer. */
static int get_unused(struct uv_call *call, struct s2_uv_conf **conf)
{
	int cc = s2_uv_conf_get(call, uv_arg(call, S2_UVCB_HANDLE), conf);

	if (*conf != NULL && (*conf)->cpus != NULL) {
		*conf = NULL;
		cc = uv_fail(call, S2_UVC_RC_IN_USE);
	}
	return cc;
}

int s2_uv_destroy_conf(struct uv_call *call)
{
	struct s2_uv_conf *conf;
	int cc = get_unused(call, &conf);

	if (conf == NULL) {
		return cc;
	}
	s2_uv_part_begin(conf, S2_UVC_DESTROY_CONF);
	if (!clear_pages(call, conf)) {
		return S2_UVC_CC_PARTIAL;
	}
	s2_uv_conf_free(call->uv, conf);
	return S2_UVC_CC_OK;
}

int s2_uv_destroy_conf_fast(struct uv_call *call)
{
	struct s2_uv_conf *conf;
	int cc = get_unused(call, &conf);

	if (conf == NULL) {
		return cc;
	}
	s2_uv_conf_free(call->uv, conf);
	return S2_UVC_CC_OK;
}

static uint16_t check_cpu(const struct uv_call *call, const struct s2_uv_conf *conf)
{
	const struct s2_uv *uv = call->uv;
	uint64_t number = s2_uvcb_get(call->block, S2_UVCB_CPU_NUMBER, 2);
	uint64_t storage = uv_arg(call, S2_UVCB_CPU_STORAGE);

	if (number > uv->config.cpu_max) {
		return S2_UVC_RC_CPU_NUMBER;
	}
	for (const struct s2_uv_cpu *cpu = conf->cpus; cpu != NULL; cpu = cpu->next) {
		if (cpu->number == number) {
			return S2_UVC_RC_CPU_DEFINED;
		}
	}
	/* The lowcore is no memory to give away, whether or not the machine has it. */
	if (is_low(uv, storage)) {
		return S2_UVC_RC_CPU_STORAGE_LOW;
	}
	if (!s2_uv_is_memory(uv, storage)) {
		return S2_UVC_RC_CPU_STORAGE;
	}
	if ((storage & PAGE_MASK) != 0) {
		return S2_UVC_RC_ALIGN;
	}
	if (!s2_uv_is_memory(uv, uv_arg(call, S2_UVCB_CPU_STATE))) {
		return S2_UVC_RC_CPU_STATE;
	}
	return conf->spoilt ? S2_UVC_RC_INV_STATE : 0;
}

int s2_uv_create_cpu(struct uv_call *call)
{
	struct s2_uv *uv = call->uv;
	struct s2_uv_conf *conf;
	struct s2_uv_cpu *cpu;
	int cc = s2_uv_conf_get(call, uv_arg(call, S2_UVCB_CPU_CONF), &conf);
	uint16_t rc;

	if (conf == NULL) {
		return cc;
	}
	rc = check_cpu(call, conf);
	if (rc != 0) {
		return uv_fail(call, rc);
	}
	cpu = uv_alloc(uv, sizeof(*cpu));
	if (cpu == NULL) {
		return uv_fail(call, S2_UVC_RC_NOMEM);
	}
	cpu->page = uv_arg(call, S2_UVCB_CPU_STORAGE);
	rc = s2_uv_donate(uv, conf->handle, &cpu->page, 1);
	if (rc != 0) {
		uv_free(uv, cpu, sizeof(*cpu));
		return uv_fail(call, rc);
	}
	cpu->handle = ++uv->generation << 16; /* no slot: never a configuration's */
	cpu->number = (uint16_t)s2_uvcb_get(call->block, S2_UVCB_CPU_NUMBER, 2);
	cpu->order = S2_UV_CPU_STOPPED;
	cpu->next = conf->cpus;
	conf->cpus = cpu;
	s2_uvcb_put64(call->block, S2_UVCB_HANDLE, cpu->handle);
	return S2_UVC_CC_OK;
}

/* The link that holds a CPU, and its configuration; NULL if there is no such CPU. */
static struct s2_uv_cpu **find_cpu(const struct uv_call *call, struct s2_uv_conf **conf)
{
	uint64_t handle = uv_arg(call, S2_UVCB_HANDLE);

	for (uint32_t i = 0; i < call->uv->config.conf_max; i++) {
		*conf = call->uv->conf[i];
		if (*conf == NULL) {
			continue;
		}
		for (struct s2_uv_cpu **cpu = &(*conf)->cpus; *cpu != NULL; cpu = &(*cpu)->next) {
			if ((*cpu)->handle == handle) {
				return cpu;
			}
		}
	}
	return NULL;
}

int s2_uv_destroy_cpu(struct uv_call *call)
{
	struct s2_uv_conf *conf;
	struct s2_uv_cpu **link = find_cpu(call, &conf);
	struct s2_uv_cpu *cpu;

	if (link == NULL) {
		return uv_fail(call, S2_UVC_RC_INV_CPU);
	}
	cpu = *link;
	*link = cpu->next;
	s2_uv_give_back(call->uv, &cpu->page, 1);
	uv_free(call->uv, cpu, sizeof(*cpu));
	return S2_UVC_CC_OK;
}

int s2_uv_cpu_set_state(struct uv_call *call)
{
	struct s2_uv_conf *conf;
	struct s2_uv_cpu **link = find_cpu(call, &conf);
	uint8_t order = call->block[S2_UVCB_CPU_ORDER];

	if (link == NULL) {
		return uv_fail(call, S2_UVC_RC_INV_CPU);
	}
	switch (order) {
	case S2_UV_CPU_OPERATING:
	case S2_UV_CPU_STOPPED:
	case S2_UV_CPU_CHECK_STOP:
		break;
	case S2_UV_CPU_LOAD:
		if (conf->phase != PHASE_VERIFIED) {
			return uv_fail(call, S2_UVC_RC_INV_STATE);
		}
		break;
	default:
		return uv_fail(call, S2_UVC_RC_CPU_ORDER);
	}
	(*link)->order = order;
	return S2_UVC_CC_OK;
}
