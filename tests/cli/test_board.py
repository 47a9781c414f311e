#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Bad input to stage2 where there is KVM: on each board one boot runs all cases.

usage: test_board.py BUILD-ARM64 [TEST]...
"""

import os
import shlex
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import tap  # noqa: E402
from tap import BOARD, FETCH, Skip, equal  # noqa: E402

BUILD = os.path.realpath(sys.argv.pop(1))
STAGE2 = f'{BUILD}/cli/stage2'
PAYLOAD = f'{BUILD}/guest-images/payload/payload.img'
TRACE = f'{tap.TOP}/measure/traces/A_swiotlb_4096_1.csv'
(GUEST_ERROR, USAGE, DATA, NO_INPUT, UNAVAILABLE, OS, CANT_CREATE, NO_PERMISSION, GUEST_FAILED,
 GUEST_RESET, SIGINT, SIGTERM) = 1, 64, 65, 66, 69, 71, 73, 77, 80, 81, 130, 143

scratch = tempfile.TemporaryDirectory(prefix='stage2-test.')

# What the cases share. Each runs in an empty folder; what it leaves there, elsewhere or running is
# noted.
PRELUDE = r'''
echo nobody:x:65534:65534:nobody:/:/bin/sh >>/etc/passwd
PATH=/:/bin
p=/payload.img
mkdir /cases /files
cd /files
: >empty
head -c 40 $p >tiny
head -c 5000 $p >half
head -c 200000 /dev/urandom >random
gzip -c $p >payload.gz
truncate -s 100M large
truncate -s 64M ram
mkdir ramfs huge
mount -t ramfs ramfs ramfs
truncate -s 64M ramfs/ram
echo 40 >/proc/sys/vm/nr_hugepages
mount -t hugetlbfs hugetlbfs huge
truncate -s 64M huge/ram
truncate -s 128M huge/large
mkdir full
mount -t tmpfs -o size=1M full full
truncate -s 64M full/ram
head -c 2000000 /dev/zero >full/filler 2>/dev/null
printf 't_us,op,gpa,pages,ret,x\n0,SHARE,0x80400000,1,0,\n0,WALK,0,1,0,\n' >bad.csv
printf 't_us,op,gpa,pages,ret,x\n0,SHARE,0x1000,1,0,\n' >outside.csv
[ -e /vmlinuz ] && head -c 30000000 /vmlinuz >cut-vmlinuz
as_nobody() { su -s /bin/sh -c "$*" nobody; }
run() { /stage2 run --memory 64M "$@"; }
measure() { /stage2 measure --payload $p "$@"; }
found() { find /tmp /root /files /dev/shm /run/board 2>/dev/null | sort; }
case_() {
	mkdir -p /cases/$1/folder
	cd /cases/$1/folder
	chmod 777 .
	before=$(found)
	read -r started rest </proc/uptime
	(eval "$2") >../out 2>../err </dev/null
	echo $? >../code
	read -r ended rest </proc/uptime
	echo $started $ended >../time
	ls -A . >../left
	[ "$before" = "$(found)" ] || echo files >>../left
	pidof stage2 >>../left
}
'''


def guest(*code):
    """An arm64 Image of a few instructions, entered at byte 64."""
    image = struct.pack('<II6Q4sI', 0x14000010, 0, 0, 4096, 0xa, 0, 0, 0, b'ARM\x64', 0)
    return image + struct.pack(f'<{len(code)}I', *code)


def cpio(**files):
    """A newc archive."""
    data = b''
    for number, (name, content) in enumerate({**files, 'TRAILER!!!': b''}.items()):
        fields = (number, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        header = b'070701' + b''.join(b'%08X' % field for field in fields)
        for part in (header + name.encode() + b'\0', content):
            data += part + bytes(-(len(data) + len(part)) % 4)
    return data


WHOLE = cpio(init=bytes(range(256)) * 301, more=b'x' * 1001)
FILES = {
    'spin': guest(0x14000000),                                      # b .
    'reset': guest(0x52800120, 0x72b08000, 0xd4000002, 0x14000000),  # PSCI SYSTEM_RESET
    'crash': guest(0xd2a12002, 0xa9400440, 0x14000000),             # ldp from a device
    'whole.cpio': WHOLE + bytes(-len(WHOLE) % 512),
    'more.cpio': WHOLE + b'\x1f\x8b what is compressed is not looked into',
    'cut-content.cpio': WHOLE[:50000],
    'cut-name.cpio': WHOLE[:111],
    'cut-header.cpio': WHOLE[:-60],
}


class Case:
    """A command line for the board's shell, and what has to come of it."""

    def __init__(self, name, command, code, *words, out=b'', lines=1, seconds=None):
        self.name, self.command, self.code, self.words = name, command, code, words
        self.out, self.lines, self.seconds = out, lines, seconds

    def check(self, folder):
        text = {}
        for part in ('out', 'err', 'code', 'time', 'left'):
            with open(f'{folder}/{self.name}/{part}', 'rb') as file:
                text[part] = file.read()
        err = text['err'].decode()
        what = f'{self.name}: exit {int(text["code"])}: {err!r}'
        assert int(text['code']) == self.code, f'{what}, not {self.code}'
        lines = err.splitlines()
        assert self.lines is None or len(lines) == self.lines, what
        assert all(line.startswith('stage2: ') for line in lines), what
        for word in self.words:
            assert word in err, f'{what} without {word!r}'
        assert self.out is None or text['out'] == self.out, f'{what}, on stdout: {text["out"]!r}'
        assert text['left'] == b'', f'{what}, leaves {text["left"]!r}'
        if self.seconds:
            started, ended = map(float, text['time'].split())
            assert ended - started < self.seconds, f'{what} after {ended - started} s'


BAD_FILES = [
    Case('kernel-missing', 'run --kernel /nowhere', NO_INPUT, '/nowhere', 'check the path'),
    Case('kernel-folder', 'run --kernel /files', NO_INPUT, 'not a regular file'),
    Case('kernel-empty', 'run --kernel /files/empty', DATA, 'is empty'),
    Case('kernel-tiny', 'run --kernel /files/tiny', DATA, 'truncated: 40 bytes'),
    Case('kernel-half', 'run --kernel /files/half', DATA, 'truncated', '5000 bytes of', 'again'),
    Case('kernel-cut', 'run --kernel /files/cut-vmlinuz', DATA, 'truncated',
         '30000000 bytes of', 'again'),
    Case('kernel-random', 'run --kernel /files/random', DATA, 'not a little-endian arm64 Image'),
    Case('kernel-gzip', 'run --kernel /files/payload.gz', DATA, 'compressed', 'gunzip'),
    Case('kernel-large', 'run --memory 32M --kernel /vmlinuz', DATA, 'too large', '--memory'),
    Case('initrd-missing', 'run --kernel $p --initrd /nowhere', NO_INPUT, 'initrd', '/nowhere'),
    Case('initrd-empty', 'run --kernel $p --initrd /files/empty', DATA, 'initrd', 'is empty'),
    Case('initrd-large', 'run --kernel $p --initrd /files/large', DATA, 'initrd', 'too large',
         '--memory'),
    Case('initrd-full', 'run --kernel $p --initrd /files/ram', DATA, 'initrd', 'too large'),
    *(Case(f'initrd-cut-{part}', f'run --kernel $p --initrd /cut-{part}.cpio', DATA, 'initrd',
           'truncated', 'again') for part in ('content', 'name', 'header')),
    Case('initrd-whole', 'run --kernel $p --initrd /whole.cpio', 0, lines=0),
    Case('initrd-more', 'run --kernel $p --initrd /more.cpio', 0, lines=0),
    Case('initrd-other', 'run --kernel $p --initrd /files/random', 0, lines=0),
    Case('memory-tiny', 'run --memory 4K --kernel $p', DATA, 'too large', 'use more'),
    Case('append-long', 'run --kernel $p --append $(head -c 70000 /dev/zero | tr "\\0" x)', USAGE,
         '--append is too long', '60 KiB'),
    Case('memory-large', 'run --memory 3G --kernel $p', OS, 'this host has', 'smaller guest'),
    Case('file-unreadable', 'chmod 600 /files/ram; as_nobody /stage2 run --memory 64M --kernel $p '
         '--backing file:/files/ram',
         NO_INPUT, 'Permission denied', 'rights'),
]

BAD_KVM = [
    Case('not-protected', 'run --protect pkvm --kernel $p', UNAVAILABLE, 'not in protected mode',
         'boot the host with kvm-arm.mode=protected'),
    Case('measure-not-protected', 'measure --json r.json', UNAVAILABLE, 'not in protected mode',
         'kvm-arm.mode=protected'),
    Case('no-permission', 'as_nobody /stage2 run --kernel $p', NO_PERMISSION, '/dev/kvm',
         'run as root, or join the group'),
    Case('uv-no-permission', 'chmod 666 /dev/kvm; as_nobody /stage2 run --protect uv --kernel $p; '
         'code=$?; chmod 600 /dev/kvm; exit $code', NO_PERMISSION, '/dev/userfaultfd', 'root'),
    Case('inject-no-permission', 'as_nobody /stage2 run --kernel $p --inject-errors', NO_PERMISSION,
         '--inject-errors', 'run as root'),
    Case('measure-no-permission', 'as_nobody /stage2 measure --payload $p --json r.json',
         NO_PERMISSION, '/dev/kvm', 'run as root'),
    Case('no-kvm', 'rm /dev/kvm; run --kernel $p; code=$?; mknod /dev/kvm c 10 232; exit $code',
         UNAVAILABLE, '/dev/kvm', 'emulated board'),
    Case('not-kvm', 'rm /dev/kvm; : >/dev/kvm; run --kernel $p; code=$?; rm /dev/kvm;'
         'mknod /dev/kvm c 10 232; exit $code', UNAVAILABLE, '/dev/kvm', 'not a KVM'),
    Case('hugetlb-short', 'run --memory 128M --kernel $p --backing file:/files/huge/large --append '
         'touch=0x80800000,30000', OS, 'memory: Cannot allocate', 'less --memory'),
    Case('hugetlb-populate', 'run --memory 128M --kernel $p --backing file:/files/huge/large '
         '--populate', OS, 'memory: Cannot allocate', 'less --memory'),
    Case('backing-full', 'run --kernel $p --backing file:/files/full/ram', OS, 'no memory',
         'file system full'),
]

ENDS = [
    Case('nothing', 'run --kernel $p', 0, lines=0),
    Case('hugetlb', 'run --kernel $p --backing file:/files/huge/ram --append touch=0x80400000,1', 0,
         lines=0, out=None),
    Case('exit-7', 'run --kernel $p --append exit=7', 7, lines=0),
    Case('unknown-command', 'run --kernel $p --append walk', GUEST_ERROR, lines=0,
         out=b'payload: unknown command: walk\n'),
    Case('reset', 'run --kernel /reset', GUEST_RESET, lines=0),
    Case('crash', 'run --kernel /crash', GUEST_FAILED, 'the guest cannot go on', 'device'),
    Case('sigint', 'timeout -s INT 1 /stage2 run --kernel /spin', SIGINT, lines=0, seconds=3),
    Case('sigterm', 'timeout -s TERM 1 /stage2 run --cpus 4 --kernel /spin', SIGTERM, lines=0,
         seconds=3),
    Case('sigint-with-input', 'yes | timeout -s INT 1 /stage2 run --kernel /spin', SIGINT, lines=0,
         seconds=3),
    # The pipe is full and nobody reads: the guest waits, we do not.
    Case('blocked', '{ head -c 65536 /dev/zero; yes | timeout -s INT 1 /stage2 run --kernel $p '
         '--append walk; echo $? >../inner; } | { sleep 2; cat >/dev/null; }; exit $(cat ../inner)',
         SIGINT, lines=0, seconds=6),
    Case('stdout-full', 'run --kernel $p --append walk >/dev/full', GUEST_ERROR, lines=0),
    Case('stdout-full-ok', 'run --kernel $p --append touch=0x80400000,1 >/dev/full', CANT_CREATE,
         'standard output', 'No space left'),
    Case('stdout-closed', 'run --kernel $p --append touch=0x80400000,1 >&-', CANT_CREATE,
         'standard output'),
    Case('stdin-closed', 'run --kernel $p <&-', 0, lines=0),
    Case('stderr-closed', 'run --kernel /nowhere 2>&-', NO_INPUT, lines=0),
    Case('reader-goes', 'run --kernel $p --append touch=0x80400000,1 | true', 0, lines=0),
]

PROTECTED = [
    Case('memlock', 'chmod 666 /dev/kvm; ulimit -l 64; as_nobody /stage2 run --protect pkvm '
         '--memory 64M --kernel $p', NO_PERMISSION, '64 MiB', '64 KiB', "ulimit -l", 'root'),
    Case('memlock-root', 'ulimit -l 64; run --protect pkvm --kernel $p', 0, lines=0),
    Case('ramfs', 'run --protect pkvm --kernel $p --backing file:/files/ramfs/ram', UNAVAILABLE,
         'swap-backed', 'tmpfs'),
    Case('protected-hugetlb', 'run --protect pkvm --kernel $p --backing file:/files/huge/ram',
         UNAVAILABLE, 'swap-backed', 'tmpfs'),
    Case('tmpfs', 'run --protect pkvm --kernel $p --backing file:/files/ram', 0, lines=0),
    Case('protected-random', 'run --protect pkvm --kernel /files/random', DATA, 'arm64 Image'),
    Case('protected-sigint', 'timeout -s INT 1 /stage2 run --protect pkvm --memory 64M --kernel $p '
         '--append agent', SIGINT, lines=0, seconds=3),
    Case('protected-sigterm', 'timeout -s TERM 1 /stage2 run --protect pkvm --memory 64M --kernel $p '
         '--append agent', SIGTERM, lines=0, seconds=3),
]

MEASURE = [
    Case('payload-missing', '/stage2 measure --payload /nowhere', NO_INPUT, '/nowhere'),
    Case('payload-empty', '/stage2 measure --payload /files/empty', DATA, 'is empty'),
    Case('payload-random', '/stage2 measure --payload /files/random', DATA, 'arm64 Image'),
    Case('payload-half', '/stage2 measure --payload /files/half --json r.json', DATA, 'truncated'),
    Case('not-the-payload', 'measure --payload /reset --workload ring --grain 4K --json r.json',
         GUEST_RESET, 'the guest ended', lines=2),
    Case('trace-missing', 'measure --trace /nowhere', NO_INPUT, '/nowhere', 'No such file'),
    Case('trace-empty', 'measure --trace /files/empty', DATA, 'no requests'),
    Case('trace-bad', 'measure --trace /files/bad.csv', DATA, 'line 3',
         'neither SHARE nor UNSHARE'),
    Case('trace-outside', 'measure --trace /files/outside.csv', DATA, 'line 2', 'more --memory'),
    Case('trace-random', 'measure --trace /files/random', DATA, 'line 1'),
    Case('memory-small', 'measure --memory 8M', USAGE, 'at least 24M'),
    # Nothing is measured for a report that cannot be written: there is no line about a row.
    Case('json-nowhere', 'measure --json /nowhere/r.json', CANT_CREATE, '/nowhere/r.json',
         'another place'),
    Case('json-folder', 'measure --json /files', CANT_CREATE, '/files', 'another place'),
    Case('not-root', 'chmod 666 /dev/kvm; as_nobody "ulimit -l; exec /stage2 measure --payload $p '
         '--json r.json"', NO_PERMISSION, 'run as root', out=None),
    Case('measure-stdout-full', 'measure --workload sparse --grain 4K >/dev/full', CANT_CREATE,
         'standard output', lines=2),
    # Not SIGINT: the board's commands are started in the background, where a shell ignores it.
    Case('measure-sigterm', 'exec timeout -s TERM 1 /stage2 measure --payload $p --json r.json',
         SIGTERM, lines=None, seconds=4),
]


def need_board():
    if not os.path.exists(STAGE2) or not os.path.exists(PAYLOAD):
        raise Skip(f'no {BUILD}: scripts/prepare makes it')
    if not shutil.which('qemu-system-aarch64'):
        raise Skip('no qemu-system-aarch64; apt install qemu-system-arm')
    done = subprocess.run([FETCH, 'kernel-arm64', 'busybox-arm64'], capture_output=True, text=True,
                          check=False)
    if done.returncode == 75:
        raise Skip(f'not cached and no network: {done.stderr.splitlines()[-1]}')
    equal(done.returncode, 0)
    return dict(line.split(' ', 1) for line in done.stdout.splitlines())['kernel-arm64']


def boot(board, cases, *files):
    """Run the cases on a board; the folder with what they came to."""
    folder = f'{scratch.name}/{board}'
    os.mkdir(folder)
    equal(len({case.name for case in cases}), len(cases))
    script = PRELUDE + ''.join(f'case_ {case.name} {shlex.quote(case.command)}\n' for case in cases)
    script += 'cd / && tar -cf /root/cases.tar cases\n'
    for name, content in {'script': script.encode(), **FILES}.items():
        with open(f'{folder}/{name}', 'wb') as file:
            file.write(content)
    args = [BOARD, board, '--quiet', '--timeout', '200', '--get', f'/root/cases.tar:{folder}/tar']
    made = [f'{folder}/{name}' for name in ('script', *FILES)]
    for file in (STAGE2, PAYLOAD, *made, *files):
        args += ['--file', file]
    done = subprocess.run([*args, '--', 'sh', '/script'], stdin=subprocess.DEVNULL, timeout=250,
                          capture_output=True, check=False)
    equal((done.returncode, done.stdout), (0, b''))
    with tarfile.open(f'{folder}/tar') as tar:
        tar.extractall(folder)
    return f'{folder}/cases'


results = {}  # by board; None: its boot failed


def check(board, cases):
    """Check cases of a board, which is booted for the first of them; all that fail are named."""
    kernel = need_board()
    if board not in results:
        results[board] = None
        all_cases = PROTECTED + MEASURE if board == 'arm64-pkvm' else BAD_FILES + BAD_KVM + ENDS
        results[board] = boot(board, all_cases, *([kernel] if board == 'arm64' else []))
    assert results[board], 'the board has failed'
    failed = []
    for case in cases:
        try:
            case.check(results[board])
        except AssertionError as error:
            failed.append(str(error))
    assert not failed, '\n'.join(failed)


def test_bad_files():
    """kernels and initrds that are missing, empty, truncated, oversized or something else"""
    check('arm64', BAD_FILES)


def test_bad_kvm():
    """no KVM, no permission, a KVM that cannot do what is asked"""
    check('arm64', BAD_KVM)


def test_ends():
    """how guests end, signals, and streams that are closed, full or blocked"""
    check('arm64', ENDS)


def test_protected():
    """protected guests: locked memory, backing, signals"""
    check('arm64-pkvm', PROTECTED)


def test_measure():
    """measure: bad payloads, traces, places for the report; no right; Ctrl-C"""
    check('arm64-pkvm', MEASURE)


if __name__ == '__main__':
    with scratch:
        sys.exit(tap.run(globals()))
