/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Protection in the manner of s390 for an ordinary KVM guest: what the host reaches for is exported,
 * that is sealed, first; what the guest reaches for is imported first, and only if it is what was sealed.
 * All pages are SECURE for the tracker from the start; of those that the guest has not used yet, the
 * Ultravisor hears when they are touched for the first time.
 */
#include "protect_uv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "arch.h"
#include "log.h"
#include "vm.h"

#define AROUND (16 * S2_PAGE_SIZE) /* pages that come with a new one */

static int check(const struct vm *vm)
{
	const int err = uv_views_possible();

	if (vm->config.backing != RAM_MEMFD) {
		log_error("'--protect uv' maps the guest's memory more than once: use --backing "
			  "memfd, which is what it takes if nothing is said");
		return EXIT_CODE_USAGE;
	}
	if (err == -ENOSYS) {
		log_error("'--protect uv' needs userfaultfd with minor faults on shared memory: "
			  "Linux 5.14 or newer, with CONFIG_USERFAULTFD");
		return EXIT_CODE_UNAVAILABLE;
	}
	if (err) {
		log_error("no permission to see KVM's page faults (%s): run as root, or get access "
			  "to /dev/userfaultfd",
			  strerror(-err));
		return EXIT_CODE_NO_PERMISSION;
	}
	return 0;
}

static struct s2_answer convert(void *cookie, enum s2_move move, struct s2_range range)
{
	struct memory *memory = cookie;
	struct protect_uv *uv = memory->protect;

	return uv_guest_convert(&uv->guest, move, range);
}

/*
 * The page is new to the guest: zeros. So are those that follow, up to a limit: it is likely to want them
 * next, and each time that it waits costs far more than a page of zeros. Bytes that are there now.
 */
static uint64_t bring_new(struct memory *memory, s2_gpa_t gpa)
{
	struct protect_uv *uv = memory->protect;
	const uint64_t left = memory->ram.gpa.val + memory->ram.len - gpa.val;
	struct s2_range range = s2_range(gpa, left < AROUND ? left : AROUND);
	struct s2_span span;

	if (s2_track_next(&memory->track, gpa, range, &span)) {
		return 0;
	}
	range.len = S2_PAGE_SIZE;
	while (range.len < span.range.len &&
	       uv_guest_unused(&uv->guest, s2_gpa(gpa.val + range.len))) {
		range.len += S2_PAGE_SIZE;
	}
	return uv_guest_convert(&uv->guest, S2_DONATE, range).done;
}

/*
 * The guest waits for the page. Returns how many bytes from there on it can have: what it is to find in
 * them is there; 0: it cannot have the page, and *why says so.
 */
static uint64_t bring_in(struct memory *memory, s2_gpa_t gpa, const char **why)
{
	struct protect_uv *uv = memory->protect;
	struct s2_page page = {.state = S2_NONE};
	bool ok = !s2_track_get(&memory->track, gpa, &page) && !page.moving;

	*why = "cannot be had";
	if (!ok || page.state == S2_NONE || page.state == S2_POISONED) {
		return 0;
	}
	if (page.state == S2_SECURE && uv_guest_unused(&uv->guest, gpa)) {
		return bring_new(memory, gpa);
	}
	if (page.state == S2_EXPORTED &&
	    memory_convert(memory, S2_IMPORT, s2_range(gpa, S2_PAGE_SIZE))) {
		if (uv->guest.backend.last.rc == S2_UVC_RC_SEAL) {
			*why = "is not what was exported: the host has changed it";
		}
		return 0;
	}
	return S2_PAGE_SIZE;
}

static void handle(struct memory *memory, uint64_t offset)
{
	struct protect_uv *uv = memory->protect;
	const s2_gpa_t gpa = s2_gpa(memory->ram.gpa.val + offset);
	const char *why;
	uint64_t len;
	bool ok;

	memory_lock(memory);
	len = bring_in(memory, gpa, &why);
	ok = len && !uv_views_give(&uv->views, offset, len);
	memory_unlock(memory);
	if (ok) {
		return;
	}
	log_error("gpa 0x%" PRIx64 " %s: the guest cannot go on", gpa.val, why);
	uv->fail(uv->cookie);
	if (uv_views_deny(&uv->views, offset)) {
		log_note("the guest still waits for gpa 0x%" PRIx64, gpa.val);
	}
}

static void *handler(void *cookie)
{
	struct memory *memory = cookie;
	struct protect_uv *uv = memory->protect;
	uint64_t offset;

	while (uv_views_wait(&uv->views, uv->stop, &offset)) {
		handle(memory, offset);
	}
	return NULL;
}

int protect_uv_init(struct memory *memory, unsigned int cpu_count, bool kvm,
		    void (*fail)(void *cookie), void *cookie)
{
	struct protect_uv *uv = calloc(1, sizeof(*uv));
	int err;

	if (!uv) {
		return -ENOMEM;
	}
	uv->fail = fail;
	uv->cookie = cookie;
	err = uv_views_init(&uv->views, &memory->ram, kvm);
	if (err) {
		free(uv);
		return err;
	}
	err = uv_guest_init(&uv->guest, &uv->views, &memory->ram, cpu_count);
	if (err) {
		uv_views_fini(&uv->views);
		free(uv);
		return err;
	}
	memory->protect = uv;
	uv->stop = eventfd(0, EFD_CLOEXEC);
	err = uv->stop < 0 ? -errno : -pthread_create(&uv->handler, NULL, handler, memory);
	uv->handling = !err;
	if (err) {
		protect_uv_fini(memory);
	}
	return err;
}

void protect_uv_fini(struct memory *memory)
{
	struct protect_uv *uv = memory->protect;
	const uint64_t one = 1;

	if (!uv) {
		return;
	}
	if (uv->handling && write(uv->stop, &one, sizeof(one)) == sizeof(one)) {
		pthread_join(uv->handler, NULL);
	}
	if (uv->stop >= 0) {
		close(uv->stop);
	}
	uv_guest_fini(&uv->guest);
	uv_views_fini(&uv->views);
	free(uv);
	memory->protect = NULL;
}

int protect_uv_boot(struct memory *memory)
{
	struct protect_uv *uv = memory->protect;
	int err;

	memory_lock(memory);
	err = uv_guest_boot(&uv->guest, memory->loaded, memory->loaded_count);
	memory_unlock(memory);
	return err;
}

static void guest_failed(void *cookie)
{
	vm_stop(cookie, EXIT_CODE_GUEST_FAILED);
}

static int create(struct vm *vm)
{
	const struct protect_uv *uv;
	const int err = protect_uv_init(&vm->memory, vm->config.cpu_count, true, guest_failed, vm);
	int code;

	if (err) {
		log_error("cannot set up the Ultravisor: %s", strerror(-err));
		return EXIT_CODE_OS;
	}
	uv = vm->memory.protect;
	code = protect_slot(vm, s2_hva((uintptr_t)uv->views.slot));
	return code ? code : arch_forward_calls(vm);
}

static int start(struct vm *vm)
{
	return protect_uv_boot(&vm->memory) ? EXIT_CODE_INTERNAL : 0;
}

/* The tracker's states but SECURE are open for the host; it may just be that the kernel swapped. */
static enum memory_err host_access(struct memory *memory, s2_gpa_t gpa)
{
	struct protect_uv *uv = memory->protect;
	const struct s2_range range = s2_range(s2_gpa(gpa.val & ~(S2_PAGE_SIZE - 1)), S2_PAGE_SIZE);
	struct s2_page page;

	if (s2_track_get(&memory->track, gpa, &page) || page.moving) {
		return MEMORY_SECURE;
	}
	if (page.state == S2_SECURE && memory_convert(memory, S2_EXPORT, range)) {
		return MEMORY_SECURE;
	}
	return page.state == S2_NONE || page.state == S2_POISONED ||
			       uv_views_show(&uv->views, range.start.val - memory->ram.gpa.val)
		       ? MEMORY_SECURE
		       : MEMORY_OK;
}

static void stats(const struct vm *vm)
{
	struct protect_uv *uv = vm->memory.protect;
	struct s2_uv_count count;

	/* The guest is over. Now, so that what it had can be counted. */
	uv_guest_destroy(&uv->guest);
	count = s2_uv_count(&uv->guest.uv);
	fprintf(stderr,
		"stage2: stats: pages unpacked %" PRIu64 ", new %" PRIu64 ", exported %" PRIu64
		", imported %" PRIu64 " (refused %" PRIu64 "), shared %" PRIu64
		", unshared %" PRIu64 ", destroyed %" PRIu64 "\n",
		count.unpacked, count.first_imports, count.exports,
		count.imports - count.first_imports, count.refused, count.shares, count.unshares,
		uv->guest.destroyed);
}

const struct protect_ops protect_uv = {.arch = "aarch64",
				       .secret = true,
				       .sees_calls = true,
				       .backing = RAM_MEMFD,
				       .check = check,
				       .create = create,
				       .start = start,
				       .convert = convert,
				       .host_access = host_access,
				       .stats = stats,
				       .fini = protect_uv_fini};
