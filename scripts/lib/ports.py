# SPDX-License-Identifier: Apache-2.0
"""Free ports for clusters that live side by side: `ports.py reserve COUNT DIR` or `ports.py release DIR`.

A reservation is a file named after the port, made exclusively, that holds the folder of the cluster. One whose folder is gone is
forgotten. Ports come from below the kernel's ephemeral range.
"""
import os
import random
import socket
import sys
import tempfile

FIRST, LAST = 10000, 30000


def registry():
    """The folder of reservations, private to the user."""
    path = os.path.join(tempfile.gettempdir(), f'sluice-ports-{os.getuid()}')
    os.makedirs(path, mode=0o700, exist_ok=True)
    return path


def last_port():
    """The last port below the kernel's ephemeral range."""
    try:
        with open('/proc/sys/net/ipv4/ip_local_port_range', encoding='ascii') as file:
            low = int(file.read().split()[0])
    except (OSError, ValueError):
        low = LAST
    return min(LAST, low - 1) if low > FIRST + 1000 else LAST


def is_free(port):
    """Whether somebody could listen on the port right now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(('127.0.0.1', port))
        except OSError:
            return False
        return True


def take(port, owner):
    """Reserves one port for a folder; False when another living cluster has it."""
    path = os.path.join(registry(), str(port))
    try:
        with open(path, encoding='utf-8') as file:
            if os.path.isdir(file.read()):
                return False
        os.unlink(path)
    except FileNotFoundError:
        pass
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, 'w', encoding='utf-8') as file:
        file.write(owner)
    return True


def reserve(count, owner):
    """Prints `count` free ports, reserved for `owner`."""
    last = last_port()
    found = []
    for _ in range(100 * count):
        port = random.randint(FIRST, last)
        if port not in found and is_free(port) and take(port, owner):
            found.append(port)
        if len(found) == count:
            print('\n'.join(map(str, found)))
            return 0
    print(f'ports.py: found only {len(found)} of {count} free ports between {FIRST} and {last}', file=sys.stderr)
    return 1


def release(owner):
    """Forgets every reservation of `owner`."""
    for name in os.listdir(registry()):
        path = os.path.join(registry(), name)
        try:
            with open(path, encoding='utf-8') as file:
                mine = file.read() == owner
            if mine:
                os.unlink(path)
        except FileNotFoundError:
            pass
    return 0


if __name__ == '__main__':
    if len(sys.argv) == 4 and sys.argv[1] == 'reserve':
        sys.exit(reserve(int(sys.argv[2]), os.path.abspath(sys.argv[3])))
    if len(sys.argv) == 3 and sys.argv[1] == 'release':
        sys.exit(release(os.path.abspath(sys.argv[2])))
    sys.exit(__doc__)
