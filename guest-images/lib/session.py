# SPDX-License-Identifier: BSD-2-Clause
"""One run of a board: QEMU, the four ports to the program in it, and its console.

Nothing of a run is in the file system: the ports are pairs of sockets that QEMU inherits, the root
is in memory, and the kernel ends QEMU when this process goes.
"""

import os
import secrets
import select
import shlex
import shutil
import socket
import stat
import subprocess
import tempfile
import time

import cache
import initramfs
from common import (EXIT_CANT_CREATE, EXIT_GUEST_FAILED, EXIT_NO_INPUT, EXIT_TIMEOUT,
                    EXIT_UNAVAILABLE, Failure, die_with_parent, say)

BOOT_LIMIT = 120     # seconds after which a board that is not up is given up
QUIET_FOR = 1.0      # seconds of booting before a word is said about it
CONSOLE_LINES = 20   # shown when a board fails
CHUNK = 65536
PORTS = ('control', 'stdout', 'stderr', 'stdin')  # in the order of /dev/vport0p1, 2, ...


class Pump:
    """A stream from the board to one of our files, whole and in order, at the reader's pace."""

    def __init__(self, sock, fd, end_mark):
        self.sock = sock
        self.fd = fd
        self.end_mark = end_mark
        self.pending = b''
        self.done = False
        # A poll that says a pipe is writable promises this much without waiting.
        self.step = CHUNK if stat.S_ISREG(os.fstat(fd).st_mode) else select.PIPE_BUF

    def ready_bytes(self):
        """How much of what has come is surely data, and not the beginning of the end mark."""
        if self.done:
            return len(self.pending)
        held = min(len(self.pending), len(self.end_mark) - 1)
        while held and not self.end_mark.startswith(self.pending[len(self.pending) - held:]):
            held -= 1
        return len(self.pending) - held

    def receive(self):
        data = self.sock.recv(CHUNK)
        self.pending += data
        self.done = not data
        if self.pending.endswith(self.end_mark):
            self.pending = self.pending[:-len(self.end_mark)]
            self.done = True

    def send(self):
        try:
            count = os.write(self.fd, self.pending[:min(self.ready_bytes(), self.step)])
            self.pending = self.pending[count:]
        except BlockingIOError:
            pass

    def finished(self):
        return self.done and not self.pending


class Session:
    """A board that is running a command."""

    def __init__(self, name, board, options):
        self.name = name
        self.board = board
        self.options = options
        self.end_mark = secrets.token_hex(16).encode()
        self.console = b''
        self.messages = b''          # QEMU's own
        self.control = bytearray()
        self.arriving = None         # a file that is on its way: (temporary file, bytes to come)
        self.files = {}              # those that have come, by the index of their --get
        self.stdin = None            # the descriptor, until its end
        self.to_board = b''          # read from it and not sent yet
        self.started = None
        self.up = False
        self.code = None
        self.said_booting = False
        self.sockets = {}
        self.qemu = None

    # --- Starting -----------------------------------------------------------------------------

    def start(self, kernel, busybox, stdin):
        theirs = {}
        for port in PORTS + ('console',):
            self.sockets[port], theirs[port] = socket.socketpair()
        root = self.build_root(os.path.dirname(kernel), busybox, stdin is not None)
        self.started = time.monotonic()
        command = self.qemu_command(kernel, f'/proc/self/fd/{root}',
                                    {port: sock.fileno() for port, sock in theirs.items()})
        try:
            self.qemu = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, preexec_fn=die_with_parent(),
                pass_fds=[root] + [sock.fileno() for sock in theirs.values()])
        except FileNotFoundError:
            raise Failure(EXIT_UNAVAILABLE, f'{self.board.qemu} is missing: apt install '
                          f'{self.board.package}') from None
        os.close(root)
        for sock in theirs.values():
            sock.close()

    def build_root(self, kernel_folder, busybox, has_stdin):
        """The board's root as a file in memory: the same for all runs, then what this run adds."""
        here = os.path.dirname(os.path.realpath(__file__))
        archive = initramfs.busybox_root(busybox, initramfs.read(f'{here}/board-init'))
        if self.board.holder:
            archive.file('/run/board/holder', self.board.holder, 0o755)
        # Another kernel must have KVM built in: our modules are not its own.
        modules = [] if self.options.kernel else self.board.modules
        initramfs.add_files(archive, [(os.path.join(kernel_folder, name),
                                       f'/run/board/modules/{number}-{name}')
                                      for number, name in enumerate(modules)])
        settings = {
            'board': self.name,
            'end_mark': self.end_mark.decode(),
            'stdin': '/run/board/in' if has_stdin else '/dev/null',
            'term': os.environ.get('TERM', 'dumb'),
        }
        archive.file('/run/board/settings', shell_lines(
            f'{key}={shlex.quote(value)}' for key, value in settings.items()))
        archive.file('/run/board/get', shell_lines(
            f'send_file {index} {shlex.quote(source)}'
            for index, (source, _) in enumerate(self.options.get)))
        archive.file('/run/board/command', shell_lines((
            f'set -- {shlex.join(self.options.command)}',
            'command -v "$1" >/dev/null || {',
            f'\techo "stage2: board {self.name} has no command $1; bring it with --file" >&2',
            '\texit 127',
            '}',
            'exec "$@"')))
        initramfs.add_files(archive, self.options.file)
        root = os.memfd_create('board-root', 0)
        with os.fdopen(os.dup(root), 'wb') as file:
            archive.write_to(file)
        return root

    def qemu_command(self, kernel, root, fds):
        cmdline = [self.board.cmdline, 'panic=-1', *([] if self.options.verbose else ['quiet']),
                   self.options.append]
        command = [
            self.board.qemu, *self.board.machine,
            '-smp', str(self.options.cpus), '-m', str(self.options.memory),
            '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot',
            '-kernel', kernel, '-initrd', root, '-append', ' '.join(filter(None, cmdline)),
            '-chardev', f'socket,id=console,fd={fds["console"]}', '-serial', 'chardev:console',
            '-device', 'virtio-serial-pci,max_ports=8']
        for number, port in enumerate(PORTS, 1):
            command += ['-chardev', f'socket,id={port},fd={fds[port]}', '-device',
                        f'virtserialport,chardev={port},name=stage2.{port},nr={number}']
        return command

    # --- Running ------------------------------------------------------------------------------

    def run(self, stdin):
        """Carry everything until the command has ended and all it wrote is where it belongs."""
        self.stdin = stdin
        self.pumps = [Pump(self.sockets['stdout'], 1, self.end_mark),
                      Pump(self.sockets['stderr'], 2, self.end_mark)]
        self.sources = {self.sockets['control']: self.take_control,
                        self.sockets['console']: self.take_console,
                        self.qemu.stderr: self.take_message}
        while not self.finished():
            actions = self.possible_actions()
            poll = select.poll()
            for fd, (event, _) in actions.items():
                poll.register(fd, event)
            for fd, _ in poll.poll(self.milliseconds_to_wait()):
                actions[fd][1]()
            self.check_time()
        if self.code is None:
            self.fail(EXIT_GUEST_FAILED, self.why_it_ended())
        return self.code

    def finished(self):
        ended = self.code is not None or self.sockets['control'] not in self.sources
        return ended and all(pump.finished() for pump in self.pumps)

    def possible_actions(self):
        """What to wait for, and what to do then: {fd: (poll's event, function)}."""
        actions = {source.fileno(): (select.POLLIN, lambda source=source: self.take(source))
                   for source in self.sources}
        for pump in self.pumps:
            if pump.ready_bytes():
                actions[pump.fd] = (select.POLLOUT, pump.send)
            elif not pump.done:
                actions[pump.sock.fileno()] = (select.POLLIN, pump.receive)
        if self.to_board:
            actions[self.sockets['stdin'].fileno()] = (select.POLLOUT, self.write_stdin)
        elif self.stdin is not None and self.up:
            actions[self.stdin] = (select.POLLIN, self.read_stdin)
        return actions

    def take(self, source):
        """Read from a source that only ever gives us something, until its end."""
        data = os.read(source.fileno(), CHUNK)
        if data:
            self.sources[source](data)
        else:
            del self.sources[source]

    def take_console(self, data):
        self.console = (self.console + data)[-CHUNK:]
        if self.options.verbose:
            os.write(2, data)

    def take_message(self, data):
        self.messages = (self.messages + data)[-CHUNK:]

    def take_control(self, data):
        """Lines from the board's init, and after a "file" line that many bytes."""
        self.control += data
        while self.control:
            if self.arriving:
                file, size = self.arriving
                file.write(self.control[:size])
                size -= len(self.control[:size])
                del self.control[:self.arriving[1]]
                self.arriving = (file, size) if size else None
                continue
            line, newline, rest = self.control.partition(b'\n')
            if not newline:
                return
            self.control = rest
            self.obey(line.decode())

    def obey(self, line):
        word, *numbers = line.split()
        if word == 'ready':
            self.up = True
            if self.said_booting:
                self.progress(f'up after {time.monotonic() - self.started:.1f} s (emulated)')
        elif word == 'file':
            index, size = map(int, numbers)
            self.files[index] = tempfile.TemporaryFile()
            self.arriving = (self.files[index], size) if size else None
        elif word == 'exit':
            self.code = int(numbers[0])

    def read_stdin(self):
        self.to_board = os.read(self.stdin, CHUNK)
        if not self.to_board:
            self.stdin = None
            self.sockets['stdin'].shutdown(socket.SHUT_WR)

    def write_stdin(self):
        try:
            count = self.sockets['stdin'].send(self.to_board,
                                               socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            self.to_board = self.to_board[count:]
        except BlockingIOError:
            pass
        except OSError:  # QEMU has gone, which is told elsewhere
            self.to_board, self.stdin = b'', None

    # --- Time ---------------------------------------------------------------------------------

    def deadlines(self):
        """When something is due, as (seconds since the start, what to do)."""
        if self.options.timeout:
            yield self.options.timeout, self.time_is_up
        if not self.up:
            yield BOOT_LIMIT, self.time_is_up
            if not self.said_booting and not self.options.quiet:
                yield 0 if os.isatty(2) else QUIET_FOR, self.say_booting

    def milliseconds_to_wait(self):
        passed = time.monotonic() - self.started
        waits = [max(0, due - passed) for due, _ in self.deadlines()]
        return int(min(waits) * 1000) + 1 if waits else None

    def check_time(self):
        passed = time.monotonic() - self.started
        for due, act in list(self.deadlines()):
            if passed >= due:
                act()

    def say_booting(self):
        self.said_booting = True
        self.progress('booting')

    def progress(self, message):
        say(f'board {self.name}: {message}')

    def time_is_up(self):
        passed = round(time.monotonic() - self.started)
        self.fail(EXIT_TIMEOUT, f'the command did not end within {passed} s' if self.up else
                  f'did not boot within {passed} s')

    # --- Ending -------------------------------------------------------------------------------

    def why_it_ended(self):
        code = self.qemu.wait()
        messages = self.messages.decode(errors='replace').strip().splitlines()
        when = 'while the command ran' if self.up else 'before it was up'
        if code < 0:
            return f'QEMU was killed by signal {-code} {when}'
        if code > 0:
            return f'QEMU failed {when}: {messages[-1] if messages else f"exit code {code}"}'
        if b'Kernel panic' in self.console:
            return f'its kernel panicked {when}'
        return f'it went down {when}'

    def fail(self, code, message):
        """The board has failed: say so, then the last of what its kernel said."""
        lines = self.console.decode(errors='replace').replace('\r', '').strip().splitlines()
        shown = [''.join(c for c in line if c.isprintable() or c == '\t')
                 for line in lines[-CONSOLE_LINES:]]
        if shown and not self.options.verbose:
            message += '; its console said last:\n' + '\n'.join(shown)
        raise Failure(code, f'board {self.name}: {message}')

    def save_files(self):
        """Write what --get asked for. True if all of it was there."""
        for index, (source, dest) in enumerate(self.options.get):
            if index not in self.files:
                say(f'board {self.name}: there is no file {source} to bring back')
                continue
            self.files[index].seek(0)
            try:
                with open(dest, 'wb') as file:
                    shutil.copyfileobj(self.files[index], file)
            except OSError as error:
                raise Failure(EXIT_CANT_CREATE, f'cannot write {dest}: {error.strerror}') from None
        return len(self.files) == len(self.options.get)

    def end(self):
        if self.qemu:
            self.qemu.kill()
            self.qemu.wait()


def shell_lines(lines):
    return ''.join(f'{line}\n' for line in lines).encode()


def usable_stdin():
    """Our standard input if there is anything to be read from it, now or later."""
    try:
        if os.path.samestat(os.fstat(0), os.stat(os.devnull)):
            return None
        # Reading a terminal from the background would stop us.
        if os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp():
            return None
    except OSError:
        return None
    return 0


def run(name, board, options):
    """Run a command on a board and return the exit code for our caller."""
    things = [board.busybox] if options.kernel else [board.busybox, board.kernel]
    busybox, *kernel = cache.ensure(things, quiet=options.quiet)
    stdin = usable_stdin()
    session = Session(name, board, options)
    try:
        session.start(*(kernel or [options.kernel]), busybox, stdin)
        code = session.run(stdin)
    finally:
        session.end()
    complete = session.save_files()
    return code if code or complete else EXIT_NO_INPUT
