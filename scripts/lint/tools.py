# SPDX-License-Identifier: Apache-2.0
"""Proves the parts of scripts/cluster that could hurt a stranger: which process a pid file means, and who owns a port."""
import os
import subprocess
import sys
import tempfile

LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib')


def shell(script, **environment):
    """(status, output) of a bash script that has process.sh."""
    done = subprocess.run(['bash', '-c', f'. "$LIB/common.sh"; . "$LIB/process.sh"; {script}'], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True, check=False, env=dict(os.environ, LIB=LIB, **environment))
    return done.returncode, done.stdout.split()


def processes(folder):
    """(title, whether it held) for pid files."""
    file = os.path.join(folder, 'pid')
    status, output = shell('process_record "$FILE" $$ && process_recorded "$FILE" && echo $$', FILE=file)
    yield 'a recorded process is found', status == 0 and len(output) == 2 and output[0] == output[1]
    yield 'a process that ended is not found', shell('process_recorded "$FILE"', FILE=file)[0] != 0
    with open(file, 'w', encoding='ascii') as out:
        out.write(f'{os.getpid()} 12345\n')
    yield 'another process with the same pid is not found', shell('process_recorded "$FILE"', FILE=file)[0] != 0
    yield 'a missing pid file is no process', shell('process_recorded "$FILE.none"', FILE=file)[0] != 0
    status, _ = shell('process_start_time 4194305')
    yield 'a pid that cannot exist has no start time', status != 0


def ports(folder):
    """(title, whether it held) for port reservations; the registry lies in TMPDIR."""
    one, two = os.path.join(folder, 'one'), os.path.join(folder, 'two')
    os.mkdir(one)
    os.mkdir(two)

    def call(*arguments):
        done = subprocess.run([sys.executable, os.path.join(LIB, 'ports.py'), *arguments], stdout=subprocess.PIPE, text=True, check=False,
                              env=dict(os.environ, TMPDIR=folder))
        return set(done.stdout.split())
    first, second = call('reserve', '40', one), call('reserve', '40', two)
    yield 'as many ports as asked for', len(first) == 40 and len(second) == 40
    yield 'two clusters share no port', not first & second
    registry = os.path.join(folder, f'sluice-ports-{os.getuid()}')
    call('release', one)
    yield 'released ports are forgotten, others kept', set(os.listdir(registry)) == second


def self_test():
    """(title, whether it held) of all."""
    with tempfile.TemporaryDirectory() as folder:
        yield from processes(folder)
        yield from ports(folder)
