/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's private memory on x86 (KVM_X86_SW_PROTECTED_VM; Linux, Documentation/virt/kvm/api.rst). The
 * guest's page is in one of two places, and a memory attribute says in which:
 *
 *	private  a page of a guest_memfd, which nobody can map, read or write but the guest
 *	shared   a page of RAM's mapping, as of any guest
 *
 * A page that is private has nothing in the other place and cannot get anything there: the mapping is
 * PROT_NONE where the guest's memory is private. A conversion loses what the page held, both ways.
 *
 * The order in each conversion: first what may fail and can be undone, then what cannot be undone. What is
 * neither done nor undone in the end waits as a job of the engine, and its pages count as secure.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <kvm_compat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch.h"
#include "preflight.h"
#include "protect.h"

struct sw {
	int vm;		/* KVM's descriptor of the VM; not owned */
	int memory;	/* the guest_memfd: its offset 0 is the start of RAM */
	bool several;	/* vCPUs */
	bool half_done; /* the last conversion waits to be called again */
};

static uint64_t offset_of(const struct memory *memory, struct s2_range range)
{
	return range.start.val - memory->ram.gpa.val;
}

/* One ioctl for the range: all of it, or an error and none of it (Linux, virt/kvm/kvm_main.c). */
static bool set_private(const struct memory *memory, struct s2_range range, bool is_private)
{
	const struct sw *sw = memory->protect;
	struct kvm_memory_attributes attributes = {
		.address = range.start.val,
		.size = range.len,
		.attributes = is_private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0};

	return !ioctl(sw->vm, KVM_SET_MEMORY_ATTRIBUTES, &attributes);
}

/* May the host's mapping be used there? */
static bool set_mapped(const struct memory *memory, struct s2_range range, bool mapped)
{
	return !mprotect(ram_hva(&memory->ram, range.start), range.len,
			 mapped ? PROT_READ | PROT_WRITE : PROT_NONE);
}

/*
 * Makes these pages a mapping of their own, or lets it grow together with its neighbours. A process can have
 * only so many (vm.max_map_count): whoever would run out of them shall learn that before anything is
 * changed. The advice itself has no meaning for this memory, and unlike mprotect() it touches no page.
 */
static bool set_apart(const struct memory *memory, struct s2_range range, bool apart)
{
	return !madvise(ram_hva(&memory->ram, range.start), range.len,
			apart ? MADV_RANDOM : MADV_NORMAL);
}

static bool discard_shared(const struct memory *memory, struct s2_range range)
{
	const bool file = memory->ram.backing == RAM_MEMFD || memory->ram.backing == RAM_FILE;

	return !madvise(ram_hva(&memory->ram, range.start), range.len,
			file ? MADV_REMOVE : MADV_DONTNEED);
}

static bool discard_private(const struct memory *memory, struct s2_range range)
{
	const struct sw *sw = memory->protect;

	return !fallocate(sw->memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			  (off_t)offset_of(memory, range), (off_t)range.len);
}

/*
 * The guest goes first, so that from the call on it writes to private memory only; until the host's side is
 * gone it holds what the guest had shared. Discarding cannot be undone: from there on it only goes forward.
 * What is empty costs little to take away. Another vCPU may have been about to use the page as shared
 * memory, and brought some back: that is discarded once more, now that no more can come.
 */
static enum s2_reply to_private(const struct memory *memory, struct s2_range range)
{
	const struct sw *sw = memory->protect;

	if (!set_apart(memory, range, true) || !set_private(memory, range, true)) {
		set_apart(memory, range, false);
		return S2_REPLY_FAILED;
	}
	if (!discard_shared(memory, range) || !set_mapped(memory, range, false) ||
	    (sw->several && !discard_shared(memory, range))) {
		return S2_REPLY_AGAIN;
	}
	return S2_REPLY_OK;
}

/* The host's side is empty when it becomes accessible: there is nothing to see before the guest writes. */
static enum s2_reply to_shared(const struct memory *memory, struct s2_range range)
{
	if (!set_mapped(memory, range, true) || !set_private(memory, range, false)) {
		return set_mapped(memory, range, false) ? S2_REPLY_FAILED : S2_REPLY_AGAIN;
	}
	if (!discard_private(memory, range)) {
		return S2_REPLY_AGAIN;
	}
	set_apart(memory, range, false);
	return S2_REPLY_OK;
}

static struct s2_answer convert(void *cookie, enum s2_move move, struct s2_range range)
{
	const struct memory *memory = cookie;
	struct sw *sw = memory->protect;
	enum s2_reply reply = S2_REPLY_FAILED;

	if (move == S2_SHARE) {
		reply = to_shared(memory, range);
	} else if (move == S2_UNSHARE) {
		reply = to_private(memory, range);
	}
	/* What has been half done is not "as it was", wherever it fails the next time. */
	if (reply == S2_REPLY_FAILED && sw->half_done) {
		reply = S2_REPLY_AGAIN;
	}
	sw->half_done = reply == S2_REPLY_AGAIN;
	return (struct s2_answer){.reply = reply, .done = reply == S2_REPLY_OK ? range.len : 0};
}

/*
 * The guest's access is its word: a page that it uses as shared is to be shared, empty. Where the tracker
 * says that the page is as the guest wants it, KVM has another reason, which cannot be mended here.
 */
static enum memory_err guest_fault(struct memory *memory, struct s2_range range, bool is_private)
{
	const enum s2_state wanted = is_private ? S2_SECURE : S2_SHARED;
	const struct s2_page page = memory_page(memory, range.start);

	if (page.state == wanted && !page.moving) {
		return MEMORY_STATE;
	}
	return is_private ? memory_guest_unshare(memory, range) : memory_guest_share(memory, range);
}

static int check(const struct vm *vm)
{
	return preflight_tmpfs(vm, "its pages are discarded one by one");
}

static int refused(const char *what)
{
	log_error("cannot %s: %s", what, strerror(errno));
	return EXIT_CODE_OS;
}

static int check_kvm(const struct vm *vm)
{
	static const struct {
		long capability;
		const char *what;
	} needed[] = {{KVM_CAP_USER_MEMORY2, "memory slots with private memory"},
		      {KVM_CAP_GUEST_MEMFD, "guest_memfd"}};
	int code = 0;

	for (size_t i = 0; !code && i < sizeof(needed) / sizeof(*needed); i++) {
		code = preflight_capability(vm, needed[i].capability, needed[i].what);
	}
	return code;
}

static int create_slot(struct vm *vm, const struct sw *sw)
{
	const struct ram *ram = &vm->memory.ram;
	struct kvm_userspace_memory_region2 slot = {.flags = KVM_MEM_GUEST_MEMFD,
						    .guest_phys_addr = ram->gpa.val,
						    .memory_size = ram->len,
						    .userspace_addr = ram->hva.val,
						    .guest_memfd = (uint32_t)sw->memory};

	return ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION2, &slot) ? refused("give the memory to KVM")
								 : 0;
}

static int create(struct vm *vm)
{
	struct kvm_create_guest_memfd memfd = {.size = vm->memory.ram.len};
	struct sw *sw;
	int code = check_kvm(vm);

	if (code) {
		return code;
	}
	if (ioctl(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_MEMORY_ATTRIBUTES) <= 0) {
		log_error("this host's KVM has no private memory: a kernel with "
			  "CONFIG_KVM_SW_PROTECTED_VM is needed, see guest-images/README.md");
		return EXIT_CODE_UNAVAILABLE;
	}
	sw = malloc(sizeof(*sw));
	if (!sw) {
		return refused("keep track of private memory");
	}
	*sw = (struct sw){.vm = vm->fd, .memory = -1, .several = vm->config.cpu_count > 1};
	vm->memory.protect = sw;
	sw->memory = ioctl(vm->fd, KVM_CREATE_GUEST_MEMFD, &memfd);
	if (sw->memory < 0) {
		return refused("create the guest's private memory");
	}
	code = arch_forward_calls(vm);
	return code ? code : create_slot(vm, sw);
}

/*
 * All becomes private but what was loaded: KVM has no call that puts bytes into the private memory of such
 * a VM, and reads the code and page tables of a guest to emulate its MMIO through the host's mapping.
 */
static int start(struct vm *vm)
{
	struct memory *memory = &vm->memory;
	const struct sw *sw = memory->protect;
	enum s2_err err = S2_OK;
	struct s2_span span;

	for (size_t i = 0; !err && i < memory->loaded_count; i++) {
		err = s2_track_move(&memory->track, memory->loaded[i], S2_SHARE, false);
	}
	for (uint64_t at = 0; !err && at < memory->ram.len; at += span.range.len) {
		err = s2_track_next(&memory->track, s2_gpa(memory->ram.gpa.val + at),
				    memory->track.range, &span);
		if (err || span.page.state != S2_SECURE) {
			continue;
		}
		if (to_private(memory, span.range) != S2_REPLY_OK) {
			return refused("make the guest's memory private");
		}
		if (vm->config.populate &&
		    fallocate(sw->memory, FALLOC_FL_KEEP_SIZE, (off_t)offset_of(memory, span.range),
			      (off_t)span.range.len)) {
			return refused("allocate the guest's private memory");
		}
	}
	if (err) {
		log_error("cannot hand the memory to the guest: %s", s2_strerror(err));
		return EXIT_CODE_INTERNAL;
	}
	return 0;
}

/* struct cachestat and the call are newer than Debian 12's headers (Linux 6.5, include/uapi/linux/mman.h). */
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

/* Bytes of the guest_memfd that have memory; false if the kernel does not say. */
static bool private_bytes(const struct sw *sw, uint64_t *out)
{
	uint64_t all[2] = {0, 0};	    /* offset, length: to the end */
	uint64_t stat[5] = {0, 0, 0, 0, 0}; /* pages: cached, dirty, ... */

	if (syscall(SYS_cachestat, sw->memory, all, stat, 0)) {
		return false;
	}
	*out = stat[0] * S2_PAGE_SIZE;
	return true;
}

/* Bytes of RAM's mapping that have memory. */
static uint64_t shared_bytes(const struct memory *memory)
{
	const uint64_t pages = memory->ram.len / S2_PAGE_SIZE;
	unsigned char present[512];
	uint64_t count = 0;

	for (uint64_t page = 0; page < pages; page += sizeof(present)) {
		const uint64_t rest = pages - page;
		const uint64_t some = rest < sizeof(present) ? rest : sizeof(present);
		const s2_gpa_t gpa = s2_gpa(memory->ram.gpa.val + page * S2_PAGE_SIZE);

		if (mincore(ram_hva(&memory->ram, gpa), some * S2_PAGE_SIZE, present)) {
			break;
		}
		for (uint64_t i = 0; i < some; i++) {
			count += present[i] & 1;
		}
	}
	return count * S2_PAGE_SIZE;
}

static void stats(const struct vm *vm)
{
	const struct memory *memory = &vm->memory;
	uint64_t bytes = 0;
	struct s2_track_sum sum;

	if (s2_track_sum(&memory->track, memory->track.range, &sum)) {
		return;
	}
	fprintf(stderr, "stage2: stats: private %" PRIu64 " pages of 4K, ", sum.state[S2_SECURE]);
	if (private_bytes(memory->protect, &bytes)) {
		fprintf(stderr, "%" PRIu64 " KiB in memory; ", bytes >> 10);
	}
	fprintf(stderr, "shared %" PRIu64 " pages, %" PRIu64 " KiB in memory\n",
		sum.state[S2_SHARED], shared_bytes(memory) >> 10);
}

/* Whoever lent the RAM gets a mapping back that can be used. */
static void fini(struct memory *memory)
{
	struct sw *sw = memory->protect;

	if (!sw) {
		return;
	}
	if (!memory->owned && !set_mapped(memory, memory->track.range, true)) {
		log_note("cannot make the guest's former memory accessible: %s", strerror(errno));
	}
	if (sw->memory >= 0) {
		close(sw->memory);
	}
	free(sw);
	memory->protect = NULL;
}

const struct protect_ops protect_sw = {.arch = "x86_64",
				       .secret = true,
				       .sees_calls = true,
				       .idempotent = true,
				       .own_pages = true,
				       .vm_type = KVM_X86_SW_PROTECTED_VM,
				       .check = check,
				       .create = create,
				       .start = start,
				       .convert = convert,
				       .guest_fault = guest_fault,
				       .stats = stats,
				       .fini = fini};
