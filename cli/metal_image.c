/* SPDX-License-Identifier: BSD-2-Clause */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"
#include "metal.h"

/* Where images are, seen from the folder of this program: installed, and in the source tree. */
static const char *const places[] = {"../lib/stage2", "../metal", "../../build-%s/metal"};

#define PLACE_COUNT (sizeof(places) / sizeof(places[0]))

/* The first of the places that has it; NULL, with 0 or an exit code, if none has. */
static char *look(const char *folder, const struct metal_request *request, int *result)
{
	const char *arch = request->machine->name;
	const char *kind = request->mutants ? "mutants-" : "";
	char place[64];
	char *path;

	for (size_t i = 0; i < PLACE_COUNT; i++) {
		if (strchr(places[i], '%') != NULL) {
			snprintf(place, sizeof(place), "../../build-%s/metal", arch);
		} else {
			snprintf(place, sizeof(place), "%s", places[i]);
		}
		if (asprintf(&path, "%s/%s/metal-%s%s.elf", folder, place, kind, arch) < 0) {
			log_error("out of memory");
			*result = EXIT_CODE_OS;
			return NULL;
		}
		if (access(path, F_OK) == 0) {
			return path;
		}
		free(path);
	}
	return NULL;
}

static int find(const struct metal_request *request, char **path)
{
	char program[PATH_MAX];
	ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
	int result = 0;

	if (length < 0) {
		log_error("metal: /proc/self/exe: %s: use --image FILE", strerror(errno));
		return EXIT_CODE_OS;
	}
	program[length] = '\0';
	*path = look(dirname(program), request, &result);
	if (*path == NULL && result == 0) {
		log_error("metal: no image %s%s.elf beside this program: 'scripts/prepare metal' "
			  "builds it, or use --image FILE",
			  request->mutants ? "metal-mutants-" : "metal-", request->machine->name);
		result = EXIT_CODE_UNAVAILABLE;
	}
	return result;
}

/* The number of two bytes at an offset of an ELF header, in the header's own byte order. */
static unsigned int half(const unsigned char *header, size_t offset)
{
	const unsigned char *at = header + offset;

	return header[EI_DATA] == ELFDATA2MSB ? at[0] * 256u + at[1] : at[1] * 256u + at[0];
}

/* Emulators would load anything, as bytes. */
static bool is_image(const unsigned char *header, const struct metal_machine *machine)
{
	return memcmp(header, ELFMAG, SELFMAG) == 0 &&
	       header[EI_DATA] == (machine->big_endian ? ELFDATA2MSB : ELFDATA2LSB) &&
	       half(header, offsetof(Elf64_Ehdr, e_type)) == ET_EXEC &&
	       half(header, offsetof(Elf64_Ehdr, e_machine)) == machine->elf_machine;
}

static int look_into(const char *path, const struct metal_machine *machine)
{
	unsigned char header[sizeof(Elf64_Ehdr)] = {0};
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat status;
	int result = 0;

	if (fd < 0) {
		log_error("metal: image '%s': %s: check the path", path, strerror(errno));
		return EXIT_CODE_NO_INPUT;
	}
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
		log_error("metal: image '%s': not a regular file: check the path", path);
		result = EXIT_CODE_NO_INPUT;
	} else if (read(fd, header, sizeof(header)) != (ssize_t)sizeof(header) ||
		   !is_image(header, machine)) {
		log_error("metal: image '%s': not an ELF program for %s: 'scripts/prepare metal' "
			  "builds one",
			  path, machine->name);
		result = EXIT_CODE_DATA;
	}
	close(fd);
	return result;
}

int metal_find_image(const struct metal_request *request, char **path)
{
	int result = 0;

	*path = NULL;
	if (request->image == NULL) {
		result = find(request, path);
	} else {
		*path = strdup(request->image);
		if (*path == NULL) {
			log_error("out of memory");
			result = EXIT_CODE_OS;
		}
	}
	if (result == 0) {
		result = look_into(*path, request->machine);
	}
	if (result != 0) {
		free(*path);
		*path = NULL;
	}
	return result;
}
