# SPDX-License-Identifier: Apache-2.0
"""A pure core needs nothing from outside: its archive's undefined symbols are our own or on a short list.

This sees what the layer lint cannot: a macro or an inline function that reaches malloc, a clock or a socket after all.
"""
import os
import re
import shutil
import subprocess
import tempfile

CORES = ('broker/core', 'controller/core', 'client/core')
OWN = ('common/base', 'common/compress', 'common/batch', 'common/logformat', 'proto/kafka', 'proto/cluster')
ALLOWED = re.compile(
    r'^(mem(cpy|move|set|cmp|chr)|str(len|nlen|cmp|ncmp)|bcmp|floor|ceil|round|sqrt|pow|log|log2|exp|'
    r'__stack_chk_fail|_GLOBAL_OFFSET_TABLE_|__(asan|ubsan|tsan|sanitizer)_\w+|__sancov\w*|__afl\w*|__gcov\w*|_Unwind_Resume)$')


def archives(build, room):
    """The static libraries that a build folder has for one room."""
    folder = os.path.join(build, room)
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if name.endswith('.a')] if os.path.isdir(folder) else []


def symbols(archive, *options):
    """The names that nm prints for an archive."""
    text = subprocess.run(['nm', '--format=posix', *options, archive], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    return {line.split()[0] for line in text.splitlines() if ' ' in line}


def foreign(archive, own):
    """Undefined symbols of an archive that neither we define nor the list allows."""
    needed = symbols(archive, '--undefined-only')
    defined = symbols(archive, '--defined-only')
    return sorted(name for name in needed - defined - own if not ALLOWED.match(name))


def check_build(root, build):
    """(findings, rooms without sources) for a build folder."""
    own = set()
    for room in OWN + CORES:
        for archive in archives(build, room):
            own |= symbols(archive, '--defined-only')
    found, absent = [], []
    for room in CORES:
        sources = os.path.isdir(os.path.join(root, room)) and any(name.endswith('.c') for name in os.listdir(os.path.join(root, room)))
        if not sources:
            absent.append(room)
        elif not archives(build, room):
            found.append(f'{room}: has sources but no archive in {os.path.basename(build)}')
        for archive in archives(build, room):
            found += [f'{room}: {name} is not for a pure core' for name in foreign(archive, own)]
    return found, absent


def planted_build(folder, source):
    """A root and build folder whose broker/core consists of one C file."""
    core = os.path.join(folder, 'broker', 'core')
    built = os.path.join(folder, 'build', 'broker', 'core')
    os.makedirs(core)
    os.makedirs(built)
    path = os.path.join(core, 'x.c')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(source)
    subprocess.run(['cc', '-std=gnu89', '-O0', '-w', '-fno-builtin', '-c', path, '-o', os.path.join(built, 'x.o')], check=True)
    subprocess.run(['ar', 'rcs', os.path.join(built, 'libx.a'), os.path.join(built, 'x.o')], check=True)


def self_test():
    """(title, whether it held) for each planted offender."""
    if not shutil.which('cc'):
        return
    for call in ('malloc(1)', 'free(0)', 'time(0)', 'clock_gettime(0, 0)', 'open("x", 0)', 'socket(1, 2, 3)', 'printf("x")', 'rand()'):
        with tempfile.TemporaryDirectory() as folder:
            planted_build(folder, f'void f(void) {{ {call}; }}\n')
            found, _ = check_build(folder, os.path.join(folder, 'build'))
            yield f'a core that calls {call}', any(call.split('(')[0] in line for line in found)
    with tempfile.TemporaryDirectory() as folder:
        planted_build(folder, 'void g(void) {}\nvoid f(void) { g(); memcpy(0, 0, 0); }\n')
        found, _ = check_build(folder, os.path.join(folder, 'build'))
        yield 'a clean core is left alone', not found
