# SPDX-License-Identifier: BSD-2-Clause
"""The boards: which machine QEMU is asked to be, and which kernel runs on it."""


import holder
from cache import AMD64_MODULES


class Board:
    """A machine with KVM that QEMU emulates."""

    def __init__(self, about, qemu, package, machine, kernel, busybox, cmdline, modules=(),
                 holder=None):
        self.about = about
        self.qemu = qemu            # QEMU's program for it
        self.package = package      # the apt package that has the program
        self.machine = machine      # QEMU's arguments for the machine
        self.kernel = kernel        # things of the cache
        self.busybox = busybox
        self.cmdline = cmdline
        self.modules = modules      # files beside the kernel, in the order of loading
        self.holder = holder        # a program that holds a VM open, where that is needed


# What a Debian kernel does at boot and a board can do without; together half of its time under
# emulation: tests of the crypto code, keys for modules, guarding against the host's own programs,
# waiting for RCU, clearing memory twice.
LEAN = ('cryptomgr.notests nokaslr mitigations=off rcupdate.rcu_expedited=1 init_on_alloc=0 '
        'initcall_blacklist=load_system_certificate_list')


def arm64(about, mode):
    # neoverse-n1 and not max: no pointer authentication, which takes QEMU three times as long to
    # boot, and no LPA2, with which pKVM takes seconds to tear down a VM.
    return Board(about, 'qemu-system-aarch64', 'qemu-system-arm',
                 ('-machine', 'virt,virtualization=on,gic-version=3', '-cpu', 'neoverse-n1',
                  '-accel', 'tcg,thread=multi'),
                 'kernel-arm64', 'busybox-arm64', f'console=ttyAMA0 kvm-arm.mode={mode} {LEAN}',
                 holder=holder.program())


def x86_64(about, kernel, modules=()):
    # QEMU 7.2's SVM does not let KVM see a guest's XSETBV: guests that find XSAVE or what needs it crash.
    # One thread for all processors: with one each, QEMU 7.2 may still execute a breakpoint that another
    # processor has taken out of the kernel's text. Each first VM of KVM patches the scheduler; of three
    # boards that started sixty, one after the other, two panicked there.
    return Board(about, 'qemu-system-x86_64', 'qemu-system-x86',
                 ('-machine', 'q35', '-cpu', 'max,-xsave,-avx,-avx2,-pku',
                  '-accel', 'tcg,thread=single'), kernel,
                 'busybox-amd64', f'console=ttyS0 {LEAN}', modules)


BOARDS = {
    'arm64': arm64('KVM on arm64, the host at EL1 and the hypervisor at EL2', 'nvhe'),
    'arm64-pkvm': arm64('pKVM on arm64: protected VMs, which the host cannot read', 'protected'),
    'x86_64': x86_64('KVM on x86_64: AMD SVM with nested paging', 'kernel-amd64',
                     [f'{name}.ko' for name in AMD64_MODULES]),
    'x86_64-sw-protected': x86_64('the same, with KVM\'s software-protected VMs: private memory '
                                  'for testing', 'kernel-amd64-sw'),
}
