# SPDX-License-Identifier: BSD-2-Clause
"""The cache of things fetched from Debian's archive, and how they get there.

A thing is a folder of the cache: a few files and manifest.json, which says where they come from and
what their SHA-256 is. A folder appears by one rename, when it is complete.
"""

import fcntl
import hashlib
import json
import lzma
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

from common import (EXIT_CANT_CREATE, EXIT_TEMPFAIL, EXIT_UNAVAILABLE, EXIT_USAGE,
                    Failure, describe, die_with_parent, say)

# The modules that KVM is on a Debian kernel for amd64, in the order in which they are loaded.
AMD64_MODULES = ('irqbypass', 'kvm', 'kvm-amd')

KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
MANIFEST = 'manifest.json'
STAGING = 'staging.'

# Read by apt after the machine's own configuration: its proxies stay, its hooks and pins go.
APT_CONF = '''\
#clear APT::Architectures;
#clear APT::Default-Release;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear Dir;
Dir "{root}";
Dir::State "state";
Dir::State::status "{root}/state/status";
Dir::State::lists "lists/";
Dir::Cache "cache";
Dir::Cache::archives "archives/";
Dir::Etc "etc";
Dir::Etc::sourcelist "sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Log "log";
Dir::Bin::methods "/usr/lib/apt/methods";
Dir::Bin::dpkg "/usr/bin/dpkg";
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::GzipIndexes "true";
Acquire::Retries "1";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
'''


class NoSuchPackage(Exception):
    """The suite has no such package, or the package has not what is looked for."""


class AptSuite:
    """A private apt root for one suite and one architecture. Nothing of it is kept."""

    def __init__(self, root, suite, arch):
        self.root = root
        self.suite = suite
        self.arch = arch
        for name in ('state/lists/partial', 'cache/archives/partial', 'etc', 'log', 'debs'):
            os.makedirs(f'{root}/{name}')
        pathlib.Path(root, 'state/status').touch()
        pathlib.Path(root, 'etc/sources.list').write_text(
            f'deb [arch={arch} signed-by={KEYRING}] {mirror()} {suite} main\n')
        pathlib.Path(root, 'apt.conf').write_text(APT_CONF.format(root=root, arch=arch))
        self._run('apt-get', '-qq', '--error-on=any', 'update')

    def _run(self, program, *args):
        command = [program, '-c', f'{self.root}/apt.conf', *args]
        done = run_child(command, cwd=f'{self.root}/debs')
        if done.returncode != 0:
            raise Failure(EXIT_TEMPFAIL, first_error(done.stderr) or f'{program} {args[-1]} failed')
        return done.stdout

    def dependencies(self, package):
        """The names that a package depends on in this suite, first alternatives only."""
        out = self._run('apt-cache', '--no-recommends', '--no-suggests', 'depends', package)
        return re.findall(r'^ +(?:Pre)?Depends: ([a-z0-9][^ :<>\n]+)', out, re.MULTILINE)

    def has(self, package):
        out = self._run('apt-cache', 'policy', package)
        return 'Candidate: ' in out and 'Candidate: (none)' not in out

    def download(self, package):
        """The path of the package's .deb, whose size and hash apt has checked."""
        if not self.has(package):
            raise NoSuchPackage(f'{self.suite} has no {package}:{self.arch}')
        for old in os.listdir(f'{self.root}/debs'):
            os.unlink(f'{self.root}/debs/{old}')
        self._run('apt-get', '-qq', 'download', package)
        return f'{self.root}/debs/{os.listdir(f"{self.root}/debs")[0]}'


def run_child(command, **options):
    """Run a program to its end; it never outlives us."""
    environ = dict(os.environ, LC_ALL='C.UTF-8', DEBIAN_FRONTEND='noninteractive')
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, env=environ, preexec_fn=die_with_parent(),
                                 **options)
    except FileNotFoundError:
        raise Failure(EXIT_UNAVAILABLE, f'{command[0]} is missing: things are fetched with the '
                      'apt and dpkg of a Debian system') from None
    try:
        out, err = child.communicate()
    finally:
        child.kill()
        child.wait()
    return subprocess.CompletedProcess(command, child.returncode,
                                       out.decode(errors='replace'), err.decode(errors='replace'))


def first_error(text):
    """The cause in apt's messages: the first E: or W: line that says more than that it failed."""
    lines = [line[2:].strip() for line in text.splitlines() if line[:2] in ('E:', 'W:')]
    return ' '.join(lines[0].split()) if lines else ''


def mirror():
    return os.environ.get('STAGE2_MIRROR') or 'http://deb.debian.org/debian'


def cache_dir():
    """The cache's path. It need not exist."""
    own = os.environ.get('STAGE2_CACHE')
    if own:
        return os.path.abspath(own)
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return os.path.join(base, 'stage2')


def extract(deb, into, pick):
    """Unpack the files that pick(path) names (None: leave out) and return their new paths."""
    names = []
    child = subprocess.Popen(['dpkg-deb', '--fsys-tarfile', deb], stdout=subprocess.PIPE,
                             stdin=subprocess.DEVNULL, preexec_fn=die_with_parent())
    try:
        with tarfile.open(fileobj=child.stdout, mode='r|') as tar:
            for member in tar:
                name = pick(os.path.normpath(member.name)) if member.isreg() else None
                if name:
                    target = os.path.join(into, name)
                    os.makedirs(os.path.dirname(target), exist_ok=True)
                    with open(target, 'wb') as file:
                        shutil.copyfileobj(tar.extractfile(member), file, 1 << 20)
                    os.chmod(target, member.mode & 0o755)
                    names.append(name)
    finally:
        child.stdout.close()
        child.kill()
        child.wait()
    return names


def package_version(deb):
    return run_child(['dpkg-deb', '-f', deb, 'Version']).stdout.strip()


def sha256(path):
    with open(path, 'rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


# --- The things -----------------------------------------------------------------------------------

def kernel_packages(apt, meta, first):
    """What the meta package depends on that is part of a kernel; names that begin with first come
    first."""
    seen, queue = [], [meta]
    while queue:
        name = queue.pop(0)
        if name not in seen and apt.has(name):
            seen.append(name)
            queue += [d for d in apt.dependencies(name)
                      if re.match(r'linux-(image|binary|modules)-', d)]
    if not seen:
        raise NoSuchPackage(f'{apt.suite} has no {meta}:{apt.arch}')
    return sorted(seen[1:], key=lambda name: not name.startswith(first))


def is_kernel(path):
    return bool(re.fullmatch(r'boot/vmlinuz-.*|usr/lib/modules/[^/]*/vmlinuz', path))


def get_image(apt, into, packages, offset, magic):
    """The kernel's image, from whichever package has it: linux-binary-V since 7.x, linux-image-V
    before."""
    for package in packages:
        deb = apt.download(package)
        if extract(deb, into, lambda path: 'vmlinuz' if is_kernel(path) else None):
            with open(f'{into}/vmlinuz', 'rb') as image:
                if image.read(offset + len(magic))[offset:] != magic:
                    raise NoSuchPackage(f'{package} of {apt.suite} holds no kernel that boots here')
            return package, package_version(deb)
    raise NoSuchPackage(f'no package of {apt.suite} holds a kernel image')


def get_arm64_kernel(apt, into):
    packages = kernel_packages(apt, 'linux-image-cloud-arm64', 'linux-binary-')
    return [get_image(apt, into, packages, 56, b'ARM\x64')]


def get_amd64_kernel(apt, into):
    """A bzImage, and the modules that are KVM, unpacked: linux-modules-V since 7.x."""
    packages = kernel_packages(apt, 'linux-image-cloud-amd64', 'linux-binary-')
    got = [get_image(apt, into, packages, 0x202, b'HdrS')]
    wanted = [f'{name}.ko' for name in AMD64_MODULES]
    for package in sorted(packages, key=lambda name: not name.startswith('linux-modules-')):
        deb = apt.download(package)
        names = extract(deb, into, lambda path: os.path.basename(path) if os.path.basename(
            path).removesuffix('.xz') in wanted else None)
        for name in names:
            unpack_xz(os.path.join(into, name))
        if all(os.path.exists(os.path.join(into, name)) for name in wanted):
            return got + [(package, package_version(deb))]
    raise NoSuchPackage(f'no package of {apt.suite} holds the modules {" ".join(wanted)}')


def unpack_xz(path):
    if path.endswith('.xz'):
        with lzma.open(path) as packed, open(path.removesuffix('.xz'), 'wb') as file:
            shutil.copyfileobj(packed, file, 1 << 20)
        os.unlink(path)


def get_busybox(apt, into):
    deb = apt.download('busybox-static')
    names = extract(deb, into, lambda path: 'busybox' if re.fullmatch(r'(usr/)?bin/busybox', path)
                    else None)
    if not names:
        raise NoSuchPackage(f'busybox-static of {apt.suite} holds no busybox')
    return [('busybox-static', package_version(deb))]


def get_libraries(apt, into, packages):
    """What a static cross build needs: headers, archives, pkg-config files, in their places."""
    got = []
    for package in packages:
        deb = apt.download(package)
        names = extract(deb, into, lambda path: path if re.match(
            r'usr/include/|usr/lib/[^/]+/([^/]+\.a|pkgconfig/[^/]+\.pc)$', path) else None)
        if not any(name.endswith('.a') for name in names):
            raise NoSuchPackage(f'{package} of {apt.suite} holds no static library')
        got.append((package, package_version(deb)))
    return got


class Thing:
    """Something that can be fetched: where from, how, and which file of it is the answer. What has no
    function to get it is built here, and made names the command that does."""

    def __init__(self, about, arch, suites, get, main_file=None, made=None):
        self.about = about
        self.arch = arch
        self.suites = suites
        self.get = get
        self.main_file = main_file
        self.made = made
        self.packages = ()  # those that must be in it


class Libraries(Thing):
    """Libraries to link programs of another machine with."""

    def __init__(self, about, arch, packages):
        super().__init__(about, arch, ('bookworm',),
                         lambda apt, into: get_libraries(apt, into, packages))
        self.packages = packages


THINGS = {
    'kernel-arm64': Thing('the kernel of the arm64 boards, a plain Image', 'arm64',
                          ('trixie-backports', 'trixie'), get_arm64_kernel, 'vmlinuz'),
    'busybox-arm64': Thing('the userland of the arm64 boards', 'arm64',
                           ('bookworm', 'trixie'), get_busybox, 'busybox'),
    'kernel-amd64': Thing('the kernel of the board x86_64, and the modules of its KVM', 'amd64',
                          ('trixie-backports', 'trixie'), get_amd64_kernel, 'vmlinuz'),
    # Debian's own kernels come without CONFIG_KVM_SW_PROTECTED_VM.
    'kernel-amd64-sw': Thing('the kernel of the board x86_64-sw-protected', 'amd64',
                             ('trixie-backports', 'trixie'), None, 'vmlinuz',
                             'guest-images/build-kernel'),
    'busybox-amd64': Thing('the userland of the x86_64 boards', 'amd64',
                           ('bookworm', 'trixie'), get_busybox, 'busybox'),
    # Newer suites are no fallback here: their libraries would need a newer libc than bookworm's.
    'sysroot-arm64': Libraries('libfdt, json-c and libcrypto to link arm64 programs with', 'arm64',
                               ('libfdt-dev', 'libjson-c-dev', 'libssl-dev')),
    'sysroot-amd64': Libraries('json-c and libcrypto to link x86_64 programs with', 'amd64',
                               ('libjson-c-dev', 'libssl-dev')),
    'sysroot-s390x': Libraries('the check library to link s390x tests with', 's390x',
                               ('check', 'libsubunit-dev')),
}
DEMO_THINGS = ('kernel-arm64', 'busybox-arm64', 'sysroot-arm64')


# --- Looking up and fetching ----------------------------------------------------------------------

def read_manifest(name):
    """What the cache says about a thing, or None if it is not there."""
    try:
        with open(os.path.join(cache_dir(), name, MANIFEST), encoding='utf-8') as file:
            manifest = json.load(file)
        return manifest if manifest['files'] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def damage(name):
    """None if the thing is cached and whole, else what is wrong with it."""
    folder = os.path.join(cache_dir(), name)
    manifest = read_manifest(name)
    if manifest is None:
        return 'is damaged: no manifest' if os.path.exists(folder) else 'is not cached'
    for package in THINGS[name].packages:
        if package not in (of['name'] for of in manifest['packages']):
            return f'has no {package} yet'
    for path, expected in manifest['files'].items():
        try:
            if sha256(os.path.join(folder, path)) != expected:
                return f'is damaged: {path} is not what was fetched'
        except OSError as error:
            return f'is damaged: {path}: {error.strerror}'
    return None


def thing_path(name):
    folder = os.path.join(cache_dir(), name)
    main_file = THINGS[name].main_file
    return os.path.join(folder, main_file) if main_file else folder


def ensure(names, offline=False, quiet=False):
    """Paths of the named things, in order; what is not cached and whole is fetched."""
    for name in names:
        if name not in THINGS:
            raise Failure(EXIT_USAGE, f'unknown thing {name!r}; there are: {" ".join(THINGS)}')
    missing = {name: damage(name) for name in names}
    missing = [name for name in missing if missing[name]]
    for name in missing:
        if THINGS[name].made:
            raise Failure(EXIT_UNAVAILABLE, f'{name} {damage(name)}: it is built from Debian\'s '
                          f'source; run {THINGS[name].made} once, which takes some minutes')
    if missing and offline:
        raise Failure(EXIT_TEMPFAIL, f'{missing[0]} {damage(missing[0])}; run '
                      f'guest-images/fetch {missing[0]} once with a network')
    if missing:
        fetch(missing, quiet)
    return [thing_path(name) for name in names]


def fetch(names, quiet):
    """Fetch things under the cache's lock, each suite's index at most once."""
    if not os.access(KEYRING, os.R_OK):
        raise Failure(EXIT_UNAVAILABLE, f'{KEYRING} is missing: signatures cannot be checked; '
                      'apt install debian-archive-keyring')
    with locked_cache(quiet) as cache, staging_dir(cache) as staging:
        suites = {}
        for name in names:
            wrong = damage(name)  # another fetch may have done the work while we waited
            if wrong:
                if wrong != 'is not cached':
                    say(f'{name} {wrong}; fetching it again')
                fetch_thing(name, staging, suites, quiet)


def fetch_thing(name, staging, suites, quiet):
    """Fetch one thing from the first suite that gives it."""
    thing = THINGS[name]
    problems = []
    for suite in thing.suites:
        into = os.path.join(staging, name)
        try:
            if not quiet:
                say(f'fetching {name} from {suite}')
            apt = open_suite(staging, suites, suite, thing.arch)
            shutil.rmtree(into, ignore_errors=True)
            os.mkdir(into)
            packages = thing.get(apt, into)
        except (Failure, NoSuchPackage, tarfile.TarError) as problem:
            if getattr(problem, 'code', EXIT_TEMPFAIL) != EXIT_TEMPFAIL:
                raise
            problems.append(str(problem))
            continue
        except OSError as error:
            raise Failure(EXIT_CANT_CREATE, f'cannot fetch {name}: {describe(error)}') from None
        write_manifest(name, into, suite, packages)
        install(into, os.path.join(cache_dir(), name))
        if problems:
            say(f'note: {name} comes from {suite}, because of {thing.suites[0]}: {problems[0]}')
        return
    raise Failure(EXIT_TEMPFAIL, f'cannot fetch {name} from {mirror()}: {problems[0]}; '
                  'check the network, or name another mirror in STAGE2_MIRROR')


def open_suite(staging, suites, suite, arch):
    """The suite's apt root, made at the first use; a failure is remembered too."""
    key = f'{suite}-{arch}'
    if key not in suites:
        try:
            suites[key] = AptSuite(os.path.join(staging, 'apt', key), suite, arch)
        except Failure as failure:
            suites[key] = failure
    if isinstance(suites[key], Failure):
        raise suites[key]
    return suites[key]


def write_manifest(name, folder, suite, packages):
    files = {}
    for base, _, names in os.walk(folder):
        for file in names:
            path = os.path.join(base, file)
            files[os.path.relpath(path, folder)] = sha256(path)
    manifest = {
        'thing': name,
        'suite': suite,
        'mirror': mirror(),
        'packages': [{'name': n, 'version': v, 'arch': THINGS[name].arch} for n, v in packages],
        'files': dict(sorted(files.items())),
    }
    with open(os.path.join(folder, MANIFEST), 'w', encoding='utf-8') as file:
        json.dump(manifest, file, indent=1)
        file.write('\n')


def install(new, final):
    """Put a complete folder in its place. A damaged one that is there goes away with staging."""
    if os.path.lexists(final):
        os.rename(final, new + '.old')
    os.rename(new, final)


class locked_cache:
    """The cache's path, held against other fetches. The kernel drops the lock however we end."""

    def __init__(self, quiet):
        self.quiet = quiet
        self.file = None

    def __enter__(self):
        cache = cache_dir()
        try:
            os.makedirs(cache, exist_ok=True)
            self.file = open(os.path.join(cache, 'lock'), 'a', encoding='utf-8')
        except OSError as error:
            raise Failure(EXIT_CANT_CREATE, f'cannot use the cache: {describe(error)}; name '
                          'another folder in STAGE2_CACHE') from None
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not self.quiet:
                say('waiting for another fetch to end')
            fcntl.flock(self.file, fcntl.LOCK_EX)
        return cache

    def __exit__(self, *_):
        self.file.close()


class staging_dir:
    """A folder inside the cache for what is not complete. Leftovers of killed fetches go first."""

    def __init__(self, cache):
        self.cache = cache
        self.path = None

    def __enter__(self):
        for name in os.listdir(self.cache):
            if name.startswith(STAGING):
                shutil.rmtree(os.path.join(self.cache, name), ignore_errors=True)
        self.path = tempfile.mkdtemp(prefix=STAGING, dir=self.cache)
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)
