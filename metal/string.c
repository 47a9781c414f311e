/* SPDX-License-Identifier: BSD-2-Clause */
/* The four functions that libstage2 needs of its surroundings. */
#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

/* Words where both sides allow it; the compiler must not make calls of these loops again. */
#define PLAIN __attribute__((optimize("no-tree-loop-distribute-patterns")))

typedef unsigned long word __attribute__((may_alias));

static int aligned(const void *a, const void *b)
{
	return (((unsigned long)a | (unsigned long)b) & (sizeof(word) - 1)) == 0;
}

PLAIN void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	if (aligned(to, from)) {
		for (; size >= sizeof(word); size -= sizeof(word)) {
			*(word *)(void *)t = *(const word *)(const void *)f;
			t += sizeof(word);
			f += sizeof(word);
		}
	}
	while (size-- > 0) {
		*t++ = *f++;
	}
	return to;
}

PLAIN void *memmove(void *to, const void *from, size_t size)
{
	unsigned char *t = to;
	const unsigned char *f = from;

	if (t <= f || t >= f + size) {
		for (size_t i = 0; i < size; i++) {
			t[i] = f[i];
		}
	} else {
		while (size-- > 0) {
			t[size] = f[size];
		}
	}
	return to;
}

PLAIN void *memset(void *to, int byte, size_t size)
{
	unsigned char *t = to;
	word pattern = (unsigned char)byte * (~0ul / 255);

	if (aligned(to, to)) {
		for (; size >= sizeof(word); size -= sizeof(word)) {
			*(word *)(void *)t = pattern;
			t += sizeof(word);
		}
	}
	while (size-- > 0) {
		*t++ = (unsigned char)byte;
	}
	return to;
}

PLAIN int memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *x = a;
	const unsigned char *y = b;

	for (size_t i = 0; i < size; i++) {
		if (x[i] != y[i]) {
			return x[i] < y[i] ? -1 : 1;
		}
	}
	return 0;
}
