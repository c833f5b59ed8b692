# SPDX-License-Identifier: Apache-2.0
"""Counts what the broker's shard executes per request: the real broker under callgrind, everything else native."""
import glob
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster'))
from cluster_lib import BUILD, run  # noqa: E402

ALLOCATORS = ('malloc', 'calloc', 'realloc', 'posix_memalign', 'aligned_alloc', 'memalign')
NAME = re.compile(r'^c?fn=\((\d+)\)(?: (\S+))?')


def wrapped_build(folder):
    """A build folder in which the broker runs under callgrind; exec keeps its pid."""
    for program in ('controller/sluice-controller', 'broker/sluice-broker'):
        os.makedirs(os.path.join(folder, os.path.dirname(program)))
    os.symlink(os.path.join(BUILD, 'controller', 'sluice-controller'), os.path.join(folder, 'controller', 'sluice-controller'))
    wrapper = os.path.join(folder, 'broker', 'sluice-broker')
    with open(wrapper, 'w', encoding='utf-8') as file:
        file.write('#!/bin/sh\ncase "$1" in --config) ;; *) exec ' + BUILD + '/broker/sluice-broker "$@" ;; esac\n'
                   'exec valgrind -q --tool=callgrind --instr-atstart=no --separate-threads=yes '
                   f'--callgrind-out-file={folder}/dump {BUILD}/broker/sluice-broker "$@"\n')
    os.chmod(wrapper, 0o755)
    return folder


def compiler():
    """Name and major version of the compiler that made the build, as gcc-12."""
    with open(os.path.join(BUILD, 'meson-info', 'intro-targets.json'), encoding='utf-8') as file:
        targets = json.load(file)
    command = next(sources['compiler'] for target in targets if target['name'] == 'sluice-broker'
                   for sources in target['target_sources'] if sources.get('language') == 'c')
    version = run(command[-1], '-dumpversion').decode().strip().split('.')[0]
    name = 'clang' if 'clang' in os.path.basename(command[-1]) else 'gcc'
    return f'{name}-{version}'


class Counter:
    """Switches callgrind on and reads its dumps."""

    def __init__(self, pid, folder):
        self.pid, self.folder = str(pid), folder

    def control(self, *words):
        """One command to the running broker."""
        run('callgrind_control', *words, self.pid, timeout=60)

    def start(self):
        """Counts from now on."""
        self.control('-i', 'on')
        self.take()

    def take(self):
        """(instructions of the busiest thread, its calls of allocators) since the last time."""
        self.control('-d', 'take')
        dumps = [path for path in glob.glob(os.path.join(self.folder, 'dump*')) if os.path.getsize(path)]
        results = [read_dump(path) for path in dumps]
        for path in dumps:
            os.unlink(path)
        return max(results, default=(0, 0))


def read_dump(path):
    """(instructions, calls of allocators) of one thread's dump."""
    names, allocations, total, callee = {}, 0, 0, None
    with open(path, encoding='utf-8', errors='replace') as file:
        for line in file:
            match = NAME.match(line)
            if match:
                number, name = match.groups()
                names[number] = name or names.get(number, '')
                if line.startswith('cfn'):
                    callee = names[number]
            elif line.startswith('calls=') and callee is not None:
                if callee.split('@')[0].split("'")[0] in ALLOCATORS:
                    allocations += int(line[6:].split()[0])
            elif line.startswith(('totals:', 'summary:')):
                total = int(line.split()[1])
    return total, allocations


def baselines(path, name):
    """{operation: instructions} recorded for that compiler."""
    found = {}
    with open(path, encoding='utf-8') as file:
        for line in file:
            if line.strip() and not line.startswith('#'):
                of, operation, count = line.split()
                if of == name:
                    found[operation] = int(count)
    return found


def has_valgrind():
    """Whether callgrind and its control program are there."""
    return subprocess.run(['sh', '-c', 'command -v valgrind callgrind_control'], stdout=subprocess.DEVNULL, check=False).returncode == 0
