#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""./demo, as a user would run it."""

import json
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
import tap  # noqa: E402
from tap import TOP, Skip, equal  # noqa: E402

DEMO = os.path.join(TOP, 'demo')


def demo(*arguments):
    return subprocess.run([DEMO, *arguments], cwd='/', stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, check=False)


def test_usage():
    """--help prints what it does; another argument is one line and exit code 64"""
    equal((demo('--help').returncode, demo('--help').stderr), (0, ''))
    wrong = demo('--fast')
    equal((wrong.returncode, wrong.stdout, wrong.stderr.count('\n')), (64, '', 1))


def test_demo():
    """the guest's shares, the table, both reports"""
    if not shutil.which('qemu-system-aarch64'):
        raise Skip('no qemu-system-aarch64; apt install qemu-system-arm')
    for name in ('report.json', 'report.html'):
        path = os.path.join(TOP, 'out', name)
        if os.path.exists(path):
            os.remove(path)
    done = demo()
    assert done.returncode == 0, done.stderr[-3000:]
    seen = [line for line in done.stderr.splitlines() if line.startswith('peek ')]
    equal([': the host read 0x' in line for line in seen], [False, True, False])
    for title in ('trace on thp', 'ring on thp', 'bounce on thp', 'sparse on thp'):
        assert f'\n{title}\n' in done.stdout, title
    assert max(map(len, done.stdout.splitlines())) <= 100
    equal(done.stdout.splitlines()[-1], 'Wrote out/report.json and out/report.html')
    with open(os.path.join(TOP, 'out/report.json'), encoding='utf-8') as file:
        report = json.load(file)
    equal((report['schema'], len(report['rows'])), ('stage2-measure', 4 * (1 + 4 * 3)))
    equal(sum(row['counted']['probes_wrong'] for row in report['rows']), 0)
    with open(os.path.join(TOP, 'out/report.html'), encoding='utf-8') as file:
        page = file.read()
    assert page.count('<svg') >= 1 and 'src="http' not in page and 'href="http' not in page


if __name__ == '__main__':
    sys.exit(tap.run(globals()))
