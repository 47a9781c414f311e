/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>

/*
 * One write for one line, so that the lines of several threads do not mix. A name that holds a newline
 * or an escape sequence is shown without.
 */
__attribute__((format(printf, 2, 0))) static void log_line(const char *prefix, const char *format,
							   va_list args)
{
	char text[1024];

	vsnprintf(text, sizeof(text), format, args);
	for (char *at = text; *at; at++) {
		if ((unsigned char)*at < ' ' || *at == 0x7f) {
			*at = '?';
		}
	}
	fprintf(stderr, "%s%s\n", prefix, text);
}

void log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line("stage2: ", format, args);
	va_end(args);
}

void log_note(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line("stage2: note: ", format, args);
	va_end(args);
}

void log_progress(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_line("stage2: ", format, args);
	va_end(args);
}
