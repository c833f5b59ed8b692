/* SPDX-License-Identifier: Apache-2.0 */
/* Several replicas of one partition that exchange data through the partition API, without a network. */
#include <stdio.h>

#include "broker/shard/partition_internal.h"
#include "tests/unit/broker_fixture.h"

struct cluster {
    struct mem_world *world;
    struct broker b[BROKERS_MAX];
    struct partition_config config;
    int32_t partition_epoch;
};

static void run_ms(struct cluster *c, uint64_t ms)
{
    mem_world_run(c->world, mem_world_now_us(c->world) + ms * 1000);
}

static struct broker *broker(struct cluster *c, int32_t id)
{
    return &c->b[id - 1];
}

static void lead(struct cluster *c, int32_t leader, int32_t leader_epoch, int32_t isr_count)
{
    c->partition_epoch++;
    for (int i = 0; i < BROKERS_MAX; i++)
        if (c->b[i].p)
            broker_apply(&c->b[i], leader, leader_epoch, c->partition_epoch, BROKERS_MAX, isr_count,
                         &c->config);
}

static void setup(struct cluster *c, int32_t isr_count, int32_t min_isr)
{
    memset(c, 0, sizeof(*c));
    c->world = mem_world_new(5);
    c->config = fixture_config();
    c->config.min_insync_replicas = min_isr;
    for (int i = 0; i < BROKERS_MAX; i++) {
        broker_start(&c->b[i], c->world, i + 1);
        broker_open(&c->b[i], &c->config);
    }
    lead(c, 1, 0, isr_count);
}

static void teardown(struct cluster *c)
{
    for (int i = 0; i < BROKERS_MAX; i++)
        broker_stop(&c->b[i]);
    run_ms(c, 1000);
    mem_world_free(c->world);
}

/* One fetch of `to` from its leader, as the fetcher does it. Returns the bytes that came. */
static int32_t fetch(struct cluster *c, int32_t to)
{
    struct broker *f = broker(c, to), *l;
    struct partition_fetch_state state;
    struct partition_read_result result;
    if (!partition_fetch_state(f->p, &state))
        return 0;
    l = broker(c, state.leader);
    int16_t error = partition_follower_fetched(l->p, to, 100 + to, state.fetch_offset, state.durable_offset,
                                               state.leader_epoch, state.last_fetched_epoch);
    ck_assert_int_eq(error, KAFKA_NONE);
    partition_follower_start(l->p, to, state.log_start);
    struct partition_read request = {.fetch_offset = state.fetch_offset,
                                     .max_bytes = 3000,
                                     .at_least_one = true,
                                     .replica_id = to,
                                     .current_leader_epoch = state.leader_epoch,
                                     .last_fetched_epoch = state.last_fetched_epoch};
    partition_read(l->p, &request, &result);
    if (result.error == KAFKA_OFFSET_OUT_OF_RANGE) {
        struct partition_view v = view_of(l);
        partition_follower_out_of_range(f->p, state.leader_epoch, v.log_start, v.log_end);
        return 0;
    }
    ck_assert_int_eq(result.error, KAFKA_NONE);
    if (result.diverging_epoch >= 0) {
        partition_follower_diverged(f->p, state.leader_epoch, result.diverging_epoch,
                                    result.diverging_end_offset);
        return 0;
    }
    struct partition_piece none = {0}, *piece = result.pieces_count ? &result.pieces[0] : &none;
    ck_assert_int_eq(partition_follower_append(f->p, state.leader_epoch, piece->p, piece->len, piece->owner,
                                               result.high_watermark, result.log_start),
                     OK);
    int32_t bytes = result.bytes;
    partition_read_release(&result);
    return bytes;
}

static void fetch_rounds(struct cluster *c, int32_t to, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        fetch(c, to);
        run_ms(c, 5);
    }
}

/* Bytes of whole batches in a log file; behind them may be room for more. */
static uint64_t batch_bytes(const uint8_t *p, uint64_t size)
{
    uint64_t at = 0;
    size_t one;
    while (at < size && batch_peek(p + at, size - at, &one) == OK && one <= size - at)
        at += one;
    return at;
}

/* Every byte of both logs in [from, end) is the same. */
static void same_log(struct cluster *c, int32_t a, int32_t b, int64_t from)
{
    struct broker *both[] = {broker(c, a), broker(c, b)};
    ck_assert_int_eq(view_of(both[0]).log_end, view_of(both[1]).log_end);
    uint64_t size[2];
    const uint8_t *bytes[2];
    char path[64];
    snprintf(path, sizeof(path), DATA_DIR "/orders-0/%020d.log", (int)from);
    for (int i = 0; i < 2; i++)
        bytes[i] = mem_env_bytes(both[i]->mem, path, &size[i]);
    ck_assert(bytes[0] && bytes[1]);
    for (int i = 0; i < 2; i++)
        size[i] = batch_bytes(bytes[i], size[i]);
    ck_assert_uint_eq(size[0], size[1]);
    ck_assert_int_eq(memcmp(bytes[0], bytes[1], size[0]), 0);
}

START_TEST(acks_all_waits_until_every_isr_member_has_synced)
{
    struct cluster c;
    struct waiter w;
    setup(&c, 3, 2);
    struct partition_appended ret = produce(broker(&c, 1), 4, -1, &w);
    ck_assert_int_eq(ret.error, KAFKA_NONE);
    ck_assert(ret.waits);
    run_ms(&c, 10);
    fetch(&c, 2);
    fetch(&c, 3);
    fetch(&c, 2); /* position 4, nothing synced there: position is not acknowledgment */
    fetch(&c, 3);
    ck_assert_int_eq(view_of(broker(&c, 1)).high_watermark, 0);
    run_ms(&c, 10);
    fetch(&c, 2);
    run_ms(&c, 10);
    ck_assert_int_eq(w.answers, 0);
    fetch(&c, 3);
    run_ms(&c, 10);
    ck_assert_int_eq(w.answers, 1);
    ck_assert_int_eq(w.error, KAFKA_NONE);
    fetch(&c, 2);
    ck_assert_int_eq(view_of(broker(&c, 2)).high_watermark, 4);
    same_log(&c, 1, 2, 0);
    same_log(&c, 1, 3, 0);
    teardown(&c);
}
END_TEST

START_TEST(acks_all_is_refused_below_min_isr_and_the_high_watermark_stands)
{
    struct cluster c;
    struct waiter w;
    setup(&c, 1, 2);
    ck_assert_int_eq(produce(broker(&c, 1), 1, -1, &w).error, KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(produce(broker(&c, 1), 1, 1, &w).error, KAFKA_NONE);
    run_ms(&c, 20);
    ck_assert_int_eq(w.error, KAFKA_NONE);
    ck_assert_int_eq(w.answers, 1);
    ck_assert_int_eq(view_of(broker(&c, 1)).high_watermark, 0);
    teardown(&c);
}
END_TEST

/* The error for one record of an idempotent producer, acks=all. */
static int16_t send_number(struct cluster *c, int64_t producer_id, int32_t sequence)
{
    struct waiter w;
    struct iobuf *batch = make_batch(1, 10, 1000, producer_id, 0, sequence);
    int16_t error = produce_batch(broker(c, 1), batch, -1, &w).error;
    partition_wait_cancel(&w.wait);
    iobuf_unref(batch);
    return error;
}

/* As a client sends them that has two requests on the way: the second arrives when what made the first fail
 * is over. */
START_TEST(behind_a_batch_that_was_refused_a_gap_closes_by_itself)
{
    struct cluster c;
    setup(&c, 2, 2);
    ck_assert_int_eq(send_number(&c, 7, 0), KAFKA_NONE);
    run_ms(&c, 6000); /* long after the election */
    ck_assert_int_eq(send_number(&c, 7, 2), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    lead(&c, 1, 0, 1);
    ck_assert_int_eq(send_number(&c, 7, 1), KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(send_number(&c, 8, 0), KAFKA_NOT_ENOUGH_REPLICAS);
    lead(&c, 1, 0, 2);
    ck_assert_int_eq(send_number(&c, 7, 2), KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(send_number(&c, 8, 1), KAFKA_NOT_ENOUGH_REPLICAS); /* else number 0 never got in */
    ck_assert_int_eq(view_of(broker(&c, 1)).log_end, 1);
    for (int32_t i = 1; i <= 2; i++)
        ck_assert_int_eq(send_number(&c, 7, i), KAFKA_NONE);
    for (int32_t i = 0; i <= 1; i++)
        ck_assert_int_eq(send_number(&c, 8, i), KAFKA_NONE);
    ck_assert_int_eq(send_number(&c, 7, 4), KAFKA_NOT_ENOUGH_REPLICAS);
    run_ms(&c, 6000); /* nobody has closed it */
    ck_assert_int_eq(send_number(&c, 7, 4), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    ck_assert_int_eq(send_number(&c, 9, 4), KAFKA_NONE); /* as in Kafka: unknown, any number */
    ck_assert_int_eq(view_of(broker(&c, 1)).log_end, 6);
    teardown(&c);
}
END_TEST

START_TEST(what_was_written_once_is_not_refused_as_if_it_were_not)
{
    struct cluster c;
    setup(&c, 2, 2);
    ck_assert_int_eq(send_number(&c, 7, 0), KAFKA_NONE);
    lead(&c, 1, 0, 1);
    ck_assert_int_eq(send_number(&c, 7, 0), KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND);
    ck_assert_int_eq(send_number(&c, 7, 1), KAFKA_NOT_ENOUGH_REPLICAS);
    lead(&c, 1, 0, 2);
    ck_assert_int_eq(send_number(&c, 7, 0), KAFKA_NONE);
    ck_assert_int_eq(view_of(broker(&c, 1)).log_end, 1);
    teardown(&c);
}
END_TEST

START_TEST(a_new_leader_takes_a_gap_for_one_that_closes)
{
    struct cluster c;
    setup(&c, 2, 2);
    ck_assert_int_eq(send_number(&c, 7, 1), KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(send_number(&c, 7, 0), KAFKA_NONE);
    ck_assert_int_eq(send_number(&c, 7, 1), KAFKA_NONE);
    run_ms(&c, 6000);
    ck_assert_int_eq(send_number(&c, 7, 3), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    lead(&c, 2, 1, 2);
    lead(&c, 1, 2, 2);
    ck_assert_int_eq(send_number(&c, 7, 3), KAFKA_NOT_ENOUGH_REPLICAS);
    teardown(&c);
}
END_TEST

/* It has been cut off: its successor has numbers 1 and 2, and a client is told by it that it still leads. */
START_TEST(a_leader_in_doubt_finds_no_fault_with_a_producer)
{
    struct cluster c;
    setup(&c, 2, 2);
    ck_assert_int_eq(send_number(&c, 7, 0), KAFKA_NONE);
    run_ms(&c, 6000);
    broker(&c, 1)->in_doubt = true;
    ck_assert_int_eq(send_number(&c, 7, 3), KAFKA_NOT_LEADER_OR_FOLLOWER);
    ck_assert_int_eq(send_number(&c, 7, 0), KAFKA_NONE);
    ck_assert_int_eq(send_number(&c, 7, 1), KAFKA_NONE);
    broker(&c, 1)->in_doubt = false;
    ck_assert_int_eq(send_number(&c, 7, 3), KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
    teardown(&c);
}
END_TEST

START_TEST(a_follower_that_caught_up_is_proposed_for_the_isr)
{
    struct cluster c;
    struct waiter w;
    setup(&c, 1, 1);
    produce(broker(&c, 1), 5, 0, &w);
    run_ms(&c, 20);
    fetch_rounds(&c, 2, 1);
    ck_assert_int_eq(broker(&c, 1)->alters, 0);
    fetch_rounds(&c, 2, 2);
    ck_assert_int_eq(broker(&c, 1)->alters, 1);
    ck_assert_int_eq(broker(&c, 1)->alter_isr_count, 2);
    ck_assert_int_eq(broker(&c, 1)->alter_isr[1], 2);
    partition_alter_done(broker(&c, 1)->p, KAFKA_NONE);
    lead(&c, 1, 0, 2);
    ck_assert_int_eq(view_of(broker(&c, 1)).isr_count, 2);
    teardown(&c);
}
END_TEST

START_TEST(a_fenced_follower_is_not_proposed)
{
    struct cluster c;
    setup(&c, 1, 1);
    broker(&c, 1)->fenced_broker = 2;
    fetch_rounds(&c, 2, 4);
    ck_assert_int_eq(broker(&c, 1)->alters, 0);
    broker(&c, 1)->fenced_broker = -1;
    fetch_rounds(&c, 2, 1);
    ck_assert_int_eq(broker(&c, 1)->alters, 1);
    teardown(&c);
}
END_TEST

START_TEST(a_silent_follower_is_dropped_after_the_lag_time)
{
    struct cluster c;
    struct waiter w;
    setup(&c, 2, 1);
    fetch_rounds(&c, 2, 2);
    run_ms(&c, 60000); /* idle: nothing lags */
    ck_assert_int_eq(broker(&c, 1)->alters, 0);
    produce(broker(&c, 1), 1, -1, &w);
    run_ms(&c, 9000);
    ck_assert_int_eq(broker(&c, 1)->alters, 0);
    run_ms(&c, 1100);
    ck_assert_int_eq(broker(&c, 1)->alters, 1);
    ck_assert_int_eq(broker(&c, 1)->alter_isr_count, 1);
    ck_assert_int_eq(w.answers, 0);
    partition_alter_done(broker(&c, 1)->p, KAFKA_NONE);
    lead(&c, 1, 0, 1);
    run_ms(&c, 10);
    ck_assert_int_eq(w.answers, 1);
    ck_assert_int_eq(w.error, KAFKA_NONE);
    teardown(&c);
}
END_TEST

START_TEST(an_old_leaders_tail_is_cut_by_epoch_not_by_high_watermark)
{
    struct cluster c;
    struct waiter w;
    setup(&c, 2, 1);
    for (int i = 0; i < 3; i++)
        produce(broker(&c, 1), 2, 0, &w);
    for (int i = 0; i < 4; i++)
        fetch_rounds(&c, 2, 1);
    ck_assert_int_eq(view_of(broker(&c, 2)).log_end, 6);
    produce(broker(&c, 1), 3, 0, &w); /* never leaves broker 1 */
    run_ms(&c, 10);
    lead(&c, 2, 1, 2);
    produce(broker(&c, 2), 1, 0, &w);
    produce(broker(&c, 2), 4, 0, &w);
    run_ms(&c, 10);
    ck_assert_int_eq(view_of(broker(&c, 1)).log_end, 9);
    fetch_rounds(&c, 1, 1);
    ck_assert_int_eq(view_of(broker(&c, 1)).log_end, 6);
    fetch_rounds(&c, 1, 3);
    ck_assert_int_eq(view_of(broker(&c, 1)).log_end, 11);
    same_log(&c, 1, 2, 0);
    ck_assert_int_eq(view_of(broker(&c, 2)).high_watermark, 11);
    fetch_rounds(&c, 3, 8);
    same_log(&c, 3, 2, 0);
    teardown(&c);
}
END_TEST

/* A batch of five records comes to broker 2 from the leader of an epoch. */
static void hand_over(struct cluster *c, int32_t leader_epoch, int64_t base_offset, int32_t epoch)
{
    struct iobuf *batch = make_batch(5, 50, 1000, -1, -1, -1);
    batch_set_base_offset(batch->data, base_offset);
    batch_set_leader_epoch(batch->data, epoch);
    ck_assert_int_eq(partition_follower_append(broker(c, 2)->p, leader_epoch, batch->data,
                                               (int32_t)batch->len, batch, base_offset, 0),
                     OK);
    iobuf_unref(batch);
}

static void forget_epochs(struct cluster *c, int32_t id)
{
    run_ms(c, 1000);
    broker_close(broker(c, id), true);
    run_ms(c, 1000);
    ck_assert_int_eq(env_unlink(broker(c, id)->env, DATA_DIR "/orders-0/leader-epoch-checkpoint"), OK);
    broker_open(broker(c, id), &c->config);
}

/* Where a consumer that has read up to offset in epoch 3 is sent, -1: nowhere; and what it reads then. */
static int64_t sent_back(struct cluster *c, int64_t offset, int64_t *ret_next)
{
    struct partition_read_result result;
    struct partition_read request = {.fetch_offset = offset,
                                     .max_bytes = 3000,
                                     .at_least_one = true,
                                     .replica_id = -1,
                                     .current_leader_epoch = -1,
                                     .last_fetched_epoch = 3};
    partition_read(broker(c, 2)->p, &request, &result);
    ck_assert_int_eq(result.error, KAFKA_NONE);
    int64_t end = result.diverging_end_offset;
    *ret_next = result.pieces_count > 0 ? batch_base_offset(result.pieces[0].p) : -1;
    partition_read_release(&result);
    return end;
}

/* Epoch 3 ended at 25 and epoch 5 began there, which a replica that copied the compacted log cannot know: 20
 * to 33 are gone. Else it would let an old leader keep what it wrote in epoch 3 above 25. */
START_TEST(what_was_never_committed_goes_though_the_leader_copied_a_compacted_log)
{
    struct cluster c;
    struct waiter w;
    int64_t next;
    setup(&c, 3, 1);
    lead(&c, 1, 3, 3);
    for (int i = 0; i < 6; i++)
        ck_assert_int_eq(produce(broker(&c, 1), 5, 0, &w).error, KAFKA_NONE);
    c.config.compacted = true;
    lead(&c, 3, 5, 2);
    for (int64_t at = 0; at < 20; at += 5)
        hand_over(&c, 5, at, 3);
    hand_over(&c, 5, 33, 5);
    if (_i)
        forget_epochs(&c, 2);
    lead(&c, 2, 7, 2);
    fetch(&c, 1);
    ck_assert_int_eq(view_of(broker(&c, 1)).log_end, 20);
    fetch_rounds(&c, 1, 5);
    same_log(&c, 1, 2, 0);
    ck_assert_int_eq(view_of(broker(&c, 2)).high_watermark, 38);
    for (int64_t at = 20; at <= 33; at++) { /* nothing but a gap lies between */
        ck_assert_int_eq(sent_back(&c, at, &next), -1);
        ck_assert_int_eq(next, 33);
    }
    ck_assert_int_eq(sent_back(&c, 36, &next), 20); /* it has read what is not here: back, once */
    ck_assert_int_eq(next, -1);
    teardown(&c);
}
END_TEST

START_TEST(a_diverged_position_does_not_count)
{
    struct cluster c;
    struct waiter w;
    setup(&c, 2, 1);
    produce(broker(&c, 2), 1, 0, &w);
    produce(broker(&c, 1), 4, 0, &w);
    run_ms(&c, 10);
    lead(&c, 2, 1, 2);
    produce(broker(&c, 2), 4, 0, &w);
    run_ms(&c, 10);
    struct partition_fetch_state state;
    ck_assert(partition_fetch_state(broker(&c, 1)->p, &state));
    ck_assert_int_eq(state.fetch_offset, 4);
    ck_assert_int_eq(state.last_fetched_epoch, 0);
    partition_follower_fetched(broker(&c, 2)->p, 1, 101, 4, 4, 1, 0);
    ck_assert_int_eq(view_of(broker(&c, 2)).high_watermark, 0);
    fetch_rounds(&c, 1, 5);
    ck_assert_int_eq(view_of(broker(&c, 2)).high_watermark, 4);
    same_log(&c, 1, 2, 0);
    teardown(&c);
}
END_TEST

/* Brokers 1 and 2 hold [0, 4); broker 2 led then and wrote up to 7 what never left it; now broker 1 leads. */
static void part_at_four(struct cluster *c)
{
    struct waiter w;
    setup(c, 2, 1);
    produce(broker(c, 1), 4, 0, &w);
    fetch_rounds(c, 2, 4);
    lead(c, 2, 1, 2);
    produce(broker(c, 2), 3, 0, &w);
    run_ms(c, 10);
    lead(c, 1, 2, 1);
}

/* As a leader it would give out what was never committed, until it heard of the deletion. */
START_TEST(a_position_that_nobody_can_compare_counts_once_the_log_begins_there)
{
    struct cluster c;
    struct waiter w;
    int64_t low;
    part_at_four(&c);
    produce(broker(&c, 1), 3, 0, &w); /* [4, 7), other records */
    run_ms(&c, 10);
    ck_assert_int_eq(partition_delete_records(broker(&c, 1)->p, 7, &low), KAFKA_NONE);
    broker(&c, 1)->alters = 0;
    ck_assert_int_eq(fetch(&c, 2), 0);
    ck_assert_int_eq(broker(&c, 1)->alters, 0);
    ck_assert_int_eq(view_of(broker(&c, 2)).log_start, 7);
    fetch_rounds(&c, 2, 3);
    ck_assert_int_eq(broker(&c, 1)->alters, 1);
    teardown(&c);
}
END_TEST

START_TEST(epochs_without_data_do_not_stop_replication)
{
    struct cluster c;
    struct waiter w;
    setup(&c, 2, 1);
    produce(broker(&c, 1), 2, 0, &w);
    for (int i = 0; i < 3; i++)
        fetch_rounds(&c, 2, 1);
    for (int32_t epoch = 1; epoch < 6; epoch++) {
        lead(&c, 1 + epoch % 2, epoch, 2);
        run_ms(&c, 5);
    }
    produce(broker(&c, 2), 1, -1, &w); /* epoch 5 is of broker 2 */
    fetch_rounds(&c, 1, 6);
    ck_assert_int_eq(w.answers, 1);
    ck_assert_int_eq(w.error, KAFKA_NONE);
    same_log(&c, 1, 2, 0);
    teardown(&c);
}
END_TEST

START_TEST(waits_end_when_leadership_moves)
{
    struct cluster c;
    struct waiter w, late;
    setup(&c, 2, 1);
    produce(broker(&c, 1), 1, -1, &w);
    lead(&c, 2, 1, 2);
    run_ms(&c, 5);
    ck_assert_int_eq(w.answers, 1);
    ck_assert_int_eq(w.error, KAFKA_NOT_LEADER_OR_FOLLOWER);
    ck_assert_int_eq(produce(broker(&c, 1), 1, 1, &late).error, KAFKA_NOT_LEADER_OR_FOLLOWER);
    teardown(&c);
}
END_TEST

START_TEST(a_wait_times_out_and_the_data_stays)
{
    struct cluster c;
    struct waiter w;
    setup(&c, 2, 1);
    c.b[0].host.replica_lag_time_max_us = UINT64_MAX / 2;
    produce(broker(&c, 1), 1, -1, &w);
    run_ms(&c, 29999);
    ck_assert_int_eq(w.answers, 0);
    run_ms(&c, 2);
    ck_assert_int_eq(w.answers, 1);
    ck_assert_int_eq(w.error, KAFKA_REQUEST_TIMED_OUT);
    ck_assert_int_eq(view_of(broker(&c, 1)).log_end, 1);
    teardown(&c);
}
END_TEST

START_TEST(stale_and_future_epochs_are_refused)
{
    struct cluster c;
    struct partition *p;
    int32_t epoch;
    int64_t end;
    setup(&c, 2, 1);
    lead(&c, 1, 3, 2);
    p = broker(&c, 1)->p;
    ck_assert_int_eq(partition_follower_fetched(p, 2, 102, 0, 0, 2, -1), KAFKA_FENCED_LEADER_EPOCH);
    ck_assert_int_eq(partition_follower_fetched(p, 2, 102, 0, 0, 4, -1), KAFKA_UNKNOWN_LEADER_EPOCH);
    ck_assert_int_eq(partition_follower_fetched(p, 9, 109, 0, 0, 3, -1), KAFKA_NOT_LEADER_OR_FOLLOWER);
    ck_assert_int_eq(partition_epoch_end(p, 2, 0, &epoch, &end), KAFKA_FENCED_LEADER_EPOCH);
    ck_assert_int_eq(partition_epoch_end(broker(&c, 2)->p, 3, 0, &epoch, &end), KAFKA_NOT_LEADER_OR_FOLLOWER);
    teardown(&c);
}
END_TEST

START_TEST(a_deletion_is_answered_when_the_followers_begin_there)
{
    struct cluster c;
    struct waiter w, deletion = {.wait.done = waiter_done, .error = -1};
    int64_t low;
    setup(&c, 3, 2);
    produce(broker(&c, 1), 4, -1, &w);
    for (int32_t to = 2; to <= 3; to++)
        fetch_rounds(&c, to, 8);
    fetch_rounds(&c, 2, 1);
    struct partition *leader = broker(&c, 1)->p;
    ck_assert_int_eq(partition_delete_records(leader, 3, &low), KAFKA_NONE);
    ck_assert(partition_await_start(leader, low, 10000, &deletion.wait));
    fetch_rounds(&c, 2, 2); /* hears of it, and tells that it has */
    ck_assert_int_eq(deletion.answers, 0);
    fetch_rounds(&c, 3, 1); /* only hears of it */
    ck_assert_int_eq(deletion.answers, 0);
    fetch_rounds(&c, 3, 1);
    ck_assert_int_eq(deletion.answers, 1);
    ck_assert_int_eq(deletion.error, KAFKA_NONE);
    ck_assert(!partition_await_start(leader, low, 10000, &deletion.wait));
    teardown(&c);
}
END_TEST

START_TEST(a_deletion_that_followers_do_not_hear_of_ends_with_its_time)
{
    struct cluster c;
    struct waiter w, deletion = {.wait.done = waiter_done, .error = -1};
    int64_t low;
    setup(&c, 2, 1);
    produce(broker(&c, 1), 4, -1, &w);
    fetch_rounds(&c, 2, 8);
    ck_assert_int_eq(partition_delete_records(broker(&c, 1)->p, 3, &low), KAFKA_NONE);
    ck_assert(partition_await_start(broker(&c, 1)->p, low, 100, &deletion.wait));
    run_ms(&c, 200);
    ck_assert_int_eq(deletion.answers, 1);
    ck_assert_int_eq(deletion.error, KAFKA_REQUEST_TIMED_OUT);
    ck_assert(partition_await_start(broker(&c, 1)->p, low, 10000, &deletion.wait));
    lead(&c, 2, 1, 2);
    run_ms(&c, 10);
    ck_assert_int_eq(deletion.answers, 2);
    ck_assert_int_eq(deletion.error, KAFKA_NOT_LEADER_OR_FOLLOWER);
    teardown(&c);
}
END_TEST

START_TEST(a_follower_too_far_behind_starts_again_at_the_leaders_log_start)
{
    struct cluster c;
    struct waiter w;
    int64_t low;
    setup(&c, 1, 1);
    for (int i = 0; i < 10; i++)
        produce(broker(&c, 1), 3, 0, &w);
    run_ms(&c, 10);
    ck_assert_int_eq(partition_delete_records(broker(&c, 1)->p, 31, &low), KAFKA_OFFSET_OUT_OF_RANGE);
    ck_assert_int_eq(partition_delete_records(broker(&c, 1)->p, 16, &low), KAFKA_NONE); /* inside a batch */
    ck_assert_int_eq(low, 16);
    fetch_rounds(&c, 2, 8);
    struct partition_view v = view_of(broker(&c, 2));
    ck_assert_int_eq(v.log_start, 16);
    ck_assert_int_eq(v.log_end, 30);
    ck_assert_int_eq(v.high_watermark, 30);
    teardown(&c);
}
END_TEST

/* A former leader's log began there, this one's begins lower: nothing of it may be missing in the end. */
START_TEST(an_empty_log_that_begins_above_the_leaders_begins_anew_where_that_begins)
{
    struct cluster c;
    struct waiter w;
    int64_t low;
    setup(&c, 1, 1);
    for (int i = 0; i < 10; i++)
        produce(broker(&c, 1), 3, 0, &w);
    run_ms(&c, 10);
    ck_assert_int_eq(partition_delete_records(broker(&c, 1)->p, 30, &low), KAFKA_NONE);
    fetch_rounds(&c, 2, 3);
    ck_assert_int_eq(view_of(broker(&c, 2)).log_start, 30);
    lead(&c, 3, 1, 3); /* has nothing */
    for (int i = 0; i < 10; i++)
        produce(broker(&c, 3), 4, 0, &w);
    run_ms(&c, 10);
    fetch_rounds(&c, 2, 15);
    ck_assert_int_eq(view_of(broker(&c, 2)).log_start, 0);
    same_log(&c, 2, 3, 0);
    teardown(&c);
}
END_TEST

/* Its tail is of an epoch that the leader has deleted, and cannot compare any more. */
START_TEST(a_tail_that_ends_inside_a_batch_where_the_leaders_log_begins_is_given_up)
{
    struct cluster c;
    struct waiter w;
    int64_t low;
    part_at_four(&c);
    produce(broker(&c, 1), 10, 0, &w); /* [4, 14) */
    run_ms(&c, 10);
    ck_assert_int_eq(partition_delete_records(broker(&c, 1)->p, 7, &low), KAFKA_NONE);
    fetch_rounds(&c, 2, 6);
    struct partition_view v = view_of(broker(&c, 2));
    ck_assert_int_eq(v.log_start, 7);
    ck_assert_int_eq(v.log_end, 14);
    produce(broker(&c, 1), 2, 0, &w);
    run_ms(&c, 10);
    fetch_rounds(&c, 2, 3);
    ck_assert_int_eq(view_of(broker(&c, 2)).high_watermark, 16);
    teardown(&c);
}
END_TEST

/* Else it would call itself a replica that lost data, and the torn end of what it wrote since would be
 * damage. */
/* Nothing covers that file but the batches; none of what was committed is cut because of it. */
START_TEST(an_epoch_that_never_was_does_not_keep_a_follower_away)
{
    struct cluster c;
    struct waiter w;
    uint64_t size;
    setup(&c, 1, 1);
    produce(broker(&c, 1), 2, 0, &w);
    fetch_rounds(&c, 2, 2);
    struct broker *f = broker(&c, 2);
    broker_close(f, true);
    uint8_t *text = mem_env_bytes(f->mem, DATA_DIR "/orders-0/leader-epoch-checkpoint", &size);
    ck_assert(size == 8 && text[4] == '0');
    text[4] = '7';
    broker_open(f, &c.config);
    produce(broker(&c, 1), 2, 0, &w);
    lead(&c, 1, 1, 1);
    fetch(&c, 2);
    ck_assert_int_eq(view_of(f).log_end, 2);
    fetch_rounds(&c, 2, 2);
    ck_assert_int_eq(view_of(f).log_end, 4);
    teardown(&c);
}
END_TEST

/* What is committed is not cut before the batches were asked. */
START_TEST(a_wrong_epoch_of_ones_own_cuts_nothing_that_is_committed)
{
    struct cluster c;
    struct waiter w;
    setup(&c, 2, 1);
    produce(broker(&c, 1), 2, 0, &w);
    fetch_rounds(&c, 2, 3);
    lead(&c, 1, 1, 2);
    for (int i = 0; i < 3; i++)
        produce(broker(&c, 1), 2, 0, &w);
    fetch_rounds(&c, 2, 3);
    struct broker *f = broker(&c, 2);
    ck_assert_int_eq(view_of(f).high_watermark, 8);
    struct epoch_cache *epochs = plog_epochs(f->p->log);
    uint64_t hash = epoch_cache_hash(epochs);
    epoch_cache_truncate_end(epochs, 2);
    ck_assert_int_eq(epoch_cache_assign(epochs, 3, 2, NULL), OK);
    lead(&c, 1, 5, 2);
    for (int i = 0; i < 3; i++) {
        fetch_rounds(&c, 2, 1);
        ck_assert_int_eq(view_of(f).log_end, 8);
    }
    ck_assert_uint_eq(epoch_cache_hash(epochs), hash);
    teardown(&c);
}
END_TEST

START_TEST(what_was_cut_on_purpose_is_not_missed_after_a_power_cut)
{
    struct cluster c;
    struct waiter w;
    int64_t low;
    setup(&c, 2, 1);
    struct broker *b = broker(&c, 1);
    for (int i = 0; i < 3; i++)
        produce(b, 2, 0, &w);
    fetch_rounds(&c, 2, 4);
    produce(b, 3, 0, &w); /* never leaves broker 1 */
    run_ms(&c, 10);
    ck_assert_int_eq(partition_delete_records(b->p, 1, &low),
                     KAFKA_NONE); /* writes the recovery point down */
    run_ms(&c, 10);
    lead(&c, 2, 1, 2);
    produce(broker(&c, 2), 1, 0, &w);
    for (int i = 0; i < 100 && view_of(b).log_end == 9; i++)
        fetch_rounds(&c, 1, 1);
    ck_assert_int_eq(view_of(b).log_end, 6);
    mem_env_crash(b->mem, MEM_DROP);
    broker_close(b, false);
    mem_env_restart(b->mem);
    b->host.power_lost = true;
    broker_open(b, &c.config);
    ck_assert_int_eq(view_of(b).log_end, 6);
    ck_assert(!view_of(b).missing_synced);
    teardown(&c);
}
END_TEST

struct probe {
    struct partition_watch watch;
    int fired;
};

static void count(struct partition_watch *watch)
{
    CONTAINER_OF(watch, struct probe, watch)->fired++;
}

START_TEST(a_watch_fires_once_at_the_change_it_waits_for)
{
    struct cluster c;
    setup(&c, 2, 1);
    struct probe consumer = {0}, follower = {0};
    struct waiter w;
    consumer.watch.fn = follower.watch.fn = count;
    run_ms(&c, 5);
    partition_watch(broker(&c, 1)->p, &consumer.watch, false);
    partition_watch(broker(&c, 1)->p, &follower.watch, true);
    struct iobuf *batch = make_batch(1, 50, 1000, -1, -1, -1);
    append_batch(broker(&c, 1), batch, -1, &w);
    iobuf_unref(batch);
    ck_assert_int_eq(follower.fired, 0);
    run_ms(&c, 5);
    ck_assert_int_eq(follower.fired, 1);
    ck_assert_int_eq(consumer.fired, 0);
    fetch_rounds(&c, 2, 3);
    ck_assert_int_eq(consumer.fired, 1);
    produce(broker(&c, 1), 1, -1, &w);
    fetch_rounds(&c, 2, 3);
    ck_assert_int_eq(follower.fired, 1);
    ck_assert_int_eq(consumer.fired, 1);
    teardown(&c);
}
END_TEST

START_TEST(a_cut_reply_is_taken_as_far_as_it_is_whole_and_a_flipped_bit_is_refused)
{
    struct cluster c;
    struct waiter w;
    setup(&c, 1, 1);
    produce(broker(&c, 1), 2, 0, &w);
    produce(broker(&c, 1), 2, 0, &w);
    run_ms(&c, 10);
    struct partition_read request = {
        .max_bytes = 1 << 20, .replica_id = 2, .current_leader_epoch = -1, .last_fetched_epoch = -1};
    struct partition_read_result result;
    partition_read(broker(&c, 1)->p, &request, &result);
    struct partition *p = broker(&c, 2)->p;
    struct iobuf *owner = result.pieces[0].owner;
    uint8_t *bytes = owner->data;
    int32_t len = result.pieces[0].len;
    bytes[len - 1] ^= 1;
    ck_assert_int_eq(partition_follower_append(p, 7, bytes, len, owner, 0, 0),
                     OK); /* another epoch: ignored */
    ck_assert_int_eq(view_of(broker(&c, 2)).log_end, 0);
    ck_assert_int_eq(partition_follower_append(p, 0, bytes, len, owner, 0, 0), OK);
    ck_assert_int_eq(view_of(broker(&c, 2)).log_end, 2);
    ck_assert_int_eq(partition_follower_append(p, 0, bytes + len / 2, len / 2, owner, 0, 0), ERR_CORRUPT);
    bytes[len - 1] ^= 1;
    ck_assert_int_eq(partition_follower_append(p, 0, bytes + len / 2, len / 2 - 1, owner, 0, 0), OK);
    ck_assert_int_eq(view_of(broker(&c, 2)).log_end, 2);
    ck_assert_int_eq(partition_follower_append(p, 0, bytes, len / 2, owner, 0, 0), ERR_CORRUPT); /* again */
    ck_assert_int_eq(partition_follower_append(p, 0, bytes + len / 2, len / 2, owner, 4, 0), OK);
    ck_assert_int_eq(view_of(broker(&c, 2)).log_end, 4);
    ck_assert_int_eq(view_of(broker(&c, 2)).high_watermark, 4);
    partition_read_release(&result);
    teardown(&c);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, acks_all_waits_until_every_isr_member_has_synced);
    tcase_add_test(tcase, acks_all_is_refused_below_min_isr_and_the_high_watermark_stands);
    tcase_add_test(tcase, behind_a_batch_that_was_refused_a_gap_closes_by_itself);
    tcase_add_test(tcase, what_was_written_once_is_not_refused_as_if_it_were_not);
    tcase_add_test(tcase, a_new_leader_takes_a_gap_for_one_that_closes);
    tcase_add_test(tcase, a_leader_in_doubt_finds_no_fault_with_a_producer);
    tcase_add_test(tcase, a_follower_that_caught_up_is_proposed_for_the_isr);
    tcase_add_test(tcase, a_fenced_follower_is_not_proposed);
    tcase_add_test(tcase, a_silent_follower_is_dropped_after_the_lag_time);
    tcase_add_test(tcase, an_old_leaders_tail_is_cut_by_epoch_not_by_high_watermark);
    tcase_add_loop_test(tcase, what_was_never_committed_goes_though_the_leader_copied_a_compacted_log, 0, 2);
    tcase_add_test(tcase, a_diverged_position_does_not_count);
    tcase_add_test(tcase, a_position_that_nobody_can_compare_counts_once_the_log_begins_there);
    tcase_add_test(tcase, epochs_without_data_do_not_stop_replication);
    tcase_add_test(tcase, waits_end_when_leadership_moves);
    tcase_add_test(tcase, a_wait_times_out_and_the_data_stays);
    tcase_add_test(tcase, stale_and_future_epochs_are_refused);
    tcase_add_test(tcase, a_deletion_is_answered_when_the_followers_begin_there);
    tcase_add_test(tcase, a_deletion_that_followers_do_not_hear_of_ends_with_its_time);
    tcase_add_test(tcase, a_follower_too_far_behind_starts_again_at_the_leaders_log_start);
    tcase_add_test(tcase, an_empty_log_that_begins_above_the_leaders_begins_anew_where_that_begins);
    tcase_add_test(tcase, a_tail_that_ends_inside_a_batch_where_the_leaders_log_begins_is_given_up);
    tcase_add_test(tcase, an_epoch_that_never_was_does_not_keep_a_follower_away);
    tcase_add_test(tcase, a_wrong_epoch_of_ones_own_cuts_nothing_that_is_committed);
    tcase_add_test(tcase, what_was_cut_on_purpose_is_not_missed_after_a_power_cut);
    tcase_add_test(tcase, a_watch_fires_once_at_the_change_it_waits_for);
    tcase_add_test(tcase, a_cut_reply_is_taken_as_far_as_it_is_whole_and_a_flipped_bit_is_refused);
}

SLUICE_TEST_MAIN("broker_replication", add)
