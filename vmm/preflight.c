/* SPDX-License-Identifier: BSD-2-Clause */
#include "preflight.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <kvm_compat.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "arch.h"
#include "boot.h"

int preflight_kvm(struct vm *vm)
{
	int version;

	vm->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm < 0 && (errno == EACCES || errno == EPERM)) {
		log_error(
			"no permission to use /dev/kvm: run as root, or join the group that owns it");
		return EXIT_CODE_NO_PERMISSION;
	}
	if (vm->kvm < 0) {
		log_error("cannot open /dev/kvm (%s): this machine has no KVM: "
			  "use an emulated board, see guest-images/README.md",
			  strerror(errno));
		return EXIT_CODE_UNAVAILABLE;
	}
	version = ioctl(vm->kvm, KVM_GET_API_VERSION, 0);
	if (version != KVM_API_VERSION) {
		log_error("/dev/kvm speaks version %d, not %d: it is not a KVM that we know",
			  version, KVM_API_VERSION);
		return EXIT_CODE_UNAVAILABLE;
	}
	return 0;
}

int preflight_capability(const struct vm *vm, long capability, const char *what)
{
	if (ioctl(vm->kvm, KVM_CHECK_EXTENSION, capability) > 0) {
		return 0;
	}
	log_error("this host's KVM has no %s: a newer kernel is needed", what);
	return EXIT_CODE_UNAVAILABLE;
}

static int preflight_file(const struct vm *vm)
{
	const char *path = vm->config.backing_path;
	struct stat st;

	if (stat(path, &st) || access(path, R_OK | W_OK)) {
		log_error("cannot use backing file '%s': %s: check path and rights", path,
			  strerror(errno));
		return EXIT_CODE_NO_INPUT;
	}
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size < vm->config.memory) {
		log_error("backing file '%s' must be a regular file of at least %" PRIu64
			  " MiB: make it with 'truncate -s'",
			  path, vm->config.memory >> 20);
		return EXIT_CODE_DATA;
	}
	return 0;
}

int preflight_tmpfs(const struct vm *vm, const char *why)
{
	const char *path = vm->config.backing_path;
	struct statfs fs;

	if (vm->config.backing != RAM_FILE) {
		return 0;
	}
	if (statfs(path, &fs)) {
		log_error("cannot use backing file '%s': %s: check path and rights", path,
			  strerror(errno));
		return EXIT_CODE_NO_INPUT;
	}
	if (fs.f_type != TMPFS_MAGIC) {
		log_error("a protected guest cannot live in the file '%s': %s: use a file on "
			  "tmpfs, or --backing anon, thp or memfd",
			  path, why);
		return EXIT_CODE_UNAVAILABLE;
	}
	return 0;
}

int preflight_protect(const struct vm *vm)
{
	const struct protect_ops *ops = protect_ops(vm->config.protect);
	const char *name = protect_name(vm->config.protect);

	if (!ops) {
		log_error("this build has no '--protect %s': see 'stage2 run --help'", name);
		return EXIT_CODE_UNAVAILABLE;
	}
	if (arch_supported && ops->arch && strcmp(ops->arch, arch_name)) {
		log_error("'--protect %s' is for %s hosts, and this is %s: use another kind, or an "
			  "emulated board (guest-images/board)",
			  name, ops->arch, arch_name);
		return EXIT_CODE_UNAVAILABLE;
	}
	return ops->check ? ops->check(vm) : 0;
}

int preflight_files(const struct vm *vm)
{
	struct boot_file file;
	int code = boot_open(&file, "kernel", vm->config.kernel);

	boot_close(&file);
	if (!code && vm->config.initrd) {
		code = boot_open(&file, "initrd", vm->config.initrd);
		boot_close(&file);
	}
	return code;
}

int preflight_memory(const struct vm *vm)
{
	const uint64_t memory = vm->config.memory;
	const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);

	if (page != (long)S2_PAGE_SIZE) {
		log_error("this host has pages of %ld bytes: only hosts with 4 KiB pages are "
			  "supported",
			  page);
		return EXIT_CODE_UNAVAILABLE;
	}
	if (memory == 0 || memory % S2_PAGE_SIZE) {
		log_error("--memory must be a multiple of the 4 KiB page and not 0: try 256M");
		return EXIT_CODE_USAGE;
	}
	if (pages > 0 && memory / S2_PAGE_SIZE > (uint64_t)pages) {
		log_error("--memory is %" PRIu64 " MiB, but this host has %" PRIu64
			  " MiB: use a smaller guest",
			  memory >> 20, (uint64_t)pages * S2_PAGE_SIZE >> 20);
		return EXIT_CODE_OS;
	}
	return vm->config.backing == RAM_FILE ? preflight_file(vm) : 0;
}

bool preflight_may(unsigned int capability)
{
	unsigned long long caps = 0;
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "CapEff: %llx", &caps) == 1) {
			break;
		}
	}
	if (file) {
		fclose(file);
	}
	return caps >> capability & 1;
}

int preflight_inject(void)
{
	if (!preflight_may(CAP_SYS_ADMIN)) {
		log_error("--inject-errors breaks memory of this machine: run as root");
		return EXIT_CODE_NO_PERMISSION;
	}
	/* Nothing is broken by nothing, but the advice has to be known. */
	if (madvise(NULL, 0, MADV_HWPOISON)) {
		log_error("--inject-errors: this kernel does not handle memory errors "
			  "(CONFIG_MEMORY_FAILURE)");
		return EXIT_CODE_UNAVAILABLE;
	}
	return 0;
}
