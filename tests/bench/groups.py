#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What groups and transactions cost over the network, with the processor time of each process: groups.py [heartbeats] [rebalance] [commit] [txn]
[--groups N] [--seconds S]. A command, not a test: run it on a quiet machine, from a release build."""
import argparse
import json
import os
import select
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'cluster'))
from cluster_lib import BUILD, Cluster, Raw, frame, run, wait_for  # noqa: E402

JOIN, HEARTBEAT, SYNC, FIND = 11, 12, 14, 10
RETRY = (14, 15, 16)  # loading, no coordinator, another one
INTERVAL = 3.0  # Kafka's heartbeat.interval.ms


class Cpu:
    """Processor seconds of every process of a cluster, and of this one, since it was made."""

    def __init__(self, cluster):
        self.pids = {}
        for name in sorted(os.listdir(cluster.dir)):
            path = os.path.join(cluster.dir, name, 'pid')
            if os.path.exists(path):
                with open(path, encoding='ascii') as file:
                    self.pids[name] = int(file.read().split()[0])
        self.before = {name: self.used(pid) for name, pid in self.pids.items()}
        self.own, self.began = time.process_time(), time.monotonic()

    @staticmethod
    def used(pid):
        """Seconds on a processor, of all threads."""
        total = 0
        for task in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{task}/schedstat', encoding='ascii') as file:
                total += int(file.read().split()[0])
        return total / 1e9

    def took(self, client=None):
        """{process: seconds}, the seconds that have passed."""
        used = {name: self.used(pid) - self.before[name] for name, pid in self.pids.items()}
        used['client'] = time.process_time() - self.own if client is None else client
        return used, time.monotonic() - self.began


def tell(title, used, seconds):
    """One line: percent of a core by process."""
    print(f'{title}: ' + ', '.join(f'{name} {100 * value / seconds:.1f} %' for name, value in used.items()) + ' of a core', flush=True)


def words(*values):
    """Strings with 16 bits of length."""
    return b''.join(struct.pack('>h', len(v)) + v for v in values)


def blob(value):
    """Bytes with 32 bits of length."""
    return struct.pack('>i', len(value)) + value


class Member:
    """One member of a classic group, on a connection of its own: joins, syncs, and then does what it is told."""

    def __init__(self, port, group, members=1):
        self.group, self.members, self.id, self.generation, self.stable, self.buffer = group.encode(), members, b'', -1, False, b''
        self.socket = socket.create_connection(('127.0.0.1', port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.beat, self.answers, self.errors = b'', 0, 0

    def join(self):
        """JoinGroup 2, which hands out the id at once."""
        body = words(self.group) + struct.pack('>ii', 45000, 60000) + words(self.id, b'consumer') + struct.pack('>i', 1) + words(b'range') + blob(
            b'\0\0\0\0\0\1' + words(b't') + b'\xff\xff\xff\xff')
        self.socket.send(frame(JOIN, 2, body, correlation=JOIN))

    def on_joined(self, reply):
        """The leader gives each member ten partitions."""
        error, self.generation = struct.unpack('>hi', reply[4:10])
        if error in RETRY:
            return False
        assert error == 0, error
        at, texts = 10, []
        for _ in range(3):
            size = struct.unpack('>h', reply[at:at + 2])[0]
            texts.append(reply[at + 2:at + 2 + size])
            at += 2 + size
        self.id, given, count = texts[2], b'', struct.unpack('>i', reply[at:at + 4])[0]
        at += 4
        for i in range(count):
            size = struct.unpack('>h', reply[at:at + 2])[0]
            given += words(reply[at + 2:at + 2 + size]) + blob(b'\0\0\0\0\0\1' + words(b't') + struct.pack(
                '>i', 10) + struct.pack('>10i', *range(10 * i, 10 * i + 10)) + b'\xff\xff\xff\xff')
            at += 2 + size
            at += 4 + struct.unpack('>i', reply[at:at + 4])[0]
        head = words(self.group) + struct.pack('>i', self.generation) + words(self.id)
        self.beat = frame(HEARTBEAT, 1, head, correlation=HEARTBEAT)
        self.sync = frame(SYNC, 1, head + struct.pack('>i', count) + given, correlation=SYNC)
        return True

    def on_readable(self):
        """Takes what came. The correlation ids it has seen."""
        self.buffer += self.socket.recv(1 << 16)
        seen = []
        while len(self.buffer) >= 4 and len(self.buffer) >= 4 + (size := struct.unpack('>i', self.buffer[:4])[0]):
            seen.append((struct.unpack('>i', self.buffer[4:8])[0], self.buffer[8:4 + size]))
            self.buffer = self.buffer[4 + size:]
        return seen


class Crowd:
    """Many members, one loop."""

    def __init__(self, cluster):
        self.port = cluster.ports()['broker', 1, 'client']
        self.poll, self.members, self.refused = select.epoll(), {}, {}
        find = frame(FIND, 0, words(b'warm'))

        def found():
            raw = Raw(self.port)
            raw.send(find)
            _, body = raw.reply()
            raw.close()
            return struct.unpack('>h', body[:2])[0] == 0

        wait_for('a coordinator', found, 60)

    def add(self, group, members=1):
        """One more member; it has not joined yet."""
        member = Member(self.port, group, members)
        self.members[member.socket.fileno()] = member
        self.poll.register(member.socket, select.EPOLLIN)
        return member

    def turn(self, seconds, sync_at_once=True):
        """Takes what comes within that time."""
        joined = []
        for fd, _ in self.poll.poll(seconds, 4096):
            member = self.members[fd]
            for what, body in member.on_readable():
                if what == JOIN and not member.on_joined(body):
                    time.sleep(0.01)
                    member.join()
                elif what == JOIN:
                    joined.append(member)
                    if sync_at_once:
                        member.socket.send(member.sync)
                elif what == SYNC:
                    error = struct.unpack('>h', body[4:6])[0]
                    member.stable = error == 0
                    self.refused[error] = self.refused.get(error, 0) + 1
                    if error:
                        member.join()
                elif what == HEARTBEAT:
                    member.answers += 1
                    member.errors += struct.unpack('>h', body[4:6])[0] != 0
        return joined

    def beat_for(self, seconds):
        """Every member's heartbeat each INTERVAL, spread evenly."""
        order, began, sent = list(self.members.values()), time.monotonic(), 0
        while (now := time.monotonic()) < began + seconds:
            due = int((now - began) / INTERVAL * len(order))
            for i in range(sent, due):
                order[i % len(order)].socket.send(order[i % len(order)].beat)
            sent = due
            self.turn(0.005)
        return sent


def heartbeats(options):
    """10,000 groups with one member each, each on its connection, on one broker."""
    with Cluster(1, 1, group_initial_rebalance_delay_ms=0, log_open_files=1000) as cluster:  # descriptors are for connections
        crowd = Crowd(cluster)
        for i in range(options.groups):
            crowd.add(f'group-{i}').join()
            if i % 100 == 99:
                crowd.turn(0.001)
        end = time.monotonic() + 120
        while (stable := sum(member.stable for member in crowd.members.values())) < options.groups:
            crowd.turn(0.1)
            assert time.monotonic() < end, f'{stable} groups became stable, SyncGroup was answered {crowd.refused}'
        crowd.beat_for(INTERVAL)
        cpu = Cpu(cluster)
        time.sleep(options.seconds / 3)
        idle, waited = cpu.took()
        tell(f'{options.groups} groups, silent', idle, waited)
        cpu = Cpu(cluster)
        sent = crowd.beat_for(options.seconds)
        used, took = cpu.took()
        tell(f'{options.groups} groups, {sent / took:.0f} heartbeats/s', used, took)
        answers, errors = (sum(getattr(m, name) for m in crowd.members.values()) for name in ('answers', 'errors'))
        print(f'  {answers} answers, {errors} errors, {1e6 * used["broker-1"] / max(sent, 1):.1f} us of the broker for each')


def rebalance(_):
    """A group of 100 members and 1,000 partitions."""
    with Cluster(1, 1, group_initial_rebalance_delay_ms=3000) as cluster:
        crowd = Crowd(cluster)
        for _ in range(100):
            crowd.add('many', 100).join()
        joined = []
        while len(joined) < 100:
            joined += crowd.turn(0.1, sync_at_once=False)
        cpu = Cpu(cluster)
        for member in joined:
            member.socket.send(member.sync)
        while not all(member.stable for member in crowd.members.values()):
            crowd.turn(0.1)
        used, took = cpu.took()
        print(f'100 members, 1,000 partitions: all have their assignments {1000 * took:.0f} ms after all have joined; broker {1000 * used["broker-1"]:.1f} ms of processor time')


def bench(verb, options):
    """sluice bench VERB against three controllers and three brokers, records replicated and synced before they are acknowledged."""
    with Cluster(3, 3, default_replication_factor=3, min_insync_replicas=2) as cluster:
        client = [os.path.join(BUILD, 'client', 'sluice'), '-b', cluster.bootstrap, 'bench', verb, '-o', 'json']
        count = {'commit': '--connections', 'txn': '--producers'}[verb]
        run(*client, count, '64', '--seconds', '2', timeout=120)
        cpu = Cpu(cluster)
        result = json.loads(run(*client, count, '64', '--seconds', str(options.seconds), timeout=options.seconds + 120))
        used, took = cpu.took(client=0)
        used['client'] = result.get('cpu_seconds', result.get('cpu_self_s', 0))
        done = result.get('records') or result.get('committed') or 1
        print(json.dumps(result))
        tell(f'bench {verb}, 64 at a time', used, took)
        print(f'  {1e6 * sum(used.values()) / done:.0f} us of processor time for each, all processes together')


def main():
    """All of them, or those that are named."""
    measures = {'heartbeats': heartbeats, 'rebalance': rebalance, 'commit': lambda o: bench('commit', o), 'txn': lambda o: bench('txn', o)}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('measure', nargs='*', choices=[*measures, []])
    parser.add_argument('--groups', type=int, default=10000)
    parser.add_argument('--seconds', type=int, default=15)
    options = parser.parse_args()
    print(f'{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}')
    for name in options.measure or measures:
        measures[name](options)


main()
