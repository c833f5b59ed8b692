# SPDX-License-Identifier: Apache-2.0
"""A cluster of real processes whose nodes can be cut off from all others, without rights: every listener is reached through a relay that
knows which process a connection comes from, and holds back the bytes of whoever is cut off (both ways, as a network would: nothing is
closed). Clients are cut off from it, too."""
import glob
import os
import re
import selectors
import shutil
import socket
import tempfile
import threading
import time

from cluster_lib import ROOT, Cluster, run

PORTS = os.path.join(ROOT, 'scripts', 'lib', 'ports.py')
CHUNK = 65536
HELD_MAX = 1 << 20  # bytes waiting in one direction of one connection


def inode_of(local, remote):
    """The inode of the socket that has these ports at its two ends, on loopback; None when it is gone."""
    wanted = f'0100007F:{local:04X} 0100007F:{remote:04X}'
    with open('/proc/net/tcp', encoding='ascii') as table:
        for line in table:
            fields = line.split()
            if f'{fields[1]} {fields[2]}' == wanted:
                return fields[9]
    return None


class Link:
    """One connection through the relay: two sockets, and what waits to be written to each."""

    def __init__(self, near, far, target, inode):
        self.ends = (near, far)
        self.held = {near: b'', far: b''}  # to be written to that socket
        self.target = target
        self.inode = inode  # of the socket at whoever connected
        self.source = None  # a client, or a node that is not known yet: its pid is written when it runs already
        self.closing = False


class Relay(threading.Thread):
    """Forwards from its own ports to those of the nodes. nodes: {(role, number): pid()}; cut() and heal() may be called by any thread."""

    def __init__(self, pid_of):
        super().__init__(daemon=True)
        self.pid_of = pid_of
        self.selector = selectors.DefaultSelector()
        self.links, self.listeners = set(), []
        self.cut_off = self.judged = frozenset()  # by those who cut, and as far as run() has made of it
        self.ending = False

    def listen(self, port, target_port, node):
        """What comes to port goes on to target_port of node."""
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(('127.0.0.1', port))
        server.listen(128)
        server.setblocking(False)
        self.listeners.append(server)
        self.selector.register(server, selectors.EVENT_READ, (target_port, node))

    def cut(self, node):
        """Nothing reaches node or comes from it any more."""
        self.cut_off |= {node}

    def heal(self):
        """All is as before; what was held back goes on."""
        self.cut_off = frozenset()

    def owners(self):
        """{inode of a socket: the node whose process has it}."""
        found = {}
        for node, pid in self.pid_of().items():
            for path in glob.glob(f'/proc/{pid}/fd/*'):
                try:
                    found[os.readlink(path).removeprefix('socket:[').rstrip(']')] = node
                except OSError:
                    pass
        return found

    def find_sources(self):
        """Names the nodes behind connections that nobody is known to have made."""
        owners = self.owners()
        for link in self.links:
            link.source = link.source or owners.get(link.inode)

    def accept(self, server, target_port, node):
        """A new connection; one to a node that does not listen ends at once, as it would without us."""
        near, peer = server.accept()
        far = socket.socket()
        try:
            far.connect(('127.0.0.1', target_port))
        except OSError:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
            near.close()
            far.close()
            return
        link = Link(near, far, node, inode_of(peer[1], server.getsockname()[1]))
        for end in link.ends:
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.links.add(link)
        if self.cut_off:
            self.find_sources()

    def blocked(self, link):
        """Whether one end of it is cut off."""
        return link.target in self.cut_off or link.source in self.cut_off

    def close(self, link):
        """Ends it on both sides."""
        self.links.discard(link)
        for end in link.ends:
            end.close()

    def pump(self, link):
        """Moves what can be moved; true when something was."""
        moved = False
        for end, other in (link.ends, link.ends[::-1]):
            if len(link.held[other]) < HELD_MAX and not link.closing:
                try:
                    data = end.recv(CHUNK)
                    link.held[other] += data
                    link.closing = not data
                    moved = True
                except BlockingIOError:
                    pass
                except OSError:
                    link.closing = True
            if link.held[other]:
                try:
                    sent = other.send(link.held[other])
                    link.held[other] = link.held[other][sent:]
                    moved = True
                except BlockingIOError:
                    pass
                except OSError:
                    self.close(link)
                    return True
        if link.closing and not any(link.held.values()):
            self.close(link)
        return moved

    def run(self):
        while not self.ending:
            if self.judged != self.cut_off:
                self.judged = self.cut_off
                self.find_sources()
            for key, _ in self.selector.select(0):
                self.accept(key.fileobj, *key.data)
            moved = False
            for link in [link for link in self.links if not self.blocked(link)]:
                moved |= self.pump(link)
            if not moved:
                time.sleep(0.0005)
        for link in list(self.links):
            self.close(link)
        for server in self.listeners:
            server.close()


class IsolatedCluster(Cluster):
    """A cluster behind a relay; cut(role, number) and heal()."""

    def __enter__(self):
        super().__enter__()
        try:
            self.put_relay()
        except BaseException:
            self.end(failed=True)
            raise
        return self

    def put_relay(self):
        """Stops all, gives every node the relay's ports for its own, and starts again."""
        listening = {key: port for key, port in self.ports().items() if key[2] != 'admin'}
        self.command('down')
        self.reserved = tempfile.mkdtemp(prefix='sluice-relay-')
        own = run('/usr/bin/python3', PORTS, 'reserve', str(len(listening)), self.reserved).decode().split()
        to_relay = {port: int(mine) for port, mine in zip(listening.values(), own)}
        for role, number in sorted({key[:2] for key in listening}):
            self.redirect(os.path.join(self.dir, f'{role}-{number}', 'config.yaml'), to_relay)
        self.relay = Relay(self.pids)
        for (role, number, _), port in listening.items():
            self.relay.listen(to_relay[port], port, (role, number))
        self.relay.start()
        self.command('up')
        self.bootstrap = ','.join(f'127.0.0.1:{to_relay[port]}' for key, port in listening.items() if key[2] == 'client')

    @staticmethod
    def redirect(path, to_relay):
        """Addresses of others, and the one that a broker tells, become the relay's; where it listens stays."""
        with open(path, encoding='utf-8') as file:
            lines = file.read().splitlines()
        out = []
        for line in lines:
            turned = re.sub(r'(?<=127\.0\.0\.1:)\d+', lambda match: str(to_relay.get(int(match.group()), match.group())), line)
            if line.startswith('listeners:'):
                out.append(line)
                if 'PLAINTEXT://' in line:
                    out.append(turned.replace('listeners:', 'advertised.listeners:'))
            else:
                out.append(turned)
        with open(path, 'w', encoding='utf-8') as file:
            file.write('\n'.join(out) + '\n')

    def pids(self):
        """{(role, number): pid} of what was started last."""
        found = {}
        for role, number, _ in self.ports():
            try:
                with open(os.path.join(self.dir, f'{role}-{number}', 'pid'), encoding='ascii') as file:
                    found[role, number] = int(file.read().split()[0])
            except (OSError, ValueError, IndexError):
                pass
        return found

    def cut(self, role, number):
        """Nobody hears that node, and it hears nobody."""
        self.relay.cut((role, int(number)))

    def heal(self):
        """The network is whole again."""
        self.relay.heal()

    def end(self, failed):
        relay = getattr(self, 'relay', None)
        if relay:
            relay.heal()
        super().end(failed)
        if relay:
            relay.ending = True
            relay.join(10)
            run('/usr/bin/python3', PORTS, 'release', self.reserved, check=False)
            shutil.rmtree(self.reserved, ignore_errors=True)
