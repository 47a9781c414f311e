/* SPDX-License-Identifier: BSD-2-Clause */
#include "report_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

static int cannot(const char *path)
{
	log_error("'%s' cannot be written: %s; choose another place", path, strerror(errno));
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

/* Without keep, all is done but the last step: target stays as it is. */
static int write_and_rename(const char *target, const char *temporary, const char *data,
			    size_t length, bool keep)
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
	if (good && keep && rename(temporary, target) != 0) {
		good = false;
		error = errno;
	}
	if (!good || !keep) {
		unlink(temporary);
	}
	errno = error;
	return good ? EXIT_CODE_OK : cannot(target);
}

static int write_file(const char *path, const char *data, size_t length, bool keep)
{
	char *temporary = NULL;
	sigset_t signals, before;
	char *real;
	int result;

	if (path[0] == '\0') {
		errno = ENOENT; /* or the temporary file would be made, and not be renamed */
		return cannot(path);
	}
	real = realpath(path, NULL); /* a symbolic link stays one; NULL if the file is new */
	if (asprintf(&temporary, "%s.%ld.tmp", real != NULL ? real : path, (long)getpid()) < 0) {
		free(real);
		log_error("out of memory");
		return EXIT_CODE_OS;
	}
	/* What would end us waits while there is a temporary file: none is left behind. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, &before);
	result = write_and_rename(real != NULL ? real : path, temporary, data, length, keep);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	free(temporary);
	free(real);
	return result;
}

static bool is_special(const char *path, struct stat *status)
{
	return stat(path, status) == 0 && !S_ISREG(status->st_mode);
}

int output_write(const char *path, const char *data, size_t length)
{
	struct stat status;

	return is_special(path, &status) ? write_special(path, data, length)
					 : write_file(path, data, length, true);
}

int report_check_output(const char *path)
{
	struct stat status;

	if (!is_special(path, &status)) {
		return write_file(path, "", 0, false);
	}
	errno = EISDIR;
	return S_ISDIR(status.st_mode) || access(path, W_OK) != 0 ? cannot(path) : EXIT_CODE_OK;
}
