/* SPDX-License-Identifier: BSD-2-Clause */
/* Words in and out of the payload: the serial console, the words of the command line, and the end. */
#ifndef PAYLOAD_TEXT_H
#define PAYLOAD_TEXT_H

#include <stdbool.h>
#include <stdint.h>

void print(const char *text);
void print_hex(uint64_t value);

/* Ends the guest with this exit code. */
__attribute__((noreturn)) void leave(uint64_t code);

/* The number at *text, which is moved behind it and behind a comma. Without one, the guest ends. */
uint64_t number(const char **text);

/* The same, if there is one more; or this one. */
uint64_t next_number(const char **text, uint64_t otherwise);

/* Is text the word, ended by '=', a blank or the end? *rest is behind it. */
bool word_is(const char *text, const char *word, const char **rest);

#endif
