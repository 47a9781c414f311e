/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC: the other processor's start, the kick, and the timer. APM chapter 16: registers 16.3.2,
 * timer 16.4.1, interprocessor interrupts 16.5.
 */
#include "cpu.h"

#define APIC UINT64_C(0xfee00000)
#define APIC_EOI 0x0b0u
#define APIC_SPURIOUS 0x0f0u
#define APIC_ICR 0x300u
#define APIC_LVT_TIMER 0x320u
#define APIC_LVT_LINT0 0x350u
#define APIC_LVT_LINT1 0x360u
#define APIC_TIMER_INITIAL 0x380u
#define APIC_TIMER_CURRENT 0x390u
#define APIC_TIMER_DIVIDE 0x3e0u

#define SPURIOUS_ENABLE 0x100u
#define LVT_MASKED 0x10000u
#define DIVIDE_BY_16 3u

#define ICR_INIT 0x500u
#define ICR_STARTUP 0x600u
#define ICR_BUSY 0x1000u
#define ICR_ASSERT 0x4000u
#define ICR_OTHERS 0xc0000u /* all but this one */

/* Channel 2 of the interval timer, whose output can be read. */
#define PIT_HZ UINT64_C(1193182)
#define PIT_CHANNEL_2 0x42u
#define PIT_COMMAND 0x43u
#define PIT_ONE_SHOT 0xb0u /* channel 2, low byte then high byte, mode 0 */
#define PIT_GATE 0x61u	   /* bit 0 is the gate, bit 5 the output */

#define CALIBRATION 500u /* microseconds */

static uint64_t timer_ticks; /* in CALIBRATION */

static void apic_write(unsigned reg, uint32_t value)
{
	*(volatile uint32_t *)(uintptr_t)(APIC + reg) = value;
}

static uint32_t apic_read(unsigned reg)
{
	return *(volatile uint32_t *)(uintptr_t)(APIC + reg);
}

void delay(unsigned microseconds)
{
	uint64_t ticks = PIT_HZ * microseconds / 1000000;

	out8(PIT_GATE, (uint8_t)((in8(PIT_GATE) & ~3u) | 1));
	out8(PIT_COMMAND, PIT_ONE_SHOT);
	out8(PIT_CHANNEL_2, (uint8_t)ticks);
	out8(PIT_CHANNEL_2, (uint8_t)(ticks >> 8));
	while (!(in8(PIT_GATE) & 0x20)) {
		machine_relax();
	}
}

void apic_cpu_init(void)
{
	apic_write(APIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	apic_write(APIC_LVT_LINT1, LVT_MASKED);
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_16);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER); /* one-shot */
}

void apic_init(void)
{
	out8(0x21, 0xff); /* the old interrupt controllers are not used */
	out8(0xa1, 0xff);
	apic_cpu_init();
	apic_write(APIC_TIMER_INITIAL, UINT32_MAX);
	delay(CALIBRATION);
	timer_ticks = UINT32_MAX - apic_read(APIC_TIMER_CURRENT);
	apic_timer_stop();
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_timer_start(uint64_t microseconds)
{
	uint64_t longest = UINT32_MAX * (uint64_t)CALIBRATION / timer_ticks;
	uint64_t time = microseconds < longest ? microseconds : longest;
	uint64_t ticks = time * timer_ticks / CALIBRATION;

	apic_write(APIC_TIMER_INITIAL, ticks ? (uint32_t)ticks : 1);
}

void apic_timer_stop(void)
{
	apic_write(APIC_TIMER_INITIAL, 0);
}

static void apic_send(uint32_t command)
{
	while (apic_read(APIC_ICR) & ICR_BUSY) {
		machine_relax();
	}
	apic_write(APIC_ICR, command | ICR_ASSERT | ICR_OTHERS);
}

void apic_kick_other(void)
{
	apic_send(VECTOR_KICK);
}

/*
 * INIT, then the page to start at, twice because the first may be lost. APM 16.5. Processors that have
 * SVM need no more time in between.
 */
void apic_start_others(uint64_t code)
{
	apic_send(ICR_INIT);
	delay(200);
	apic_send(ICR_STARTUP | (uint32_t)(code >> 12));
	delay(200);
	apic_send(ICR_STARTUP | (uint32_t)(code >> 12));
}
