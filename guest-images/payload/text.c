/* SPDX-License-Identifier: BSD-2-Clause */
#include "text.h"

#include <guest_abi.h>
#include <machine.h>

void print(const char *text)
{
	while (*text) {
		machine_write8(SERIAL_BASE, (uint8_t)*text++);
	}
}

void print_hex(uint64_t value)
{
	unsigned int shift = 60;

	print("0x");
	while (shift && !(value >> shift)) {
		shift -= 4;
	}
	for (;; shift -= 4) {
		const char digit[2] = {"0123456789abcdef"[value >> shift & 15], '\0'};

		print(digit);
		if (!shift) {
			break;
		}
	}
}

void leave(uint64_t code)
{
	machine_write64(CONTROL_BASE + CONTROL_EXIT, code);
	for (;;) {
		machine_hvc(HVC_SYSTEM_OFF, 0);
	}
}

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool equal(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

const char *bootargs(const uint8_t *fdt)
{
	enum {
		BEGIN = 1,
		END = 2,
		PROP = 3,
		NOP = 4
	};
	const uint8_t *at = fdt + be32(fdt + 8);
	const char *strings = (const char *)fdt + be32(fdt + 12);

	for (;;) {
		const uint32_t token = be32(at);

		at += 4;
		if (token == BEGIN) {
			while (*at) {
				at++;
			}
			at++;
		} else if (token == PROP) {
			if (equal(strings + be32(at + 4), "bootargs")) {
				return (const char *)at + 8;
			}
			at += 8 + be32(at);
		} else if (token != END && token != NOP) {
			return "";
		}
		at = (const uint8_t *)(((uint64_t)at + 3) & ~UINT64_C(3));
	}
}

uint64_t number(const char **text)
{
	const char *start = *text;
	uint64_t value = 0;
	unsigned int base = 10, digits = 0;

	if ((*text)[0] == '0' && (*text)[1] == 'x') {
		base = 16;
		*text += 2;
	}
	for (;; (*text)++, digits++) {
		const char c = **text;
		unsigned int digit;

		if (c >= '0' && c <= '9') {
			digit = (unsigned int)(c - '0');
		} else if (base == 16 && c >= 'a' && c <= 'f') {
			digit = (unsigned int)(c - 'a') + 10;
		} else {
			break;
		}
		value = value * base + digit;
	}
	if (!digits || (**text && **text != ',' && **text != ' ')) {
		print("payload: not a number: ");
		print(start);
		print("\n");
		leave(1);
	}
	if (**text == ',') {
		(*text)++;
	}
	return value;
}

bool word_is(const char *text, const char *word, const char **rest)
{
	while (*word && *text == *word) {
		text++;
		word++;
	}
	if (*word || (*text != '=' && *text != ' ' && *text)) {
		return false;
	}
	*rest = *text == '=' ? text + 1 : text;
	return true;
}

uint64_t next_number(const char **text, uint64_t otherwise)
{
	return **text && **text != ' ' ? number(text) : otherwise;
}
