/* SPDX-License-Identifier: BSD-2-Clause */
#include "uv_views.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FEATURES (UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM)

/*
 * A userfaultfd. Faults of the kernel on behalf of a process, as KVM's are, are seen by one from
 * /dev/userfaultfd (Linux 6.1), or from the system call with CAP_SYS_PTRACE; for one that is of user
 * mode only they are errors.
 */
static int open_faults(uint64_t features, bool kernel)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int fd = -1, device = kernel ? open("/dev/userfaultfd", O_RDWR | O_CLOEXEC) : -1;

	if (device >= 0) {
		fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
		close(device);
	}
	if (fd < 0) {
		fd = (int)syscall(SYS_userfaultfd,
				  O_CLOEXEC | O_NONBLOCK | (kernel ? 0 : UFFD_USER_MODE_ONLY));
	}
	if (fd < 0) {
		return -errno;
	}
	if (ioctl(fd, UFFDIO_API, &api)) {
		close(fd);
		return -ENOSYS; /* a kernel without one of the features */
	}
	return fd;
}

int uv_views_possible(void)
{
	int fd = open_faults(FEATURES, true);

	if (fd < 0) {
		return fd;
	}
	close(fd);
	return 0;
}

static int watch(int fd, const void *start, uint64_t len)
{
	struct uffdio_register range = {.range = {(uintptr_t)start, len},
					.mode = UFFDIO_REGISTER_MODE_MISSING |
						UFFDIO_REGISTER_MODE_MINOR};

	return ioctl(fd, UFFDIO_REGISTER, &range) ? -errno : 0;
}

/* The same memory once more: mremap(2), "if the value of old_size is zero". */
static uint8_t *map_again(uint8_t *window, uint64_t len)
{
	void *got = mremap(window, 0, len, MREMAP_MAYMOVE);

	if (got == MAP_FAILED) {
		return NULL;
	}
	if (madvise(got, len, MADV_DONTDUMP) || madvise(got, len, MADV_DONTFORK)) {
		munmap(got, len);
		return NULL;
	}
	return got;
}

int uv_views_init(struct uv_views *views, const struct ram *ram, bool kvm)
{
	int err;

	*views = (struct uv_views){.window = ram_hva(ram, ram->gpa), .len = ram->len};
	views->window_faults = open_faults(FEATURES | UFFD_FEATURE_SIGBUS, false);
	views->slot_faults = open_faults(FEATURES, kvm);
	views->slot = map_again(views->window, views->len);
	views->inner = map_again(views->window, views->len);
	if (views->window_faults < 0) {
		err = views->window_faults;
	} else if (views->slot_faults < 0) {
		err = views->slot_faults;
	} else if (!views->slot || !views->inner) {
		err = -ENOMEM;
	} else {
		err = watch(views->slot_faults, views->slot, views->len);
	}
	if (err) {
		uv_views_fini(views);
	}
	return err;
}

void uv_views_fini(struct uv_views *views)
{
	if (views->slot) {
		munmap(views->slot, views->len);
	}
	if (views->inner) {
		munmap(views->inner, views->len);
	}
	if (views->slot_faults >= 0) {
		close(views->slot_faults);
	}
	if (views->window_faults >= 0) {
		close(views->window_faults);
	}
}

int uv_views_close(struct uv_views *views)
{
	int err = watch(views->window_faults, views->window, views->len);

	return !err && madvise(views->window, views->len, MADV_DONTNEED) ? -errno : err;
}

/* Puts pages that are there into a mapping. Whoever waits for them goes on. */
static int put_in(int fd, uint8_t *start, uint64_t len)
{
	struct uffdio_continue in = {.range = {(uintptr_t)start, len}};
	struct uffdio_range all = in.range;

	while (ioctl(fd, UFFDIO_CONTINUE, &in)) {
		if (errno == EEXIST) {
			return ioctl(fd, UFFDIO_WAKE, &all) ? -errno : 0;
		}
		if (errno != EAGAIN) {
			return -errno;
		}
		/* The address space is just changing, and some may be done. */
		if (in.mapped > 0) {
			in.range.start += (uint64_t)in.mapped;
			in.range.len -= (uint64_t)in.mapped;
		}
	}
	return 0;
}

int uv_views_show(const struct uv_views *views, uint64_t offset)
{
	return put_in(views->window_faults, views->window + offset, S2_PAGE_SIZE);
}

int uv_views_hide(const struct uv_views *views, uint64_t offset)
{
	return madvise(views->window + offset, S2_PAGE_SIZE, MADV_DONTNEED) ? -errno : 0;
}

int uv_views_give(const struct uv_views *views, uint64_t offset, uint64_t len)
{
	return put_in(views->slot_faults, views->slot + offset, len);
}

int uv_views_take(const struct uv_views *views, uint64_t offset, uint64_t len)
{
	return madvise(views->slot + offset, len, MADV_DONTNEED) ? -errno : 0;
}

int uv_views_deny(const struct uv_views *views, uint64_t offset)
{
	struct uffdio_range range = {(uintptr_t)views->slot + offset, S2_PAGE_SIZE};

	/* In this order: who waits must find that there is nothing to wait for. */
	if (mprotect(views->slot + offset, S2_PAGE_SIZE, PROT_NONE)) {
		return -errno;
	}
	return ioctl(views->slot_faults, UFFDIO_WAKE, &range) ? -errno : 0;
}

bool uv_views_wait(const struct uv_views *views, int stop, uint64_t *offset)
{
	struct pollfd poll_fd[] = {{.fd = stop, .events = POLLIN},
				   {.fd = views->slot_faults, .events = POLLIN}};
	struct uffd_msg message;

	for (;;) {
		if (poll(poll_fd, 2, -1) < 0) {
			if (errno == EINTR) {
				continue;
			}
			return false;
		}
		if (poll_fd[0].revents) {
			return false;
		}
		if (read(views->slot_faults, &message, sizeof(message)) == sizeof(message) &&
		    message.event == UFFD_EVENT_PAGEFAULT) {
			*offset = (message.arg.pagefault.address - (uintptr_t)views->slot) &
				  ~(S2_PAGE_SIZE - 1);
			return true;
		}
	}
}
