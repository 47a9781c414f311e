#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""x86_64 guests on the emulated boards: plain ones, and ones whose memory is private."""

import functools
import os
import re
import shutil
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))))
import tap  # noqa: E402
from tap import TOP, Skip, equal  # noqa: E402
from test_guest import case, fetched, run_cases  # noqa: E402

sys.path.insert(0, os.path.join(TOP, 'guest-images/lib'))
import cache  # noqa: E402

STAGE2 = os.path.join(TOP, 'build-x86_64/cli/stage2')
PAYLOAD = os.path.join(TOP, 'build-x86_64/guest-images/payload/payload.elf')
PAGE = 4096
BASE = 0x800000        # a 2 MiB boundary behind the payload
EINVAL, ENOSYS = '-0x16', '-0x3e8'
MAP, PRIVATE = 12, 0x10


def run(words, options='--protect sw --memory 32M'):
    return f'stage2 run {options} --kernel /payload.elf --append "{words}"'


def there_and_back(pages):
    """Pages go to the host and back, between two neighbours that stay."""
    before, after, all_of_them = BASE - PAGE, BASE + pages * PAGE, f'{BASE - PAGE},{pages + 2}'
    return run(f'touch={before},1,3 touch={BASE},{pages},5 touch={after},1,4 peeks={all_of_them} '
               f'share={BASE},{pages} zero={BASE},{pages} peeks={all_of_them} '
               f'touch={BASE},{pages},6 verify={BASE},{pages},6 peek={BASE} '
               f'unshare={BASE},{pages} zero={BASE},{pages} peeks={all_of_them} '
               f'verify={before},1,3 verify={after},1,4 exit=7')


BAD_CALLS = (
    (MAP, BASE + 1, 1, 0), (MAP, BASE, 0, 0), (MAP, BASE, 1, 0x20), (MAP, BASE, 1, 3),
    (MAP, BASE + PAGE, 1, 1), (MAP, BASE, 1, 1), (MAP, 32 << 20, 1, 0), (MAP, (32 << 20) - PAGE, 2, 0),
    (MAP, 2**64 - PAGE, 2, 0), (MAP, BASE, 2**52 + 1, 0), (MAP, 0xd0000000, 1, PRIVATE),
)
SW = {
    'grain-4K': there_and_back(1),
    'grain-64K': there_and_back(16),
    'grain-2M': there_and_back(512),
    'steps': run(f'share={BASE},64,1,1 peeks={BASE},65 unshare={BASE},48,0,16 peeks={BASE},65 exit=0'),
    'holes': run(f'share={BASE + PAGE},15,2 peeks={BASE},16 unshare={BASE},16 peeks={BASE},16 '
                 f'share={BASE},16 peeks={BASE},16 exit=0'),
    'bad': run(f'touch={BASE},2,9 share={BASE + PAGE},1 touch={BASE + PAGE},1,9 ' +
               ' '.join(f'call={",".join(map(str, call))}' for call in BAD_CALLS) +
               f' call=13,1,2,3 peeks={BASE},2 verify={BASE},2,9 exit=0'),
    'sizes': run(f'call={MAP},{BASE},512,1 peeks={BASE + 511 * PAGE},2 '
                 f'call={MAP},{BASE},512,{1 | PRIVATE} peeks={BASE + 511 * PAGE},2 exit=0'),
    'every-page': run(f'touch=0x300000,16 share=0x300000,3 share=0x305000,1 peeks=0,4096 exit=0',
                      '--protect sw --memory 16M'),
    'private': run(f'touch={BASE},2048 exit=0', '--protect sw --memory 32M --stats'),
    'to-shared': run(f'touch={BASE},2048 share={BASE},2048 exit=0',
                     '--protect sw --memory 32M --stats'),
    'to-private': run(f'share={BASE},2048 touch={BASE},2048 unshare={BASE},2048 exit=0',
                      '--protect sw --memory 32M --stats'),
    'to-private-memfd': run(f'share={BASE},2048 touch={BASE},2048 unshare={BASE},2048 exit=0',
                            '--protect sw --memory 32M --stats --backing memfd'),
    'populate': run(f'share={BASE},512 unshare={BASE},512 exit=0',
                    '--protect sw --memory 32M --stats --populate'),
    'thp': run(f'share={BASE},512 touch={BASE},512 peek={BASE} unshare={BASE},512 peek={BASE} exit=0',
               '--protect sw --memory 32M --backing thp'),
    'file': 'truncate -s 32M /tmp/ram && ' +
            run(f'share={BASE},4 touch={BASE},4 peek={BASE} unshare={BASE},4 peek={BASE} exit=0',
                '--protect sw --memory 32M --backing file:/tmp/ram'),
    'ramfs': 'mkdir /r && mount -t ramfs ramfs /r && truncate -s 32M /r/ram && ' +
             run('exit=0', '--protect sw --memory 32M --backing file:/r/ram'),
    'cpus': run('exit=3', '--protect sw --memory 32M --cpus 4'),
    'pkvm': run('exit=0', '--protect pkvm --memory 32M'),
    'plain': run(f'touch={BASE},1,8 peek={BASE} exit=5', '--memory 32M'),
    'cost': 'stage2 measure --convert-cost --payload /payload.elf --memory 16M --backing anon',
    'cost-little': 'stage2 measure --convert-cost --payload /payload.elf --memory 4M',
}
PLAIN = {
    'plain': run(f'touch={BASE},2,7 peek={BASE} verify={BASE},2,7 call={MAP},{BASE},1,0 exit=42',
                 '--memory 32M --stats'),
    'cpus': run('exit=3', '--memory 32M --cpus 4'),
    'fault': run('touch=0x100000000,1', '--memory 32M'),
    'sw': run('exit=0'),
    'cut': 'head -c 5000 /payload.elf >/cut; stage2 run --memory 32M --kernel /cut',
    'gzip': 'gzip -c /payload.elf >/gz; stage2 run --memory 32M --kernel /gz',
    'text': 'head -c 5000 /dev/zero >/text; stage2 run --memory 32M --kernel /text',
    'little': run('exit=0', '--memory 1M'),
    'long': 'stage2 run --memory 32M --kernel /payload.elf --append "$(head -c 60000 /dev/zero | tr '
            r'"\\0" " ")"',
}


def need_board(name):
    if not shutil.which('qemu-system-x86_64'):
        raise Skip('no qemu-system-x86_64; apt install qemu-system-x86')
    if not os.path.exists(STAGE2) or not os.path.exists(PAYLOAD):
        raise Skip('build-x86_64/ is not built; run scripts/prepare check')
    if name == 'x86_64-sw-protected' and cache.damage('kernel-amd64-sw'):
        raise Skip('its kernel is not built; run ./check --all, or guest-images/build-kernel')


def boot(board, cases, *things):
    need_board(board)
    for thing in things:
        fetched(thing)
    return run_cases(board, cases, [], (STAGE2, PAYLOAD))


@functools.lru_cache(None)
def sw():
    return boot('x86_64-sw-protected', SW, 'busybox-amd64')


@functools.lru_cache(None)
def plain():
    return boot('x86_64', PLAIN, 'busybox-amd64', 'kernel-amd64')


def peeks(out):
    return re.findall(r'^peeks 0x[0-9a-f]+ ([01]+)$', out, re.M)


def pattern(gpa, seed):
    return (gpa * 0x9e3779b97f4a7c15 % 2**64 ^ seed) | 1


def image_pages():
    """Numbers of the pages that hold what the VMM loads."""
    with open(PAYLOAD, 'rb') as file:
        elf = file.read()
    offset, size, count = struct.unpack_from('<Q', elf, 32)[0], *struct.unpack_from('<HH', elf, 54)
    pages = {1, 2}  # start info and command line
    for i in range(count):
        kind, _, _, _, gpa, length, _, _ = struct.unpack_from('<IIQQQQQQ', elf, offset + i * size)
        if kind == 1:
            pages |= set(range(gpa // PAGE, (gpa + length + PAGE - 1) // PAGE))
    return pages


def test_grains():
    """4K, 64K and 2M go to the host and back: empty each time, the neighbours keep what they hold"""
    for name, pages in (('grain-4K', 1), ('grain-64K', 16), ('grain-2M', 512)):
        code, out, err = case(sw(), name)
        assert code == 7, (name, code, out, err)
        none, some = '0' * (pages + 2), '0' + '1' * pages + '0'
        equal((name, peeks(out)), (name, [none, some, none]))
        assert f'peek {BASE:#x}: the host read {pattern(BASE, 6):#x}\n' in out, out


def test_steps():
    """one call a page, and one call for sixteen"""
    code, out, err = case(sw(), 'steps')
    equal((code, peeks(out)), (0, ['1' * 64 + '0', '0' * 48 + '1' * 16 + '0'])), err


def test_holes():
    """every second page is shared: the host reads these and no others; calls over mixed pages"""
    code, out, _ = case(sw(), 'holes')
    equal((code, peeks(out)), (0, ['01' * 8, '0' * 16, '1' * 16]))


def test_bad_calls():
    """calls that make no sense: an error for the guest, and no page changes"""
    code, out, err = case(sw(), 'bad')
    assert code == 0, (out, err)
    results = re.findall(r'^call .*: (\S+)$', out, re.M)
    equal(results, [EINVAL] * len(BAD_CALLS) + [ENOSYS])
    equal(peeks(out), ['01'])


def test_size_codes():
    """a call that names pages of 2 MiB"""
    code, out, _ = case(sw(), 'sizes')
    equal((code, peeks(out)), (0, ['10', '00']))


def test_every_page():
    """over all of RAM the host reads what is shared, and the image, and nothing else"""
    code, out, err = case(sw(), 'every-page')
    equal(code, 0)
    shared = {page for page, digit in enumerate(peeks(out)[0]) if digit == '1'}
    equal(shared, image_pages() | {0x300, 0x301, 0x302, 0x305})
    equal(len(re.findall(r'is secure: the host may not read it$', err, re.M)), 4096 - len(shared))
    assert 'although' not in err, err


def memory(name):
    """KiB in memory of the private and the shared side, as --stats has it."""
    code, _, err = case(sw(), name)
    equal((name, code), (name, 0))
    found = re.search(r'private (\d+) pages of 4K, (\d+) KiB in memory; shared (\d+) pages, (\d+) '
                      r'KiB in memory', err)
    assert found, err
    return int(found.group(2)), int(found.group(4))


def test_stale_side():
    """no page has memory on both sides: what a conversion leaves behind is freed"""
    image = len(image_pages()) * 4
    private, shared = memory('private')
    assert private >= 8192 and shared <= image, (private, shared)
    private, shared = memory('to-shared')
    assert private < 256 and shared <= image, (private, shared)
    for name in ('to-private', 'to-private-memfd'):
        private, shared = memory(name)
        assert private < 256 and shared <= image, (name, private, shared)


def test_populate():
    """--populate: all private memory is there before the guest asks, and after it took pages back"""
    private, _ = memory('populate')
    equal(private, 32 * 1024 - len(image_pages()) * 4)


def test_backings():
    """the shared side in huge pages and in a file; a file that is not on tmpfs is refused"""
    for name in ('thp', 'file'):
        code, out, err = case(sw(), name)
        assert code == 0, (name, out, err)
        equal(re.findall(r'^peek \S+: (.*)$', out, re.M),
              [f'the host read {pattern(BASE, 0):#x}', 'the host could not read'])
    code, _, err = case(sw(), 'ramfs')
    equal(code, 69)
    assert 'tmpfs' in err, err


def test_other_guests_there():
    """on the board with private memory: several CPUs, a plain guest, another kind of protection"""
    equal(case(sw(), 'cpus')[0], 3)
    code, out, _ = case(sw(), 'plain')
    equal(code, 5)
    assert f'the host read {pattern(BASE, 8):#x}' in out, out
    code, _, err = case(sw(), 'pkvm')
    equal(code, 69)
    assert 'aarch64' in err, err


def test_cost():
    """measure --convert-cost: ours beside the bare calls, labelled as emulated"""
    code, out, err = case(sw(), 'cost')
    assert code == 0, err
    assert re.search(r'^2 MiB anon, .*emulated: x86_64-sw-protected', out), out
    for name in ('private', 'shared'):
        found = re.search(rf'^to {name}\s+([0-9.]+)\s+([0-9.]+)\s+([0-9.]+) ', out, re.M)
        assert found and float(found.group(1)) > 0 and float(found.group(3)) > 0, out
        print('#', found.group(0))
    equal(case(sw(), 'cost-little')[0], 64)


def test_plain():
    """a plain guest on Debian's kernel: memory, the host's view, hypercalls that it has not"""
    code, out, err = case(plain(), 'plain')
    assert code == 42, (code, out, err)
    assert f'peek {BASE:#x}: the host read {pattern(BASE, 7):#x}\n' in out, out
    assert f': {ENOSYS}\n' in out, out
    assert re.search(r'resident outside guest RAM (\d+) KiB', err), err
    assert re.search(r'MMIO \d+, unclaimed 0', err), err
    equal(case(plain(), 'cpus')[0], 3)


def test_exception():
    """an exception in the guest is reported"""
    code, out, _ = case(plain(), 'fault')
    equal(code, 1)
    assert re.search(r'^payload: exception 0xe0000000[02] at pc \S+, address 0x100000000$', out,
                     re.M), out


def test_refused():
    """no private memory on Debian's kernel; images that are none: one line, and what to do"""
    for name, expected, word in (('sw', 69, 'CONFIG_KVM_SW_PROTECTED_VM'), ('cut', 65, 'truncated'),
                                 ('gzip', 65, 'gunzip'), ('text', 65, 'not an x86_64 executable'),
                                 ('little', 65, '--memory'), ('long', 64, '--append')):
        code, out, err = case(plain(), name)
        equal((name, code, out), (name, expected, ''))
        assert word in err and len(err.splitlines()) == 1, (name, err)


if __name__ == '__main__':
    sys.exit(tap.run(globals()))
