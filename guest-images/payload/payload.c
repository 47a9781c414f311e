/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The payload: a guest that does what it is told to its memory. It is told by the command line in the
 * device tree (/chosen bootargs), words separated by blanks, carried out in order:
 *
 *	touch=GPA,PAGES[,SEED]    write the pattern of SEED
 *	verify=GPA,PAGES[,SEED]   compare with it
 *	share=GPA,PAGES           MEM_SHARE, one call a page, and tell the VMM
 *	unshare=GPA,PAGES         tell the VMM, and MEM_UNSHARE
 *	peek=GPA                  ask the VMM to read there
 *	poke=GPA                  ask the VMM to change what is there
 *	call=F[,X1[,X2[,X3]]]     a hypercall as it is, and its result
 *	exit=CODE                 end with this code
 *	agent                     serve commands through the mailbox (vmm/guest_abi.h)
 *
 * Numbers are decimal, or hexadecimal after 0x. Each command prints a line. A command that fails ends
 * the payload with exit code 1; at the end of the list it exits with 0.
 */
#include <guest_abi.h>
#include <machine.h>
#include <stdbool.h>
#include <stddef.h>

#define PAGE UINT64_C(4096)

void payload_main(const uint8_t *fdt);
void payload_exception(uint64_t esr, uint64_t far, uint64_t elr);
void *memset(void *to, int value, size_t len);

void *memset(void *to, int value, size_t len)
{
	uint8_t *byte = to;

	while (len--) {
		*byte++ = (uint8_t)value;
		__asm__ volatile(""); /* or the compiler makes this a call of memset */
	}
	return to;
}

static void print(const char *text)
{
	while (*text) {
		machine_write8(SERIAL_BASE, (uint8_t)*text++);
	}
}

static void print_hex(uint64_t value)
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

__attribute__((noreturn)) static void leave(uint64_t code)
{
	machine_write64(CONTROL_BASE + CONTROL_EXIT, code);
	for (;;) {
		machine_hvc(HVC_SYSTEM_OFF, 0);
	}
}

void payload_exception(uint64_t esr, uint64_t far, uint64_t elr)
{
	print("payload: exception, esr ");
	print_hex(esr);
	print(" far ");
	print_hex(far);
	print(" elr ");
	print_hex(elr);
	print("\n");
	leave(1);
}

static void touch(struct agent_mailbox *box)
{
	for (uint64_t page = box->gpa; box->done < box->pages; page += PAGE, box->done++) {
		volatile uint64_t *word = (volatile uint64_t *)page;

		for (uint64_t i = 0; i < PAGE / 8; i++) {
			word[i] = agent_pattern(box->seed, page, i);
		}
	}
}

static void verify(struct agent_mailbox *box)
{
	for (uint64_t page = box->gpa; box->done < box->pages; page += PAGE, box->done++) {
		const volatile uint64_t *word = (const volatile uint64_t *)page;

		for (uint64_t i = 0; i < PAGE / 8; i++) {
			if (word[i] != agent_pattern(box->seed, page, i)) {
				box->failed++;
				break;
			}
		}
	}
}

static void convert(struct agent_mailbox *box, uint64_t function)
{
	for (uint64_t page = box->gpa; box->done < box->pages; page += PAGE) {
		box->hypercalls++;
		if (machine_hvc(function, page)) {
			box->failed++;
			break;
		}
		box->done++;
	}
}

static void carry_out(struct agent_mailbox *box)
{
	const uint64_t start = machine_ticks();

	box->done = box->failed = box->hypercalls = 0;
	switch (box->op) {
	case AGENT_TOUCH:
		touch(box);
		break;
	case AGENT_VERIFY:
		verify(box);
		break;
	case AGENT_SHARE:
		convert(box, HVC_MEM_SHARE);
		break;
	case AGENT_UNSHARE:
		convert(box, HVC_MEM_UNSHARE);
		break;
	default:
		break;
	}
	box->ticks = machine_ticks() - start;
	box->tick_hz = machine_tick_hz();
}

/* A page of its own: what is shared with the host is shared by the page. */
static union {
	struct agent_mailbox box;
	uint8_t page[4096];
} mailbox __attribute__((aligned(4096)));

/* Copies, so that a host that changes the command under way changes nothing but the next one. */
static void agent(void)
{
	volatile struct agent_mailbox *shared = &mailbox.box;

	if (machine_hvc(HVC_MEM_SHARE, (uint64_t)&mailbox)) {
		print("agent: cannot share the mailbox: is this a protected guest?\n");
		leave(1);
	}
	machine_write64(CONTROL_BASE + CONTROL_MAILBOX, (uint64_t)&mailbox);
	for (;;) {
		struct agent_mailbox box;

		machine_write64(CONTROL_BASE + CONTROL_DOORBELL, 0);
		box.op = shared->op;
		box.gpa = shared->gpa;
		box.pages = shared->pages;
		box.seed = shared->seed;
		if (box.op == AGENT_EXIT) {
			leave(0);
		}
		carry_out(&box);
		shared->done = box.done;
		shared->failed = box.failed;
		shared->hypercalls = box.hypercalls;
		shared->ticks = box.ticks;
		shared->tick_hz = box.tick_hz;
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

/* The value of the first property "bootargs" (Devicetree Specification 0.4, section 5). */
static const char *bootargs(const uint8_t *fdt)
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

/* The number at *text, which is moved behind it and behind a comma. Without one, the guest ends. */
static uint64_t number(const char **text)
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

/* Is text the word, ended by '=', a blank or the end? *rest is behind it. */
static bool word_is(const char *text, const char *word, const char **rest)
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

static void announce(const struct agent_mailbox *box, uint64_t reg)
{
	for (uint64_t i = 0; i < box->pages; i++) {
		machine_write64(CONTROL_BASE + reg, box->gpa + i * PAGE);
	}
}

static void memory_command(const char *name, uint64_t op, const char *text)
{
	struct agent_mailbox box = {.op = op};

	box.gpa = number(&text);
	box.pages = number(&text);
	box.seed = *text && *text != ' ' ? number(&text) : 0;
	if (op == AGENT_UNSHARE) {
		announce(&box, CONTROL_UNSHARED);
	}
	carry_out(&box);
	print(name);
	print(" ");
	print_hex(box.gpa);
	print(" pages ");
	print_hex(box.pages);
	print(box.failed ? ": failed at page " : ": ok, ");
	print_hex(box.done);
	print("\n");
	if (box.failed) {
		leave(1);
	}
	if (op == AGENT_SHARE) {
		announce(&box, CONTROL_SHARED);
	}
}

static void peek(const char *text)
{
	const uint64_t gpa = number(&text);

	machine_write64(CONTROL_BASE + CONTROL_PEEK, gpa);
	print("peek ");
	print_hex(gpa);
	if (machine_read64(CONTROL_BASE + CONTROL_PEEK)) {
		print(": the host read ");
		print_hex(machine_read64(CONTROL_BASE + CONTROL_PEEK_VALUE));
		print("\n");
	} else {
		print(": the host could not read\n");
	}
}

static void poke(const char *text)
{
	const uint64_t gpa = number(&text);

	machine_write64(CONTROL_BASE + CONTROL_POKE, gpa);
	print("poke ");
	print_hex(gpa);
	print(machine_read64(CONTROL_BASE + CONTROL_POKE) ? ": the host changed it\n"
							  : ": the host could not\n");
}

static void call_command(const char *text)
{
	uint64_t word[4] = {0};
	int64_t result;

	print("call");
	for (unsigned int i = 0; i < 4 && *text && *text != ' '; i++) {
		word[i] = number(&text);
		print(" ");
		print_hex(word[i]);
	}
	result = machine_hvc_all(word);
	print(result < 0 ? ": -" : ": ");
	print_hex(result < 0 ? 0 - (uint64_t)result : (uint64_t)result);
	print("\n");
}

/* Addresses come from the running code: the image may lie anywhere, so no table of pointers. */
static void command(const char *text)
{
	const char *rest;

	if (word_is(text, "touch", &rest)) {
		memory_command("touch", AGENT_TOUCH, rest);
	} else if (word_is(text, "verify", &rest)) {
		memory_command("verify", AGENT_VERIFY, rest);
	} else if (word_is(text, "share", &rest)) {
		memory_command("share", AGENT_SHARE, rest);
	} else if (word_is(text, "unshare", &rest)) {
		memory_command("unshare", AGENT_UNSHARE, rest);
	} else if (word_is(text, "peek", &rest)) {
		peek(rest);
	} else if (word_is(text, "poke", &rest)) {
		poke(rest);
	} else if (word_is(text, "call", &rest)) {
		call_command(rest);
	} else if (word_is(text, "exit", &rest)) {
		leave(number(&rest));
	} else if (word_is(text, "agent", &rest)) {
		agent();
	} else {
		print("payload: unknown command: ");
		print(text);
		print("\n");
		leave(1);
	}
}

void payload_main(const uint8_t *fdt)
{
	const char *text = bootargs(fdt);

	while (*text) {
		if (*text == ' ') {
			text++;
			continue;
		}
		command(text);
		while (*text && *text != ' ') {
			text++;
		}
	}
	leave(0);
}
