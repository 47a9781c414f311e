#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Bad input to the stage2 program on this machine: one line, the documented code, nothing left.

usage: test_native.py STAGE2 [TEST]...
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.realpath(__file__))))

import tap  # noqa: E402
from tap import Skip, equal  # noqa: E402

STAGE2 = os.path.realpath(sys.argv.pop(1))
USAGE, DATA, NO_INPUT, UNAVAILABLE, OS, CANT_CREATE = 64, 65, 66, 69, 71, 73
# Without KVM, on a machine whose guests stage2 cannot run, or not protected, valid input comes this far.
NO_KVM = ('board',)

scratch = tempfile.TemporaryDirectory(prefix='stage2-test.')
inputs = f'{scratch.name}/inputs'
work = f'{scratch.name}/work'


def make_inputs():
    os.mkdir(inputs)
    os.mkdir(work)
    for name, content in (('kernel', b'x' * 5000), ('empty', b''), ('small', b'x' * 4096)):
        with open(f'{inputs}/{name}', 'wb') as file:
            file.write(content)
    with open(f'{inputs}/ram', 'wb') as file:
        file.truncate(256 << 20)
    os.mkdir(f'{inputs}/folder')
    os.mkfifo(f'{inputs}/fifo')


def path(name):
    return f'{inputs}/{name}'


def stage2(*args, **options):
    """Run it in an empty folder; what it leaves there is an error."""
    settings = {'cwd': work, 'stdin': subprocess.DEVNULL, 'stdout': subprocess.PIPE,
                'stderr': subprocess.PIPE, 'timeout': 60, 'check': False, **options}
    before = sorted(os.listdir(inputs))
    done = subprocess.run([STAGE2, *args], **settings)
    equal(os.listdir(work), [])
    equal(sorted(os.listdir(inputs)), before)
    return done


def refused(done, code, *words):
    text = done.stderr.decode()
    assert len(text.splitlines()) == 1 and text.endswith('\n'), (done.args, text)
    assert text.startswith('stage2: '), (done.args, text)
    for word in words:
        assert word in text, f'{done.args}: {word!r} not in {text!r}'
    assert done.returncode == code, f'{done.args}: exit {done.returncode}, not {code}: {text}'
    assert done.stdout in (b'', None), (done.args, done.stdout)


def refuses(args, code, *words, **options):
    refused(stage2(*args, **options), code, *words)


def shows(args, *words):
    done = stage2(*args)
    text = done.stdout.decode()
    equal((done.returncode, done.stderr), (0, b''))
    for line in text.splitlines():
        assert len(line) <= 80, f'{len(line)} columns: {line}'
    for word in words:
        assert word in text, f'{args}: {word!r} not in {text!r}'


def options_of(source, kind='(?:no|required)'):
    """The long options that a C file knows."""
    with open(f'{tap.TOP}/{source}', encoding='utf-8') as file:
        names = re.findall(rf'\{{"([a-z-]+)", {kind}_argument', file.read())
    assert names
    return [f'--{name}' for name in names]


def report(**changes):
    """A report that has every member, and no results."""
    with open(f'{tap.TOP}/measure/README.md', encoding='utf-8') as file:
        members = file.read().split('all of them counts:')[1].split('\n## ')[0]
    names = re.findall(r'^\| `(\w+)` \|', members, re.M)
    row = {'workload': 'ring', 'backing': 'thp', 'grain': '4K', 'policy': 'exact',
           'counted': {name: 0 for name in names},
           'modelled': {'leaves_before': {'4K': 1}, 'leaves_after': {'4K': 1}},
           'timed': {'seconds': 0, 'share_seconds': 0, 'unshare_seconds': 0, 'kvm_exits': 0,
                     'emulated': True}}
    return {'schema': 'stage2-measure', 'version': 1, 'tool': {'name': 'stage2', 'version': '1'},
            'platform': {'board': 'b', 'emulated': True, 'machine': 'm', 'kernel': 'k', 'vm': 'v'},
            'config': {'seed': 1, 'memory': 4096}, 'leaf_model': 'l',
            'backings': [{'name': 'thp', 'requested_folio': 0, 'achieved': []}],
            'rows': [row], **changes}


def write_report(name, text=None, **changes):
    with open(path(name), 'w', encoding='utf-8') as file:
        file.write(json.dumps(report(**changes)) if text is None else text)
    return path(name)


def test_help():
    """--help and --version: on stdout, 80 columns, every option"""
    shows(['--help'], 'usage: stage2', 'run', 'measure', 'report')
    shows(['--version'], 'stage2 ')
    shows(['run', '--help'], 'usage: stage2 run', 'Exit codes', *options_of('vmm/run.c'))
    shows(['measure', '--help'], 'usage: stage2 measure', 'Exit codes',
          *options_of('measure/measure.c'))
    shows(['report', '--help'], 'sage: stage2 report', 'Exit codes',
          *options_of('measure/report.c'))


def test_commands():
    """no command, an unknown one, options before it"""
    refuses([], USAGE, 'no command', 'stage2 --help')
    for word in ('walk', '', '--kernel', '-x', 'a\nb\x1b[31m'):
        refuses([word], USAGE, 'unknown command', 'stage2 --help')


def test_unknown_options():
    """unknown and ambiguous options, values where none belongs, arguments"""
    for command in ('run', 'measure'):
        for option in ('--nonsense', '--p', '-x', '-xyz', '--help=1', '--nonsense=1'):
            refuses([command, option], USAGE, f"unknown option '{option}'",
                    f'stage2 {command} --help')
        refuses([command, 'word'], USAGE, "unexpected argument 'word'", f'stage2 {command} --help')
        refuses([command, '--', '--help'], USAGE, "unexpected argument '--help'")
    refuses(['measure', '--se=1=2'], USAGE, '1=2')  # as all of GNU's: a unique prefix will do
    refuses(['run', '--stats', '--populate=yes'], USAGE, "'--populate=yes'")
    for option, shown in (('--nonsense', '--nonsense'), ('-x', '-x'), ('-xyz', '-x'),
                          ('--help=1', '--help=1')):
        refuses(['report', option], USAGE, f'unknown option {shown};', 'stage2 report --help')
    for args in ([], ['a', 'b']):
        refuses(['report', *args], USAGE, 'one FILE.json', 'stage2 report --help')


def test_missing_values():
    """options whose value is missing"""
    for command, source in (('run', 'vmm/run.c'), ('measure', 'measure/measure.c')):
        for option in options_of(source, 'required'):
            refuses([command, option], USAGE, f"option '{option}' needs a value",
                    f'stage2 {command} --help')
    refuses(['report', '--html'], USAGE, '--html needs a value', 'stage2 report --help')


def test_sizes():
    """memory that is no size, zero, not of pages, or more than the host has"""
    for command in (['run', '--kernel', path('kernel')], ['measure', '--payload', path('kernel')]):
        for size in ('', 'x', '-4K', ' 4K', '4k', '4KB', '1.5G', '0x1000', '4 K', 'K',
                     '18446744073709551616', '17179869184G'):
            refuses([*command, '--memory', size], USAGE, f"--memory '{size}'", 'such as 256M')
        for size in ('0', '0G', '1', '5000', '4097'):
            refuses([*command, '--memory', size], USAGE, 'multiple of the 4 KiB page', '256M')
        for size in ('1000000G', '17179869183G'):
            refuses([*command, '--memory', size], OS, 'this host has', 'smaller guest')


def test_run_values():
    """bad values of the options of run"""
    run = ['run', '--kernel', path('kernel')]
    for cpus in ('0', '9', 'x', '', '-1', '1x', '18446744073709551617'):
        refuses([*run, '--cpus', cpus], USAGE, f"--cpus '{cpus}'", '1 to 8')
    for backing in ('', 'nonsense', 'ANON', 'file', 'file:', 'anon:x'):
        refuses([*run, '--backing', backing], USAGE, f"--backing '{backing}'", 'file:PATH')
    refuses(['run'], USAGE, 'no guest', '--kernel FILE')


def test_measure_values():
    """bad values of the options of measure"""
    measure = ['measure', '--payload', path('kernel')]
    for option in ('--workload', '--grain', '--policy'):
        for value in ('x', '4', 'ring,x', ',ring'):
            refuses([*measure, option, value], USAGE, option, 'unknown', 'stage2 measure --help')
        refuses([*measure, option, ''], USAGE, option, 'at least one', 'stage2 measure --help')
    for seed in ('', 'x', '-1', '9223372036854775808'):
        refuses([*measure, '--seed', seed], USAGE, f"--seed '{seed}'", 'below 2^63')
    for backing in ('', 'x', f'file:{path("ram")}'):
        refuses([*measure, '--backing', backing], USAGE, 'anon, thp or memfd')
    refuses([*measure, '--workload', 'trace'], USAGE, '--trace FILE')
    refuses(['measure'], USAGE, 'no payload', '--payload FILE')


def test_input_files():
    """kernel, payload, initrd missing, empty or no files: said before KVM is looked for"""
    for name, code, word in (('missing', NO_INPUT, 'No such file'), ('empty', DATA, 'is empty'),
                             ('folder', NO_INPUT, 'not a regular file'),
                             ('fifo', NO_INPUT, 'not a regular file'),
                             ('kernel/x', NO_INPUT, 'Not a directory')):
        refuses(['run', '--kernel', path(name)], code, 'kernel', path(name), word, 'check')
        refuses(['run', '--kernel', path('kernel'), '--initrd', path(name)], code, 'initrd',
                path(name), word, 'check')
        refuses(['measure', '--payload', path(name)], code, path(name), word, 'check')
    refuses(['run', '--kernel', '/dev/zero'], NO_INPUT, 'not a regular file')
    refuses(['run', '--kernel', ''], NO_INPUT, 'No such file')
    refuses(['run', '--kernel', 'new\nline'], NO_INPUT, 'new?line')


def test_backing_files():
    """backing files that are missing, too small or no files"""
    run = ['run', '--kernel', path('kernel'), '--backing']
    refuses([*run, f'file:{path("missing")}'], NO_INPUT, path('missing'), 'No such file')
    for name in ('small', 'empty', 'folder', 'fifo'):
        refuses([*run, f'file:{path(name)}'], DATA, path(name), '256 MiB', 'truncate -s')


def test_no_kvm():
    """all is well but KVM: exit 69, what to do"""
    if os.path.exists('/dev/kvm'):
        raise Skip('this machine has /dev/kvm')
    for args in (['run', '--kernel', path('kernel'), '--initrd', path('small'), '--stats'],
                 ['run', '--kernel', path('kernel'), '--backing', f'file:{path("ram")}'],
                 ['measure', '--payload', path('kernel'), '--json', 'report.json']):
        refuses(args, UNAVAILABLE, *NO_KVM)


def test_measure_output():
    """a report that could not be written: said before anything is measured"""
    measure = ['measure', '--payload', path('kernel'), '--json']
    for name, word in ((path('missing/r.json'), 'No such file'), (path('folder'), 'directory'),
                       ('/proc/nowhere', '/proc/nowhere'), ('', 'No such file')):
        refuses([*measure, name], CANT_CREATE, 'cannot be written', word, 'another place')


def test_report_files():
    """reports that are missing, empty, truncated, or no reports"""
    whole = json.dumps(report())
    for name, code, word in (('missing', NO_INPUT, 'No such file'),
                             ('folder', NO_INPUT, 'directory'),
                             ('empty', DATA, 'empty'), ('kernel', DATA, 'not JSON')):
        refuses(['report', path(name)], code, path(name), word)
    for length in (1, 20, len(whole) // 2, len(whole) - 1):
        refuses(['report', write_report('cut.json', whole[:length])], DATA, 'ends in the middle')
    refuses(['report', write_report('a.json', '[]')], DATA, 'not a JSON object')
    refuses(['report', write_report('a.json', whole + 'x')], DATA, 'not JSON')
    refuses(['report', write_report('a.json', schema='x')], DATA, 'schema', 'stage2 measure')
    refuses(['report', write_report('a.json', version=2)], DATA, 'version', 'use a newer one')
    refuses(['report', write_report('a.json', rows=[])], DATA, 'rows')
    refuses(['report', write_report('a.json', rows=[{}])], DATA, 'rows[0].', 'missing')


def test_report_html_place():
    """a page that cannot be written: said before the table is printed"""
    good = write_report('good.json')
    for name in (path('missing/r.html'), path('folder'), '/proc/nowhere'):
        refuses(['report', good, '--html', name], CANT_CREATE, name, 'cannot be written')


def test_report_gnuplot():
    """gnuplot missing or broken: exit 69, one line, no page, and the old one is left alone"""
    good = write_report('good.json')
    page = write_report('old.html', 'old')
    tools = path('tools')
    os.mkdir(tools)
    for script, word in ((None, 'gnuplot-nox'), ('exit 3', 'gnuplot failed'),
                         ('echo hello', 'no SVG'), ('kill -9 $$', 'gnuplot failed')):
        if script:
            with open(f'{tools}/gnuplot', 'w', encoding='utf-8') as file:
                file.write(f'#!/bin/sh\n{script}\n')
            os.chmod(f'{tools}/gnuplot', 0o755)
        for target in ('new.html', page):
            done = stage2('report', good, '--html', target, env={'PATH': tools})
            assert b'ring on thp' in done.stdout, done.stdout
            done.stdout = b''
            refused(done, UNAVAILABLE, word)
    with open(page, encoding='utf-8') as file:
        equal(file.read(), 'old')


def test_report_interrupted():
    """Ctrl-C while gnuplot works: ended by SIGINT, no page, no process"""
    good = write_report('good.json')
    tools = path('sleep')
    os.mkdir(tools)
    with open(f'{tools}/gnuplot', 'w', encoding='utf-8') as file:
        file.write('#!/bin/sh\necho started >&2\nexec sleep 100\n')
    os.chmod(f'{tools}/gnuplot', 0o755)
    mark = f'report-{os.getpid()}'
    child = subprocess.Popen([STAGE2, 'report', good, '--html', 'new.html'], cwd=work,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
                             env={'PATH': f'{tools}:/usr/bin:/bin', 'MARK': mark})
    equal(child.stderr.readline(), b'started\n')
    os.killpg(child.pid, signal.SIGINT)
    equal(child.communicate(timeout=2)[1], b'')
    equal(child.returncode, -signal.SIGINT)
    assert tap.eventually(lambda: not tap.marked_processes(mark), 2), tap.marked_processes(mark)
    equal(os.listdir(work), [])


def test_report_twice():
    """a report is read from a pipe, printed and drawn; a page is replaced"""
    if not shutil.which('gnuplot'):
        raise Skip('no gnuplot; apt install gnuplot-nox')
    good = write_report('good.json')
    page = write_report('page.html', 'old')
    with open(good, 'rb') as file:
        done = stage2('report', '/dev/stdin', '--html', page, stdin=file)
    equal((done.returncode, done.stderr), (0, b''))
    with open(page, encoding='utf-8') as file:
        assert file.read().startswith('<!DOCTYPE html>')


def lost_output():
    good = write_report('good.json')
    return (['--help'], ['--version'], ['run', '--help'], ['measure', '--help'],
            ['report', '--help'], ['report', good])


def test_full_stdout():
    """a full disk under stdout: exit 73"""
    for args in lost_output():
        with open('/dev/full', 'wb') as full:
            refuses(args, CANT_CREATE, 'standard output', 'check where it goes', stdout=full)


def test_closed_streams():
    """stdout closed: exit 73; stdin or stderr closed: nothing changes"""
    for args in lost_output():
        command = ['sh', '-c', 'exec "$0" "$@" >&-', STAGE2, *args]
        done = subprocess.run(command, cwd=work, stderr=subprocess.PIPE, check=False)
        refused(done, CANT_CREATE, 'standard output', 'check where it goes')
        command[2] = 'exec "$0" "$@" <&- 2>&-'
        done = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, check=False)
        equal(done.returncode, 0)
        assert done.stdout, args
    done = subprocess.run(['sh', '-c', 'exec "$0" run --nonsense 2>&-', STAGE2],
                          stdout=subprocess.PIPE, check=False)
    equal((done.returncode, done.stdout), (USAGE, b''))


def test_reader_goes():
    """a reader that goes away ends the report as SIGPIPE does"""
    good = write_report('good.json')
    reader, writer = os.pipe()
    os.close(reader)
    done = stage2('report', good, stdout=writer)
    os.close(writer)
    equal((done.returncode, done.stderr), (-signal.SIGPIPE, b''))


if __name__ == '__main__':
    with scratch:
        make_inputs()
        sys.exit(tap.run(globals()))
