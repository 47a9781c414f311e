/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 16550A as the Linux 8250 driver uses it. Register and bit numbers are written down here again,
 * from the PC16550D data sheet, and not taken from the code under test.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "check_main.h"
#include "serial.h"

#define BASE UINT64_C(0x9000000)

enum {
	RBR = 0,
	THR = 0,
	DLL = 0,
	IER = 1,
	DLM = 1,
	IIR = 2,
	FCR = 2,
	LCR = 3,
	MCR = 4,
	LSR = 5
};
enum {
	MSR = 6,
	SCR = 7
};

#define IER_RDI 0x01
#define IER_THRI 0x02
#define IIR_NO_INT 0x01
#define IIR_THRI 0x02
#define IIR_RDI 0x04
#define IIR_ID 0x0f
#define LSR_DR 0x01
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define LCR_DLAB 0x80
#define MCR_LOOP 0x10

static struct serial serial;
static struct bus bus;
static int output[2]; /* pipe: [0] is ours */
static int stop[2];   /* another: something in it ends the VM */
static bool line;     /* the interrupt line */
static unsigned int edges;

static void set_irq(void *cookie, bool level)
{
	ck_assert_ptr_eq(cookie, &serial);
	ck_assert(level != line); /* only changes are told */
	line = level;
	edges++;
}

static void setup(void)
{
	ck_assert_int_eq(pipe(output), 0);
	ck_assert_int_eq(fcntl(output[0], F_SETFL, O_NONBLOCK), 0);
	ck_assert_int_eq(pipe(stop), 0);
	serial_init(&serial, output[1], stop[0], set_irq, &serial);
	ck_assert_int_eq(serial_attach(&serial, &bus, s2_gpa(BASE)), 0);
}

static void teardown(void)
{
	serial_fini(&serial);
	close(output[0]);
	close(output[1]);
	close(stop[0]);
	close(stop[1]);
}

static uint8_t in(unsigned int reg)
{
	uint8_t value;

	ck_assert(bus_access(&bus, s2_gpa(BASE + reg), &value, 1, false));
	return value;
}

static void out(unsigned int reg, uint8_t value)
{
	ck_assert(bus_access(&bus, s2_gpa(BASE + reg), &value, 1, true));
}

static void expect_output(const char *text)
{
	char got[64];
	ssize_t len = read(output[0], got, sizeof(got));

	if (!*text) {
		ck_assert_int_eq(len, -1);
		ck_assert_int_eq(errno, EAGAIN);
		return;
	}
	ck_assert_int_eq(len, (ssize_t)strlen(text));
	ck_assert_mem_eq(got, text, strlen(text));
}

static size_t type(const char *text)
{
	return serial_input(&serial, (const uint8_t *)text, strlen(text));
}

START_TEST(reset_state)
{
	ck_assert_uint_eq(in(IER), 0);
	ck_assert_uint_eq(in(IIR), IIR_NO_INT);
	ck_assert_uint_eq(in(LCR), 0);
	ck_assert_uint_eq(in(LSR), LSR_THRE | LSR_TEMT);
	ck_assert_uint_eq(in(RBR), 0); /* nothing there: harmless */
	ck_assert_uint_eq(serial_room(&serial), SERIAL_INPUT_MAX);
	ck_assert_uint_eq(edges, 0);
	out(SCR, 0x5a);
	ck_assert_uint_eq(in(SCR), 0x5a); /* how the driver finds out that there is a UART */
	out(IER, 0xff);
	ck_assert_uint_eq(in(IER), 0x0f);
	for (unsigned int reg = 8; reg < 64; reg++) {
		out(reg, 0xff);
		ck_assert_uint_eq(in(reg), 0);
	}
}
END_TEST

START_TEST(transmit)
{
	for (const char *c = "Hi\n"; *c; c++) {
		ck_assert(in(LSR)&LSR_THRE);
		out(THR, (uint8_t)*c);
		ck_assert_uint_eq(in(LSR) & (LSR_THRE | LSR_TEMT), LSR_THRE | LSR_TEMT);
	}
	expect_output("Hi\n");
	ck_assert_uint_eq(edges, 0); /* no interrupt is enabled */
	ck_assert_int_eq(in(LSR)&LSR_DR, 0);
}
END_TEST

/* The driver starts to send by enabling THRI, and expects an interrupt although nothing was sent. */
START_TEST(transmit_irq_enable)
{
	out(IER, IER_THRI);
	ck_assert(line);
	ck_assert_uint_eq(in(IIR)&IIR_ID, IIR_THRI);
	ck_assert(!line); /* reading the cause has acknowledged it */
	ck_assert_uint_eq(in(IIR)&IIR_ID, IIR_NO_INT);
	out(IER, IER_THRI); /* stays enabled: no new interrupt */
	ck_assert(!line);
	out(IER, 0);
	out(IER, IER_THRI); /* 0 to 1 again: a new one; the driver's start-up test of THRE */
	ck_assert(line);
	out(IER, 0); /* masked, not read */
	ck_assert(!line);
	ck_assert_uint_eq(in(IIR)&IIR_ID, IIR_NO_INT);
	out(IER, IER_THRI);
	ck_assert_uint_eq(in(IIR)&IIR_ID, IIR_THRI);
	ck_assert_uint_eq(edges, 6);
}
END_TEST

START_TEST(transmit_irq_write)
{
	out(IER, IER_THRI);
	ck_assert_uint_eq(in(IIR)&IIR_ID, IIR_THRI);
	for (int i = 0; i < 3; i++) {
		ck_assert(!line);
		out(THR, 'x');
		ck_assert(line);
		ck_assert_uint_eq(in(LSR)&LSR_THRE, LSR_THRE);
		ck_assert(line); /* the status register acknowledges nothing */
		ck_assert_uint_eq(in(IIR)&IIR_ID, IIR_THRI);
	}
	ck_assert(!line);
	expect_output("xxx");
}
END_TEST

START_TEST(receive)
{
	out(IER, IER_RDI);
	ck_assert(!line);
	ck_assert_uint_eq(type("ab"), 2);
	ck_assert(line);
	ck_assert_uint_eq(in(IIR)&IIR_ID, IIR_RDI);
	ck_assert(line); /* only reading the data ends it */
	ck_assert_uint_eq(in(LSR)&LSR_DR, LSR_DR);
	ck_assert_uint_eq(in(RBR), 'a');
	ck_assert(line);
	ck_assert_uint_eq(in(RBR), 'b');
	ck_assert(!line);
	ck_assert_uint_eq(in(LSR)&LSR_DR, 0);
	ck_assert_uint_eq(in(IIR)&IIR_ID, IIR_NO_INT);
	ck_assert_uint_eq(in(RBR), 0);
	/* Input that came while the interrupt was off is not lost. */
	out(IER, 0);
	ck_assert_uint_eq(type("c"), 1);
	ck_assert(!line);
	out(IER, IER_RDI);
	ck_assert(line);
	ck_assert_uint_eq(in(RBR), 'c');
	expect_output("");
}
END_TEST

/* The ring is filled, emptied in part and filled again across its end; nothing is lost or doubled. */
START_TEST(receive_full)
{
	uint8_t data[SERIAL_INPUT_MAX + 10];
	uint8_t next = 0, want = 0;

	for (size_t i = 0; i < sizeof(data); i++) {
		data[i] = next++;
	}
	ck_assert_uint_eq(serial_input(&serial, data, sizeof(data)), SERIAL_INPUT_MAX);
	ck_assert_uint_eq(serial_room(&serial), 0);
	ck_assert_uint_eq(serial_input(&serial, data, 1), 0);
	ck_assert_uint_eq(serial_input(&serial, data, 0), 0);
	for (int i = 0; i < 1000; i++) {
		ck_assert_uint_eq(in(RBR), want++);
	}
	ck_assert_uint_eq(serial_room(&serial), 1000);
	next = (uint8_t)SERIAL_INPUT_MAX;
	for (size_t i = 0; i < sizeof(data); i++) {
		data[i] = next++;
	}
	ck_assert_uint_eq(serial_input(&serial, data, 1001), 1000);
	for (int i = 0; i < SERIAL_INPUT_MAX; i++) {
		ck_assert(in(LSR)&LSR_DR);
		ck_assert_uint_eq(in(RBR), want++);
	}
	ck_assert(!(in(LSR)&LSR_DR));
	ck_assert_uint_eq(serial_room(&serial), SERIAL_INPUT_MAX);
}
END_TEST

/* Received data is the more urgent cause; telling it does not acknowledge the other one. */
START_TEST(priority)
{
	out(IER, IER_RDI | IER_THRI);
	type("a");
	ck_assert_uint_eq(in(IIR)&IIR_ID, IIR_RDI);
	ck_assert_uint_eq(in(IIR)&IIR_ID, IIR_RDI);
	ck_assert_uint_eq(in(RBR), 'a');
	ck_assert(line); /* the transmitter still waits */
	ck_assert_uint_eq(in(IIR)&IIR_ID, IIR_THRI);
	ck_assert(!line);
	ck_assert_uint_eq(edges, 2);
}
END_TEST

START_TEST(divisor)
{
	type("a");
	out(IER, IER_RDI);
	out(LCR, LCR_DLAB | 3);
	out(DLL, 0x34);
	out(DLM, 0x12);
	ck_assert_uint_eq(in(DLL), 0x34); /* takes no input */
	ck_assert_uint_eq(in(DLM), 0x12);
	ck_assert_uint_eq(in(LCR), LCR_DLAB | 3);
	out(LCR, 3);
	ck_assert_uint_eq(in(IER), IER_RDI); /* DLM was not written to it */
	ck_assert_uint_eq(in(RBR), 'a');
	expect_output(""); /* DLL was not sent */
	out(LCR, LCR_DLAB);
	ck_assert_uint_eq(in(DLL), 0x34);
}
END_TEST

START_TEST(loopback)
{
	out(MCR, MCR_LOOP | 0x0f);
	ck_assert_uint_eq(in(MCR), MCR_LOOP | 0x0f);
	out(THR, 'x');
	expect_output("");
	out(MCR, 0x0b);
	out(THR, 'y');
	expect_output("y");
	ck_assert_uint_eq(in(MSR)&0xb0, 0xb0); /* carrier, data set ready, clear to send */
}
END_TEST

START_TEST(fifo_control)
{
	ck_assert_uint_eq(in(IIR)&0xc0, 0);
	out(FCR, 0x01);
	ck_assert_uint_eq(in(IIR)&0xc0, 0xc0); /* how the driver tells a 16550A */
	out(IER, IER_RDI);
	type("abc");
	ck_assert(line);
	out(FCR, 0x05); /* clears the transmitter's FIFO only */
	ck_assert(line);
	ck_assert_uint_eq(serial_room(&serial), SERIAL_INPUT_MAX - 3);
	out(FCR, 0x07);
	ck_assert(!line);
	ck_assert_uint_eq(in(LSR)&LSR_DR, 0);
	ck_assert_uint_eq(serial_room(&serial), SERIAL_INPUT_MAX);
	type("d");
	ck_assert_uint_eq(in(RBR), 'd');
	out(FCR, 0);
	ck_assert_uint_eq(in(IIR), IIR_NO_INT);
}
END_TEST

/* `stage2 run` ignores SIGPIPE; then a pager that quits costs output, and the guest goes on. */
START_TEST(closed_reader)
{
	signal(SIGPIPE, SIG_IGN);
	out(IER, IER_THRI);
	in(IIR);
	close(output[0]);
	out(THR, 'x');
	ck_assert(line); /* the driver waits for this */
	ck_assert_uint_eq(in(IIR)&IIR_ID, IIR_THRI);
	ck_assert_uint_eq(in(LSR)&LSR_THRE, LSR_THRE);
	out(THR, 'y');
	ck_assert_int_eq(serial.out_error, 0);
	output[0] = dup(output[1]);
}
END_TEST

static void *write_one(void *cookie)
{
	(void)cookie;
	out(THR, '!');
	return NULL;
}

/* Fills the pipe, then has a thread write one byte more; returns when it has had time to wait. */
static pthread_t write_blocked(void)
{
	const struct timespec moment = {.tv_nsec = 50 * 1000 * 1000};
	static const char text[4096];
	pthread_t thread;

	ck_assert_int_eq(fcntl(output[1], F_SETFL, O_NONBLOCK), 0);
	while (write(output[1], text, sizeof(text)) > 0) {
	}
	ck_assert_int_eq(pthread_create(&thread, NULL, write_one, NULL), 0);
	nanosleep(&moment, NULL);
	return thread;
}

/* A reader that does not read keeps the writing vCPU waiting, and nobody else; nothing is lost. */
START_TEST(slow_reader)
{
	pthread_t thread = write_blocked();
	char text[4096];
	char last = 0;
	ssize_t len;

	ck_assert_uint_eq(type("a"), 1);
	ck_assert_uint_eq(in(RBR), 'a');
	while ((len = read(output[0], text, sizeof(text))) > 0) {
		last = text[len - 1];
	}
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	if (last != '!') {
		ck_assert_int_eq(read(output[0], &last, 1), 1);
	}
	ck_assert_int_eq(last, '!');
	ck_assert_int_eq(serial.out_error, 0);
}
END_TEST

/* The end of the VM ends the wait. */
START_TEST(slow_reader_stop)
{
	pthread_t thread = write_blocked();

	ck_assert_int_eq(write(stop[1], "x", 1), 1);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	out(IER, IER_THRI);
	ck_assert(line);
}
END_TEST

/* A full disk is remembered, for whoever ends the VM to tell; a reader that quit is not. */
START_TEST(lost_output)
{
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	if (full < 0) {
		return; /* a system without it: an empty /dev */
	}
	out(THR, 'x');
	ck_assert_int_eq(serial.out_error, 0);
	serial.out = full;
	out(THR, 'x');
	ck_assert_int_eq(serial.out_error, ENOSPC);
	close(full);
}
END_TEST

START_TEST(taken)
{
	ck_assert_int_eq(serial_attach(&serial, &bus, s2_gpa(BASE + SERIAL_SIZE - 1)), -EEXIST);
	ck_assert_uint_eq(bus.device_count, 1);
}
END_TEST

#define STORM 20000

static void *type_storm(void *cookie)
{
	uint8_t byte = 0;

	(void)cookie;
	for (int sent = 0; sent < STORM;) {
		if (serial_input(&serial, &byte, 1)) {
			byte++;
			sent++;
		}
	}
	return NULL;
}

/* Typing and reading at the same time: every byte arrives once, in order. */
START_TEST(two_threads)
{
	uint8_t want = 0;
	pthread_t thread;

	out(IER, IER_RDI);
	ck_assert_int_eq(pthread_create(&thread, NULL, type_storm, NULL), 0);
	for (int got = 0; got < STORM;) {
		if (in(LSR)&LSR_DR) {
			uint8_t byte = in(RBR);

			if (byte != want) {
				ck_abort_msg("byte %d is %u", got, byte);
			}
			want++;
			got++;
		}
	}
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	ck_assert(!line);
	ck_assert_uint_eq(edges % 2, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("serial");
	TCase *tcase = tcase_create("serial");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, reset_state);
	tcase_add_test(tcase, transmit);
	tcase_add_test(tcase, transmit_irq_enable);
	tcase_add_test(tcase, transmit_irq_write);
	tcase_add_test(tcase, receive);
	tcase_add_test(tcase, receive_full);
	tcase_add_test(tcase, priority);
	tcase_add_test(tcase, divisor);
	tcase_add_test(tcase, loopback);
	tcase_add_test(tcase, fifo_control);
	tcase_add_test(tcase, closed_reader);
	tcase_add_test(tcase, slow_reader);
	tcase_add_test(tcase, slow_reader_stop);
	tcase_add_test(tcase, lost_output);
	tcase_add_test(tcase, taken);
	tcase_add_test(tcase, two_threads);
	suite_add_tcase(suite, tcase);
	return check_main(suite);
}
