#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Does as QEMU does, for `stage2 metal --qemu`, but has no machine: $FAKE, a JSON object, says what the
machine does. Members, all optional:

    early  a status to end with before any greeting
    silent true: there is no greeting, ever
    say    text on the console, in which ARGS stands for the words in memory, and ARGV for the command line
    times  how often it says that (1)
    err    text on stderr
    psw    where the machine waits for good
    reason why the machine was shut down
    exit   the status at the end (0)
    signal the signal that ends it instead
    hang   true: it does not end
"""

import json
import os
import re
import socket
import sys
import time


def value(pattern):
    return next(found.group(1) for word in sys.argv if (found := re.search(pattern, word)))


def event(monitor, name, data):
    monitor.write(json.dumps({'timestamp': {'seconds': 1, 'microseconds': 2}, 'event': name,
                              'data': data}) + '\r\n')
    monitor.flush()


def start(monitor):
    """To the moment at which the machine runs."""
    monitor.write(json.dumps({'QMP': {'version': {'qemu': {'micro': 22, 'minor': 2, 'major': 7},
                                                  'package': 'fake 1'}, 'capabilities': ['oob']}})
                  + '\r\n')
    monitor.flush()
    for command in ('qmp_capabilities', 'cont'):
        assert json.loads(monitor.readline()) == {'execute': command}
        monitor.write('{"return": {}}\r\n')
        monitor.flush()
    event(monitor, 'RESUME', {})


def main():
    fake = json.loads(os.environ.get('FAKE', '{}'))
    sys.stderr.write(fake.get('err', ''))
    sys.stderr.flush()
    if 'early' in fake:
        sys.exit(fake['early'])
    if fake.get('silent'):
        time.sleep(1000)
    monitor = socket.socket(fileno=int(value('^socket,.*fd=(.*)'))).makefile('rw', newline='')
    start(monitor)
    with open(value('^loader,file=(.*?),'), 'rb') as file:
        words = file.read()
    assert words.endswith(b'\0') and os.read(0, 1) == b''
    text = fake.get('say', '1..0\r\n').replace('ARGS', words[:-1].decode())
    text = text.replace('ARGV', ' '.join(sys.argv)) * fake.get('times', 1)
    sys.stdout.reconfigure(encoding='latin-1', newline='')
    sys.stdout.write(text)
    sys.stdout.flush()
    if 'psw' in fake:
        event(monitor, 'GUEST_PANICKED', {'action': 'pause', 'info': {
            'core': 0, 'psw-addr': fake['psw'], 'reason': 'disabled-wait', 'psw-mask': 2,
            'type': 's390'}})
    if 'reason' in fake:
        event(monitor, 'SHUTDOWN', {'guest': True, 'reason': fake['reason']})
    if fake.get('hang'):
        time.sleep(1000)
    if 'signal' in fake:
        os.kill(os.getpid(), fake['signal'])
    os._exit(fake.get('exit', 0))


main()
