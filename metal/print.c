/* SPDX-License-Identifier: BSD-2-Clause */
/* The little of printf that the tests need: %s %c %u %x %llu %llx, with # and 0 and a width. */
#include <stdarg.h>

#include "metal.h"

static void put_text(const char *text)
{
	while (*text != '\0') {
		machine_putc(*text++);
	}
}

static void put_number(unsigned long long value, unsigned base, unsigned width, char fill)
{
	char text[64];
	unsigned length = 0;

	do {
		text[length++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	while (width > length) {
		machine_putc(fill);
		width--;
	}
	while (length > 0) {
		machine_putc(text[--length]);
	}
}

/* What follows a '%'. */
struct field {
	bool prefix;
	char fill;
	unsigned width;
	bool is_long;
	char type;
};

static const char *read_field(const char *at, struct field *field)
{
	*field = (struct field){.fill = ' '};
	for (;; at++) {
		if (*at == '#') {
			field->prefix = true;
		} else if (*at == '0' && field->width == 0) {
			field->fill = '0';
		} else if (*at >= '0' && *at <= '9') {
			field->width = field->width * 10 + (unsigned)(*at - '0');
		} else if (*at == 'l' || *at == 'z') {
			field->is_long = true;
		} else {
			field->type = *at;
			return at;
		}
	}
}

void print(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	for (; *format != '\0'; format++) {
		struct field field;

		if (*format != '%') {
			machine_putc(*format);
			continue;
		}
		format = read_field(format + 1, &field);
		if (field.type == 's') {
			put_text(va_arg(list, const char *));
		} else if (field.type == 'c') {
			machine_putc((char)va_arg(list, int));
		} else if (field.type == 'u' || field.type == 'x') {
			unsigned long long value = field.is_long ? va_arg(list, unsigned long long)
								 : va_arg(list, unsigned);

			if (field.prefix) {
				put_text("0x");
			}
			put_number(value, field.type == 'x' ? 16 : 10, field.width, field.fill);
		} else {
			machine_putc(field.type);
			if (field.type == '\0') {
				break;
			}
		}
	}
	va_end(list);
}
