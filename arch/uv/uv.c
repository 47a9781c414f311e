/* SPDX-License-Identifier: BSD-2-Clause */
/* The call: which commands there are, who may issue them; and the object itself. */
#include "internal.h"

#define QUERY_LEN_MIN \
	0xa8 /* kvm-unit-tests: 0xa0 is too short, 0xa8 is answered with "more data" */
#define FEATURE_MISC (UINT64_C(1) << 63) /* an import takes a page that another guest shares */
#define HEADER_VERSION_0100 (UINT64_C(1) << 63)

#define HOST 1u	 /* may issue the command */
#define GUEST 2u /* may issue the command */
#define EARLY 4u /* before INIT, too */
#define IMAGE 8u /* needs a cipher for images */
#define PARTS 16u

struct command {
	uint16_t cmd;
	uint16_t len;
	uint8_t bit; /* in QUERY */
	uint8_t flags;
	int (*run)(struct uv_call *call);
};

static int query(struct uv_call *call);
static int init(struct uv_call *call);

static const struct command commands[] = {
	{S2_UVC_QUERY, 0x120, 0, HOST | GUEST | EARLY, query},
	{S2_UVC_INIT, 0x48, 1, HOST | EARLY, init},
	{S2_UVC_CREATE_CONF, 0x80, 2, HOST, s2_uv_create_conf},
	{S2_UVC_DESTROY_CONF, 0x40, 3, HOST | PARTS, s2_uv_destroy_conf},
	{S2_UVC_DESTROY_CONF_FAST, 0x48, 23, HOST, s2_uv_destroy_conf_fast},
	{S2_UVC_CREATE_CPU, 0x60, 4, HOST, s2_uv_create_cpu},
	{S2_UVC_DESTROY_CPU, 0x40, 5, HOST, s2_uv_destroy_cpu},
	{S2_UVC_IMPORT, 0x28, 6, HOST, s2_uv_import},
	{S2_UVC_EXPORT, 0x20, 7, HOST, s2_uv_export},
	/* Linux has no bit for it: it comes with EXPORT. */
	{S2_UVC_DESTROY, 0x20, 7, HOST, s2_uv_destroy},
	{S2_UVC_SET_PARAMS, 0x50, 11, HOST | IMAGE, s2_uv_set_params},
	{S2_UVC_UNPACK, 0x50, 13, HOST | IMAGE, s2_uv_unpack},
	{S2_UVC_VERIFY, 0x40, 14, HOST | IMAGE, s2_uv_verify},
	{S2_UVC_CPU_SET_STATE, 0x50, 17, HOST, s2_uv_cpu_set_state},
	{S2_UVC_UNSHARE_ALL, 0x40, 20, HOST | PARTS, s2_uv_unshare_all},
	{S2_UVC_PIN, 0x20, 21, HOST, s2_uv_pin},
	{S2_UVC_UNPIN, 0x28, 22, HOST, s2_uv_unpin},
	{S2_UVC_SHARE, 0x30, 8, GUEST, s2_uv_share},
	{S2_UVC_UNSHARE, 0x30, 9, GUEST, s2_uv_unshare},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static const struct command *find_command(uint16_t cmd)
{
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (commands[i].cmd == cmd) {
			return &commands[i];
		}
	}
	return NULL;
}

uint16_t s2_uvc_len(uint16_t cmd)
{
	const struct command *command = find_command(cmd);

	return command == NULL ? 0 : command->len;
}

void s2_uvcb_begin(union s2_uvcb *block, uint16_t cmd)
{
	memset(block, 0, sizeof(*block));
	s2_uvcb_put(block, S2_UVCB_LEN, 2, s2_uvc_len(cmd));
	s2_uvcb_put(block, S2_UVCB_CMD, 2, cmd);
}

static bool is_offered(const struct uv_call *call, const struct command *command)
{
	const struct s2_uv_cipher *cipher = call->uv->cipher;

	if ((command->flags & IMAGE) && (cipher->image == NULL || cipher->digest == NULL)) {
		return false;
	}
	return command->flags & (call->guest == 0 ? HOST : GUEST);
}

static void query_host(const struct s2_uv *uv, uint8_t *block)
{
	s2_uvcb_put64(block, S2_UVCB_QUERY_BASE, UV_BASE_LEN);
	s2_uvcb_put64(block, S2_UVCB_QUERY_CONF_BASE, CONF_BASE_LEN);
	s2_uvcb_put64(block, S2_UVCB_QUERY_CONF_VIRT, CONF_VIRT_LEN);
	s2_uvcb_put64(block, S2_UVCB_QUERY_CONF_VAR, CONF_VAR_LEN);
	s2_uvcb_put64(block, S2_UVCB_QUERY_CPU, CPU_LEN);
	s2_uvcb_put(block, S2_UVCB_QUERY_CONF_MAX, 4, uv->config.conf_max);
	s2_uvcb_put64(block, S2_UVCB_QUERY_GUEST_MAX, uv->config.guest_max);
	s2_uvcb_put(block, S2_UVCB_QUERY_CPU_MAX, 2, uv->config.cpu_max);
	s2_uvcb_put64(block, S2_UVCB_QUERY_FEATURES, FEATURE_MISC);
	s2_uvcb_put64(block, S2_UVCB_QUERY_HEADERS, HEADER_VERSION_0100);
}

/* A block that is too short is filled as far as it goes; in one that is longer, the rest is 0. */
static int query(struct uv_call *call)
{
	union s2_uvcb answer;
	size_t len = (size_t)s2_uvcb_get(call->block, S2_UVCB_LEN, 2);
	size_t part = len < sizeof(answer) ? len : sizeof(answer);

	memset(&answer, 0, sizeof(answer));
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		if (is_offered(call, &commands[i])) {
			answer.byte[S2_UVCB_QUERY_CALLS + commands[i].bit / 8] |=
				(uint8_t)(0x80 >> commands[i].bit % 8);
		}
	}
	if (call->guest == 0) {
		query_host(call->uv, answer.byte);
	}
	memset(call->block + 8, 0, len - 8);
	memcpy(call->block + 8, answer.byte + 8, part - 8);
	return len < sizeof(answer) ? uv_fail(call, S2_UVC_RC_MORE_DATA) : S2_UVC_CC_OK;
}

static uint16_t check_init(const struct s2_uv *uv, uint64_t origin, uint64_t len)
{
	if (uv->init_page != NULL) {
		return S2_UVC_RC_INIT_TWICE;
	}
	if (len != UV_BASE_LEN) {
		return S2_UVC_RC_INIT_LEN;
	}
	if (!s2_uv_is_memory(uv, origin) || (origin & PAGE_MASK) != 0) {
		return S2_UVC_RC_INIT_ORIGIN;
	}
	if (!s2_uv_is_memory(uv, origin + len - 1)) {
		return S2_UVC_RC_INIT_END;
	}
	return origin < uv->config.init_min || origin < uv->config.lowcore_len ? S2_UVC_RC_INIT_LOW
									       : 0;
}

static int init(struct uv_call *call)
{
	struct s2_uv *uv = call->uv;
	uint64_t origin = uv_arg(call, S2_UVCB_INIT_ORIGIN);
	uint64_t count = UV_BASE_LEN >> S2_PAGE_LG2;
	uint64_t *page;
	uint16_t rc = check_init(uv, origin, uv_arg(call, S2_UVCB_INIT_LEN));

	if (rc != 0) {
		return uv_fail(call, rc);
	}
	page = uv_alloc(uv, (size_t)count * sizeof(*page));
	if (page == NULL) {
		return uv_fail(call, S2_UVC_RC_NOMEM);
	}
	for (uint64_t i = 0; i < count; i++) {
		page[i] = origin + (i << S2_PAGE_LG2);
	}
	rc = s2_uv_donate(uv, 0, page, count);
	if (rc != 0) {
		uv_free(uv, page, (size_t)count * sizeof(*page));
		return uv_fail(call, rc);
	}
	uv->init_page = page;
	uv->init_count = count;
	return S2_UVC_CC_OK;
}

static bool is_length(const struct command *command, size_t len)
{
	if (command->cmd == S2_UVC_QUERY) {
		return len >= QUERY_LEN_MIN && len % 8 == 0;
	}
	return len == command->len;
}

/* The block is well formed. */
static int execute(struct uv_call *call, const struct command *command)
{
	const struct s2_uv_config *config = &call->uv->config;

	call->budget = config->budget;
	if (config->ops->inject != NULL) {
		int cc = config->ops->inject(config->cookie, call->cmd, &call->rc, &call->rrc);

		if (cc == S2_UVC_CC_PARTIAL && (command->flags & PARTS)) {
			call->budget = 1;
		} else if (cc != S2_UVC_CC_OK) {
			return cc;
		}
	}
	if (call->uv->init_page == NULL && !(command->flags & EARLY)) {
		return uv_fail(call, S2_UVC_RC_INV_STATE);
	}
	if (call->guest != 0 && s2_uv_conf_find(call->uv, call->guest) == NULL) {
		return uv_fail(call, S2_UVC_RC_INV_CONF);
	}
	return command->run(call);
}

static int answer(struct uv_call *call, int cc)
{
	if (cc >= 0) {
		call->uv->count.cc[cc & 3]++;
	}
	if (cc == S2_UVC_CC_OK) {
		call->rc = S2_UVC_RC_EXECUTED;
		call->rrc = 0;
	}
	if (cc == S2_UVC_CC_OK || cc == S2_UVC_CC_ERROR) {
		s2_uvcb_put(call->block, S2_UVCB_RC, 2, call->rc);
		s2_uvcb_put(call->block, S2_UVCB_RRC, 2, call->rrc);
	}
	return cc;
}

int s2_uvc(struct s2_uv *uv, uint64_t guest, void *block, size_t size)
{
	struct uv_call call = {.uv = uv, .block = block, .guest = guest};
	const struct command *command;
	size_t len;

	if (size < 8) {
		return S2_UVC_ADDRESSING;
	}
	len = (size_t)s2_uvcb_get(block, S2_UVCB_LEN, 2);
	call.cmd = (uint16_t)s2_uvcb_get(block, S2_UVCB_CMD, 2);
	command = find_command(call.cmd);
	if (command != NULL && is_offered(&call, command) && is_length(command, len) &&
	    size < len) {
		return S2_UVC_ADDRESSING; /* not executed at all: not counted either */
	}
	uv->count.calls++;
	if (command == NULL || !is_offered(&call, command)) {
		return answer(&call, uv_fail(&call, S2_UVC_RC_INV_CMD));
	}
	if (!is_length(command, len)) {
		return answer(&call, uv_fail(&call, S2_UVC_RC_INV_LEN));
	}
	return answer(&call, execute(&call, command));
}

int s2_uv_nth(struct s2_uv_nth *nth, uint16_t cmd, uint16_t *rc, uint16_t *rrc)
{
	if (nth->count == 0 || (nth->cmd != 0 && nth->cmd != cmd)) {
		return S2_UVC_CC_OK;
	}
	if (nth->skip > 0) {
		nth->skip--;
		return S2_UVC_CC_OK;
	}
	nth->count--;
	*rc = nth->rc;
	*rrc = nth->rrc;
	return nth->cc;
}

static enum s2_err check_config(const struct s2_uv_config *config)
{
	const struct s2_uv_ops *ops = config->ops;

	if (ops == NULL || config->cipher == NULL || config->env.alloc == NULL ||
	    config->env.free == NULL || ops->page == NULL || ops->walk == NULL ||
	    ops->random == NULL || (ops->hide == NULL) != (ops->show == NULL) ||
	    config->cipher->seal == NULL || config->cipher->open == NULL ||
	    config->memory_len == 0 || config->conf_max > 65535) {
		return S2_ERR_INVAL;
	}
	if ((config->memory_start.val | config->memory_len) % MIB != 0) {
		return S2_ERR_ALIGN;
	}
	if (config->memory_start.val + (config->memory_len - 1) < config->memory_start.val) {
		return S2_ERR_WRAP;
	}
	return S2_OK;
}

static void set_defaults(struct s2_uv_config *config)
{
	config->guest_max = config->guest_max ? config->guest_max : (UINT64_C(1) << 42) - 1;
	config->conf_max = config->conf_max ? config->conf_max : 64;
	config->cpu_max = config->cpu_max ? config->cpu_max : 247;
	config->budget = config->budget ? config->budget : 256;
}

static void free_tables(struct s2_uv *uv)
{
	for (uint64_t i = 0; uv->frame != NULL && i < uv->frame_count; i++) {
		uv_free(uv, uv->frame[i], MIB_PAGES * sizeof(struct s2_uv_frame));
	}
	uv_free(uv, uv->frame, (size_t)uv->frame_count * sizeof(struct s2_uv_frame *));
	uv_free(uv, uv->conf, uv->config.conf_max * sizeof(struct s2_uv_conf *));
	uv_free(uv, uv->scratch, S2_PAGE_SIZE);
}

static bool get_host_key(struct s2_uv *uv)
{
	if (uv->config.host_key == NULL) {
		return uv->config.ops->random(uv->config.cookie, uv->host_key,
					      sizeof(uv->host_key));
	}
	memcpy(uv->host_key, uv->config.host_key, sizeof(uv->host_key));
	return true;
}

enum s2_err s2_uv_init(struct s2_uv *uv, const struct s2_uv_config *config)
{
	enum s2_err err = check_config(config);

	if (err != S2_OK) {
		return err;
	}
	memset(uv, 0, sizeof(*uv));
	uv->config = *config;
	set_defaults(&uv->config);
	uv->cipher = config->cipher;
	uv->frame_count = config->memory_len >> MIB_LG2;
	uv->frame = uv_alloc(uv, (size_t)uv->frame_count * sizeof(struct s2_uv_frame *));
	uv->conf = uv_alloc(uv, uv->config.conf_max * sizeof(struct s2_uv_conf *));
	uv->scratch = uv_alloc(uv, S2_PAGE_SIZE);
	if (uv->frame == NULL || uv->conf == NULL || uv->scratch == NULL || !get_host_key(uv)) {
		free_tables(uv);
		return S2_ERR_NOMEM;
	}
	return S2_OK;
}

void s2_uv_fini(struct s2_uv *uv)
{
	for (uint32_t i = 0; i < uv->config.conf_max; i++) {
		if (uv->conf[i] != NULL) {
			s2_uv_conf_free(uv, uv->conf[i]);
		}
	}
	s2_uv_give_back(uv, uv->init_page, uv->init_count);
	uv_free(uv, uv->init_page, (size_t)uv->init_count * sizeof(*uv->init_page));
	/* What is left has no owner. */
	for (uint64_t i = 0; i < uv->config.memory_len; i += S2_PAGE_SIZE) {
		uint64_t hpa = uv->config.memory_start.val + i;
		const struct s2_uv_frame *frame = s2_uv_frame_find(uv, hpa);

		if (frame == NULL) {
			i |= MIB - S2_PAGE_SIZE;
		} else if (s2_uv_frame_state(uv, frame) == FRAME_ORPHAN) {
			s2_uv_scrub(uv, hpa);
		}
	}
	memset(uv->scratch, 0, S2_PAGE_SIZE);
	free_tables(uv);
	memset(uv, 0, sizeof(*uv));
}

struct s2_uv_count s2_uv_count(const struct s2_uv *uv)
{
	return uv->count;
}
