// SPDX-License-Identifier: Apache-2.0
// Fills a broker's topics with what a log can hold: every codec, idempotent producers, several segments, broker time, nulls and headers,
// transactions that commit and abort. Usage: java -cp LIBS Fill.java BOOTSTRAP
import java.util.*;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.header.internals.RecordHeader;

public class Fill {
    static final String[] CODECS = {"none", "gzip", "snappy", "lz4", "zstd"};
    static final int RECORDS = 4000, VALUE_BYTES = 900;

    static Properties properties(String bootstrap, String codec) {
        Properties p = new Properties();
        p.put("bootstrap.servers", bootstrap);
        p.put("compression.type", codec);
        p.put("acks", "all");
        p.put("batch.size", "16384");
        p.put("linger.ms", "5");
        p.put("key.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
        p.put("value.serializer", "org.apache.kafka.common.serialization.ByteArraySerializer");
        return p;
    }

    // Half of each value is noise, so that compressed topics fill several segments, too.
    static ProducerRecord<byte[], byte[]> record(String topic, int i, Random random) {
        byte[] value = new byte[VALUE_BYTES], noise = new byte[VALUE_BYTES / 2];
        random.nextBytes(noise);
        System.arraycopy(noise, 0, value, 0, noise.length);
        byte[] key = i % 7 == 0 ? null : ("key-" + i % 100).getBytes();
        ProducerRecord<byte[], byte[]> r = new ProducerRecord<>(topic, 0, key, i % 31 == 30 ? null : value);
        if (i % 5 == 0)
            r.headers().add(new RecordHeader("header", new byte[] {1, 2})).add(new RecordHeader("empty", null));
        return r;
    }

    static void produce(String bootstrap, String topic, String codec, int records) throws Exception {
        Random random = new Random(topic.hashCode());
        for (int half = 0; half < 2; half++) { // two producer ids
            try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties(bootstrap, codec))) {
                List<Future<RecordMetadata>> sent = new ArrayList<>();
                for (int i = 0; i < records / 2; i++)
                    sent.add(producer.send(record(topic, i, random)));
                producer.flush();
                for (Future<RecordMetadata> f : sent)
                    f.get();
            }
        }
    }

    static void transactions(String bootstrap) throws Exception {
        Random random = new Random(1);
        Properties p = properties(bootstrap, "lz4");
        p.put("transactional.id", "fill");
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(p)) {
            producer.initTransactions();
            for (int t = 0; t < 20; t++) {
                producer.beginTransaction();
                for (int i = 0; i < 100; i++)
                    producer.send(record("transactions", i, random));
                if (t % 3 == 2) {
                    producer.flush();
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
        }
    }

    public static void main(String[] args) throws Exception {
        Map<String, String> small = new HashMap<>(Map.of("segment.bytes", "1048576"));
        List<NewTopic> topics = new ArrayList<>();
        for (String codec : CODECS)
            topics.add(new NewTopic("codec-" + codec, 1, (short) 1).configs(small));
        Map<String, String> appendTime = new HashMap<>(small);
        appendTime.put("message.timestamp.type", "LogAppendTime");
        topics.add(new NewTopic("append-time", 1, (short) 1).configs(appendTime));
        Map<String, String> recompressed = new HashMap<>(small);
        recompressed.put("compression.type", "zstd");
        topics.add(new NewTopic("recompressed", 1, (short) 1).configs(recompressed));
        topics.add(new NewTopic("transactions", 1, (short) 1).configs(small));
        Properties p = new Properties();
        p.put("bootstrap.servers", args[0]);
        try (Admin admin = Admin.create(p)) {
            admin.createTopics(topics).all().get();
        }
        for (String codec : CODECS)
            produce(args[0], "codec-" + codec, codec, RECORDS);
        produce(args[0], "append-time", "gzip", RECORDS);
        produce(args[0], "recompressed", "snappy", RECORDS);
        transactions(args[0]);
        System.out.println("records " + RECORDS * (CODECS.length + 2));
    }
}
