/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls of the firmware; the sections of SBI that they are from are those of its extensions. */
#include "cpu.h"

#define SBI_TIME 0x54494d45 /* "Timer Extension" */
#define SBI_TIME_SET 0
#define SBI_IPI 0x735049 /* "IPI Extension" */
#define SBI_IPI_SEND 0
#define SBI_RFENCE_I 0	 /* "RFENCE Extension"; the others are in <stage2/riscv.h> */
#define SBI_HSM 0x48534d /* "Hart State Management Extension" */
#define SBI_HSM_START 0
#define SBI_HSM_STATUS 2
#define SBI_HSM_STOPPED 1

#define FENCE_TICKS 100 /* 10 microseconds */

/* "Binary Encoding": all registers but a0 and a1 are kept. */
struct sbi_ret sbi_call(uint64_t extension, uint64_t function, const uint64_t arg[5])
{
	register uint64_t a0 __asm__("a0") = arg[0];
	register uint64_t a1 __asm__("a1") = arg[1];
	register uint64_t a2 __asm__("a2") = arg[2];
	register uint64_t a3 __asm__("a3") = arg[3];
	register uint64_t a4 __asm__("a4") = arg[4];
	register uint64_t a6 __asm__("a6") = function;
	register uint64_t a7 __asm__("a7") = extension;

	__asm__ volatile("ecall"
			 : "+r"(a0), "+r"(a1)
			 : "r"(a2), "r"(a3), "r"(a4), "r"(a6), "r"(a7)
			 : "memory");
	return (struct sbi_ret){.error = (int64_t)a0, .value = a1};
}

bool sbi_start(uint64_t hart, void (*entry)(void), void *cookie)
{
	uint64_t arg[5] = {hart, (uintptr_t)entry, (uintptr_t)cookie};
	struct sbi_ret status;

	/* It may still be on its way out of start.S. */
	for (;;) {
		status = sbi_call(SBI_HSM, SBI_HSM_STATUS, arg);
		if (status.error != 0 || status.value == SBI_HSM_STOPPED) {
			break;
		}
		machine_relax();
	}
	return sbi_call(SBI_HSM, SBI_HSM_START, arg).error == 0;
}

void sbi_timer(uint64_t time)
{
	uint64_t arg[5] = {time};

	sbi_call(SBI_TIME, SBI_TIME_SET, arg);
}

/* Harts are a mask and the hart that its bit 0 stands for. */
void sbi_kick(uint64_t hart)
{
	uint64_t arg[5] = {1, hart};

	sbi_call(SBI_IPI, SBI_IPI_SEND, arg);
}

/*
 * The firmware waits for the other hart. Under the emulator's counting clock that one has its turn
 * when a timer expires, so there should be one (start.S).
 */
static bool fence(uint64_t hart, uint64_t function, uint64_t start, uint64_t size, uint64_t vmid)
{
	uint64_t arg[5] = {1, hart, start, size, vmid};

	sbi_timer(CSR_READ(time) + FENCE_TICKS);
	return sbi_call(S2_RISCV_SBI_RFENCE, function, arg).error == 0;
}

bool sbi_fence(uint64_t hart, const struct s2_riscv_sbi *sbi)
{
	return fence(hart, sbi->fid, sbi->start, sbi->size, sbi->vmid);
}

bool sbi_fence_code(uint64_t hart)
{
	return fence(hart, SBI_RFENCE_I, 0, 0, 0);
}
