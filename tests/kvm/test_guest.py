#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Guests on the emulated boards: protected ones, which the host cannot read, and plain Linux."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))
import tap  # noqa: E402
from tap import BOARD, FETCH, TOP, Skip, equal  # noqa: E402

STAGE2 = os.path.join(TOP, 'build-arm64/cli/stage2')
PAYLOAD = os.path.join(TOP, 'build-arm64/guest-images/payload/payload.img')
TRACE = os.path.join(TOP, 'measure/traces/A_swiotlb_4096_1.csv')
PAGE = '0x80400000'
LEAN = 'console=ttyS0 quiet panic=-1 cryptomgr.notests nokaslr mitigations=off'

scratch = tempfile.TemporaryDirectory(prefix='stage2-test.')

# The cases of a board: name and shell command. Each one's streams and exit code come back as files.
PKVM = {
    'peek': f'stage2 run --protect pkvm --memory 64M --kernel /payload.img --append "touch={PAGE},2,7 '
            f'peek={PAGE} share={PAGE},1 peek={PAGE} peek=0x80401000 unshare={PAGE},1 peek={PAGE} '
            f'verify={PAGE},2,7 exit=42"',
    'untold': 'stage2 run --protect pkvm --memory 64M --kernel /payload.img --append '
              '"touch=0x80500000,1 unshare=0x80500000,1"',
    'stats': 'stage2 run --protect pkvm --memory 64M --kernel /payload.img --stats '
             f'--backing thp --populate --append "touch={PAGE},64 exit=0"',
    'memfd': 'stage2 run --protect pkvm --memory 64M --kernel /payload.img --stats --backing memfd '
             f'--append "touch={PAGE},4 share={PAGE},4 peek={PAGE} exit=0"',
    'file': 'truncate -s 64M /tmp/ram && stage2 run --protect pkvm --memory 64M --kernel /payload.img '
            f'--backing file:/tmp/ram --append "touch={PAGE},1 exit=0"',
    'plain': 'stage2 run --memory 64M --kernel /payload.img '
             f'--append "touch={PAGE},1 peek={PAGE} exit=0"',
    'plain-share': f'stage2 run --memory 64M --kernel /payload.img --append "share={PAGE},1"',
    'no-number': 'stage2 run --memory 64M --kernel /payload.img --append "share=page,1"',
    'cpus': 'stage2 run --protect pkvm --cpus 4 --memory 64M --kernel /payload.img --append "exit=3"',
    'measure-1': 'stage2 measure --payload /payload.img --trace /trace.csv --grain 4K,64K '
                 '--memory 256M --json /tmp/1.json',
    'measure-2': 'stage2 measure --payload /payload.img --trace /trace.csv --grain 4K,64K '
                 '--memory 256M --json /tmp/2.json',
    'measure-3': 'stage2 measure --payload /payload.img --workload ring,sparse --grain 64K '
                 '--policy exact --seed 2 --memory 64M --json /tmp/3.json',
    'linux': 'stage2 run --protect pkvm --memory 512M --kernel /vmlinuz --initrd /guest.cpio --stats '
             f'--append "{LEAN}"',
}
LINUX = {
    'linux': 'stage2 run --memory 512M --cpus 2 --kernel /vmlinuz --initrd /guest.cpio --stats '
             f'--append "{LEAN}"',
    'shell': r"printf 'echo guest: $((6 * 7)) is typed\npoweroff -f\n' | "
             'stage2 run --memory 512M --kernel /vmlinuz --initrd /guest.cpio '
             f'--append "{LEAN} shell"',
}


def need_board():
    if not shutil.which('qemu-system-aarch64'):
        raise Skip('no qemu-system-aarch64; apt install qemu-system-arm')
    if not os.path.exists(STAGE2):
        raise Skip('build-arm64/ is not built; run scripts/prepare check')


def fetched(thing):
    done = subprocess.run([FETCH, thing], capture_output=True, text=True, check=False)
    if done.returncode == 75:
        raise Skip(f'not cached and no network: {done.stderr.splitlines()[-1]}')
    return done.stdout.split()[1]


def run_cases(board, cases, files):
    """Boots a board, runs the cases one after another, and returns {name: (code, out, err)}."""
    script = 'mkdir /out; cd /out;'
    for name, command in cases.items():
        script += f'( {command} ) </dev/null >{name}.out 2>{name}.err; echo $? >{name}.code;'
    script += 'cp /tmp/*.json /out 2>/dev/null; tar -cf /out.tar -C /out .'
    tar = os.path.join(scratch.name, f'{board}.tar')
    command = [BOARD, board, '--quiet', '--timeout', '500', '--get', f'/out.tar:{tar}']
    for file in [STAGE2, PAYLOAD, *files]:
        command += ['--file', file]
    done = subprocess.run([*command, '--', 'sh', '-c', script], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, f'{board} exited with {done.returncode}: {done.stderr}'
    out = os.path.join(scratch.name, board)
    os.mkdir(out)
    subprocess.run(['tar', '-xf', tar, '-C', out], check=True)
    return out


@functools.lru_cache(None)
def linux():
    """What a board needs to run Linux in a guest: kernel and initramfs, as --file takes them."""
    init = os.path.join(scratch.name, 'init')
    with open(init, 'w', encoding='utf-8') as file:
        file.write('#!/bin/busybox sh\n'
                   '/bin/busybox mount -t proc proc /proc\n'
                   '/bin/busybox mount -t devtmpfs dev /dev\n'
                   'echo "guest: $(/bin/busybox uname -m) with $(/bin/busybox nproc) cpus, '
                   '$(/bin/busybox cat /proc/cmdline)"\n'
                   'export PATH=/bin; /bin/busybox --install -s /bin\n'
                   # The host looks at 64 pages of the kernel's image.
                   'grep -q looked-at /proc/cmdline && for page in $(seq 16 128 8191); do '
                   'devmem 0x09010018 64 $((0x80000000 + page * 4096)); done && '
                   'echo "guest: looked at, $(devmem 0x09010018 64)"\n'
                   'grep -q shell /proc/cmdline && exec setsid -c sh </dev/ttyS0 >/dev/ttyS0 2>&1\n'
                   'poweroff -f\n')
    os.chmod(init, 0o755)
    cpio = os.path.join(scratch.name, 'guest.cpio')
    subprocess.run([os.path.join(TOP, 'guest-images/initramfs'), init, cpio], check=True)
    return [f'{fetched("kernel-arm64")}:/vmlinuz', f'{cpio}:/guest.cpio']


@functools.lru_cache(None)
def pkvm():
    need_board()
    return run_cases('arm64-pkvm', PKVM, [f'{TRACE}:/trace.csv', *linux()])


@functools.lru_cache(None)
def plain():
    need_board()
    return run_cases('arm64', LINUX, linux())


def case(out, name):
    """Exit code, stdout and stderr of a case."""
    text = []
    for end in ('code', 'out', 'err'):
        with open(os.path.join(out, f'{name}.{end}'), encoding='utf-8', errors='replace') as file:
            text.append(file.read())
    return int(text[0]), text[1], text[2]


def report(number):
    with open(os.path.join(pkvm(), f'{number}.json'), encoding='utf-8') as file:
        return json.load(file)


def peeks(out):
    return re.findall(r'^peek (0x[0-9a-f]+): the host (could not read|read 0x[0-9a-f]+)$', out,
                      re.MULTILINE)


def test_secure_page():
    """a secure page: the MMU refuses the host, the refusal is reported, the VMM and the guest go on"""
    code, out, err = case(pkvm(), 'peek')
    equal(code, 42)
    equal([answer.startswith('read') for _, answer in peeks(out)], [False, True, False, False])
    equal(err.count(f'stage2: gpa {PAGE} is secure: the host may not read it\n'), 2)
    equal(err.count('stage2: gpa 0x80401000 is secure: the host may not read it\n'), 1)
    assert f'verify {PAGE} pages 0x2: ok' in out, out


def test_shared_page():
    """a shared page: the host reads what the guest wrote there"""
    _, out, err = case(pkvm(), 'peek')
    gpa = int(PAGE, 16)
    pattern = (gpa * 0x9e3779b97f4a7c15 % 2**64 ^ 7) | 1
    equal(peeks(out)[1], (PAGE, f'read {pattern:#x}'))
    assert f'gpa {PAGE} is shared: the host reads {pattern:#018x}' in err, err


def test_refused_hypercall():
    """unsharing a page that is not shared fails in the guest, and the tracker is not fooled"""
    code, out, err = case(pkvm(), 'untold')
    equal(code, 1)
    assert 'unshare 0x80500000 pages 0x1: failed at page 0x0' in out, out
    assert 'which is secure: ignored' in err, err


def test_stats():
    """--stats: time to the first entry, resident memory below 4 MiB, folios that came"""
    code, _, err = case(pkvm(), 'stats')
    equal(code, 0)
    assert re.search(r'first entry into the guest [0-9.]+ ms after exec \(emulated\)', err), err
    resident = int(re.search(r'resident outside guest RAM (\d+) KiB', err).group(1))
    assert 0 < resident < 4096, resident
    assert re.search(r'64 MiB thp, folios asked for: 2M, got: .*2M: \d+ KiB', err), err
    donated = int(re.search(r'donated to the guest (\d+) pages', err).group(1))
    assert 64 < donated < 128, donated


def test_backings():
    """protected guests in memfd and in a file on tmpfs; plain guests"""
    for name in ('memfd', 'file', 'plain'):
        code, out, err = case(pkvm(), name)
        assert code == 0, (name, code, out, err)
    equal(len(peeks(case(pkvm(), 'memfd')[1])), 1)
    assert peeks(case(pkvm(), 'plain')[1])[0][1].startswith('read'), 'a plain guest has no secrets'


def test_plain_share():
    """a plain guest's MEM_SHARE is refused, as on a host without pKVM"""
    code, out, _ = case(pkvm(), 'plain-share')
    equal(code, 1)
    assert 'failed at page 0x0' in out, out


def test_payload_input():
    """a payload command without its number: the guest says so and ends with 1"""
    code, out, _ = case(pkvm(), 'no-number')
    equal((code, out), (1, 'payload: not a number: page,1\n'))


def test_several_cpus():
    """four vCPUs, three of them never started: a clean end"""
    equal(case(pkvm(), 'cpus')[0], 3)


def counted(number):
    return [(row['workload'], row['grain'], row['policy'], row['counted'], row['modelled'])
            for row in report(number)['rows']]


def test_measure_repeats():
    """measure: the counts of two runs with one seed are equal"""
    for name in ('measure-1', 'measure-2', 'measure-3'):
        code, _, err = case(pkvm(), name)
        assert code == 0, (name, err)
    equal(counted(1), counted(2))
    equal(len(counted(1)), 4 * 4)


def test_measure_seed():
    """measure: another seed makes other requests"""
    def sparse(number):
        return [row['counted'] for row in report(number)['rows']
                if (row['workload'], row['grain'], row['policy']) == ('sparse', '64K', 'exact')]
    assert sparse(1) and sparse(3) and sparse(1) != sparse(3)


def test_measure_truth():
    """measure: the MMU and the tracker agree at every probe, and the counts add up"""
    for row in report(1)['rows']:
        count = row['counted']
        name = (row['workload'], row['grain'], row['policy'])
        equal((name, count['probes_wrong']), (name, 0))
        equal((name, count['hypercalls_failed']), (name, 0))
        equal((name, count['hypercalls_share'] + count['hypercalls_unshare']),
              (name, count['pages_converted']))
        if row['policy'] != 'widen':
            equal((name, count['pages_widened'], count['exposed_page_steps']), (name, 0, 0))
    probes = sum(row['counted']['probes'] for row in report(1)['rows'])
    refused = sum(row['counted']['probes_refused'] for row in report(1)['rows'])
    assert 0 < refused < probes, (refused, probes)


def test_measure_trace():
    """measure: the trace at 4K makes exactly the hypercalls that the recorded guest made"""
    share = unshare = 0
    with open(TRACE, encoding='utf-8') as file:
        for line in file.read().splitlines()[1:]:
            _, op, _, pages, ret, *_ = line.split(',')
            equal(ret, '0')
            share += int(pages) * (op == 'SHARE')
            unshare += int(pages) * (op == 'UNSHARE')
    row = next(row['counted'] for row in report(1)['rows']
               if (row['workload'], row['grain']) == ('trace', '4K'))
    equal((row['hypercalls_share'], row['hypercalls_unshare']), (share, unshare))


def test_linux():
    """a stock Debian kernel boots to busybox under stage2 run, with two CPUs"""
    code, out, err = case(plain(), 'linux')
    assert code == 0, (code, out[-2000:], err)
    assert re.search(r'^guest: aarch64 with 2 cpus, console=ttyS0', out, re.MULTILINE), out[-2000:]
    assert re.search(r'MMIO \d+, unclaimed 0', err), err


def test_protected_linux():
    """the same kernel boots as a protected guest; thousands of pages are donated to it"""
    code, out, err = case(pkvm(), 'linux')
    assert code == 0, (code, out[-2000:], err)
    assert re.search(r'^guest: aarch64 with 1 cpus, console=ttyS0', out, re.MULTILINE), out[-2000:]
    assert int(re.search(r'donated to the guest (\d+) pages', err).group(1)) > 1000, err


def test_linux_shell():
    """its busybox shell reads what is typed, and its poweroff ends the VM"""
    code, out, err = case(plain(), 'shell')
    assert code == 0, (code, out[-2000:], err)
    assert 'guest: 42 is typed' in out, out[-2000:]


if __name__ == '__main__':
    sys.exit(tap.run(globals()))
