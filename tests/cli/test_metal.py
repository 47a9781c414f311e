#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""`stage2 metal` with emulators that do everything wrong, and files that are not what they should be.

usage: test_metal.py STAGE2 [TEST]...
"""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import tap  # noqa: E402
from tap import equal  # noqa: E402

STAGE2 = os.path.realpath(sys.argv.pop(1))
FAKE = os.path.join(os.path.dirname(os.path.realpath(__file__)), 'fake_qemu.py')
USAGE, DATA, NO_INPUT, UNAVAILABLE, CANT_CREATE, FAILED, TIMEOUT = 64, 65, 66, 69, 73, 80, 124
MACHINES = {'arm64': (183, '<'), 'riscv64': (243, '<'), 'x86_64': (62, '<'), 's390x': (22, '>')}
MARK = f'metal-{os.getpid()}'
FIRMWARE = 'OpenSBI\r\nBoot HART MEDELEG         : 0x1\r\n'
COUNTS = '''\
# arm64, 256 MiB
count 4-level map pages=1 instructions=1234 flushes=0 calls=0 ranges=0
count 4-level map pages=512 instructions=9007199254740992 flushes=2 calls=1 ranges=3
count bbm2 demand-2M pages=0 instructions=10 flushes=0 calls=0 ranges=0
'''

scratch = tempfile.TemporaryDirectory(prefix='stage2-test.')
inputs = f'{scratch.name}/inputs'
work = f'{scratch.name}/work'


def path(name):
    return f'{inputs}/{name}'


def elf(arch, kind=2):
    """The header of a program for this machine."""
    machine, order = MACHINES[arch]
    ident = b'\x7fELF' + bytes([2, 1 if order == '<' else 2, 1]) + bytes(9)
    return ident + struct.pack(f'{order}HHIQQQIHHHHHH', kind, machine, 1, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0)


def write(name, content):
    with open(path(name), 'wb') as file:
        file.write(content if isinstance(content, bytes) else content.encode())
    return path(name)


def make_inputs():
    os.mkdir(inputs)
    os.mkdir(work)
    for arch in MACHINES:
        write(arch, elf(arch))
    write('empty', b'')
    write('short', elf('arm64')[:40])
    write('shared', elf('arm64', kind=3))
    write('text', b'x' * 5000)
    os.mkdir(path('folder'))
    os.mkfifo(path('fifo'))


def settings(options):
    fake = options.pop('fake', {})
    env = {**os.environ, 'MARK': MARK, 'FAKE': json.dumps(fake), **options.pop('env', {})}
    return {'cwd': work, 'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE,
            'stderr': subprocess.PIPE, 'env': env, **options}


def stage2(*args, **options):
    """Run it in an empty folder; files and processes that it leaves are an error."""
    done = subprocess.run([STAGE2, *args], timeout=60, check=False, **settings(options))
    equal(os.listdir(work), [])
    assert tap.eventually(lambda: not tap.marked_processes(MARK), 2), tap.marked_processes(MARK)
    return done


def metal(arch, *args, **fake):
    return stage2('metal', arch, '--image', path(arch), '--qemu', FAKE, *args, fake=fake)


def refused(done, code, *words, out=b''):
    text = done.stderr.decode()
    assert len(text.splitlines()) == 1 and text.endswith('\n'), (done.args, text)
    assert text.startswith('stage2: '), (done.args, text)
    for word in words:
        assert word in text, f'{done.args}: {word!r} not in {text!r}'
    equal((done.returncode, done.stdout), (code, out))


def refuses(args, code, *words):
    refused(stage2('metal', *args), code, *words)


def test_help():
    """--help: on stdout, 80 columns, every machine and option"""
    done = stage2('metal', '--help')
    equal((done.returncode, done.stderr), (0, b''))
    text = done.stdout.decode()
    for word in ('usage: stage2 metal', 'Exit codes', *MACHINES, '--list', '--counts', '--mutants',
                 '--json', '--timeout', '--image', '--qemu', '--help'):
        assert word in text, word
    assert max(map(len, text.splitlines())) <= 80
    equal(stage2('metal', 'arm64', '--help').stdout, done.stdout)


def test_usage():
    """unknown machines and options, values missing or bad, options that exclude each other"""
    refuses([], USAGE, 'which ARCH', 'stage2 metal --help')
    refuses(['--list'], USAGE, 'which ARCH')
    for name in ('arm', 'ARM64', '', 'list', 'a\nb'):
        refuses([name], USAGE, 'unknown ARCH', 'stage2 metal --help')
    for option in ('--nonsense', '-x', '--list=1'):
        refuses(['arm64', option], USAGE, f"unknown option '{option}'", 'stage2 metal --help')
        refuses([option, 'arm64'], USAGE, f"unknown option '{option}'", 'stage2 metal --help')
    for option in ('--json', '--timeout', '--image', '--qemu'):
        refuses(['arm64', option], USAGE, f"option '{option}' needs a value")
    for value in ('0', '-1', '', 'x', '1.5', '86401', '18446744073709551617'):
        refuses(['arm64', '--timeout', value], USAGE, f"--timeout '{value}'", '1 to 86400')
    for pair in (['--list', '--counts'], ['--counts', '--mutants'], ['--list', '--mutants']):
        refuses(['arm64', *pair], USAGE, 'exclude each other')
    refuses(['arm64', '--json', 'x'], USAGE, '--json FILE needs --counts')


def test_words():
    """words that can be no test's name; those that can reach the image, in any order with options"""
    for word in ('', 'A', 'a b', 'a=1', 'deadline=1', 'a\n', 'ä', 'x' * 32, 'list', 'counts', 'mutants'):
        refuses(['arm64', word], USAGE, 'no name of a test', '--list')
    refuses(['arm64', *['a'] * 65], USAGE, 'more tests than the image takes')
    refuses(['arm64', *['x' * 31] * 40], USAGE, 'more tests than the image takes')
    say = 'ARGS\n1..1\n'
    for args, words in ((['unmap', 'x' * 31], f'unmap {"x" * 31}'), ([], ''), (['--list'], 'list '),
                        (['b', '--counts', 'a/b-c.d_e'], 'counts b a/b-c.d_e'),
                        (['--mutants', 'a'], 'mutants a'), (['a'] * 64, ' '.join(['a'] * 64))):
        done = metal('arm64', *args, say=say + 'mutant m survives\ncount a b pages=1 instructions=1 '
                     'flushes=1 calls=1 ranges=1\n')
        equal((done.returncode, done.stderr), (0, b''))
        equal(done.stdout.decode().splitlines()[0], words)


def test_command_line():
    """what QEMU is asked for: two processors, or counted instructions and one"""
    for arch in MACHINES:
        firmware = FIRMWARE if arch == 'riscv64' else ''
        end = {'exit': 0x81} if arch == 'x86_64' else {'psw': 0xdead0000}
        text = metal(arch, say=f'{firmware}ARGV\n1..0\n', **end).stdout.decode()
        for word in ('-S', '-nodefaults', '-no-reboot', '-m 256', '-smp 2', f'-kernel {path(arch)}'):
            assert f' {word}' in text, (word, text)
        assert 'icount' not in text, text
        text = metal(arch, '--counts', say=f'{firmware}ARGV\n').stdout.decode()
        assert '-icount shift=0,sleep=off' in text and '-smp 1' in text, text


def test_images():
    """images that are missing, unreadable, empty, cut, or for another machine"""
    for name, code, word in (('missing', NO_INPUT, 'No such file'), ('folder', NO_INPUT, 'regular file'),
                             ('fifo', NO_INPUT, 'regular file'), ('arm64/x', NO_INPUT, 'Not a dir'),
                             ('empty', DATA, 'not an ELF'), ('short', DATA, 'not an ELF'),
                             ('text', DATA, 'not an ELF'), ('shared', DATA, 'not an ELF'),
                             ('s390x', DATA, 'for arm64'), ('x86_64', DATA, 'for arm64')):
        refuses(['arm64', '--image', path(name)], code, path(name), word)
    refuses(['arm64', '--image', ''], NO_INPUT, 'No such file')


def test_places():
    """the image is found where it is installed and where it is built; elsewhere: exit 69"""
    program = f'{scratch.name}/tree/build/cli/stage2'
    os.makedirs(os.path.dirname(program))
    shutil.copy(STAGE2, program)
    for option, image in (([], 'metal-arm64.elf'), (['--mutants'], 'metal-mutants-arm64.elf')):
        command = [program, 'metal', 'arm64', '--qemu', FAKE, *option]
        done = subprocess.run(command, check=False, **settings({}))
        refused(done, UNAVAILABLE, f'no image {image}', 'scripts/prepare metal')
        for place in ('build-arm64/metal', 'build/metal', 'build/lib/stage2'):  # the last is first
            folder = f'{scratch.name}/tree/{place}'
            os.makedirs(folder, exist_ok=True)
            shutil.copy(path('arm64'), f'{folder}/{image}')
            options = settings({'fake': {'say': 'mutant ARGV\n1..0\n'}})
            done = subprocess.run(command, check=False, **options)
            shown = done.stdout.decode()
            found = shown.split('-kernel ')[1].split()[0]
            equal(os.path.realpath(found), os.path.realpath(f'{folder}/{image}'))


def test_no_emulator():
    """no QEMU, or one that cannot be started: exit 69, the package"""
    for arch, package in (('arm64', 'qemu-system-arm'), ('riscv64', 'qemu-system-misc'),
                          ('x86_64', 'qemu-system-x86'), ('s390x', 'qemu-system-misc')):
        done = stage2('metal', arch, '--image', path(arch), env={'PATH': '/nowhere'})
        refused(done, UNAVAILABLE, 'No such file', f'install the package {package}', '--qemu')
    for qemu, word in (('/nowhere', 'No such file'), (path('text'), 'Permission denied'),
                       (path('folder'), 'Permission denied')):
        refuses(['arm64', '--image', path('arm64'), '--qemu', qemu], UNAVAILABLE, qemu, word)


def end_of(arch, code):
    return {'arm64': {'exit': code}, 'riscv64': {'exit': code}, 's390x': {'psw': 0xdead0000 | code},
            'x86_64': {'exit': ((code | 0x40) << 1) | 1}}[arch]


def test_codes():
    """the image's exit codes come through each machine's exit device"""
    for arch in MACHINES:
        say = (FIRMWARE if arch == 'riscv64' else '') + 'ok 1 - a/b\r\n1..1\r\n'
        for code, word in enumerate((None, None, 'no such test', 'could not go on', 'exception',
                                     'guest was stopped')):
            done = metal(arch, say=say, **end_of(arch, code))
            equal((done.returncode, done.stdout), (code, b'ok 1 - a/b\n1..1\n'))
            if word:
                refused(done, code, word, arch, out=done.stdout)
            else:
                equal(done.stderr, b'')


def test_other_ends():
    """ends that are not the image's: one line, exit 80"""
    say = {'say': '1..0\n'}
    for arch in MACHINES:
        say = {'say': (FIRMWARE if arch == 'riscv64' else '') + '1..0\n'}
        for code in (6, 63):
            refused(metal(arch, **say, **end_of(arch, code)), FAILED, out=b'1..0\n')
        refused(metal(arch, **say, signal=signal.SIGSEGV), FAILED, 'signal 11', out=b'1..0\n')
        for code in (0, 1):
            refused(metal(arch, say='', **end_of(arch, code)), FAILED, 'without results')
    refused(metal('x86_64', say='1..0\n', reason='guest-reset'), FAILED, 'status 0, guest-reset',
            out=b'1..0\n')
    refused(metal('x86_64', say='1..0\n', exit=1), FAILED, 'status 1', out=b'1..0\n')
    refused(metal('s390x', say='1..0\n', psw=0x1234), FAILED, 'at 0x1234', out=b'1..0\n')
    refused(metal('s390x', say='1..0\n'), FAILED, 'status 0', out=b'1..0\n')
    refused(metal('arm64', early=0), FAILED, 'before there was a machine')
    done = metal('arm64', early=1, err='qemu: no such\x1bmachine\n')
    equal((done.returncode, done.stderr.decode().splitlines()[0]),
          (FAILED, 'stage2: note: metal: qemu: no such?machine'))


def test_output():
    """what is shown: as it comes, printable, the last line ended, no firmware"""
    done = metal('arm64', say='1..0\r\n\x1b[2Jä\0x\nend')
    equal(done.stdout, b'1..0\n?[2J??x\nend\n')
    done = metal('arm64', say='1..0\n' + 'y' * 100000 + '\n')
    equal(done.stdout.replace(b'\n', b''), b'1..0' + b'y' * 100000)
    equal(metal('riscv64', say=f'{FIRMWARE}1..0\n').stdout, b'1..0\n')
    equal(metal('riscv64', say='OpenSBI\n').stdout, b'')
    child = subprocess.Popen([STAGE2, 'metal', 'arm64', '--image', path('arm64'), '--qemu', FAKE],
                             **settings({'fake': {'say': 'first\n', 'hang': True}}))
    equal(child.stdout.readline(), b'first\n')
    child.terminate()
    child.communicate(timeout=5)


def test_deadline():
    """an emulator that does not end, or does not even begin, is killed: exit 124"""
    for fake in ({'say': 'ok 1 - a\nno', 'hang': True}, {'silent': True}):
        start = time.monotonic()
        done = metal('arm64', '--timeout', '1', **fake)
        assert 1 <= time.monotonic() - start < 4
        refused(done, TIMEOUT, 'arm64', 'did not end in 1 seconds', '--timeout',
                out=b'ok 1 - a\nno\n' if 'say' in fake else b'')
    # A reader that does not read: the end comes nevertheless.
    reader, writer = os.pipe()
    done = stage2('metal', 'arm64', '--image', path('arm64'), '--qemu', FAKE, '--timeout', '2',
                  stdout=writer, fake={'say': 'z\n', 'times': 100000, 'hang': True})
    equal(done.returncode, TIMEOUT)
    os.close(reader)
    os.close(writer)


def test_signals():
    """SIGINT, SIGTERM, SIGHUP: the emulator is gone, exit 128 + n; after SIGKILL it goes, too"""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
        child = subprocess.Popen([STAGE2, 'metal', 'arm64', '--image', path('arm64'), '--qemu', FAKE],
                                 start_new_session=True,
                                 **settings({'fake': {'say': 'up\n', 'hang': True}}))
        equal(child.stdout.readline(), b'up\n')
        equal(len(tap.marked_processes(MARK)), 2)
        os.killpg(child.pid, number)
        equal(child.communicate(timeout=5), (b'', b''))
        equal(child.returncode, -9 if number == signal.SIGKILL else 128 + number)
        assert tap.eventually(lambda: not tap.marked_processes(MARK), 2), tap.marked_processes(MARK)
    # Whoever starts us may ignore what we need.
    command = ['sh', '-c', 'trap "" CHLD INT; exec "$0" "$@"', STAGE2, 'metal', 'arm64', '--image',
               path('arm64'), '--qemu', FAKE]
    equal(subprocess.run(command, check=False, timeout=20, **settings({})).returncode, 0)


def test_streams():
    """stdout full or closed: exit 73; a reader that goes away: as SIGPIPE does"""
    args = ('metal', 'arm64', '--image', path('arm64'), '--qemu', FAKE)
    with open('/dev/full', 'wb') as full:
        done = stage2(*args, stdout=full, fake={'say': '1..0\n', 'hang': True})
        refused(done, CANT_CREATE, 'standard output', 'No space left', out=None)
    command = ['sh', '-c', 'exec "$0" "$@" >&-', STAGE2, *args]
    done = subprocess.run(command, check=False, timeout=20, **settings({'fake': {'hang': True}}))
    refused(done, CANT_CREATE, 'standard output')
    command[2] = 'exec "$0" "$@" <&- 2>&-'
    done = subprocess.run(command, check=False, timeout=20, **settings({}))
    equal((done.returncode, done.stdout), (0, b'1..0\n'))
    reader, writer = os.pipe()
    os.close(reader)
    equal(stage2(*args, stdout=writer, fake={'hang': True}).returncode, -signal.SIGPIPE)
    os.close(writer)


def counts(**changes):
    """What --json writes, as it should be."""
    row = {'space': '4-level', 'operation': 'map', 'pages': 1,
           'counted': {'instructions': 1234, 'flushes': 0, 'calls': 0, 'ranges': 0}}
    return {'schema': 'stage2-metal', 'version': 1, 'tool': {'name': 'stage2', 'version': '0'},
            'kind': 'counted', 'arch': 'arm64', 'emulator': {'name': 'qemu', 'version': '7'},
            'rows': [row], **changes}


def test_counts():
    """--counts --json: exact figures, which `stage2 report` shows as counted"""
    report = path('counts.json')
    done = metal('arm64', '--counts', '--json', report, say=COUNTS)
    equal((done.returncode, done.stderr, done.stdout.decode()), (0, b'', COUNTS))
    with open(report, encoding='utf-8') as file:
        got = json.load(file)
    equal(list(got), list(counts()))
    equal((got['arch'], got['kind'], got['emulator']),
          ('arm64', 'counted', {'name': 'fake_qemu.py', 'version': '7.2.22 (fake 1)'}))
    equal(got['rows'][1], {'space': '4-level', 'operation': 'map', 'pages': 512, 'counted': {
        'instructions': 2 ** 53, 'flushes': 2, 'calls': 1, 'ranges': 3}})
    equal(len(got['rows']), 3)
    done = stage2('report', report)
    equal((done.returncode, done.stderr), (0, b''))
    for word in ('counted   exact, the same on every run', 'on arm64', '7.2.22', '\n4-level\n',
                 '\nbbm2\n', '9,007,199,254,740,992', 'demand-2M'):
        assert word in done.stdout.decode(), (word, done.stdout)
    assert max(map(len, done.stdout.decode().splitlines())) <= 100
    refused(stage2('report', report, '--html', path('x.html')), USAGE, 'leave --html out')
    os.remove(report)


def test_bad_counts():
    """runs that count nothing, wrong, the same twice, or fail: no file, and the old one is left alone"""
    report = write('old.json', 'old')
    line = COUNTS.splitlines()[1]
    for say, code in (('1..0\n', FAILED), (line[:-10], FAILED), (f'{line} more=1\n', FAILED),
                      (line.replace('pages', 'Pages') + '\n', FAILED),
                      (line.replace('1234', '9007199254740993') + '\n', FAILED),
                      (line.replace('1234', '-1') + '\n', FAILED),
                      (line.replace('map', 'm' * 64) + '\n', FAILED), (f'{line}\n{line}\n', 70)):
        done = metal('arm64', '--counts', '--json', report, say=say)
        equal((say, done.returncode, done.stderr.count(b'\n')), (say, code, 1))
    equal(metal('arm64', '--counts', '--json', report, say=COUNTS, exit=3).returncode, 3)
    with open(report, encoding='utf-8') as file:
        equal(file.read(), 'old')
    for place, word in ((path('missing/x'), 'No such file'), (path('folder'), 'directory')):
        refused(metal('arm64', '--counts', '--json', place), CANT_CREATE, place, word)


def test_report():
    """reports of counts that are cut or wrong: exit 65, one line that names the member"""
    whole = json.dumps(counts())
    for length in (1, 20, len(whole) // 2, len(whole) - 1):
        refused(stage2('report', write('cut.json', whole[:length])), DATA, 'ends in the middle')
    row = counts()['rows'][0]
    for changes, word in (({'version': 2}, 'use a newer one'), ({'version': 0}, 'version'),
                          ({'kind': 'timed'}, 'kind'), ({'arch': ''}, 'arch'),
                          ({'arch': 'a\x1b'}, 'printable'), ({'emulator': {}}, 'emulator.name'),
                          ({'tool': 1}, 'tool'), ({'rows': []}, 'rows'), ({'rows': [{}]}, 'rows[0].'),
                          ({'rows': [{**row, 'pages': -1}]}, 'rows[0].pages'),
                          ({'rows': [{**row, 'counted': {}}]}, 'rows[0].counted.instructions'),
                          ({'rows': [row, row]}, 'the same row as rows[0]'),
                          ({'schema': 'stage2-metals'}, 'schema')):
        refused(stage2('report', write('a.json', json.dumps(counts(**changes)))), DATA, word)
    equal(stage2('report', write('a.json', whole)).returncode, 0)


if __name__ == '__main__':
    with scratch:
        make_inputs()
        sys.exit(tap.run(globals()))
