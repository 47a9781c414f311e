/* SPDX-License-Identifier: BSD-2-Clause */
#include "stats.h"

#include <errno.h>
#include <inttypes.h>
#include <kvm_compat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static double process_start; /* seconds on CLOCK_MONOTONIC */

static double seconds(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double stats_now(void)
{
	return seconds(CLOCK_MONOTONIC);
}

/* What the processor did for us before main() is exec and the C library's start. */
void stats_start(void)
{
	process_start = stats_now() - seconds(CLOCK_PROCESS_CPUTIME_ID);
}

const char *stats_board(void)
{
	const char *board = getenv("STAGE2_BOARD");

	return board && *board ? board : NULL;
}

uint64_t stats_donated_pages(void)
{
	unsigned long long kib = 0;
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "VmLck: %llu kB", &kib) == 1) {
			break;
		}
	}
	if (file) {
		fclose(file);
	}
	return kib / (S2_PAGE_SIZE / 1024);
}

/* Linux, Documentation/virt/kvm/api.rst, KVM_GET_STATS_FD: header, descriptors with names, values. */
uint64_t stats_kvm_exits(const struct vcpu *vcpu)
{
	struct kvm_stats_header header;
	uint64_t value = 0;
	int fd = ioctl(vcpu->fd, KVM_GET_STATS_FD, NULL);

	if (fd < 0) {
		return 0;
	}
	if (pread(fd, &header, sizeof(header), 0) == (ssize_t)sizeof(header)) {
		const size_t size = sizeof(struct kvm_stats_desc) + header.name_size;
		struct kvm_stats_desc *desc = calloc(1, size + 1);

		for (uint32_t i = 0; desc && i < header.num_desc; i++) {
			off_t at = (off_t)(header.desc_offset + i * size);

			if (pread(fd, desc, size, at) == (ssize_t)size &&
			    !strcmp(desc->name, "exits") &&
			    pread(fd, &value, sizeof(value),
				  (off_t)(header.data_offset + desc->offset)) !=
				    (ssize_t)sizeof(value)) {
				value = 0;
			}
		}
		free(desc);
	}
	close(fd);
	return value;
}

const char *stats_size_name(unsigned int lg2)
{
	static _Thread_local char name[16];

	snprintf(name, sizeof(name), "%u%c", 1U << lg2 % 10, "BKMGTPE"[lg2 / 10]);
	return name;
}

/* KiB of this process that are resident, without guest RAM: the sum over /proc/self/smaps. */
static uint64_t resident_kib(const struct ram *ram)
{
	unsigned long long start, end, kib, total = 0;
	bool guest = false;
	char line[512];
	FILE *file = fopen("/proc/self/smaps", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx-%llx ", &start, &end) == 2) {
			/* However often it is mapped: ram_init() has named it. */
			guest = (start >= ram->hva.val && end <= ram->hva.val + ram->len) ||
				strstr(line, "/memfd:guest-ram");
		} else if (!guest && sscanf(line, "Rss: %llu kB", &kib) == 1) {
			total += kib;
		}
	}
	if (file) {
		fclose(file);
	}
	return total;
}

static void print_folios(struct vm *vm)
{
	struct ram *ram = &vm->memory.ram;
	uint64_t bytes[64];
	int err = ram_find_runs(ram);

	fprintf(stderr, "stage2: stats: guest RAM %" PRIu64 " MiB %s, folios asked for: %s, got:",
		ram->len >> 20, ram_backing_name(ram->backing),
		stats_size_name(ram_requested_lg2(ram->backing)));
	if (err) {
		fprintf(stderr, " unknown (%s)\n",
			err == -EPERM ? "only root may ask the kernel" : strerror(-err));
		return;
	}
	ram_count_folios(ram, bytes);
	for (unsigned int lg2 = 0; lg2 < 64; lg2++) {
		if (bytes[lg2]) {
			fprintf(stderr, " %s: %" PRIu64 " KiB", stats_size_name(lg2),
				bytes[lg2] >> 10);
		}
	}
	fprintf(stderr, " (%zu runs)\n", ram->run_count);
}

/* What a guest said whose hypercalls we do not see, and what became of it. */
static void print_claims(struct vm *vm)
{
	struct memory *memory = &vm->memory;
	struct s2_track_sum sum;

	memory_lock(memory);
	claims_settle(memory);
	if (!s2_track_sum(&memory->track, memory->track.range, &sum)) {
		const struct claims_count *count = &memory->claims.count;

		fprintf(stderr,
			"stage2: stats: shared by the guest %" PRIu64
			" pages; reported: shared %" PRIu64 ", unshared %" PRIu64
			", no change %" PRIu64 ", refused and explained %" PRIu64 ", lies %" PRIu64
			"; not reported %" PRIu64 "\n",
			sum.state[S2_SHARED], count->shared, count->unshared, count->idle,
			count->early, count->lies, count->untold);
		fprintf(stderr,
			"stage2: stats: ring of reports: taken %" PRIu64 ", odd %" PRIu64
			", overruns %" PRIu64 "\n",
			memory->claims.ring.taken, memory->claims.ring.odd,
			memory->claims.ring.overruns);
	}
	memory_unlock(memory);
}

void stats_print_reclaimed(uint64_t before, uint64_t donated)
{
	const uint64_t after = stats_donated_pages();

	fprintf(stderr,
		"stage2: stats: reclaimed from the guest %" PRIu64 " of %" PRIu64
		" pages of 4K, locked memory %" PRIu64 " KiB before and %" PRIu64 " KiB after\n",
		donated - (after - before), donated, before * (S2_PAGE_SIZE / 1024),
		after * (S2_PAGE_SIZE / 1024));
}

void stats_print(struct vm *vm)
{
	const char *emulated = stats_board() ? " (emulated)" : "";
	uint64_t exits = 0, mmio = 0;

	for (unsigned int i = 0; i < vm->vcpu_count; i++) {
		exits += vm->vcpu[i].exits;
		mmio += vm->vcpu[i].exits_mmio;
	}
	fprintf(stderr, "stage2: stats: first entry into the guest %.1f ms after exec%s\n",
		(vm->first_run - process_start) * 1e3, emulated);
	fprintf(stderr, "stage2: stats: resident outside guest RAM %" PRIu64 " KiB\n",
		resident_kib(&vm->memory.ram));
	print_folios(vm);
	if (vm->memory.poisoned) {
		fprintf(stderr, "stage2: stats: lost to memory errors %" PRIu64 " pages of 4K\n",
			vm->memory.poisoned);
	}
	if (vm->memory.protect_ops->stats) {
		vm->memory.protect_ops->stats(vm);
	}
	if (vm->memory.protect_ops->secret && !vm->memory.protect_ops->sees_calls) {
		print_claims(vm);
	}
	fprintf(stderr,
		"stage2: stats: exits to the VMM %" PRIu64 ", MMIO %" PRIu64 ", unclaimed %" PRIu64
		"\n",
		exits, mmio, vm->unclaimed);
}
