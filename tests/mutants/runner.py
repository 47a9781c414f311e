# SPDX-License-Identifier: BSD-2-Clause
"""Puts bugs into a copy of the sources, one at a time, and expects a test to fail for each."""
import collections
import concurrent.futures
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading

# What a test run may take; a mutant that never ends is found as well.
SECONDS = 20
WORKERS = 2

# Replaces text, which occurs once, in a file; one of killers, tried in turn, must fail.
Mutant = collections.namedtuple('Mutant', 'name file text replacement killers')

# A test: all sources that it is linked with; the ones that stay sound, whatever they include; the
# arguments of the program, and its environment.
Killer = collections.namedtuple('Killer', 'sources sound args env', defaults=((), (), {}))


def parallel(function, items):
    """What the function returns for each item, in order, as soon as it is known."""
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        yield from pool.map(function, items)


class Bench:
    """A copy of the tree, and the objects of its sound sources."""

    def __init__(self, root, work, compiler, killers):
        self.work, self.killers = pathlib.Path(work), killers
        self.tree = self.work / 'tree'
        for folder in ('stage2', 'arch', 'tests'):
            for path in (root / folder).rglob('*.[ch]'):
                to = self.tree / path.relative_to(root)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, to)
        config = subprocess.run(['pkg-config', '--cflags', '--libs', 'check'], text=True,
                                capture_output=True, check=True)
        self.libs = config.stdout.split() + ['-pthread']
        self.includes = ['stage2/include', *self.folders('arch/*/include'), 'tests',
                         'tests/machine']
        self.command = compiler + ['-std=c11', '-O1', '-w', '-D_GNU_SOURCE']
        self.link = compiler
        sources = sorted({source for killer in killers.values() for source in killer.sources})
        self.depends = dict(zip(sources, parallel(self.build_sound, sources)))

    def folders(self, pattern):
        return sorted(str(path.relative_to(self.tree)) for path in self.tree.glob(pattern))

    def object(self, source):
        return str(self.work / (source.replace('/', '_') + '.o'))

    def compile(self, path, to, *flags):
        for folder in self.includes:
            flags += ('-I', str(self.tree / folder))
        subprocess.run([*self.command, *flags, '-c', str(path), '-o', to], check=True)

    def build_sound(self, source):
        """Builds an object, and returns all files that went into it."""
        to = self.object(source)
        self.compile(self.tree / source, to, '-MMD', '-MF', to + '.d')
        words = pathlib.Path(to + '.d').read_text(encoding='utf-8').replace('\\\n', ' ').split()
        return {os.path.relpath(word, self.tree) for word in words[1:] if os.path.isabs(word)}

    def fails(self, name, folder, mutated):
        """Does this test, linked with these objects instead of the sound ones, fail?"""
        killer = self.killers[name]
        program = str(folder / 'test')
        objects = [mutated.get(source, self.object(source)) for source in killer.sources]
        subprocess.run([*self.link, '-o', program, *objects, *self.libs], check=True)
        # The seed is fixed, so that a mutant does not live by luck. Forks only cost time.
        env = dict(os.environ, S2_SEED='1', CK_FORK='no', **killer.env)
        # The first failure is enough: what comes behind it in the same process may never end.
        with subprocess.Popen(['stdbuf', '-oL', program, *killer.args], cwd=folder, env=env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as test:
            late = threading.Timer(SECONDS, test.kill)
            late.start()
            failed = any(line.startswith('not ok') for line in test.stdout)
            if failed:
                test.kill()
            failed = test.wait() != 0 or failed
            late.cancel()
        return failed

    def build_mutant(self, mutant, folder):
        """Objects of all that the mutant's tests need and that includes its file."""
        sound = (self.tree / mutant.file).read_text(encoding='utf-8')
        count = sound.count(mutant.text)
        if count != 1 or mutant.text == mutant.replacement:
            raise ValueError(f'the text occurs {count} times in {mutant.file}')
        within = next((place + '/' for place in self.includes
                       if mutant.file.startswith(place + '/')), '')
        path = folder / mutant.file[len(within):]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(sound.replace(mutant.text, mutant.replacement), encoding='utf-8')
        objects = {}
        for killer in (self.killers[name] for name in mutant.killers):
            for source in set(killer.sources) - set(killer.sound) - set(objects):
                if mutant.file in self.depends[source]:
                    objects[source] = str(folder / os.path.basename(self.object(source)))
                    from_path = path if source == mutant.file else self.tree / source
                    self.compile(from_path, objects[source], '-I', str(folder),
                                 '-iquote', str((self.tree / source).parent))
        if not objects:
            raise ValueError(f'no test includes {mutant.file}')
        return objects

    def killer(self, mutant):
        """The test that kills the mutant, or None; raises ValueError if there is no such mutant."""
        with tempfile.TemporaryDirectory(dir=self.work) as name:
            folder = pathlib.Path(name)
            objects = self.build_mutant(mutant, folder)
            return next((killer for killer in mutant.killers
                         if self.fails(killer, folder, objects)), None)

    def judge(self, mutant):
        """True or False, and one line of TAP without its number."""
        try:
            killer = self.killer(mutant)
        except ValueError as error:
            return False, f'{mutant.name}: {error}'
        except subprocess.CalledProcessError:
            return False, f'{mutant.name}: does not compile'
        if killer is None:
            return False, f'{mutant.name}: lives, in spite of {", ".join(mutant.killers)}'
        return True, f'{mutant.name}: killed by {killer}'

    def judge_sound(self, name):
        """The same for a test without mutant."""
        with tempfile.TemporaryDirectory(dir=self.work) as folder:
            fails = self.fails(name, pathlib.Path(folder), {})
        return not fails, f'the sound library {"fails" if fails else "passes"} {name}'


def main(argv, mutants, killers_of):
    """argv: SOURCE_ROOT REASON_TO_SKIP_OR_EMPTY CC...; killers_of(root) tells what can kill."""
    root, skip, compiler = pathlib.Path(argv[1]).resolve(), argv[2], argv[3:]
    if not skip and not shutil.which('pkg-config'):
        skip = 'no pkg-config'
    if skip:
        print(f'1..0 # SKIP {skip}')
        return 0
    used = sorted({name for mutant in mutants for name in mutant.killers})
    killers = {name: killer for name, killer in killers_of(root).items() if name in used}
    failed = False
    number = 0
    with tempfile.TemporaryDirectory() as work:
        bench = Bench(root, work, compiler, killers)
        print(f'1..{len(used) + len(mutants)}')
        for function, items in ((bench.judge_sound, used), (bench.judge, mutants)):
            for right, line in parallel(function, items):
                number += 1
                failed = failed or not right
                print(f'{"ok" if right else "not ok"} {number} - {line}', flush=True)
    return 1 if failed else 0


def sources(root, *patterns):
    """The names of the files that match."""
    return tuple(sorted(str(path.relative_to(root)) for pattern in patterns
                        for path in root.glob(pattern)))

