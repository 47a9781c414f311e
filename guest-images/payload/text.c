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
		machine_off();
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
