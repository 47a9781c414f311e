#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""--protect uv on the emulated board: what the host reaches for is sealed first."""

import functools
import re
import sys

sys.dont_write_bytecode = True
from test_guest import LEAN, PAGE, case, linux, need_board, peeks, run_cases, tap  # noqa: E402
from tap import equal  # noqa: E402

PAYLOAD = 'stage2 run --protect uv --memory 64M --kernel /payload.img --stats'
INVALID = '-0x3'
CALLS = (
    ('call=0x86000000', '0x1f'),             # what there is: KVM's own two functions, and pKVM's three
    ('call=0x8600ff01', '0xb66fb428'),       # who it is: KVM answers
    ('call=0x86000001,0', None),             # its clock, too
    ('call=0xc6000002', '0x1000'),           # the unit
    ('call=0xc6000002,1', INVALID),
    ('call=0xc6000003,0x80600001', INVALID),     # not a page
    ('call=0xc6000003,0x84000000', INVALID),     # behind RAM
    ('call=0xc6000003,0x09000000', INVALID),     # a device
    ('call=0xc6000003,0xfffffffffffff000', INVALID),
    ('call=0xc6000003,0x80600000,1', INVALID),   # x2, x3
    ('call=0xc6000003,0x80600000,0,1', INVALID),
    ('call=0xc6000004,0x80600000', INVALID),     # not shared
    ('peek=0x80600000', 'exported'),
    ('call=0xc6000003,0x80600000', '0x0'),       # is sealed, and still the guest's
    ('peek=0x80600000', 'shared'),
    ('call=0xc6000003,0x80600000', INVALID),     # is shared
    ('call=0xc6000004,0x80600000,1', INVALID),
    ('call=0xc6000004,0x80600001', INVALID),
    ('peek=0x80600000', 'shared'),
    ('call=0xc6000004,0x80600000', '0x0'),
    ('peek=0x80600000', 'exported'),
    ('call=0xc6000007,0x80600000', '-0x1'),      # MMIO guard: there is none
)

UV = {
    'share': f'{PAYLOAD} --append "touch={PAGE},4,7 peek={PAGE} verify={PAGE},4,7 share={PAGE},2 '
             f'peek={PAGE} peek=0x80402000 peek=0x80403ffc unshare={PAGE},2 verify={PAGE},4,7 '
             f'peek={PAGE} verify={PAGE},4,7 exit=42"',
    'change': f'{PAYLOAD} --append "touch={PAGE},4,7 poke=0x80402000 verify={PAGE},2,7 '
              f'verify={PAGE},4,7 exit=1"',
    'change-shared': f'{PAYLOAD} --append "touch={PAGE},2,7 share={PAGE},1 poke={PAGE} '
                     f'verify={PAGE},1,7 exit=42"',
    'change-share': f'{PAYLOAD} --append "touch={PAGE},1,7 poke={PAGE} share={PAGE},1"',
    'calls': f'{PAYLOAD} --append "{" ".join(call for call, _ in CALLS)}"',
    'cpus': f'{PAYLOAD} --cpus 4 --append "exit=3"',
    'agent': f'timeout -s INT 2 {PAYLOAD} --append agent',
    'anon': f'{PAYLOAD} --backing anon',
    'linux': 'stage2 run --protect uv --memory 256M --kernel /vmlinuz --initrd /guest.cpio --stats '
             f'--append "{LEAN} looked-at"',
}


@functools.lru_cache(None)
def board():
    need_board()
    return run_cases('arm64', UV, linux())


def counts(err):
    """The Ultravisor's counts, by name."""
    line = re.search(r'stats: pages (unpacked .*)', err).group(1)
    return {name: int(count) for name, count in re.findall(r'(\w+) (\d+)', line)}


def test_share():
    """the host reads shared pages, and cipher text of all others; the guest finds what it wrote"""
    code, out, err = case(board(), 'share')
    equal(code, 42)
    equal(out.count(': ok, 0x4'), 4)  # touch, and each time that it looked
    plain = '0x2e0510a985400007'  # the first word of the pattern, as the payload writes it
    read = [answer.removeprefix('read ') for _, answer in peeks(out)]
    equal(len(read), 5)
    equal([word == plain for word in read], [False, True, False, False, False])
    assert read[0] != read[4], 'the same page, sealed twice alike'
    equal(len(re.findall('is exported: the host reads cipher text', err)), 4)
    count = counts(err)
    # The page behind 0x80403ffc is another one's beginning: an access that is sealed in two pages.
    equal((count['exported'], count['shared'], count['unshared'], count['refused']), (5, 2, 2, 0))
    assert count['destroyed'] > 4, count


def test_change():
    """a sealed page that the host has changed: its neighbours are whole, and the guest is stopped"""
    code, out, err = case(board(), 'change')
    equal(code, 80)
    assert f'verify {PAGE} pages 0x2: ok' in out and 'pages 0x4: ok, 0x4\nverify' not in out, out
    lines = [line for line in err.splitlines() if 'note:' not in line and 'stats:' not in line]
    equal(lines, ['stage2: gpa 0x80402000 is not what was exported: the host has changed it: '
                  'the guest cannot go on'])
    equal((counts(err)['refused'], counts(err)['imported']), (1, 0))


def test_change_shared():
    """what the guest shares, the host may change: the guest sees it, and goes on"""
    code, out, _ = case(board(), 'change-shared')
    equal(code, 1)
    assert f'verify {PAGE} pages 0x1: failed' in out, out


def test_change_share():
    """a changed page cannot be shared either: the call is refused"""
    code, out, err = case(board(), 'change-share')
    equal(code, 1)
    assert f'share {PAGE} pages 0x1: failed at page 0x0' in out, out
    equal(counts(err)['shared'], 0)


def test_calls():
    """pKVM's hypercalls, with an unchanged guest: what they answer, and that errors change nothing"""
    code, out, err = case(board(), 'calls')
    equal(code, 0)
    answers = re.findall(r'^call .*: (\S+)$', out, re.MULTILINE)
    equal(len(answers), sum(call.startswith('call') for call, _ in CALLS))
    states = re.findall(r'gpa 0x80600000 is (\w+): the host reads', err)
    for call, expected in CALLS:
        got = answers.pop(0) if call.startswith('call') else states.pop(0)
        assert got == expected or (expected is None and got != '-0x1'), (call, got, expected)
    equal((counts(err)['shared'], counts(err)['unshared']), (1, 1))


def test_ends():
    """several CPUs; stopped from outside; a backing that cannot be mapped twice"""
    equal(case(board(), 'cpus')[0], 3)
    equal(case(board(), 'agent')[0], 130)
    code, _, err = case(board(), 'anon')
    equal((code, err.count('\n')), (64, 1))
    assert '--backing memfd' in err, err


def test_linux():
    """a stock Debian kernel boots to busybox while the host looks at its pages"""
    code, out, err = case(board(), 'linux')
    assert code == 0, (code, out[-2000:], err[-2000:])
    assert re.search(r'^guest: aarch64 with 1 cpus', out, re.MULTILINE), out[-2000:]
    assert 'guest: looked at, 0x0000000000000001' in out, out[-2000:]
    equal(len(re.findall('is exported: the host reads cipher text', err)), 64)
    count = counts(err)
    equal((count['exported'], count['refused']), (64, 0))
    assert count['unpacked'] > 1000 and 0 < count['imported'] <= 64, count


if __name__ == '__main__':
    sys.exit(tap.run(globals()))
