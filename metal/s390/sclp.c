/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The service-call logical processor (SCLP): the console and the size of memory. The PoP does not
 * describe it. Calls end with a service-signal interruption. The console is events of type "VT220",
 * plain ASCII, one for a line.
 */
#include "s390.h"

#define SCLP_READ_INFO 0x00020001u
#define SCLP_WRITE_EVENT_DATA 0x00760005u
#define SCLP_WRITE_EVENT_MASK 0x00780005u
#define SCLP_VT220 0x1a
#define SCLP_MASK(type) (0x80000000u >> ((type)-1))

#define LINE_MAX 512

#define SERVICE_US 100 /* the other processor may have got the signal */

struct header {
	uint16_t length;
	uint8_t function;
	uint8_t control[3];
	uint16_t response;
};

struct info {
	struct header header;
	uint16_t increments;
	uint8_t increment; /* MiB; 0: increment_large */
	uint8_t at_11[100 - 11];
	uint32_t increment_large;
	uint8_t at_104[4096 - 104];
};

struct event_mask {
	struct header header;
	uint16_t reserved;
	uint16_t mask_length;
	uint32_t receive, send; /* ours */
	uint32_t sclp_receive, sclp_send;
};

struct write_event {
	struct header header;
	uint16_t length;
	uint8_t type;
	uint8_t flags;
	uint16_t reserved;
	char text[LINE_MAX];
};

/* Control blocks are below 2 GiB, as all of us, and do not cross a page. */
static struct write_event block __attribute__((aligned(4096)));
static size_t length;
static bool done; /* the service signal has come, to whichever processor */

/* Condition code of SERVICE CALL: 0 begun, 2 busy, 3 there is none. */
static unsigned service_call(uint32_t command, void *control_block)
{
	unsigned cc;

	__asm__ volatile(".insn rre,0xb2200000,%[command],%[block]\n\t"
			 "ipm	%[cc]\n\t"
			 "srl	%[cc],28"
			 : [cc] "=d"(cc)
			 : [command] "d"(command), [block] "a"(control_block)
			 : "cc", "memory");
	return cc;
}

static void service(uint32_t command, void *control_block)
{
	unsigned cc;

	__atomic_store_n(&done, false, __ATOMIC_RELEASE);
	while ((cc = service_call(command, control_block)) == 2) {
		wait(SERVICE_US);
	}
	while (cc == 0 && !__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
		wait(SERVICE_US);
	}
}

void sclp_done(void)
{
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
}

uint64_t sclp_memory_size(void)
{
	static struct info info __attribute__((aligned(4096)));

	info.header.length = sizeof(info);
	service(SCLP_READ_INFO, &info);
	return (uint64_t)info.increments * (info.increment ? info.increment : info.increment_large)
	       << 20;
}

void console_init(void)
{
	static struct event_mask mask __attribute__((aligned(64)));

	mask.header.length = sizeof(mask);
	mask.mask_length = sizeof(mask.send);
	mask.send = SCLP_MASK(SCLP_VT220);
	service(SCLP_WRITE_EVENT_MASK, &mask);
}

void console_flush(void)
{
	if (length == 0) {
		return;
	}
	block.header =
		(struct header){.length = (uint16_t)(offsetof(struct write_event, text) + length)};
	block.length = (uint16_t)(block.header.length - sizeof(struct header));
	block.type = SCLP_VT220;
	block.flags = 0;
	length = 0;
	service(SCLP_WRITE_EVENT_DATA, &block);
}

void machine_putc(char c)
{
	block.text[length++] = c;
	if (c == '\n' || length == LINE_MAX) {
		console_flush();
	}
}
