// SPDX-License-Identifier: Apache-2.0
// A Java client's groups, producers and transactions. Usage: java -cp LIBS Clients.java BOOTSTRAP PROTOCOL (classic, consumer, transaction).
// Prints "ok" last; any exception or wait that is not met ends it with status 1.
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.*;
import org.apache.kafka.common.serialization.*;

public class Clients {
    static final int PARTITIONS = 6, RECORDS = 300;
    static String bootstrap;

    static Map<String, Object> settings(Object... pairs) {
        Map<String, Object> all = new HashMap<>(Map.of("bootstrap.servers", bootstrap));
        for (int i = 0; i < pairs.length; i += 2)
            all.put((String) pairs[i], pairs[i + 1]);
        return all;
    }

    static KafkaProducer<String, String> producer(Object... pairs) {
        return new KafkaProducer<>(settings(pairs), new StringSerializer(), new StringSerializer());
    }

    static void until(String what, BooleanSupplier holds) throws Exception {
        long deadline = System.nanoTime() + 90_000_000_000L;
        while (!holds.getAsBoolean()) {
            if (System.nanoTime() > deadline)
                throw new IllegalStateException("not in time: " + what);
            Thread.sleep(20);
        }
    }

    static class Member implements Runnable {
        final KafkaConsumer<String, String> consumer;
        final Set<Integer> assigned = ConcurrentHashMap.newKeySet();
        final Queue<String> values = new ConcurrentLinkedQueue<>();
        final AtomicBoolean ending = new AtomicBoolean();
        final Thread thread = new Thread(this);
        volatile Exception failure;

        Member(String protocol, String topic, Object... pairs) {
            Map<String, Object> all = settings("group.id", "java-" + protocol, "group.protocol", protocol, "auto.offset.reset", "earliest",
                "enable.auto.commit", "false");
            all.putAll(settings(pairs));
            consumer = new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer());
            consumer.subscribe(List.of(topic), new ConsumerRebalanceListener() {
                public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
                    partitions.forEach(p -> assigned.add(p.partition()));
                }
                public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
                    consumer.commitSync();
                    partitions.forEach(p -> assigned.remove(p.partition()));
                }
            });
            thread.start();
        }

        public void run() {
            try (consumer) {
                while (!ending.get())
                    for (ConsumerRecord<String, String> r : consumer.poll(Duration.ofMillis(100)))
                        values.add(r.value());
                consumer.commitSync();
            } catch (Exception e) {
                failure = e;
            }
        }

        void end() throws Exception {
            ending.set(true);
            thread.join();
            if (failure != null)
                throw failure;
        }
    }

    static void make(String topic) throws Exception {
        try (Admin admin = Admin.create(settings())) {
            admin.createTopics(List.of(new NewTopic(topic, PARTITIONS, (short) 3))).all().get();
        }
    }

    static void fill(String topic) throws Exception { // idempotent by default
        try (KafkaProducer<String, String> producer = producer()) {
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (int i = 0; i < RECORDS; i++)
                sent.add(producer.send(new ProducerRecord<>(topic, i % PARTITIONS, null, "v" + i)));
            for (Future<RecordMetadata> f : sent)
                f.get();
        }
    }

    static void group(String protocol) throws Exception {
        String topic = "java-" + protocol;
        make(topic);
        fill(topic);
        Member a = new Member(protocol, topic);
        until("everything is read", () -> a.values.size() == RECORDS);
        Member b = new Member(protocol, topic);
        until("shared", () -> a.assigned.size() == PARTITIONS / 2 && b.assigned.size() == PARTITIONS / 2);
        try (Admin admin = Admin.create(settings())) {
            ConsumerGroupDescription told = admin.describeConsumerGroups(List.of("java-" + protocol)).all().get().get("java-" + protocol);
            if (told.members().size() != 2 || !told.type().toString().equalsIgnoreCase(protocol))
                throw new IllegalStateException("described as " + told);
            boolean listed = admin.listGroups().all().get().stream().anyMatch(g -> g.groupId().equals("java-" + protocol)
                && g.type().get().toString().equalsIgnoreCase(protocol));
            if (!listed)
                throw new IllegalStateException("not listed");
        }
        a.end();
        until("taken over", () -> b.assigned.size() == PARTITIONS);
        b.end();
        fill(topic);
        Member c = new Member(protocol, topic); // resumes where the group was
        until("what is new is read", () -> c.values.size() >= RECORDS);
        c.end();
        if (new HashSet<>(c.values).size() != RECORDS || c.values.size() != RECORDS || a.values.size() + b.values.size() != RECORDS)
            throw new IllegalStateException("read twice or never: " + a.values.size() + " " + b.values.size() + " " + c.values.size());
    }

    static void transaction() throws Exception {
        make("java-in");
        make("java-out");
        fill("java-in");
        try (KafkaProducer<String, String> producer = producer("transactional.id", "java-txn")) {
            producer.initTransactions();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>("java-out", "dropped"));
            producer.abortTransaction();
            Map<String, Object> all = settings("group.id", "java-copy", "auto.offset.reset", "earliest", "enable.auto.commit", "false");
            try (KafkaConsumer<String, String> in = new KafkaConsumer<>(all, new StringDeserializer(), new StringDeserializer())) {
                in.subscribe(List.of("java-in"));
                for (int copied = 0; copied < RECORDS;) {
                    ConsumerRecords<String, String> records = in.poll(Duration.ofMillis(200));
                    if (records.isEmpty())
                        continue;
                    producer.beginTransaction();
                    Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
                    for (ConsumerRecord<String, String> r : records) {
                        producer.send(new ProducerRecord<>("java-out", r.value()));
                        offsets.put(new TopicPartition(r.topic(), r.partition()), new OffsetAndMetadata(r.offset() + 1));
                        copied++;
                    }
                    producer.sendOffsetsToTransaction(offsets, in.groupMetadata());
                    producer.commitTransaction();
                }
            }
        }
        Member out = new Member("classic", "java-out", "group.id", "java-check", "isolation.level", "read_committed");
        until("committed records are read", () -> out.values.size() >= RECORDS);
        out.end();
        if (out.values.contains("dropped") || out.values.size() != RECORDS)
            throw new IllegalStateException("read " + out.values.size());
    }

    public static void main(String[] args) throws Exception {
        bootstrap = args[0];
        if (args[1].equals("transaction"))
            transaction();
        else
            group(args[1]);
        System.out.println("ok");
        System.exit(0);
    }
}
