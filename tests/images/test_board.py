#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""guest-images/board: a command on an emulated machine behaves as one on this machine would."""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import tap  # noqa: E402
from tap import BOARD, FETCH, Skip, equal  # noqa: E402

BUILD_KERNEL = os.path.join(os.path.dirname(BOARD), 'build-kernel')
scratch = tempfile.TemporaryDirectory(prefix='stage2-test.')


def need_board():
    if not shutil.which('qemu-system-aarch64'):
        raise Skip('no qemu-system-aarch64; apt install qemu-system-arm')
    done = subprocess.run([FETCH, 'kernel-arm64', 'busybox-arm64'], capture_output=True, text=True,
                          check=False)
    if done.returncode == 75:
        raise Skip(f'not cached and no network: {done.stderr.splitlines()[-1]}')
    equal(done.returncode, 0)


def board(name, *args, **options):
    return subprocess.run([BOARD, name, '--quiet', *args], stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=250, check=False, **options)


def started(name, script, mark, *args):
    """A board in a process group of its own that runs a script, and has begun to."""
    command = [BOARD, name, '--quiet', *args, '--', 'sh', '-c', f'echo go; {script}']
    child = subprocess.Popen(command,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, start_new_session=True,
                             env=dict(os.environ, MARK=mark, TMPDIR=scratch.name,
                                      XDG_RUNTIME_DIR=scratch.name))
    equal(child.stdout.readline(), b'go\n')
    return child


def one_line(done, code, *words):
    equal(done.returncode, code)
    equal(done.stdout, b'')
    text = done.stderr.decode()
    equal(len(text.splitlines()), 1)
    assert text.startswith('stage2: ') and all(word in text for word in words), text


def test_usage():
    """wrong usage: exit 64, one line"""
    one_line(board('vax', '--', 'true'), 64, 'vax', 'arm64-pkvm')
    one_line(board('arm64'), 64, 'no command')
    one_line(board('arm64', '--nonsense', '--', 'true'), 64, '--nonsense')
    one_line(board('arm64', '--timeout', 'x', '--', 'true'), 64, 'seconds')
    one_line(board('arm64', '--memory', '0', '--', 'true'), 64, '--memory')
    one_line(board('arm64', '--get', '/x', '--', 'true'), 64, '--get')


def test_missing_file():
    """a file to bring that is not there: exit 66, one line, at once"""
    need_board()
    one_line(board('arm64', '--file', '/nonexistent/x', '--', 'true'), 66, '/nonexistent/x')
    one_line(board('arm64', '--kernel', '/nonexistent/x', '--', 'true'), 66, '/nonexistent/x')


def test_get_has_no_place():
    """a file to bring back that cannot be written: exit 73, before the boot"""
    one_line(board('arm64', '--get', '/x:/nonexistent/x', '--', 'true'), 73, '/nonexistent/x')


def test_list_and_help():
    """--list and --help"""
    names = subprocess.run([BOARD, '--list'], capture_output=True, text=True, check=True).stdout
    equal([line.split()[0] for line in names.splitlines()], ['arm64', 'arm64-pkvm', 'x86_64', 'x86_64-sw-protected'])
    text = subprocess.run([BOARD, '--help'], capture_output=True, text=True, check=True).stdout
    assert text.startswith('usage: guest-images/board'), text


def test_no_qemu():
    """no QEMU: exit 69, one line that names the package"""
    need_board()
    one_line(board('arm64', '--', 'true', env=dict(os.environ, PATH=scratch.name)), 69,
             'qemu-system-arm')


def test_kernel_to_be_built():
    """a board whose kernel is not built yet: exit 69, one line that says what to run"""
    with tempfile.TemporaryDirectory(dir=scratch.name) as empty:
        env = dict(os.environ, STAGE2_CACHE=empty)
        one_line(board('x86_64-sw-protected', '--', 'true', env=env), 69,
                 'guest-images/build-kernel')
        equal(os.listdir(empty), [])
        for args in (['--jobs', '0'], ['--jobs'], ['--fast'], ['--jobs', '2', 'x']):
            one_line(subprocess.run([BUILD_KERNEL, *args], capture_output=True, env=env,
                                    check=False), 64, 'build-kernel --help')
        # Nothing to be found in PATH: what is missing is named.
        done = subprocess.run([sys.executable, BUILD_KERNEL], capture_output=True, check=False,
                              env=dict(env, PATH=empty))
        one_line(done, 69, 'flex', 'bison', 'apt install')
        equal(os.listdir(empty), [])


def test_command():
    """streams are apart, the exit code comes back, and the board is as promised"""
    need_board()
    script = ('echo "out $STAGE2_BOARD $HOME $PWD $(ulimit -l) $1"; echo err >&2; cat;'
              'test -c /dev/kvm && test -d /sys/kernel/tracing/events && test -w /tmp && exit 7')
    done = board('arm64', '--', 'sh', '-c', script, 'sh', "it's  $x")
    equal(done.stdout, b"out arm64 /root /root unlimited it's  $x\n")
    equal(done.stderr, b'err\n')
    equal(done.returncode, 7)


def test_pkvm():
    """arm64-pkvm has pKVM"""
    need_board()
    done = board('arm64-pkvm', '--', 'sh', '-c', 'echo $STAGE2_BOARD; dmesg | grep "kvm \\[1\\]"')
    equal(done.returncode, 0)
    assert done.stdout.startswith(b'arm64-pkvm\n'), done.stdout
    # nVHE or, where the CPU has VHE, hVHE.
    assert re.search(rb'Protected .VHE mode initialized successfully', done.stdout), done.stdout


def test_data():
    """files, standard input and megabytes of binary output arrive whole, at a slow reader too"""
    need_board()
    data = random.Random(1).randbytes(3 << 20)
    source, got = f'{scratch.name}/data', f'{scratch.name}/got'
    with open(source, 'wb') as file:
        file.write(data)
    os.chmod(source, 0o640)
    script = ('stat -c %a /data >&2; cat /data; cat >/root/in; (sleep 100; echo late) & '
              'echo end >&2; kill -TERM $$')
    command = [BOARD, 'arm64', '--quiet', '--file', source, '--get', f'/root/in:{got}', '--get',
               f'/proc/version:{got}.2', '--', 'sh', '-c', script]
    with open(source, 'rb') as stdin:
        child = subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
    out = child.stdout.read(1000)
    time.sleep(3)
    out += child.stdout.read()
    equal(hashlib.sha256(out).hexdigest(), hashlib.sha256(data).hexdigest())
    equal(child.stderr.read(), b'640\nend\n')
    equal(child.wait(), 128 + signal.SIGTERM)
    with open(got, 'rb') as file:
        equal(hashlib.sha256(file.read()).hexdigest(), hashlib.sha256(data).hexdigest())
    with open(f'{got}.2', 'rb') as file:
        assert file.read().startswith(b'Linux version')


def test_stdin_is_live():
    """what is typed reaches the command while it runs, and its end is an end of file"""
    need_board()
    child = subprocess.Popen([BOARD, 'arm64', '--quiet', '--', 'sh', '-c',
                              'while read -r x; do echo "got $x"; done; echo end'],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for word in (b'one', b'two'):
        child.stdin.write(word + b'\n')
        child.stdin.flush()
        equal(child.stdout.readline(), b'got ' + word + b'\n')
    child.stdin.close()
    equal(child.stdout.read(), b'end\n')
    equal(child.wait(), 0)


def test_nothing_to_get():
    """a file to bring back that the command has not made: exit 66 and a line"""
    need_board()
    one_line(board('arm64', '--get', f'/root/x:{scratch.name}/x', '--', 'true'), 66, '/root/x')
    assert not os.path.exists(f'{scratch.name}/x')


def test_no_such_command():
    """a command that the board has not: exit 127 and a line"""
    need_board()
    one_line(board('arm64', '--', 'nonsense'), 127, 'nonsense')


def test_two_boards():
    """two boards at once"""
    need_board()
    both = [subprocess.Popen([BOARD, name, '--quiet', '--', 'sh', '-c', 'echo $STAGE2_BOARD'],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            for name in ('arm64', 'arm64-pkvm')]
    equal([child.communicate(timeout=250)[0] for child in both], [b'arm64\n', b'arm64-pkvm\n'])


def test_panic():
    """a board whose kernel panics: exit 80, a line, and the end of the console"""
    need_board()
    done = board('arm64', '--append', 'rdinit=/nonexistent', '--', 'true')
    equal(done.returncode, 80)
    lines = done.stderr.decode().splitlines()
    assert lines[0].startswith('stage2: board arm64: its kernel panicked'), lines
    assert any('Kernel panic - not syncing' in line for line in lines), lines
    assert len(lines) <= 21, lines


def test_broken_kernel():
    """a kernel that is no kernel: out of time, exit 124"""
    need_board()
    with open(f'{scratch.name}/zero', 'wb') as file:
        file.write(bytes(1 << 20))
    one_line(board('arm64', '--kernel', f'{scratch.name}/zero', '--timeout', '2', '--', 'true'),
             124, 'did not boot within 2 s')


def test_power_off():
    """a command that ends the machine: exit 80, what it wrote is not lost"""
    need_board()
    done = board('arm64', '--', 'sh', '-c', 'echo word; sleep 1; poweroff -f')
    equal((done.returncode, done.stdout), (80, b'word\n'))
    assert b'went down while the command ran' in done.stderr, done.stderr


def test_timeout():
    """a command that does not end: exit 124, no QEMU left"""
    need_board()
    mark = f'timeout-{os.getpid()}'
    child = started('arm64', 'sleep 1000', mark, '--timeout', '20')
    out, err = child.communicate(timeout=60)
    equal((child.returncode, out), (124, b''))
    assert b'did not end within 20 s' in err, err
    equal(tap.marked_processes(mark), {})


def test_ctrl_c():
    """Ctrl-C: exit 130 at once, quietly, no QEMU left"""
    need_board()
    mark = f'ctrl-c-{os.getpid()}'
    child = started('arm64', 'sleep 1000', mark)
    assert 'qemu-system-aar' in tap.marked_processes(mark).values()
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=2)
    equal((child.returncode, out, err), (130, b'', b''))
    equal(tap.marked_processes(mark), {})


def test_sigterm():
    """SIGTERM: exit 143, no QEMU left"""
    need_board()
    mark = f'term-{os.getpid()}'
    child = started('arm64', 'sleep 1000', mark)
    child.terminate()
    out, err = child.communicate(timeout=2)
    equal((child.returncode, out, err), (143, b'', b''))
    equal(tap.marked_processes(mark), {})


def test_sigkill():
    """SIGKILL: QEMU goes too, and no file is left"""
    need_board()
    mark = f'kill-{os.getpid()}'
    before = os.listdir(scratch.name)
    child = started('arm64', 'sleep 1000', mark)
    child.kill()
    child.communicate(timeout=2)
    assert tap.eventually(lambda: not tap.marked_processes(mark), 2), tap.marked_processes(mark)
    equal(os.listdir(scratch.name), before)


def test_holder():
    """a board holds a VM open, without which pKVM's host panics now and then under QEMU 7.2"""
    need_board()
    done = board('arm64-pkvm', '--', 'sh', '-c', 'usleep 500000; ls -l /proc/$(pidof holder)/fd')
    assert b'anon_inode:kvm-vm' in done.stdout, (done.stdout, done.stderr)


def test_reader_goes():
    """a reader that goes away ends the board as SIGPIPE would"""
    need_board()
    child = started('arm64', 'yes', f'pipe-{os.getpid()}')
    child.stdout.close()
    equal(child.stderr.read(), b'')
    equal(child.wait(timeout=20), 128 + signal.SIGPIPE)


if __name__ == '__main__':
    with scratch:
        sys.exit(tap.run(globals()))
