# SPDX-License-Identifier: Apache-2.0
"""What cluster tests share: a cluster in a folder of its own, waiting for conditions, TAP on standard output."""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request

ROOT = os.environ.get('SLUICE_ROOT') or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('SLUICE_BUILD') or os.path.join(ROOT, 'build')
SKIP_STATUS = 77
os.environ.setdefault('TSAN_OPTIONS', 'suppressions=' + os.path.join(ROOT, 'scripts', 'lib', 'tsan.supp'))

# A test that is ended from outside removes its cluster like one that fails.
signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended by SIGTERM'))


def run(*command, check=True, input=None, timeout=60):
    """Runs a command and gives its standard output; its errors are shown when it fails."""
    done = subprocess.run(command, input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
    if check and done.returncode != 0:
        raise AssertionError(f'{" ".join(command)}: status {done.returncode}\n{done.stderr.decode(errors="replace")}')
    return done.stdout


def wait_for(what, condition, seconds=30):
    """The first true value of condition(); fails after that many seconds."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f'no {what} within {seconds} s'
        time.sleep(0.01)


class Cluster:
    """A running cluster, brokers with two shards unless told; use it as a context. Everything is ended and removed at the end; logs of a failure are shown."""

    def __init__(self, controllers=1, brokers=1, tls=False, **settings):
        self.dir = tempfile.mkdtemp(prefix='sluice-cluster-')
        self.size = ['--controllers', str(controllers), '--brokers', str(brokers)]
        self.kcat_options = []
        if tls:
            self.size.append('--tls')
            self.kcat_options = ['-X', 'security.protocol=ssl', '-X', 'ssl.ca.location=' + self.tls_file('ca.pem')]
        self.settings = []
        for key, value in {'num_shards': 2, **settings}.items():
            self.settings += ['--set', f'{key.replace("_", ".")}={value}']

    def tls_file(self, name):
        """Path of a certificate or key of a cluster with TLS."""
        return os.path.join(self.dir, 'tls', name)

    def command(self, *words, check=True):
        """One command of scripts/cluster."""
        return run(os.path.join(ROOT, 'scripts', 'cluster'), *words, '--dir', self.dir, '--build', BUILD, check=check,
                   timeout=90).decode().strip()

    def __enter__(self):
        try:
            self.command('up', *self.size, *self.settings)
        except BaseException:
            self.end(failed=True)
            raise
        self.bootstrap = self.command('bootstrap')
        return self

    def end(self, failed):
        """Ends and removes everything; shows the logs first when something failed."""
        if failed:
            for name in sorted(os.listdir(self.dir)):
                path = os.path.join(self.dir, name, 'log')
                if os.path.exists(path):
                    with open(path, errors='replace') as file:
                        print(f'# --- {name}\n# ' + '# '.join(file.readlines()[-25:]))
        self.command('down', check=False)
        if failed:
            self.sanitizer_reports()
        shutil.rmtree(self.dir, ignore_errors=True)

    def sanitizer_reports(self):
        """Lines of sanitizer findings in the logs, printed; their number."""
        found = 0
        for name in sorted(os.listdir(self.dir)):
            path = os.path.join(self.dir, name, 'log')
            if not os.path.exists(path):
                continue
            with open(path, errors='replace') as file:
                lines = file.readlines()
            for at, line in enumerate(lines):
                if 'ERROR: AddressSanitizer' in line or 'runtime error:' in line or 'ERROR: LeakSanitizer' in line or \
                        'WARNING: ThreadSanitizer' in line or 'assert.failed' in line:
                    found += 1
                    print(f'# {name}: ' + f'# {name}: '.join(lines[at:at + 25]))
        return found

    def __exit__(self, kind, value, trace):
        failed = kind is not None
        if not failed:
            self.command('down')
            failed = self.sanitizer_reports() > 0
        self.end(failed)
        assert not (failed and kind is None), 'a sanitizer found something'

    def ports(self):
        """{(role, id, purpose): port}, from the file in which scripts/cluster records them; a test asks hundreds of times."""
        with open(os.path.join(self.dir, 'ports'), encoding='ascii') as file:
            return {(role, int(number), purpose): int(port) for role, number, purpose, port in (line.split() for line in file)}

    def metrics(self, role, number):
        """{name: value summed over its series} of one process."""
        port = self.ports()[role, number, 'admin']
        sums = {}
        with urllib.request.urlopen(f'http://127.0.0.1:{port}/metrics', timeout=10) as reply:
            for line in reply.read().decode().splitlines():
                if line and not line.startswith('#'):
                    name, value = line.rsplit(' ', 1)
                    name = name.split('{')[0]
                    sums[name] = sums.get(name, 0) + float(value)
        return sums

    def topic(self, name):
        """{partition: (leader, sorted isr)} as kcat sees it."""
        view = json.loads(run('kcat', '-b', self.bootstrap, *self.kcat_options, '-L', '-J', '-t', name))
        return {p['partition']: (p['leader'], sorted(r['id'] for r in p['isrs'])) for t in view['topics'] for p in t['partitions']}

    def make_topic(self, name):
        """Creates a topic with the cluster's defaults and waits until every partition has a leader."""
        wait_for(f'leaders of {name}', lambda: (lambda view: view and all(leader > 0 for leader, _ in view.values()))(self.topic(name)))


class Tap:
    """Runs functions as tests and says so in TAP; status() is for sys.exit."""

    def __init__(self, *tests):
        self.tests = tests
        self.failed = 0

    def run(self):
        """Runs all of them."""
        print(f'1..{len(self.tests)}')
        for number, test in enumerate(self.tests, 1):
            name = (test.__doc__ or test.__name__).splitlines()[0].rstrip('.')
            try:
                test()
                print(f'ok {number} {name}')
            except Exception:
                self.failed += 1
                print('# ' + traceback.format_exc().replace('\n', '\n# '))
                print(f'not ok {number} {name}')
            sys.stdout.flush()
        return 1 if self.failed else 0


class Raw:
    """A connection that sends bytes as they are."""

    def __init__(self, port, timeout=20):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=timeout)

    def send(self, data):
        """Sends all of data."""
        self.socket.sendall(data)

    def read(self, count):
        """Exactly count bytes."""
        data = b''
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            assert piece, 'the broker closed the connection'
            data += piece
        return data

    def reply(self):
        """One framed reply: (correlation id, the rest)."""
        size, correlation = struct.unpack('>ii', self.read(8))
        return correlation, self.read(size - 4)

    def closed(self):
        """Waits for the broker's close; true unless it sent something first."""
        try:
            return self.socket.recv(1) == b''
        except ConnectionResetError:
            return True

    def close(self):
        """Closes our side."""
        self.socket.close()


def frame(key, version, body=b'', correlation=1, size=None):
    """A request with header version 1."""
    rest = struct.pack('>hhih', key, version, correlation, 4) + b'test' + body
    return struct.pack('>i', len(rest) if size is None else size) + rest
