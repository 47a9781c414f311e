/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The payload: a guest that does what it is told to its memory. It is told by its command line, words
 * separated by blanks, carried out in order:
 *
 *	touch=GPA,PAGES[,SEED]    write the pattern of SEED
 *	verify=GPA,PAGES[,SEED]   compare with it
 *	read=GPA,PAGES[,SEED]     the first word of each page: how many differ, how many abort
 *	zero=GPA,PAGES            compare with zeros
 *	share=GPA,PAGES[,STEP[,AT_ONCE]]
 *	                          show pages to the host, AT_ONCE pages a call, and tell the VMM where it
 *	                          does not see the calls. No AT_ONCE, or 0: as many as a call can take,
 *	                          which is one with pKVM. With a STEP above 1, only every STEP-th page,
 *	                          and tell of each by itself
 *	unshare=GPA,PAGES[,STEP[,AT_ONCE]]
 *	                          tell the VMM, and take them back
 *	call=F[,X1[,X2[,X3]]]     a hypercall as it is, and its result
 *	ring                      from here on, tell the VMM through the ring (vmm/guest_abi.h)
 *	claim=GPA,PAGES           say that they are shared, and do nothing
 *	deny=GPA,PAGES            say that they are unshared, and do nothing
 *	wild=N                    move the ring's head by N
 *	poison=GPA                ask the VMM for a memory error there (--inject-errors)
 *	peek=GPA                  ask the VMM to read there
 *	peeks=GPA,PAGES           ask for each page; prints one digit a page, 1: the host could
 *	poke=GPA                  ask the VMM to change what is there
 *	audit=GPA,PAGES           ask the VMM whether what it believes of them is so
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

#include "text.h"

#define PAGE UINT64_C(4096)

void payload_main(const void *info);
void payload_exception(uint64_t kind, uint64_t address, uint64_t pc);
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

/* External aborts: whether they are waited for, how many came, and where the last one was. */
static volatile struct {
	uint64_t expected;
	uint64_t count;
	uint64_t address;
} aborts;

/*
 * kind is esr_el1 on arm64; vector and error code on x86_64. Returns if the program is to go on behind the
 * instruction.
 */
void payload_exception(uint64_t kind, uint64_t address, uint64_t pc)
{
	if (aborts.expected && machine_external_abort(kind)) {
		aborts.count++;
		aborts.address = address;
		return;
	}
	print("payload: exception ");
	print_hex(kind);
	print(" at pc ");
	print_hex(pc);
	print(", address ");
	print_hex(address);
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

/* seed is the number of pages a call; 0: as many as it can take. */
static void convert(struct agent_mailbox *box, bool share)
{
	const uint64_t most =
		box->seed && box->seed < MACHINE_CALL_PAGES ? box->seed : MACHINE_CALL_PAGES;

	while (box->done < box->pages) {
		const uint64_t rest = box->pages - box->done;
		const uint64_t pages = rest < most ? rest : most;

		box->hypercalls++;
		if (machine_convert(box->gpa + box->done * PAGE, pages, share)) {
			box->failed++;
			break;
		}
		box->done += pages;
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
		convert(box, true);
		break;
	case AGENT_UNSHARE:
		convert(box, false);
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

	if (machine_convert((uint64_t)&mailbox, 1, true)) {
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

/* The ring of reports, in a page of its own; not in use before `ring`. */
static union {
	struct guest_ring ring;
	uint8_t page[4096];
} reports __attribute__((aligned(4096)));
static uint64_t reports_open;

static void report_run(uint64_t gpa, uint64_t pages, uint64_t op)
{
	struct guest_ring *ring = &reports.ring;
	const uint64_t head = ring->head;

	if (head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) >= GUEST_RING_SLOTS) {
		machine_write64(CONTROL_BASE + CONTROL_DRAIN, 0);
	}
	__atomic_store_n(&ring->report[head % GUEST_RING_SLOTS], guest_run(gpa, pages, op),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&ring->head, head + 1, __ATOMIC_RELEASE);
}

/* Tells the VMM of pages, in whichever way is open. */
static void report(uint64_t gpa, uint64_t pages, uint64_t op)
{
	while (pages) {
		const uint64_t some = !reports_open	      ? 1
				      : pages < GUEST_RUN_MAX ? pages
							      : GUEST_RUN_MAX;

		if (reports_open) {
			report_run(gpa, some, op);
		} else {
			machine_write64(CONTROL_BASE + (op == GUEST_SHARED ? CONTROL_SHARED
									   : CONTROL_UNSHARED),
					gpa);
		}
		gpa += some * PAGE;
		pages -= some;
	}
}

static void open_ring(void)
{
	if (machine_convert((uint64_t)&reports, 1, true)) {
		print("ring: cannot share its page: is this a protected guest?\n");
		leave(1);
	}
	machine_write64(CONTROL_BASE + CONTROL_RING, (uint64_t)&reports);
	reports_open = 1;
	print("ring at ");
	print_hex((uint64_t)&reports);
	print("\n");
}

static void print_result(const char *name, const struct agent_mailbox *box)
{
	print(name);
	print(" ");
	print_hex(box->gpa);
	print(" pages ");
	print_hex(box->pages);
	print(box->failed ? ": failed at page " : ": ok, ");
	print_hex(box->done);
	print("\n");
	if (box->failed) {
		leave(1);
	}
}

static void memory_command(const char *name, uint64_t op, const char *text)
{
	struct agent_mailbox box = {.op = op};

	box.gpa = number(&text);
	box.pages = number(&text);
	box.seed = next_number(&text, 0);
	carry_out(&box);
	print_result(name, &box);
}

/* To a VMM that does not see the calls. */
static void announce(uint64_t gpa, uint64_t pages, uint64_t op)
{
	if (!MACHINE_CALLS_SEEN) {
		report(gpa, pages, op);
	}
}

/* Shares or unshares every step-th page, and tells in the order that keeps the host's belief safe. */
static void convert_command(const char *name, uint64_t op, const char *text)
{
	struct agent_mailbox all = {.op = op};
	uint64_t step, run;

	all.gpa = number(&text);
	all.pages = number(&text);
	step = next_number(&text, 1);
	all.seed = next_number(&text, 0);
	run = step > 1 ? 1 : all.pages;
	while (all.done < all.pages && !all.failed) {
		struct agent_mailbox box = {.op = op, .pages = run, .seed = all.seed};

		box.gpa = all.gpa + all.done * PAGE;
		if (op == AGENT_UNSHARE) {
			announce(box.gpa, box.pages, GUEST_UNSHARED);
		}
		carry_out(&box);
		if (op == AGENT_SHARE && box.done) {
			announce(box.gpa, box.done, GUEST_SHARED);
		}
		all.failed += box.failed;
		all.done += box.failed ? box.done : step > 1 ? step : run;
	}
	print_result(name, &all);
}

static void claim_command(const char *name, uint64_t op, const char *text)
{
	struct agent_mailbox box = {0};

	box.gpa = number(&text);
	box.pages = box.done = number(&text);
	report(box.gpa, box.pages, op);
	print_result(name, &box);
}

/* Reads although it may abort; a page that aborts is neither right nor wrong. */
static void read_command(const char *text)
{
	const uint64_t gpa = number(&text), pages = number(&text), seed = next_number(&text, 0);
	uint64_t differ = 0, first = 0;

	aborts.count = 0;
	aborts.expected = 1;
	for (uint64_t page = gpa; page < gpa + pages * PAGE; page += PAGE) {
		const uint64_t before = aborts.count;
		const uint64_t value = machine_read64(page);

		if (aborts.count == before) {
			differ += value != agent_pattern(seed, page, 0);
		} else if (!before) {
			first = aborts.address;
		}
	}
	aborts.expected = 0;
	print("read ");
	print_hex(gpa);
	print(" pages ");
	print_hex(pages);
	print(": differ ");
	print_hex(differ);
	print(" abort ");
	print_hex(aborts.count);
	if (aborts.count) {
		print(" first at ");
		print_hex(first);
	}
	print("\n");
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
	aborts.count = 0;
	aborts.expected = 1;
	result = machine_call(word[0], word[1], word[2], word[3]);
	aborts.expected = 0;
	if (aborts.count) {
		print(": external abort\n");
		return;
	}
	print(result < 0 ? ": -" : ": ");
	print_hex(result < 0 ? 0 - (uint64_t)result : (uint64_t)result);
	print("\n");
}

static void audit(const char *text)
{
	uint64_t gpa = number(&text), pages = number(&text), differ = 0;

	print("audit ");
	print_hex(gpa);
	print(" pages ");
	print_hex(pages);
	while (pages) {
		const uint64_t some = pages < GUEST_RUN_MAX ? pages : GUEST_RUN_MAX;

		machine_write64(CONTROL_BASE + CONTROL_AUDIT, guest_run(gpa, some, 0));
		differ += machine_read64(CONTROL_BASE + CONTROL_AUDIT);
		gpa += some * PAGE;
		pages -= some;
	}
	print(": differ ");
	print_hex(differ);
	print("\n");
}

static void tell(uint64_t reg, const char *name, const char *text)
{
	const uint64_t value = number(&text);

	machine_write64(CONTROL_BASE + reg, value);
	print(name);
	print(" ");
	print_hex(value);
	print("\n");
}

static void zero(const char *text)
{
	const uint64_t gpa = number(&text), pages = number(&text);
	const volatile uint64_t *word = (const volatile uint64_t *)gpa;
	uint64_t odd = 0;

	for (uint64_t i = 0; i < pages * PAGE / 8; i++) {
		odd += word[i] != 0;
	}
	print("zero ");
	print_hex(gpa);
	print(" pages ");
	print_hex(pages);
	print(odd ? ": failed, words that are not: " : ": ok, ");
	print_hex(odd);
	print("\n");
	if (odd) {
		leave(1);
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

static void peeks(const char *text)
{
	const uint64_t gpa = number(&text), pages = number(&text);

	print("peeks ");
	print_hex(gpa);
	print(" ");
	for (uint64_t i = 0; i < pages; i++) {
		machine_write64(CONTROL_BASE + CONTROL_PEEK, gpa + i * PAGE);
		print(machine_read64(CONTROL_BASE + CONTROL_PEEK) ? "1" : "0");
	}
	print("\n");
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

/* Addresses come from the running code: the image may lie anywhere, so no table of pointers. */
static void command(const char *text)
{
	const char *rest;

	if (word_is(text, "touch", &rest)) {
		memory_command("touch", AGENT_TOUCH, rest);
	} else if (word_is(text, "verify", &rest)) {
		memory_command("verify", AGENT_VERIFY, rest);
	} else if (word_is(text, "share", &rest)) {
		convert_command("share", AGENT_SHARE, rest);
	} else if (word_is(text, "unshare", &rest)) {
		convert_command("unshare", AGENT_UNSHARE, rest);
	} else if (word_is(text, "read", &rest)) {
		read_command(rest);
	} else if (word_is(text, "zero", &rest)) {
		zero(rest);
	} else if (word_is(text, "call", &rest)) {
		call_command(rest);
	} else if (word_is(text, "ring", &rest)) {
		open_ring();
	} else if (word_is(text, "claim", &rest)) {
		claim_command("claim", GUEST_SHARED, rest);
	} else if (word_is(text, "deny", &rest)) {
		claim_command("deny", GUEST_UNSHARED, rest);
	} else if (word_is(text, "wild", &rest)) {
		reports.ring.head += number(&rest);
		print("wild\n");
	} else if (word_is(text, "poison", &rest)) {
		tell(CONTROL_POISON, "poison", rest);
	} else if (word_is(text, "audit", &rest)) {
		audit(rest);
	} else if (word_is(text, "peek", &rest)) {
		peek(rest);
	} else if (word_is(text, "peeks", &rest)) {
		peeks(rest);
	} else if (word_is(text, "poke", &rest)) {
		poke(rest);
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

void payload_main(const void *info)
{
	const char *text = machine_bootargs(info);

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
