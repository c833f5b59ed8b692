# SPDX-License-Identifier: Apache-2.0
"""What failure tests share: load that knows what was acknowledged where, the check of what is left, and equality of replicas."""
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

for folder in ('cluster', 'checker'):
    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', folder))
from cluster_lib import BUILD, Cluster, Tap, wait_for  # noqa: E402,F401
from history import History  # noqa: E402

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition  # noqa: E402

PARTITIONS = 6
TOPIC, PRODUCER, READER = 1, 1, 2  # the one topic of a history, and its processes
RATE_PER_S = 1200  # over all partitions, so that each expects an answer every 5 ms

# librdkafka waits and looks for new leaders as these say; the gap that it sees includes them. It tells of each connection that breaks:
# in these tests that would bury why one failed. The rest is as shipped.
RDKAFKA = {
    'enable.idempotence': True, 'acks': 'all', 'linger.ms': 1,
    'retry.backoff.ms': 50, 'reconnect.backoff.ms': 50, 'reconnect.backoff.max.ms': 200,
    'topic.metadata.refresh.fast.interval.ms': 50, 'socket.connection.setup.timeout.ms': 3000,
    'message.timeout.ms': 60000, 'log_level': 2,
}


def settings(client):
    """How a client was set, for the figure that is printed about it."""
    if client != 'librdkafka':
        return 'defaults'
    return ', '.join(f'{key}={RDKAFKA[key]}' for key in
                     ('retry.backoff.ms', 'reconnect.backoff.max.ms', 'topic.metadata.refresh.fast.interval.ms'))


def in_bounds(what, took_s, wanted_s):
    """Real time on a machine that may be busy with something else: the figure tells how fast it was, and what is far beyond the
    wanted time is no slow machine but somebody who waits for nothing. The tables of kill_table.test judge by the time itself."""
    room_s = max(10.0, 5 * wanted_s)
    assert took_s < room_s, f'{what} took {took_s:.2f} s, wanted {wanted_s:.1f} s'


class Gaps:
    """The longest time without an acknowledgment, over all partitions together and within any one of them."""

    def __init__(self):
        self.start()

    def start(self):
        """Begins anew."""
        self.last = time.monotonic()
        self.last_of = [self.last] * PARTITIONS
        self.any_s = self.one_s = 0.0

    def seen(self, partition):
        """An acknowledgment for that partition has arrived now."""
        now = time.monotonic()
        self.any_s = max(self.any_s, now - self.last)
        self.one_s = max(self.one_s, now - self.last_of[partition])
        self.last = self.last_of[partition] = now


class Load(threading.Thread):
    """An idempotent acks=all producer at a steady rate, every partition in turn, every value once, until told to stop."""

    def __init__(self, bootstrap, topic, config=None):
        super().__init__(daemon=True)
        self.topic = topic
        self.producer = Producer({**RDKAFKA, 'bootstrap.servers': bootstrap, **(config or {})})
        self.at = {}         # (partition, offset) -> value, of what was acknowledged
        self.placeless = 0   # number of those that were acknowledged without an offset
        self.newest = [-1] * PARTITIONS  # number of the newest acknowledged record by partition
        self.doubtful = {}   # value -> why, of what was reported as failed: there or not, but not twice
        self.gaps = Gaps()
        self.sent = 0
        self.ending = False
        self.broken = None
        self.folder = tempfile.mkdtemp(prefix='sluice-history-')
        self.history = History(os.path.join(self.folder, 'producer'), PRODUCER)

    def delivered(self, error, message):
        """Delivery report. Of a send that failed nobody knows whether it reached the log."""
        what = {'key': (TOPIC, message.partition()), 'value': (PRODUCER, int(message.value()))}
        if error:
            self.doubtful[message.value()] = str(error)
            self.history.info('produce', PRODUCER, error=error.code(), **what)
            return
        offset = message.offset()
        if offset is None:  # refused though it was written before; librdkafka takes the next one's success for both
            self.history.ok('produce', PRODUCER, **what)
            self.placeless += 1
        else:
            self.history.ok('produce', PRODUCER, offset=offset, **what)
            self.at[message.partition(), offset] = message.value()
        self.gaps.seen(message.partition())
        self.newest[message.partition()] = int(message.value())

    def run(self):
        try:
            self.send_until_told()
        except KafkaException as error:  # as when a broker denies a topic that exists, or that it has what was acknowledged
            self.broken = error

    def send_until_told(self):
        """All that is due, until the end is asked for; then waits for answers."""
        began = time.monotonic()
        while not self.ending:
            due = int((time.monotonic() - began) * RATE_PER_S)
            while self.sent < due and not self.ending:
                self.send_one()
            self.producer.poll(0.002)
        self.producer.flush(60)

    def send_one(self):
        """One more record; waits for room when the producer's queue is full."""
        value, partition = b'%d' % self.sent, self.sent % PARTITIONS
        self.history.invoke('produce', PRODUCER, key=(TOPIC, partition), value=(PRODUCER, self.sent))
        while True:
            try:
                self.producer.produce(self.topic, value, value, partition, on_delivery=self.delivered)
                break
            except BufferError:
                self.producer.poll(0.01)
        self.sent += 1

    def flows(self, seconds=30):
        """Waits until every partition has acknowledged something that was sent from now on."""
        mark = self.sent
        wait_for('acknowledgments from every partition', lambda: self.broken or min(self.newest) >= mark, seconds)
        assert not self.broken, f'the producer gave up: {self.broken}'

    def end(self):
        """Stops and waits for the last answers."""
        self.ending = True
        self.join(90)
        assert not self.is_alive(), 'the producer does not end'
        assert not self.broken, f'the producer gave up: {self.broken}'


def read_all(bootstrap, topic, seconds=60):
    """{(partition, offset): value} of the whole topic."""
    consumer = Consumer({'bootstrap.servers': bootstrap, 'group.id': 'unused', 'enable.auto.commit': False,
                         'enable.partition.eof': True, 'auto.offset.reset': 'error'})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found, ended = {}, set()
    deadline = time.monotonic() + seconds
    while len(ended) < PARTITIONS and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.2):
            if message.error():
                ended.add(message.partition())
            else:
                found[message.partition(), message.offset()] = message.value()
    consumer.close()
    assert len(ended) == PARTITIONS, f'only partitions {sorted(ended)} could be read to their ends within {seconds} s'
    return found


def twice(found):
    """Values that stand at more than one place."""
    seen = set()
    return [value for value in found.values() if value in seen or seen.add(value)]


def record_final_read(load, found):
    """What the reader at the end found, from offset 0 to the end of every partition."""
    with History(os.path.join(load.folder, 'reader'), READER) as history:
        for partition in range(PARTITIONS):
            history.ok('seek', READER, key=(TOPIC, partition), offset=0)
        history.invoke('poll', READER)
        for partition in range(PARTITIONS):
            history.ok('poll', READER, key=(TOPIC, partition), flags=('final',))
        for (partition, offset), value in found.items():
            history.ok('poll', READER, key=(TOPIC, partition), value=(PRODUCER, int(value)), offset=offset, flags=('final',))


def judge(load, found):
    """The checker finds nothing wrong with what was sent, acknowledged and read at the end; every send was answered. The history
    of a failure is kept."""
    unanswered = load.sent - len(load.at) - load.placeless - len(load.doubtful)
    assert unanswered == 0, f'{unanswered} records were neither acknowledged nor refused'
    record_final_read(load, found)
    load.history.close()
    files = [os.path.join(load.folder, name) for name in ('producer', 'reader')]
    done = subprocess.run([os.path.join(BUILD, 'tests', 'checker', 'sluice-check'), '--explain', *files], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    verdict = done.stdout.splitlines()
    assert done.returncode == 0, '\n'.join(verdict[:24] + verdict[-1:])
    print(f'# checker: {verdict[-1]}', flush=True)
    shutil.rmtree(load.folder)


def replica_bytes(cluster, broker, topic, partition):
    """The bytes of one replica's log, without the room at the end of a segment that is made ahead of the writes (zeros)."""
    files = sorted(glob.glob(os.path.join(cluster.dir, f'broker-{broker}', 'data', f'{topic}-{partition}', '*.log')))
    data = b''
    for name in files:
        with open(name, 'rb') as file:
            data += file.read().rstrip(b'\0')
    return data


def replicas_equal(cluster, topic, brokers=3):
    """Whether all replicas hold the same bytes."""
    return all(len({replica_bytes(cluster, broker, topic, partition) for broker in range(1, brokers + 1)}) == 1
               for partition in range(PARTITIONS))


def asked(admin, new):
    """Whether the topic was made, by this request or by one before whose time ran out (its outcome is open then)."""
    from confluent_kafka import KafkaError, KafkaException
    try:
        admin.create_topics([new])[new.topic].result(30)
    except KafkaException as refused:
        code = refused.args[0].code()
        if code == KafkaError.REQUEST_TIMED_OUT:
            return False
        if code != KafkaError.TOPIC_ALREADY_EXISTS:
            raise
    return True


def make_topic(cluster, topic, **config):
    """A topic of PARTITIONS partitions on all three brokers, with leaders."""
    from confluent_kafka.admin import AdminClient, NewTopic
    new = NewTopic(topic, num_partitions=PARTITIONS, replication_factor=3,
                   config={'min.insync.replicas': '2', **{key.replace('_', '.'): value for key, value in config.items()}})
    admin = AdminClient({'bootstrap.servers': cluster.bootstrap})
    wait_for(f'topic {topic}', lambda: asked(admin, new), 30)
    wait_for(f'leaders of {topic}', lambda: whole(cluster, topic), 30)


def whole(cluster, topic):
    """Whether every partition has a leader and all replicas are in sync."""
    view = cluster.topic(topic)
    return len(view) == PARTITIONS and all(leader > 0 and len(isr) == 3 for leader, isr in view.values())


def busiest(cluster, topic):
    """The broker that leads the most partitions."""
    leaders = [leader for leader, _ in cluster.topic(topic).values()]
    return max(sorted(set(leaders)), key=leaders.count)


def recorded_pid(cluster, role, number):
    """The pid of one of our processes, if that very process still runs."""
    with open(os.path.join(cluster.dir, f'{role}-{number}', 'pid'), encoding='ascii') as file:
        pid, started = file.read().split()
    with open(f'/proc/{pid}/stat', encoding='ascii', errors='replace') as file:
        now_started = file.read().rsplit(')', 1)[1].split()[19]
    assert now_started == started, f'{role} {number} has ended'
    return int(pid)


def kill_at_once(cluster, roles):
    """SIGKILL to every process of these roles, as close together as can be."""
    members = sorted({(role, number) for role, number, _ in cluster.ports() if role in roles})
    pids = [recorded_pid(cluster, role, number) for role, number in members]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:  # a dying process still holds the lock of its data directory
        wait_for(f'the end of process {pid}', lambda pid=pid: is_gone(pid), 20)


def is_gone(pid):
    """Whether a process has ended, reaped or not."""
    try:
        with open(f'/proc/{pid}/stat', encoding='ascii', errors='replace') as stat:
            return stat.read().rpartition(')')[2].split()[0] in 'ZX'
    except FileNotFoundError:
        return True


def active_controller(cluster):
    """The id of the active controller; waits for one."""
    def find():
        for role, number, purpose in cluster.ports():
            if role == 'controller' and purpose == 'admin' and leads(cluster, number):
                return number
        return 0
    return wait_for('active controller', find, 20)


def leads(cluster, number):
    """Whether that controller runs and says that it is the active one."""
    try:
        return cluster.metrics('controller', number)['sluice_quorum_active'] == 1
    except OSError:
        return False


class Ours:
    """`sluice produce` to one partition, so that its longest gap is that partition's; it reads paced records from us."""

    def __init__(self, bootstrap, topic, partition):
        self.command = [os.path.join(BUILD, 'client', 'sluice'), '--bootstrap', bootstrap, 'produce', topic, '--acks', 'all',
                        '--key-separator', ':', '--partition', str(partition), '-o', 'json']
        self.sent = 0
        self.ending = False
        self.feeder = threading.Thread(target=self.feed, daemon=True)

    def start(self):
        """Begins to produce."""
        self.child = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.feeder.start()

    def feed(self):
        """Numbers at the steady rate."""
        began = time.monotonic()
        while not self.ending:
            due = int((time.monotonic() - began) * RATE_PER_S)
            lines = b''.join(b'%d:%d\n' % (number, number) for number in range(self.sent, due))
            self.child.stdin.write(lines)
            self.child.stdin.flush()
            self.sent = max(self.sent, due)
            time.sleep(0.002)

    def end(self):
        """Stops, waits for the last answers; the summary that it prints."""
        self.ending = True
        self.feeder.join(60)
        out, err = self.child.communicate(timeout=90)
        assert self.child.returncode == 0, f'sluice produce ended with {self.child.returncode}: {err.decode()[-500:]}'
        return json.loads(out.decode().splitlines()[-1])


def figure(text):
    """A measured value for the summary of scripts/test."""
    print(f'# figure: {text}')
    sys.stdout.flush()
