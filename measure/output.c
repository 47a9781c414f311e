/* SPDX-License-Identifier: BSD-2-Clause */
#include "report_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

static int cannot(const char *path)
{
	log_error("%s: cannot be written: %s", path, strerror(errno));
	return EXIT_CODE_CANT_CREATE;
}

/* False with errno set. */
static bool write_all(int fd, const char *data, size_t length)
{
	while (length > 0) {
		ssize_t done = write(fd, data, length);

		if (done < 0 && errno == EINTR) {
			continue;
		}
		if (done < 0) {
			return false;
		}
		data += done;
		length -= (size_t)done;
	}
	return true;
}

/* Pipes and devices have no old contents to keep, and must not be replaced by a file. */
static int write_special(const char *path, const char *data, size_t length)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool good;

	if (fd < 0) {
		return cannot(path);
	}
	good = write_all(fd, data, length);
	if (close(fd) != 0 || !good) {
		return cannot(path);
	}
	return EXIT_CODE_OK;
}

static int write_and_rename(const char *target, const char *temporary, const char *data,
			    size_t length)
{
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	bool good;
	int error;

	if (fd < 0) {
		return cannot(target);
	}
	good = write_all(fd, data, length) && fsync(fd) == 0;
	error = errno;
	if (close(fd) != 0 && good) {
		good = false;
		error = errno;
	}
	if (good && rename(temporary, target) != 0) {
		good = false;
		error = errno;
	}
	if (!good) {
		unlink(temporary);
		errno = error;
		return cannot(target);
	}
	return EXIT_CODE_OK;
}

int output_write(const char *path, const char *data, size_t length)
{
	struct stat status;
	char *real = NULL;
	char *temporary = NULL;
	int result;

	if (stat(path, &status) == 0 && !S_ISREG(status.st_mode)) {
		return write_special(path, data, length);
	}
	real = realpath(path, NULL); /* a symbolic link stays one; NULL if the file is new */
	if (asprintf(&temporary, "%s.%ld.tmp", real != NULL ? real : path, (long)getpid()) < 0) {
		free(real);
		log_error("out of memory");
		return EXIT_CODE_OS;
	}
	result = write_and_rename(real != NULL ? real : path, temporary, data, length);
	free(temporary);
	free(real);
	return result;
}
