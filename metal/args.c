/* SPDX-License-Identifier: BSD-2-Clause */
/* What `stage2 metal` has put into memory for us: words with blanks between them. */
#include "metal.h"

/* A guest that has not come to its end after 3 seconds will not. */
#define DEADLINE UINT64_C(3000000)

#define TEXT_MAX 1024
#define WORD_MAX 64

struct args args = {.deadline = DEADLINE};

static char only[WORD_MAX][32];
static size_t only_count;
static bool only_used[WORD_MAX];

static bool same(const char *word, size_t length, const char *text)
{
	size_t i = 0;

	while (i < length && text[i] == word[i]) {
		i++;
	}
	return i == length && text[i] == '\0';
}

/* Returns false if word does not begin with name. */
static bool number(const char *word, size_t length, const char *name, uint64_t *value)
{
	size_t at = 0;

	while (name[at] != '\0') {
		if (at >= length || word[at] != name[at]) {
			return false;
		}
		at++;
	}
	*value = 0;
	for (; at < length && word[at] >= '0' && word[at] <= '9'; at++) {
		*value = *value * 10 + (unsigned)(word[at] - '0');
	}
	return at == length;
}

static void read_word(const char *word, size_t length)
{
	if (same(word, length, "list")) {
		args.list = true;
	} else if (same(word, length, "counts")) {
		args.counts = true;
	} else if (same(word, length, "mutants")) {
		args.mutants = true;
	} else if (number(word, length, "deadline=", &args.deadline)) {
		return;
	} else if (only_count < WORD_MAX && length < sizeof(only[0])) {
		memcpy(only[only_count++], word, length);
	} else {
		print("# more words, or longer ones, than can be\n");
		machine_exit(2);
	}
}

void args_read(const char *text)
{
	size_t at = 0;

	while (at < TEXT_MAX && text[at] != '\0') {
		size_t start = at;

		while (at < TEXT_MAX && text[at] > ' ') {
			at++;
		}
		if (at > start) {
			read_word(text + start, at - start);
		} else {
			at++;
		}
	}
}

/* The rest of name where it begins with word; NULL if it does not. */
static const char *after(const char *name, const char *word)
{
	while (*word != '\0') {
		if (*name++ != *word++) {
			return NULL;
		}
	}
	return name;
}

static bool is_or_goes_on(const char *rest, char with)
{
	return rest != NULL && *rest == with;
}

bool args_select(const char *kind, const char *test, bool on_request)
{
	bool selected = only_count == 0 && !on_request;

	for (size_t i = 0; i < only_count; i++) {
		const char *rest = after(only[i], kind);
		bool by_kind = is_or_goes_on(rest, '\0');
		bool by_test =
			is_or_goes_on(after(test, only[i]), '\0') ||
			(is_or_goes_on(rest, '/') && is_or_goes_on(after(test, rest + 1), '\0'));

		only_used[i] = only_used[i] || by_kind || by_test;
		selected = selected || by_test || (by_kind && !on_request);
	}
	return selected;
}

void args_check(void)
{
	for (size_t i = 0; i < only_count; i++) {
		if (!only_used[i]) {
			print("# no test '%s': the list has them all\n", only[i]);
			machine_exit(2);
		}
	}
}
