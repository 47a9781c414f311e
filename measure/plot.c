/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs gnuplot without a shell and makes its SVG fit to stand several times in one page. */
#include "report_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"

#define SVG_SIZE_MAX ((size_t)16 << 20)

extern char **environ;

/*
 * The script in memory, to be read from its start: unlike a pipe it never makes gnuplot wait for us
 * while we wait for gnuplot. -1 with errno set.
 */
static int script_open(const char *script, size_t length)
{
	int fd = memfd_create("plot", MFD_CLOEXEC);
	int error;

	if (fd < 0) {
		return -1;
	}
	while (length > 0) {
		ssize_t done = write(fd, script, length);

		if (done < 0 && errno != EINTR) {
			error = errno;
			close(fd);
			errno = error;
			return -1;
		}
		script += done > 0 ? done : 0;
		length -= done > 0 ? (size_t)done : 0;
	}
	lseek(fd, 0, SEEK_SET);
	return fd;
}

/* Returns 0 or an errno. */
static int start(int script, int output, pid_t *pid)
{
	char name[] = "gnuplot";
	char no_init_files[] = "-d";
	char *const argv[] = {name, no_init_files, NULL};
	posix_spawn_file_actions_t actions;
	int error = posix_spawn_file_actions_init(&actions);

	if (error != 0) {
		return error;
	}
	error = posix_spawn_file_actions_adddup2(&actions, script, STDIN_FILENO);
	if (error == 0) {
		error = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
	}
	/* In the C locale gnuplot complains of every character that is not ASCII, its own included. */
	setenv("LC_ALL", "C.UTF-8", 1);
	if (error == 0) {
		error = posix_spawnp(pid, name, &actions, NULL, argv, environ);
	}
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

/* Until end of file. NULL, after reading all, if out of memory or more than a plot can be. */
static char *drain(int fd)
{
	char *text = NULL;
	size_t length = 0;
	FILE *memory = open_memstream(&text, &length);
	char piece[4096];
	ssize_t got;
	size_t sum = 0;

	do {
		got = read(fd, piece, sizeof(piece));
		if (got > 0 && memory != NULL && sum <= SVG_SIZE_MAX) {
			fwrite(piece, 1, (size_t)got, memory);
			sum += (size_t)got;
		}
	} while (got > 0 || (got < 0 && errno == EINTR));
	if (memory == NULL || fclose(memory) != 0 || sum > SVG_SIZE_MAX) {
		free(text);
		return NULL;
	}
	return text;
}

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR) {
			return -1;
		}
	}
	return status;
}

/* Runs gnuplot; *text is what it printed. */
static int run(const char *script, size_t length, char **text)
{
	int ends[2];
	int in = script_open(script, length);
	int error;
	int status;
	pid_t pid;

	if (in < 0 || pipe2(ends, O_CLOEXEC) != 0) {
		log_error("gnuplot cannot be started: %s", strerror(errno));
		if (in >= 0) {
			close(in);
		}
		return EXIT_CODE_OS;
	}
	error = start(in, ends[1], &pid);
	close(in);
	close(ends[1]);
	if (error != 0) {
		close(ends[0]);
		if (error == ENOENT) {
			log_error("gnuplot not found; install the package gnuplot-nox");
			return EXIT_CODE_UNAVAILABLE;
		}
		log_error("gnuplot cannot be started: %s", strerror(error));
		return EXIT_CODE_UNAVAILABLE;
	}
	*text = drain(ends[0]);
	close(ends[0]);
	status = wait_for(pid);
	if (status != 0 || *text == NULL) {
		log_error("gnuplot failed (wait status %#x)", (unsigned int)status);
		free(*text);
		*text = NULL;
		return EXIT_CODE_UNAVAILABLE;
	}
	return EXIT_CODE_OK;
}

/* After which of these, at the start of text, an id stands; 0 if after none. */
static size_t id_follows(const char *text)
{
	static const char *const lead[] = {" id=\"", " id='", "href='#", "href=\"#", "url(#"};

	for (size_t i = 0; i < sizeof(lead) / sizeof(lead[0]); i++) {
		if (strncmp(text, lead[i], strlen(lead[i])) == 0) {
			return strlen(lead[i]);
		}
	}
	return 0;
}

/* From "<svg" on: without XML prolog and DOCTYPE, which may stand only at the top of a file. */
static char *inline_svg(const char *text, const char *name, const char *title)
{
	static const char own_title[] = "<title>Gnuplot</title>";
	const char *svg = strstr(text, "<svg");
	char *page = NULL;
	size_t length;
	FILE *out;

	if (svg == NULL || strstr(svg, "</svg>") == NULL) {
		return NULL;
	}
	out = open_memstream(&page, &length);
	while (out != NULL && *svg != '\0') {
		size_t lead = id_follows(svg);

		if (lead != 0) {
			fprintf(out, "%.*s%s-", (int)lead, svg, name);
			svg += lead;
		} else if (strncmp(svg, own_title, strlen(own_title)) == 0) {
			fprintf(out, "<title>%s</title>", title);
			svg += strlen(own_title);
		} else {
			fputc(*svg++, out);
		}
	}
	if (out == NULL || fclose(out) != 0) {
		free(page);
		return NULL;
	}
	return page;
}

int plot_run(const char *script, size_t length, const char *name, const char *title, char **svg)
{
	char *text = NULL;
	int result = run(script, length, &text);

	if (result != EXIT_CODE_OK) {
		return result;
	}
	*svg = inline_svg(text, name, title);
	free(text);
	if (*svg == NULL) {
		log_error("gnuplot drew no SVG; its package may lack the terminal \"svg\"");
		return EXIT_CODE_UNAVAILABLE;
	}
	return EXIT_CODE_OK;
}
