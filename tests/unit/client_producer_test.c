/* SPDX-License-Identifier: Apache-2.0 */
/* The idempotent producer: order, exactly once, errors, limits. */
#include "proto/kafka/error.h"
#include "tests/lib/client_rig.h"
#include "tests/lib/unit.h"

#define SECOND 1000000u

static void produce_range(struct crig *rig, struct client_topic *topic, int32_t partition, uint64_t from,
                          uint64_t to)
{
    for (uint64_t tag = from; tag < to; tag++)
        ck_assert_int_eq(crig_produce(rig, topic, partition, tag), OK);
}

/* One record per batch, so that several requests are in flight. */
static struct client_config small_batches(void)
{
    struct client_config config;
    crig_config(&config);
    config.producer.batch_bytes = 80;
    return config;
}

START_TEST(records_of_a_partition_get_rising_offsets)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 100);
    ck_assert_uint_eq(client_produce_pending(rig->client), 100);
    ck_assert(crig_until(rig, SECOND, crig_settled));
    for (int64_t tag = 0; tag < 100; tag++)
        ck_assert_int_eq(rig->delivered[tag], tag);
    ck_assert_int_eq(rig->partitions[0].count, 1); /* they lingered together */
    crig_check_log(rig, 100, true);
    crig_free(rig);
}
END_TEST

START_TEST(batches_wait_for_more_unless_flushed)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 1);
    crig_run(rig, 4000);
    ck_assert_int_eq(rig->requests[KAFKA_API_PRODUCE], 0);
    crig_run(rig, 2000);
    ck_assert_int_eq(rig->requests[KAFKA_API_PRODUCE], 1);
    client_produce_flush(rig->client, true);
    produce_range(rig, topic, 0, 1, 2);
    crig_run(rig, 1000);
    ck_assert_int_eq(rig->requests[KAFKA_API_PRODUCE], 2);
    crig_free(rig);
}
END_TEST

START_TEST(one_request_carries_several_partitions_of_a_leader)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 5);
    produce_range(rig, topic, 3, 5, 10); /* node 1 leads both */
    ck_assert(crig_until(rig, SECOND, crig_settled));
    ck_assert_int_eq(rig->requests[KAFKA_API_PRODUCE], 1);
    crig_check_log(rig, 10, true);
    crig_free(rig);
}
END_TEST

/* -- errors -- */

static int16_t fail_first_three(struct crig *rig, int32_t partition, const uint8_t *batch, bool *append)
{
    int *left = rig->ctx;
    return (*left)-- > 0 ? KAFKA_NOT_ENOUGH_REPLICAS : KAFKA_NONE;
}

START_TEST(pipelined_batches_stay_in_order_through_retries)
{
    struct client_config config = small_batches();
    struct crig *rig = crig_new(&config, 1);
    int left = 3;
    rig->ctx = &left;
    rig->on_produce = fail_first_three;
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 50);
    ck_assert(crig_until(rig, 5 * SECOND, crig_settled));
    ck_assert_int_eq(rig->delivered_count, 50);
    ck_assert_int_eq(rig->partitions[0].producer_epoch, 0); /* nobody had to start over */
    crig_check_log(rig, 50, true);
    crig_free(rig);
}
END_TEST

START_TEST(moved_leader_is_found_and_followed)
{
    struct client_config config = small_batches();
    struct crig *rig = crig_new(&config, 1);
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 10);
    ck_assert(crig_until(rig, SECOND, crig_settled));
    crig_lead(rig, 0, 3);
    produce_range(rig, topic, 0, 10, 30);
    uint64_t from = rig->now_us;
    ck_assert(crig_until(rig, SECOND, crig_settled));
    ck_assert_uint_lt(rig->now_us - from, 100000);
    ck_assert_int_eq(client_topic_leader(topic, 0), 3);
    crig_check_log(rig, 30, true);
    crig_free(rig);
}
END_TEST

static bool drop_third_produce(struct crig *rig, int32_t node, int16_t key)
{
    if (key != KAFKA_API_PRODUCE || rig->requests[key] != 3)
        return true;
    rig->on_request = NULL;
    return false;
}

START_TEST(lost_connection_loses_and_doubles_nothing)
{
    struct client_config config = small_batches();
    struct crig *rig = crig_new(&config, 1);
    rig->on_request = drop_third_produce; /* the answers of the first two are lost with it */
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 40);
    ck_assert(crig_until(rig, 5 * SECOND, crig_settled));
    ck_assert_int_eq(rig->delivered_count, 40);
    crig_check_log(rig, 40, true);
    crig_free(rig);
}
END_TEST

static int16_t refuse_tag_7(struct crig *rig, int32_t partition, const uint8_t *batch, bool *append)
{
    struct batch_iter it;
    struct record record;
    ck_assert_int_eq(batch_iter_init(&it, batch, NULL), OK);
    while (batch_iter_next(&it, &record))
        if (load_be64(record.value.p) == 7)
            return KAFKA_INVALID_RECORD;
    return KAFKA_NONE;
}

START_TEST(refused_batch_fails_alone)
{
    struct client_config config = small_batches();
    struct crig *rig = crig_new(&config, 1);
    rig->on_produce = refuse_tag_7;
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 30);
    ck_assert(crig_until(rig, 5 * SECOND, crig_settled));
    ck_assert_int_eq(rig->failed_count, 1);
    ck_assert_int_eq(rig->fate[7].kafka_error, KAFKA_INVALID_RECORD);
    ck_assert_int_eq(rig->delivered_count, 29);
    ck_assert_int_eq(rig->partitions[0].producer_epoch, 1); /* the gap made it start over */
    crig_check_log(rig, 30, true);
    crig_free(rig);
}
END_TEST

static int16_t written_but_not_enough(struct crig *rig, int32_t partition, const uint8_t *batch, bool *append)
{
    int *left = rig->ctx;
    *append = true;
    return (*left)-- > 0 ? KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND : KAFKA_NONE;
}

START_TEST(batch_that_was_written_all_the_same_is_not_doubled)
{
    struct crig *rig = crig_new(NULL, 1);
    int left = 2;
    rig->ctx = &left;
    rig->on_produce = written_but_not_enough;
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 10);
    ck_assert(crig_until(rig, 5 * SECOND, crig_settled));
    ck_assert_int_eq(rig->delivered_count, 10);
    crig_check_log(rig, 10, true);
    crig_free(rig);
}
END_TEST

START_TEST(delivery_timeout_tells_what_is_certain)
{
    struct client_config config;
    crig_config(&config);
    config.producer.delivery_timeout_us = 2 * SECOND;
    struct crig *rig = crig_new(&config, 1);
    struct client_topic *topic = crig_topic(rig);
    rig->down[1] = true;
    crig_break(rig, 1);
    crig_run(rig, 10000);
    produce_range(rig, topic, 0, 0, 1); /* cannot even be sent */
    crig_run(rig, 3 * SECOND);
    ck_assert_int_eq(rig->fate[0].err, ERR_TIMED_OUT);
    rig->down[1] = false;
    int left = INT32_MAX;
    rig->ctx = &left;
    rig->on_produce = written_but_not_enough;
    produce_range(rig, topic, 0, 1, 2);
    crig_run(rig, 4 * SECOND);
    ck_assert_int_eq(rig->fate[1].err, ERR_UNKNOWN_OUTCOME);
    rig->on_produce = NULL;
    produce_range(rig, topic, 0, 2, 4); /* and life goes on */
    ck_assert(crig_until(rig, SECOND, crig_settled));
    ck_assert_int_eq(rig->delivered_count, 2);
    crig_check_log(rig, 4, true);
    crig_free(rig);
}
END_TEST

static int16_t written_then_leadership_lost(struct crig *rig, int32_t partition, const uint8_t *batch,
                                            bool *append)
{
    int *left = rig->ctx;
    *append = true;
    return (*left)-- > 0 ? KAFKA_NOT_LEADER_OR_FOLLOWER : KAFKA_NONE;
}

/* Found by simulation: the records were reported as not written, and were read. */
START_TEST(leadership_lost_after_the_append_leaves_the_outcome_open)
{
    struct client_config config;
    crig_config(&config);
    config.producer.delivery_timeout_us = 2 * SECOND;
    struct crig *rig = crig_new(&config, 1);
    struct client_topic *topic = crig_topic(rig);
    int left = INT32_MAX;
    rig->ctx = &left;
    rig->on_produce = written_then_leadership_lost;
    produce_range(rig, topic, 0, 0, 1);
    crig_run(rig, 4 * SECOND);
    ck_assert_int_eq(rig->fate[0].err, ERR_UNKNOWN_OUTCOME);
    crig_free(rig);
}
END_TEST

struct stale {
    int32_t produced;     /* requests since the script began */
    int32_t window_count; /* what the real leader knows, while the stale one answers */
};

static int16_t first_is_written_and_denied(struct crig *rig, int32_t partition, const uint8_t *batch,
                                           bool *append)
{
    const struct stale *stale = rig->ctx;
    *append = true;
    return stale->produced == 1 ? KAFKA_NOT_LEADER_OR_FOLLOWER : KAFKA_NONE;
}

/* The second request meets a leader that is none any more and does not know the producer's last batches. */
static bool second_meets_a_stale_leader(struct crig *rig, int32_t node, int16_t key)
{
    struct stale *stale = rig->ctx;
    if (key != KAFKA_API_PRODUCE)
        return true;
    stale->produced++;
    if (stale->produced == 2) {
        stale->window_count = rig->partitions[0].window_count;
        rig->partitions[0].window_count = 0;
    } else if (stale->produced == 3) {
        rig->partitions[0].window_count = stale->window_count;
    }
    return true;
}

/* Found by simulation: the batch was sent again under new numbers, and was there twice. */
START_TEST(out_of_order_from_a_stale_leader_does_not_renumber_what_may_be_written)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_topic *topic = crig_topic(rig);
    struct stale stale = {0};
    produce_range(rig, topic, 0, 0, 10);
    ck_assert(crig_until(rig, SECOND, crig_settled));
    rig->ctx = &stale;
    rig->on_produce = first_is_written_and_denied;
    rig->on_request = second_meets_a_stale_leader;
    produce_range(rig, topic, 0, 10, 11);
    ck_assert(crig_until(rig, 10 * SECOND, crig_settled));
    ck_assert_int_ge(stale.produced, 3);
    ck_assert_int_eq(rig->delivered_count, 11);
    ck_assert_int_eq(rig->partitions[0].producer_epoch, 0);
    crig_check_log(rig, 11, true);
    crig_free(rig);
}
END_TEST

/* The broker forgot the producer, as after its state expired or a log was lost. */
START_TEST(forgotten_sequence_starts_over_with_a_new_epoch)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 10);
    ck_assert(crig_until(rig, SECOND, crig_settled));
    rig->partitions[0].window_count = 0;
    produce_range(rig, topic, 0, 10, 20);
    ck_assert(crig_until(rig, SECOND, crig_settled));
    ck_assert_int_eq(rig->delivered_count, 20);
    ck_assert_int_eq(rig->partitions[0].producer_epoch, 1);
    crig_check_log(rig, 20, true);
    crig_free(rig);
}
END_TEST

/* Found by simulation: thousands of OUT_OF_ORDER answers while the batch before hung at a leader of the past.
 */
START_TEST(batch_behind_one_that_hangs_elsewhere_is_not_sent_again_and_again)
{
    struct client_config config = small_batches();
    struct crig *rig = crig_new(&config, 1);
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 1);
    ck_assert(crig_until(rig, SECOND, crig_settled));
    rig->silent[1] = true;
    produce_range(rig, topic, 0, 1, 2);
    crig_run(rig, 20000);
    crig_lead(rig, 0, 3);
    crig_run(rig, 5 * SECOND);
    ck_assert_int_eq(client_topic_leader(topic, 0), 3);
    int32_t before = rig->requests[KAFKA_API_PRODUCE];
    produce_range(rig, topic, 0, 2, 5);
    crig_run(rig, 3 * SECOND);
    ck_assert_int_gt(rig->requests[KAFKA_API_PRODUCE], before);
    ck_assert_int_le(rig->requests[KAFKA_API_PRODUCE], before + 8);
    crig_break(rig, 1);
    ck_assert(crig_until(rig, 10 * SECOND, crig_settled));
    ck_assert_int_eq(rig->delivered_count, 5);
    crig_check_log(rig, 5, true);
    crig_free(rig);
}
END_TEST

/* Found by simulation: the answer hung at a leader of the past, the next one took so many batches behind that
 * it had forgotten the first when that was repeated; a later leader that knew nothing wrote it again. */
START_TEST(no_leader_takes_so_many_batches_that_it_forgets_one_that_is_not_acknowledged)
{
    struct client_config config = small_batches();
    config.request_timeout_us = 10 * SECOND;
    struct crig *rig = crig_new(&config, 1);
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 1);
    ck_assert(crig_until(rig, SECOND, crig_settled));
    uint64_t latency_us = rig->latency_us;
    rig->latency_us = 25 * SECOND; /* it is written, and the answer does not come */
    produce_range(rig, topic, 0, 1, 2);
    crig_run(rig, 20000);
    ck_assert_int_eq(rig->partitions[0].count, 2);
    rig->latency_us = latency_us;
    crig_lead(rig, 0, 3);
    crig_run(rig, 6 * SECOND);
    ck_assert_int_eq(client_topic_leader(topic, 0), 3);
    for (uint64_t tag = 2; tag < 14; tag++) {
        produce_range(rig, topic, 0, tag, tag + 1);
        crig_run(rig, SECOND / 10);
    }
    ck_assert_int_eq(rig->delivered_count, 5);            /* not all is held up */
    ck_assert(crig_until(rig, 5 * SECOND, crig_settled)); /* the request has timed out */
    ck_assert_int_eq(rig->delivered_count, 14);
    ck_assert_int_eq(rig->partitions[0].producer_epoch, 0);
    crig_check_log(rig, 14, true);
    crig_free(rig);
}
END_TEST

/* -- levels of acknowledgment, limits -- */

START_TEST(acks_0_is_reported_when_it_is_sent)
{
    struct client_config config;
    crig_config(&config);
    config.producer.acks = CLIENT_ACKS_NONE;
    config.producer.idempotent = false;
    struct crig *rig = crig_new(&config, 1);
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 10);
    crig_run(rig, 50000);
    ck_assert_int_eq(rig->delivered_count, 10);
    ck_assert_int_eq(rig->delivered[3], -1);
    ck_assert_int_eq(rig->partitions[0].end, 10);
    ck_assert_int_eq(rig->requests[KAFKA_API_INIT_PRODUCER_ID], 0);
    crig_free(rig);
}
END_TEST

START_TEST(full_client_says_when_there_is_room)
{
    struct client_config config;
    crig_config(&config);
    config.producer.buffer_bytes = 80;
    struct crig *rig = crig_new(&config, 1);
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 10);
    ck_assert_int_eq(crig_produce(rig, topic, 0, 10), ERR_FULL);
    ck_assert_int_eq(rig->rooms, 0);
    ck_assert(crig_until(rig, SECOND, crig_settled));
    crig_run(rig, 1000);
    ck_assert_int_eq(rig->rooms, 1);
    ck_assert_int_eq(crig_produce(rig, topic, 0, 10), OK);
    crig_free(rig);
}
END_TEST

START_TEST(record_that_is_too_large_or_out_of_range_is_refused)
{
    struct client_config config;
    crig_config(&config);
    config.producer.record_bytes_max = 7;
    struct crig *rig = crig_new(&config, 1);
    struct client_topic *topic = client_topic_open(rig->client, rig->now_us, STR_LIT(CRIG_TOPIC));
    ck_assert_int_eq(crig_produce(rig, topic, 0, 0), ERR_AGAIN);
    crig_run(rig, SECOND);
    ck_assert_int_eq(crig_produce(rig, topic, 0, 0), ERR_TOO_LARGE);
    struct record_in small = {.key = BYTES_NULL, .value = BYTES_NULL};
    ck_assert_int_eq(client_produce(rig->client, rig->now_us, topic, 99, &small, 0), ERR_OUT_OF_RANGE);
    ck_assert_uint_eq(client_produce_pending(rig->client), 0);
    crig_free(rig);
}
END_TEST

START_TEST(batches_can_be_compressed)
{
    struct client_config config;
    crig_config(&config);
    config.producer.codec = (enum codec)_i;
    struct crig *rig = crig_new(&config, 1);
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, 0, 0, 1000);
    ck_assert(crig_until(rig, SECOND, crig_settled));
    ck_assert_int_eq(batch_codec(rig->partitions[0].batches[0].data->data), _i);
    crig_check_log(rig, 1000, true);
    crig_free(rig);
}
END_TEST

/* -- partitions -- */

START_TEST(key_hash_is_kafkas)
{
    static const struct {
        const char *key;
        uint32_t hash;
    } known[] = {{"21", (uint32_t)-973932308},
                 {"foobar", (uint32_t)-790332482},
                 {"a-little-bit-long-string", (uint32_t)-985981536},
                 {"a-little-bit-longer-string", (uint32_t)-1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", (uint32_t)-58897971},
                 {"abc", 479470107}};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        ck_assert_uint_eq(client_murmur2(known[i].key, strlen(known[i].key)), known[i].hash);
}
END_TEST

START_TEST(same_key_goes_to_the_same_partition)
{
    struct crig *rig = crig_new(NULL, 1);
    struct client_topic *topic = crig_topic(rig);
    uint8_t value[8] = {0};
    struct record_in record = {.key = {(const uint8_t *)"foobar", 6}, .value = {value, 8}};
    for (uint64_t tag = 0; tag < 20; tag++) {
        store_be64(value, tag);
        ck_assert_int_eq(client_produce(rig->client, rig->now_us, topic, CLIENT_ANY_PARTITION, &record, tag),
                         OK);
        crig_run(rig, 10000);
    }
    int32_t expected = client_key_partition(record.key, CRIG_PARTITIONS);
    ck_assert_int_eq(rig->partitions[expected].end, 20);
    crig_free(rig);
}
END_TEST

START_TEST(records_without_key_fill_batches_and_visit_all_partitions)
{
    struct client_config config;
    crig_config(&config);
    config.producer.batch_bytes = 1024;
    struct crig *rig = crig_new(&config, 1);
    struct client_topic *topic = crig_topic(rig);
    produce_range(rig, topic, CLIENT_ANY_PARTITION, 0, 4000);
    ck_assert(crig_until(rig, SECOND, crig_settled));
    int32_t batches = 0;
    for (int32_t i = 0; i < CRIG_PARTITIONS; i++) {
        ck_assert_int_gt(rig->partitions[i].end, 0);
        batches += rig->partitions[i].count;
    }
    ck_assert_int_lt(batches, 4000 / 40);
    crig_check_log(rig, 4000, true);
    crig_free(rig);
}
END_TEST

/* -- everything at once -- */

static int16_t random_error(struct crig *rig, int32_t partition, const uint8_t *batch, bool *append)
{
    static const int16_t errors[] = {KAFKA_NOT_ENOUGH_REPLICAS, KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
                                     KAFKA_REQUEST_TIMED_OUT, KAFKA_CORRUPT_MESSAGE};
    if (prng_below(&rig->prng, 8) != 0)
        return KAFKA_NONE;
    int16_t error = errors[prng_below(&rig->prng, 4)];
    *append = (error == KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND || error == KAFKA_REQUEST_TIMED_OUT) &&
              prng_below(&rig->prng, 2) == 0;
    return error;
}

static bool random_loss(struct crig *rig, int32_t node, int16_t key)
{
    return prng_below(&rig->prng, 25) != 0;
}

static void random_trouble(struct crig *rig)
{
    int32_t partition = (int32_t)prng_below(&rig->prng, CRIG_PARTITIONS),
            node = 1 + (int32_t)prng_below(&rig->prng, 3);
    switch (prng_below(&rig->prng, 6)) {
    case 0: crig_lead(rig, partition, node); break;
    case 1: crig_break(rig, node); break;
    case 2: rig->down[node] = !rig->down[node]; break;
    case 3: rig->partitions[partition].leader = -1; break;
    default: break;
    }
    if (rig->down[node])
        crig_break(rig, node);
}

/* Rounds of records and trouble, then peace until all is told. Returns how many records were taken. */
static uint64_t live_through(struct crig *rig)
{
    uint64_t tag = 0;
    struct client_topic *topic = crig_topic(rig);
    rig->random_latency = true;
    rig->on_request = random_loss;
    for (int round = 0; round < 150; round++) {
        for (uint64_t n = prng_below(&rig->prng, 20); n > 0; n--)
            ck_assert_int_eq(
                crig_produce(rig, topic, (int32_t)prng_below(&rig->prng, CRIG_PARTITIONS), tag++), OK);
        random_trouble(rig);
        crig_run(rig, prng_below(&rig->prng, 30000));
    }
    rig->on_request = NULL;
    rig->on_produce = NULL;
    memset(rig->down, 0, sizeof(rig->down));
    for (int32_t i = 0; i < CRIG_PARTITIONS; i++)
        crig_lead(rig, i, 1 + i % 3);
    ck_assert(crig_until(rig, 20 * SECOND, crig_settled));
    return tag;
}

static struct crig *troubled(uint64_t seed, uint64_t delivery_timeout_us)
{
    struct client_config config = small_batches();
    config.producer.batch_bytes = 200;
    config.producer.delivery_timeout_us = delivery_timeout_us;
    config.seed = seed;
    return crig_new(&config, seed);
}

START_TEST(any_mixture_of_trouble_keeps_each_record_once_and_in_order)
{
    struct crig *rig = troubled((uint64_t)_i, 120 * SECOND);
    rig->on_produce = random_error;
    uint64_t taken = live_through(rig);
    ck_assert_int_eq(rig->delivered_count, (int64_t)taken);
    crig_check_log(rig, taken, true);
    crig_free(rig);
}
END_TEST

static int16_t random_refusal(struct crig *rig, int32_t partition, const uint8_t *batch, bool *append)
{
    return prng_below(&rig->prng, 20) == 0 ? KAFKA_INVALID_RECORD
                                           : random_error(rig, partition, batch, append);
}

/* Batches are given up all the time: what is reported must still be the truth. */
START_TEST(records_that_are_given_up_are_told_truly)
{
    struct crig *rig = troubled((uint64_t)_i, 150000);
    rig->on_produce = random_refusal;
    uint64_t taken = live_through(rig);
    ck_assert_int_eq(rig->delivered_count + rig->failed_count, (int64_t)taken);
    ck_assert_int_gt(rig->failed_count, 0);
    crig_check_log(rig, taken, true);
    crig_free(rig);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, records_of_a_partition_get_rising_offsets);
    tcase_add_test(tcase, batches_wait_for_more_unless_flushed);
    tcase_add_test(tcase, one_request_carries_several_partitions_of_a_leader);
    tcase_add_test(tcase, pipelined_batches_stay_in_order_through_retries);
    tcase_add_test(tcase, moved_leader_is_found_and_followed);
    tcase_add_test(tcase, lost_connection_loses_and_doubles_nothing);
    tcase_add_test(tcase, refused_batch_fails_alone);
    tcase_add_test(tcase, batch_that_was_written_all_the_same_is_not_doubled);
    tcase_add_test(tcase, delivery_timeout_tells_what_is_certain);
    tcase_add_test(tcase, batch_behind_one_that_hangs_elsewhere_is_not_sent_again_and_again);
    tcase_add_test(tcase, no_leader_takes_so_many_batches_that_it_forgets_one_that_is_not_acknowledged);
    tcase_add_test(tcase, forgotten_sequence_starts_over_with_a_new_epoch);
    tcase_add_test(tcase, acks_0_is_reported_when_it_is_sent);
    tcase_add_test(tcase, full_client_says_when_there_is_room);
    tcase_add_test(tcase, record_that_is_too_large_or_out_of_range_is_refused);
    tcase_add_loop_test(tcase, batches_can_be_compressed, CODEC_NONE, CODEC_COUNT);
    tcase_add_test(tcase, key_hash_is_kafkas);
    tcase_add_test(tcase, leadership_lost_after_the_append_leaves_the_outcome_open);
    tcase_add_test(tcase, out_of_order_from_a_stale_leader_does_not_renumber_what_may_be_written);
    tcase_add_test(tcase, same_key_goes_to_the_same_partition);
    tcase_add_test(tcase, records_without_key_fill_batches_and_visit_all_partitions);
    tcase_add_loop_test(tcase, any_mixture_of_trouble_keeps_each_record_once_and_in_order, 1, 40);
    tcase_add_loop_test(tcase, records_that_are_given_up_are_told_truly, 1, 40);
}

SLUICE_TEST_MAIN("client_producer", add)
