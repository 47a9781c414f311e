#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""stage2-bench does the work of every row and says so; how long that takes is not tested.

usage: test_bench.py STAGE2-BENCH [TEST]...
"""

import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))),
                                'tests'))

import tap  # noqa: E402
from tap import equal  # noqa: E402

BENCH = os.path.realpath(sys.argv.pop(1))
QUICK = ('--repeat', '1', '--mem', '64M')
# Rows with these names have nothing to do with page tables.
NO_FORMAT = ('track-', 'convert-', 'uv-')
FORMATS = ['arm64', 'riscv', 'ept', 'npt', 's390']
USAGE, CANT_CREATE = 64, 73


def bench(*args):
    return subprocess.run([BENCH, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=100, check=False)


def good(*args):
    done = bench(*args)
    equal((done.returncode, done.stderr), (0, ''))
    return done.stdout


def refuses(code, *args):
    done = bench(*args)
    equal((done.returncode, done.stdout), (code, ''))
    equal(len(done.stderr.splitlines()), 1)
    assert done.stderr.startswith('stage2-bench: '), done.stderr


def listed():
    """The names that --list has: of formats and of rows, with their units."""
    formats, rows = good('--list').split('rows:\n')
    return ([line.split()[0] for line in formats.splitlines()[1:]],
            {line.split()[0]: line.split()[1] for line in rows.splitlines()})


def check_figure(figure):
    assert 0 < figure['best'] and figure['worst'] > 0 and figure['median'] > 0, figure


def check_row(row, units):
    equal(row['unit'], units[row['row']])
    if 'absent' in row:
        assert row['absent'] and 'best' not in row, row
        return
    check_figure(row)
    for limit in row['limits']:
        check_figure(limit)
        assert limit['name'] and limit['ratio'] > 0, row


def test_json():
    """every row of every format is in the JSON, with limits"""
    formats, units = listed()
    equal(formats, FORMATS)
    document = json.loads(good(*QUICK, '--json', '-'))
    equal((document['schema'], document['version']), ('stage2-bench', 1))
    equal((document['repeat'], document['memory']), (1, 64 << 20))
    for name in ('cpu', 'kernel', 'governor', 'compiler', 'flags'):
        assert document['machine'][name], name
    rows = document['rows']
    seen = [(row['format'], row['row']) for row in rows]
    equal(len(seen), len(set(seen)))
    for name in units:
        expected = [''] if name.startswith(NO_FORMAT) else FORMATS
        equal([format for format, row in seen if row == name], expected)
    for row in rows:
        check_row(row, units)
        assert not row['format'] or 'absent' in row or row['limits'], row


def test_counted():
    """flushes and tables of arm64: one range to unmap and to protect, one break a block to split"""
    rows = json.loads(good(*QUICK, '--json', '-', '--format', 'arm64',
                           '--rows', 'unmap,protect,split'))['rows']
    counted = {row['row']: row['counted'] for row in rows}
    # 64 MiB are 32 leaf tables; the table above them is not covered.
    equal(counted['unmap'], {'flush calls': 1, 'flush ranges': 1, 'tables freed': 32})
    equal(counted['protect'], {'flush calls': 1, 'flush ranges': 1})
    equal(counted['split'], {'blocks': 32, 'flush calls': 32, 'flush ranges': 32})


def test_table():
    """the table has the rows that were asked for, in 100 columns; --json FILE goes beside it"""
    with tempfile.TemporaryDirectory(prefix='stage2-test.') as folder:
        path = os.path.join(folder, 'out.json')
        text = good(*QUICK, '--format', 'arm64,ept', '--rows', 'map-,lookup', '--json', path)
        with open(path, encoding='utf-8') as file:
            rows = json.load(file)['rows']
    for line in text.splitlines():
        assert len(line) <= 100, line
    for row in rows:
        assert row['row'].startswith(('map-', 'lookup')), row
        assert row['row'] in text, row
    equal({row['format'] for row in rows}, {'arm64', 'ept'})


def test_usage():
    """what is wrong on the command line is told in one line"""
    for args in (('--mem', '3M'), ('--mem', '64'), ('--mem', '16G'), ('--mem', ''),
                 ('--repeat', '0'), ('--repeat', '1001'), ('--repeat', 'x'), ('--cpu', '-1'),
                 ('--format', 'mips'), ('--format', 'arm64,'), ('--rows', 'no-such'),
                 ('--rows', ''), ('--nothing',), ('--json',), ('word',)):
        refuses(USAGE, *args)


def test_output():
    """JSON that cannot be written is an error"""
    done = bench(*QUICK, '--format', 'ept', '--rows', 'unmap', '--json', '/nowhere/out.json')
    equal(done.returncode, CANT_CREATE)
    equal(len(done.stderr.splitlines()), 1)


def test_help():
    """--help fits 100 columns and names every option"""
    text = good('--help')
    for option in ('format', 'rows', 'repeat', 'cpu', 'mem', 'json', 'list', 'help'):
        assert f'--{option}' in text, option
    for line in (text + good('--list')).splitlines():
        assert len(line) <= 100, line


if __name__ == '__main__':
    sys.exit(tap.run(globals()))
