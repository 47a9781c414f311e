/* SPDX-License-Identifier: BSD-2-Clause */
#include "report_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#define PIECE ((size_t)64 << 10)

static int cannot(const char *path, int error)
{
	log_error("%s: cannot be read: %s; check the path", path, strerror(error));
	return EXIT_CODE_NO_INPUT;
}

/* Reads to the end, or to one byte more than max. */
static int read_all(const char *path, int fd, size_t max, char **text, size_t *length)
{
	size_t room = 0;
	ssize_t got;

	do {
		if (*length == room) {
			char *larger = realloc(*text, room == 0 ? PIECE : 2 * room);

			if (larger == NULL) {
				log_error("out of memory");
				return EXIT_CODE_OS;
			}
			*text = larger;
			room = room == 0 ? PIECE : 2 * room;
		}
		got = read(fd, *text + *length, room - *length);
		if (got < 0 && errno != EINTR) {
			return cannot(path, errno);
		}
		*length += got > 0 ? (size_t)got : 0;
	} while (got != 0 && *length <= max);
	if (*length == 0) {
		log_error("%s: empty; write it with --json of stage2 measure or metal", path);
		return EXIT_CODE_DATA;
	}
	if (*length > max) {
		log_error("%s: larger than %zu MiB, no report is", path, max >> 20);
		return EXIT_CODE_DATA;
	}
	return EXIT_CODE_OK;
}

int input_read(const char *path, size_t max, char **text, size_t *length)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int result;

	*text = NULL;
	*length = 0;
	if (fd < 0) {
		return cannot(path, errno);
	}
	result = read_all(path, fd, max, text, length);
	close(fd);
	if (result != EXIT_CODE_OK) {
		free(*text);
		*text = NULL;
	}
	return result;
}
