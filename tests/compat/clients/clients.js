// SPDX-License-Identifier: Apache-2.0
// kafkajs: a group, a rebalance, commits and resuming; a transaction. Usage: node clients.js BOOTSTRAP CASE; prints "ok" last.
const { Kafka, logLevel } = require('kafkajs');

const [bootstrap, which] = process.argv.slice(2);
const kafka = new Kafka({ clientId: 'compat', brokers: bootstrap.split(','), logLevel: logLevel.ERROR });
const PARTITIONS = 6, RECORDS = 300;

async function until(what, holds) {
    const deadline = Date.now() + 90000;
    while (!holds()) {
        if (Date.now() > deadline) throw new Error('not in time: ' + what);
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

async function make(topic) {
    const admin = kafka.admin();
    await admin.connect();
    await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, replicationFactor: 3 }], waitForLeaders: true });
    await admin.disconnect();
}

async function fill(topic) {
    const producer = kafka.producer({ idempotent: true });
    await producer.connect();
    const messages = Array.from({ length: RECORDS }, (_, i) => ({ value: 'v' + i, partition: i % PARTITIONS }));
    await producer.send({ topic, messages, acks: -1 });
    await producer.disconnect();
}

async function member(groupId, topic) {
    const consumer = kafka.consumer({ groupId, sessionTimeout: 10000, heartbeatInterval: 300 });
    const self = { consumer, values: [], assigned: 0 };
    consumer.on(consumer.events.GROUP_JOIN, (e) => { self.assigned = (e.payload.memberAssignment[topic] || []).length; });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({ eachMessage: async ({ message }) => { self.values.push(message.value.toString()); } });
    return self;
}

async function group() {
    await make('js');
    await fill('js');
    const a = await member('js', 'js');
    await until('everything is read', () => a.values.length === RECORDS);
    const b = await member('js', 'js');
    await until('shared', () => a.assigned === PARTITIONS / 2 && b.assigned === PARTITIONS / 2);
    await a.consumer.disconnect();
    await until('taken over', () => b.assigned === PARTITIONS);
    await b.consumer.disconnect();
    await fill('js');
    const c = await member('js', 'js');
    await until('what is new is read', () => c.values.length >= RECORDS);
    await c.consumer.disconnect();
    if (c.values.length !== RECORDS) throw new Error('read ' + c.values.length);
}

async function transaction() {
    await make('js-txn');
    const producer = kafka.producer({ transactionalId: 'js', maxInFlightRequests: 1, idempotent: true });
    await producer.connect();
    for (const end of ['abort', 'commit']) {
        const txn = await producer.transaction();
        await txn.send({ topic: 'js-txn', messages: [{ value: end }] });
        await txn.sendOffsets({ consumerGroupId: 'js-offsets', topics: [{ topic: 'js-txn', partitions: [{ partition: 0, offset: '5' }] }] });
        await txn[end]();
    }
    await producer.disconnect();
    const c = await member('js-txn', 'js-txn'); // read_committed is what it does
    await until('the committed record is read', () => c.values.length >= 1);
    await c.consumer.disconnect();
    if (c.values.join() !== 'commit') throw new Error('read ' + c.values);
}

({ group, transaction })[which]().then(() => { console.log('ok'); process.exit(0); }, (e) => { console.error(e); process.exit(1); });
