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

SHARE, UNSHARE = '0xc6000003', '0xc6000004'  # hypercalls.rst: MEM_SHARE, MEM_UNSHARE
# Each call and its result: -0x3 is INVALID_PARAMETER, -0x1 is NOT_SUPPORTED. 0x80401000 is touched and
# stays secure, 0x80900000 is not touched, 0x90000000 and above is not RAM.
CALLS = [(f'{SHARE},{PAGE}', '0x0'), (f'{SHARE},{PAGE}', '-0x3'),
         (f'{UNSHARE},{PAGE}', '0x0'), (f'{UNSHARE},{PAGE}', '-0x3'),
         (f'{SHARE},0x80401008', '-0x3'), (f'{UNSHARE},0x80401008', '-0x3'),
         (f'{SHARE},0x80401000,0x1', '-0x3'), (f'{SHARE},0x80401000,0x0,0x1', '-0x3'),
         (f'{UNSHARE},0x80401000', '-0x3'), (f'{UNSHARE},0x80401000,0x1', '-0x3'),
         (f'{UNSHARE},0x80401000,0x0,0x1', '-0x3'),
         (f'{UNSHARE},0x80900000', '-0x3'), (f'{SHARE},0x80900000', '0x0'),
         (f'{UNSHARE},0x80900000', '0x0'),
         ('0xc6000002', '0x1000'), ('0xc6000002,0x1', '-0x3'), ('0xc6000007,0x9000000', '-0x1'),
         (f'{UNSHARE},0x90000000', '-0x3'), (f'{SHARE},0x90000000', 'external abort'),
         (f'{SHARE},0xfffffffff000', 'external abort'), (f'{SHARE},0xfffffffffffff000', '-0x3')]
BREAK = (f'touch={PAGE},1024,7 read={PAGE},1024,7 poison=0x80500000 read={PAGE},1024,7 '
         f'read={PAGE},1024,7 peek=0x80500000 peek=0x80501000 verify={PAGE},256,7 exit=5')
HUGE = '/sys/kernel/mm/transparent_hugepage'

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
    'ring': 'stage2 run --protect pkvm --memory 64M --kernel /payload.img --stats --append '
            f'"touch={PAGE},1024,7 ring share={PAGE},1024,2 audit={PAGE},1024 unshare={PAGE},512,4 '
            f'audit={PAGE},1024 verify={PAGE},1024,7 exit=5"',
    'liar': 'stage2 run --protect pkvm --memory 64M --kernel /payload.img --stats --append '
            f'"touch={PAGE},64,7 ring share={PAGE},8 claim=0x80404000,16 audit={PAGE},64 '
            f'peek=0x80408000 deny={PAGE},2 call={UNSHARE},0x80403000 peek=0x80403000 peek={PAGE} '
            f'wild=1000 audit={PAGE},64 share=0x80430000,1 peek=0x80430000 exit=5"',
    'overrun': 'stage2 run --protect pkvm --memory 64M --kernel /payload.img --stats --append '
               f'"touch={PAGE},64,7 ring share={PAGE},8 call={UNSHARE},0x80403000 wild=1000 '
               f'audit={PAGE},64 exit=5"',
    'no-ring': 'stage2 run --memory 64M --kernel /payload.img --append "ring"',
    'calls': 'stage2 run --protect pkvm --memory 64M --kernel /payload.img --append '
             f'"touch={PAGE},2,7 ' + ' '.join(f'call={call}' for call, _ in CALLS) +
             f' audit={PAGE},2 verify={PAGE},2,7 exit=5"',
    'poison': 'stage2 run --protect pkvm --memory 64M --kernel /payload.img --stats --backing thp '
              f'--inject-errors --append "touch={PAGE},512,7 ring share=0x80410000,2 '
              'poison=0x80a00000 read=0x80a00000,4 poison=0x80410000 peek=0x80410000 '
              f'peek=0x80411000 poison=0x80420000 audit={PAGE},512 exit=5"',
    'linux': 'stage2 run --protect pkvm --memory 512M --kernel /vmlinuz --initrd /guest.cpio --stats '
             f'--append "{LEAN}"',
}
LINUX = {
    'break-anon': 'stage2 run --memory 64M --kernel /payload.img --stats --inject-errors '
                  f'--append "{BREAK}"',
    'break-memfd': 'stage2 run --memory 64M --kernel /payload.img --stats --inject-errors '
                   f'--backing memfd --append "{BREAK}"',
    'break-thp': 'stage2 run --memory 64M --kernel /payload.img --stats --inject-errors '
                 f'--backing thp --append "{BREAK}"',
    'break-64k': f'echo never >{HUGE}/hugepages-2048kB/enabled; '
                 f'echo always >{HUGE}/hugepages-64kB/enabled; '
                 'stage2 run --memory 64M --kernel /payload.img --stats --inject-errors '
                 f'--backing thp --append "{BREAK}"',
    'break-unasked': f'stage2 run --memory 64M --kernel /payload.img --append "{BREAK}"',
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


def run_cases(board, cases, files, programs=(STAGE2, PAYLOAD)):
    """Boots a board, runs the cases one after another, and returns where their output is."""
    script = 'mkdir /out; cd /out;'
    for name, command in cases.items():
        script += f'( {command} ) </dev/null >{name}.out 2>{name}.err; echo $? >{name}.code;'
    script += 'cp /tmp/*.json /out 2>/dev/null; tar -cf /out.tar -C /out .'
    tar = os.path.join(scratch.name, f'{board}.tar')
    command = [BOARD, board, '--quiet', '--timeout', '500', '--get', f'/out.tar:{tar}']
    for file in [*programs, *files]:
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


def differ(out):
    """What the audits of a guest came to."""
    return [int(pages, 16) for pages in re.findall(r'^audit .*: differ (0x[0-9a-f]+)$', out,
                                                    re.MULTILINE)]


def audits(err):
    """Pages: shared and readable, secure and refused, shared and refused, readable and not shared."""
    return [tuple(map(int, re.findall(r'(\d+) (?:shared|secure|readable) and', line)))
            for line in re.findall(r'^stage2: note: audit of (.*)$', err, re.MULTILINE)]


def reported(err):
    """The counts of --stats about what a guest said, by name."""
    line = re.search(r'pages; reported: (.*); not reported (\d+)$', err, re.MULTILINE)
    found = {name: int(pages) for name, pages in re.findall(r'([a-z ]+) (\d+)', line.group(1))}
    return {name.strip(): pages for name, pages in found.items()} | {'untold': int(line.group(2))}


def test_ring():
    """reports through the ring: tracker and MMU agree for every page, with few exits"""
    code, out, err = case(pkvm(), 'ring')
    equal((code, differ(out)), (5, [0, 0]))
    equal(audits(err), [(512, 512, 0, 0), (384, 640, 0, 0)])
    equal(reported(err), {'shared': 513, 'unshared': 128, 'no change': 0,
                          'refused and explained': 0, 'lies': 0, 'untold': 0})
    assert 'verify 0x80400000 pages 0x400: ok' in out, out
    assert 'ring of reports: taken 640, odd 0, overruns 0' in err, err
    # Some are the characters that it prints.
    assert int(re.search(r'MMIO (\d+)', err).group(1)) - len(out) < 20, (err, len(out))


def test_reclaimed():
    """the host gets back what was donated, and the locked memory is what it was"""
    for name in ('ring', 'liar', 'poison'):
        err = case(pkvm(), name)[2]
        donated = int(re.search(r'donated to the guest (\d+) pages', err).group(1))
        found = re.search(r'reclaimed from the guest (\d+) of (\d+) pages of 4K, locked memory '
                          r'(\d+) KiB before and (\d+) KiB after', err)
        got, of, before, after = map(int, found.groups())
        equal((name, got, of, before), (name, donated, donated, after))
        assert donated > 64, donated


def test_liar():
    """a guest that lies is found out, and no lie lets the host read, or keeps it from asking"""
    code, out, err = case(pkvm(), 'liar')
    equal(code, 5)
    # Eight pages are shared, twelve only claimed; then two denied, and one taken back untold.
    equal(audits(err), [(8, 56, 0, 0), (5, 57, 0, 2)])
    equal(reported(err)['lies'], 12)
    equal(reported(err)['untold'], 1)
    assert 'says that it shares gpa 0x80408000, but the host cannot read it: not taken' in err, err
    equal([answer.startswith('read') for _, answer in peeks(out)], [False, False, False, True])
    assert 'gpa 0x80400000 is secure: the host may not read it, although the MMU let it' in err, err


def test_overrun():
    """a guest that overruns its ring: every page is looked at again"""
    code, _, err = case(pkvm(), 'overrun')
    equal((code, audits(err)), (5, [(7, 57, 0, 0)]))
    equal(reported(err)['untold'], 1)
    assert 'overruns 1' in err, err


def test_no_ring():
    """a plain guest has nothing to report, and no ring"""
    equal(case(pkvm(), 'no-ring')[0], 1)


def test_calls():
    """share and unshare, wrong in every way that a guest can: the documented results, no change"""
    code, out, err = case(pkvm(), 'calls')
    equal(code, 5)
    results = re.findall(r'^call (.*): (.*)$', out, re.MULTILINE)
    equal([(call.replace(' ', ','), result) for call, result in results], CALLS)
    equal((audits(err), differ(out)), ([(0, 2, 0, 0)], [0]))
    assert 'verify 0x80400000 pages 0x2: ok' in out, out


def reads(out):
    return re.findall(r'^read 0x80400000 pages 0x400: (.*)$', out, re.MULTILINE)


def folios(err):
    return dict(re.findall(r' (\d+[KMG]): (\d+) KiB', err))


def test_memory_error():
    """a memory error: one page aborts, each time, and the host may not read it; its neighbours can"""
    for name in ('break-anon', 'break-memfd', 'break-thp', 'break-64k'):
        code, out, err = case(plain(), name)
        equal((name, code), (name, 5))
        equal((name, reads(out)), (name, ['differ 0x0 abort 0x0']
                                   + 2 * ['differ 0x0 abort 0x1 first at 0x80500000']))
        equal([(gpa, answer.startswith('read')) for gpa, answer in peeks(out)],
              [('0x80500000', False), ('0x80501000', True)])
        assert 'gpa 0x80500000 has a memory error: the host may not read it' in err, err
        equal(err.count('is lost, and a guest that uses it gets an abort'), 1)
        assert 'lost to memory errors 1 pages of 4K' in err, err
        assert 'verify 0x80400000 pages 0x100: ok' in out, out


def test_memory_error_folios():
    """the folio that broke is split, and only that one"""
    thp = folios(case(plain(), 'break-thp')[2])
    equal((thp['4K'], int(thp['2M']) % 2048), (str(511 * 4), 0))
    small = folios(case(plain(), 'break-64k')[2])
    equal((small['4K'], int(small['64K']) % 64), (str(15 * 4), 0))


def test_memory_error_unasked():
    """without --inject-errors a guest cannot break memory"""
    code, out, err = case(plain(), 'break-unasked')
    equal((code, reads(out)), (5, 3 * ['differ 0x0 abort 0x0']))
    assert 'ignored without --inject-errors' in err, err


def test_memory_error_protected():
    """a protected guest: a page not yet donated aborts; a pinned one the host leaves alone"""
    code, out, err = case(pkvm(), 'poison')
    equal(code, 5)
    assert 'read 0x80a00000 pages 0x4: differ 0x3 abort 0x1 first at 0x80a00000' in out, out
    equal([answer.startswith('read') for _, answer in peeks(out)], [False, True])
    # The folio of these two is pinned: Linux reports 2 MiB and leaves it mapped.
    for gpa in ('0x80a00000', '0x80410000', '0x80420000'):
        equal(err.count(f'memory error: the page at gpa {gpa} is lost'), 1)
    assert 'lost to memory errors 3 pages of 4K' in err, err
    equal(audits(err), [(1, 511, 0, 0)])


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
