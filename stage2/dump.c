/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of a space as text. There is no printf here: the library stands alone. */
#include <stage2/fmt.h>
#include <stage2/map.h>

#include "internal.h"

#define LINE_MAX 160

struct text {
	char at[LINE_MAX];
	size_t len;
};

S2_COLD static void put_char(struct text *text, char c)
{
	if (text->len + 1 < sizeof(text->at)) {
		text->at[text->len++] = c;
	}
	text->at[text->len] = '\0';
}

S2_COLD static void put(struct text *text, const char *string)
{
	while (*string != '\0') {
		put_char(text, *string++);
	}
}

S2_COLD static void put_hex(struct text *text, uint64_t value)
{
	for (unsigned shift = 64; shift > 0; shift -= 4) {
		put_char(text, "0123456789abcdef"[(value >> (shift - 4)) & 15]);
	}
}

S2_COLD static void put_decimal(struct text *text, uint64_t value)
{
	char digits[20];
	size_t count = 0;

	do {
		digits[count++] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	while (count > 0) {
		put_char(text, digits[--count]);
	}
}

S2_COLD static void put_size(struct text *text, uint64_t bytes)
{
	static const char units[] = "BKMGTPE";
	size_t unit = 0;

	while (bytes >= 1024) {
		bytes /= 1024;
		unit++;
	}
	put_decimal(text, bytes);
	put_char(text, units[unit]);
}

S2_COLD static void put_leaf(struct text *text, const struct s2_leaf *leaf, uint64_t size)
{
	static const char *const mem[S2_MEM_COUNT] = {
		[S2_MEM_NORMAL] = "normal", [S2_MEM_NC] = "nc", [S2_MEM_DEVICE] = "device",
		[S2_MEM_WT] = "wt",	    [S2_MEM_WP] = "wp",
	};

	put_hex(text, leaf->range.start.val);
	put(text, "-");
	put_hex(text, s2_range_last(leaf->range).val);
	put(text, " -> ");
	put_hex(text, leaf->hpa.val);
	put(text, " ");
	put_size(text, size);
	put(text, "*");
	put_decimal(text, leaf->range.len / size);
	put_char(text, ' ');
	put_char(text, (leaf->prot & S2_READ) != 0 ? 'r' : '-');
	put_char(text, (leaf->prot & S2_WRITE) != 0 ? 'w' : '-');
	put_char(text, (leaf->prot & S2_EXEC) != 0 ? 'x' : '-');
	put_char(text, (leaf->prot & S2_EXEC_USER) != 0 ? 'u' : '-');
	put_char(text, ' ');
	put(text, leaf->mem < S2_MEM_COUNT ? mem[leaf->mem] : "?");
	put_char(text, ' ');
	put_char(text, leaf->accessed ? 'A' : '-');
	put_char(text, leaf->dirty ? 'D' : '-');
}

S2_COLD static bool leaf_goes_on(const struct s2_leaf *a, const struct s2_leaf *b)
{
	return a->range.start.val + a->range.len == b->range.start.val &&
	       a->hpa.val + a->range.len == b->hpa.val && a->prot == b->prot && a->mem == b->mem &&
	       a->accessed == b->accessed && a->dirty == b->dirty;
}

S2_COLD void s2_dump(const struct s2_space *s, void (*line)(void *cookie, const char *text),
		     void *cookie)
{
	struct s2_leaf run = {.mapped = false};
	uint64_t size = 0; /* of one leaf of the run */
	uint64_t gpa = 0;
	struct text text;

	for (;;) {
		struct s2_leaf leaf;
		uint64_t last;

		s->fmt->query(s, s2_gpa(gpa), &leaf);
		last = s2_range_last(leaf.range).val;
		if (leaf.mapped && run.mapped && leaf.range.len == size &&
		    leaf_goes_on(&run, &leaf)) {
			run.range.len += size;
		} else {
			if (run.mapped) {
				text.len = 0;
				put_leaf(&text, &run, size);
				line(cookie, text.at);
			}
			run = leaf;
			size = leaf.range.len;
		}
		if (last >= s->last) {
			break;
		}
		gpa = last + 1;
	}
	if (run.mapped) {
		text.len = 0;
		put_leaf(&text, &run, size);
		line(cookie, text.at);
	}
}
