# SPDX-License-Identifier: Apache-2.0
"""The Debian package catalogue as test data, and proof that what came back is what went in.

  catalogue.py take OUT [--part N]          apt-cache dumpavail into OUT (one record per package, empty line between; every Nth only)
  catalogue.py digest FILE [--times N]      "COUNT DIGEST" of FILE's records as (key, value), each counted N times
  catalogue.py consumed                     the same of `sluice consume -o json` on standard input
  catalogue.py feed FILE --at PERCENT [--seconds S] --run COMMAND...
                                            FILE to standard output, in S seconds or longer; COMMAND runs once that share has been taken from us

The digest does not depend on the order, because records come back by partition: it is the sum of every record's SHA-256.
"""
import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time

KEY = re.compile(rb'^Package: (\S+)', re.MULTILINE)
DELIMITER = b'\n\n'
CHUNK_BYTES = 64 * 1024


def take(arguments):
    """Writes the catalogue to a file; prints count and bytes."""
    text = subprocess.run(['apt-cache', 'dumpavail'], stdout=subprocess.PIPE, check=True).stdout
    records = [record.strip(b'\n') for record in text.split(DELIMITER) if KEY.search(record)]
    records = records[::arguments.part]
    if not records:
        sys.exit('apt-cache dumpavail printed no package: run apt-get update first')
    with open(arguments.out + '.new', 'wb') as file:
        file.write(DELIMITER.join(records) + b'\n')
    os.replace(arguments.out + '.new', arguments.out)
    print(len(records), sum(map(len, records)))


class Digest:
    """Count and order-free digest of (key, value) pairs."""

    def __init__(self):
        self.count = self.total = 0

    def add(self, key, value):
        """Adds one record; the length keeps key and value apart."""
        one = hashlib.sha256(len(key).to_bytes(4, 'big') + key + value).digest()
        self.total = (self.total + int.from_bytes(one, 'big')) % (1 << 256)
        self.count += 1

    def line(self, times=1):
        """What is printed and compared."""
        return f'{self.count * times} {self.total * times % (1 << 256):064x}'


def digest(arguments):
    """Digest of a catalogue file."""
    result = Digest()
    with open(arguments.file, 'rb') as file:
        text = file.read()
    for record in text.rstrip(b'\n').split(DELIMITER):
        result.add(KEY.search(record).group(1), record)
    print(result.line(arguments.times))


def consumed(_):
    """Digest of consumed JSON lines; offsets of a partition must rise."""
    result = Digest()
    last = {}
    for line in sys.stdin:
        record = json.loads(line)
        if record['offset'] <= last.get(record['partition'], -1):
            sys.exit(f'partition {record["partition"]}: offset {record["offset"]} came after {last[record["partition"]]}')
        last[record['partition']] = record['offset']
        result.add(record['key'].encode(), record['value'].encode())
    print(result.line())


def feed(arguments):
    """Copies a file to standard output at a steady pace and runs a command on the way; fails unless the command ends before the flow."""
    size = os.path.getsize(arguments.file)
    began, fed, command = time.monotonic(), 0, None
    with open(arguments.file, 'rb') as file:
        while chunk := file.read(CHUNK_BYTES):
            time.sleep(max(0, began + fed / size * arguments.seconds - time.monotonic()))
            in_time = command is not None and command.poll() == 0
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            fed += len(chunk)
            if command is None and fed * 100 >= size * arguments.at:
                command = subprocess.Popen(arguments.run, stdout=sys.stderr)
    if command is None or command.wait() != 0 or not in_time:
        sys.exit(f'the command did not end well while records flowed: {" ".join(arguments.run)}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser('take')
    one.add_argument('out')
    one.add_argument('--part', type=int, default=1)
    one.set_defaults(call=take)
    one = commands.add_parser('digest')
    one.add_argument('file')
    one.add_argument('--times', type=int, default=1)
    one.set_defaults(call=digest)
    commands.add_parser('consumed').set_defaults(call=consumed)
    one = commands.add_parser('feed')
    one.add_argument('file')
    one.add_argument('--at', type=int, required=True)
    one.add_argument('--seconds', type=float, default=0)
    one.add_argument('--run', nargs=argparse.REMAINDER, required=True)
    one.set_defaults(call=feed)
    arguments = parser.parse_args()
    arguments.call(arguments)


if __name__ == '__main__':
    main()
