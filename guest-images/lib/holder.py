# SPDX-License-Identifier: BSD-2-Clause
"""A program for the board that holds a VM open, so that KVM's scheduler hooks stay patched in.

KVM patches its hooks into the kernel's scheduler when the first VM is created and out when the last one
goes (Linux, virt/kvm/kvm_main.c, preempt_notifier_key). Under QEMU 7.2's emulation a CPU may go on
executing the code from before: its "scheduled in" hook is missed, pKVM's vCPU is not loaded, and
__kvm_vcpu_run answers -EINVAL, which the host takes for an SError and panics (seen once in about 50
protected VMs; never in 480 with a VM held open). A board exists to create VMs, so it holds one.
"""

import struct

# open("/dev/kvm", O_RDWR); ioctl(fd, KVM_CREATE_VM, 0); then ppoll() on nothing, for ever.
CODE = (
    0x92800c60,  # mov x0, #-100        AT_FDCWD
    0x100001e1,  # adr x1, path
    0xd2800042,  # mov x2, #2           O_RDWR
    0xd2800708,  # mov x8, #56          openat
    0xd4000001,  # svc #0
    0xd295c021,  # mov x1, #0xae01      KVM_CREATE_VM
    0xd2800002,  # mov x2, #0
    0xd28003a8,  # mov x8, #29          ioctl
    0xd4000001,  # svc #0
    0xd2800000,  # mov x0, #0
    0xd2800001,  # mov x1, #0
    0xd2800002,  # mov x2, #0
    0xd2800003,  # mov x3, #0
    0xd2800928,  # mov x8, #73          ppoll
    0xd4000001,  # svc #0
    0x17fffffa,  # b   back to the first of these six
)
BASE = 0x400000


def program():
    """The program: an ELF header, one segment, the code, the path."""
    text = struct.pack(f'<{len(CODE)}I', *CODE) + b'/dev/kvm\0'
    headers = 64 + 56
    size = headers + len(text)
    elf = b'\x7fELF' + bytes((2, 1, 1)) + bytes(9)
    elf += struct.pack('<HHIQQQIHHHHHH', 2, 183, 1, BASE + headers, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack('<IIQQQQQQ', 1, 5, 0, BASE, BASE, size, size, 0x1000)
    return elf + segment + text
