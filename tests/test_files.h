/* SPDX-License-Identifier: BSD-2-Clause */
/* A folder for a test's files, and what the code under test says on stderr. */
#ifndef TESTS_TEST_FILES_H
#define TESTS_TEST_FILES_H

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char test_folder[32];
static int test_folder_fd = -1;

/* For tcase_add_checked_fixture(): an empty folder before each test, gone after it. */
static inline void test_folder_make(void)
{
	strcpy(test_folder, "/tmp/test-stage2-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(test_folder));
	test_folder_fd = open(test_folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ck_assert_int_ge(test_folder_fd, 0);
}

static inline void test_folder_remove(void)
{
	DIR *dir = fdopendir(test_folder_fd);
	struct dirent *entry;

	ck_assert_ptr_nonnull(dir);
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
			unlinkat(dirfd(dir), entry->d_name, 0);
		}
	}
	closedir(dir);
	ck_assert_int_eq(rmdir(test_folder), 0);
}

/* The path of a file in the folder; static storage, good until the next call. */
static inline const char *test_path(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", test_folder, name);
	return path;
}

/* Writes a file into the folder; returns its path as test_path(). */
static inline const char *test_file(const char *name, const void *data, size_t len)
{
	int fd = openat(test_folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, data, len), (ssize_t)len);
	close(fd);
	return test_path(name);
}

static int test_stderr_saved = -1;
static int test_stderr_fd = -1;

/* From here on stderr goes to a file without a name. */
static inline void test_stderr_begin(void)
{
	char name[] = "/tmp/test-stderr-XXXXXX";

	fflush(stderr);
	test_stderr_fd = mkstemp(name);
	ck_assert_int_ge(test_stderr_fd, 0);
	unlink(name);
	test_stderr_saved = dup(STDERR_FILENO);
	ck_assert_int_ge(dup2(test_stderr_fd, STDERR_FILENO), 0);
}

/* Until here. What was said; static storage, good until the next call. */
static inline const char *test_stderr_end(void)
{
	static char text[4096];
	ssize_t len;

	fflush(stderr);
	len = pread(test_stderr_fd, text, sizeof(text) - 1, 0);
	ck_assert_int_ge(len, 0);
	text[len] = '\0';
	ck_assert_int_ge(dup2(test_stderr_saved, STDERR_FILENO), 0);
	close(test_stderr_saved);
	close(test_stderr_fd);
	return text;
}

/* Every error is one line, with our name in front and without a full stop. */
static inline void test_is_one_line(const char *said)
{
	size_t len = strlen(said);

	ck_assert_msg(strncmp(said, "stage2: ", 8) == 0, "said: %s", said);
	ck_assert_msg(strchr(said, '\n') == said + len - 1, "not one line: %s", said);
	ck_assert_msg(said[len - 2] != '.', "full stop: %s", said);
}

#endif
