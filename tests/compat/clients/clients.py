# SPDX-License-Identifier: Apache-2.0
"""confluent-kafka (librdkafka) and aiokafka of the package index. Usage: clients.py BOOTSTRAP CASE; prints "ok" last."""
import asyncio
import sys
import threading
import time

BOOTSTRAP, CASE = sys.argv[1:3]
PARTITIONS, RECORDS = 6, 300


def until(what, holds, seconds=90):
    """Waits for a condition."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f'not in time: {what}'
        time.sleep(0.02)


def confluent(protocol):
    """One group of two members, a rebalance, commits, resuming."""
    from confluent_kafka import Consumer, KafkaException, Producer
    from confluent_kafka.admin import AdminClient, NewTopic
    topic = f'rdk-{protocol}'
    admin = AdminClient({'bootstrap.servers': BOOTSTRAP})
    admin.create_topics([NewTopic(topic, PARTITIONS, 3)])[topic].result(60)

    def fill():
        producer = Producer({'bootstrap.servers': BOOTSTRAP, 'enable.idempotence': True})
        for i in range(RECORDS):
            producer.produce(topic, f'v{i}', partition=i % PARTITIONS)
        assert producer.flush(60) == 0

    class Member:
        """A consumer with a thread of its own."""
        def __init__(self):
            self.consumer = Consumer({'bootstrap.servers': BOOTSTRAP, 'group.id': topic, 'group.protocol': protocol,
                                      'auto.offset.reset': 'earliest', 'enable.auto.commit': False,
                                      **({'partition.assignment.strategy': 'cooperative-sticky'} if protocol == 'classic' else {})})
            self.assigned, self.values, self.ending = set(), [], False
            self.consumer.subscribe([topic], on_assign=self.on_assign, on_revoke=self.on_revoke)
            self.thread = threading.Thread(target=self.loop)
            self.thread.start()

        def commit(self):
            try:
                self.consumer.commit(asynchronous=False)
            except KafkaException as error:
                assert error.args[0].name() == '_NO_OFFSET', error

        def on_assign(self, consumer, partitions):
            consumer.incremental_assign(partitions)
            self.assigned |= {p.partition for p in partitions}

        def on_revoke(self, consumer, partitions):
            self.commit()
            self.assigned -= {p.partition for p in partitions}
            consumer.incremental_unassign(partitions)

        def loop(self):
            while not self.ending:
                message = self.consumer.poll(0.1)
                if message is not None and message.error() is None:
                    self.values.append(message.value())
            self.commit()
            self.consumer.close()

        def end(self):
            self.ending = True
            self.thread.join()

    fill()
    a = Member()
    until('everything is read', lambda: len(a.values) == RECORDS)
    b = Member()
    until('shared', lambda: len(a.assigned) == len(b.assigned) == PARTITIONS // 2)
    a.end()
    until('taken over', lambda: len(b.assigned) == PARTITIONS)
    b.end()
    fill()
    c = Member()
    until('what is new is read', lambda: len(c.values) >= RECORDS)
    c.end()
    assert len(c.values) == len(set(c.values)) == RECORDS and len(a.values) + len(b.values) == RECORDS


def confluent_transaction():
    """An aborted transaction, and one that copies with its offsets."""
    from confluent_kafka import Consumer, Producer, TopicPartition
    from confluent_kafka.admin import AdminClient, NewTopic
    admin = AdminClient({'bootstrap.servers': BOOTSTRAP})
    for future in admin.create_topics([NewTopic('rdk-txn', 2, 3)]).values():
        future.result(60)
    producer = Producer({'bootstrap.servers': BOOTSTRAP, 'transactional.id': 'rdk'})
    producer.init_transactions(60)
    for end in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        for i in range(50):
            producer.produce('rdk-txn', end.__name__, partition=i % 2)
        if end == producer.commit_transaction:
            consumer = Consumer({'bootstrap.servers': BOOTSTRAP, 'group.id': 'rdk-txn-offsets'})
            producer.send_offsets_to_transaction([TopicPartition('rdk-txn', 0, 7)], consumer.consumer_group_metadata())
        end(60)
    assert consumer.committed([TopicPartition('rdk-txn', 0)], 60)[0].offset == 7
    consumer.close()
    reader = Consumer({'bootstrap.servers': BOOTSTRAP, 'group.id': 'rdk-txn', 'auto.offset.reset': 'earliest', 'isolation.level': 'read_committed'})
    reader.subscribe(['rdk-txn'])
    values = []
    def read():
        message = reader.poll(0.2)
        if message is not None and message.error() is None:
            values.append(message.value())
        return len(values) >= 50
    until('committed records are read', read)
    assert values == [b'commit_transaction'] * 50
    reader.close()


async def aio_group():
    """A group, a rebalance, a commit, resuming."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    await admin.create_topics([NewTopic('aio', PARTITIONS, 3)])
    await admin.close()

    async def member():
        consumer = AIOKafkaConsumer('aio', bootstrap_servers=BOOTSTRAP, group_id='aio', enable_auto_commit=False,
                                    auto_offset_reset='earliest', metadata_max_age_ms=2000)
        await consumer.start()
        return consumer

    async def read(consumer, count):
        values = []
        while len(values) < count:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                values += [r.value for r in records]
        return values

    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, enable_idempotence=True)
    await producer.start()
    for i in range(RECORDS):
        await producer.send_and_wait('aio', b'v%d' % i, partition=i % PARTITIONS)
    first = await member()
    assert len(await asyncio.wait_for(read(first, RECORDS), 90)) == RECORDS
    await first.commit()
    second = await member()
    async def shared():
        while len(first.assignment()) != 3 or len(second.assignment()) != 3:
            await asyncio.gather(first.getmany(timeout_ms=100), second.getmany(timeout_ms=100))
    await asyncio.wait_for(shared(), 90)
    await first.stop()
    await second.stop()
    for i in range(10):
        await producer.send_and_wait('aio', b'new%d' % i)
    third = await member()
    values = await asyncio.wait_for(read(third, 10), 90)
    assert sorted(values) == sorted(b'new%d' % i for i in range(10)), values
    await third.stop()
    await producer.stop()


async def aio_transaction():
    """One aborted, one committed."""
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    await admin.create_topics([NewTopic('aio-txn', 1, 3)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=BOOTSTRAP, transactional_id='aio')
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait('aio-txn', b'dropped')
    await producer.abort_transaction()
    async with producer.transaction():
        await producer.send_and_wait('aio-txn', b'kept')
    await producer.stop()
    consumer = AIOKafkaConsumer('aio-txn', bootstrap_servers=BOOTSTRAP, auto_offset_reset='earliest', isolation_level='read_committed')
    await consumer.start()
    assert (await asyncio.wait_for(consumer.getone(), 90)).value == b'kept'
    await consumer.stop()


CASES = {
    'confluent-classic': lambda: confluent('classic'),
    'confluent-consumer': lambda: confluent('consumer'),
    'confluent-transaction': confluent_transaction,
    'aiokafka-group': lambda: asyncio.run(aio_group()),
    'aiokafka-transaction': lambda: asyncio.run(aio_transaction()),
}
CASES[CASE]()
print('ok')
