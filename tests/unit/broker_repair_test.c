/* SPDX-License-Identifier: Apache-2.0 */
/* Damaged ranges of one replica, mended with the bytes of another, through the partition API. */
#include <stdio.h>

#include "broker/shard/partition_repair.h"
#include "tests/unit/broker_fixture.h"

#define BATCHES 40
#define LOG     DATA_DIR "/orders-0/00000000000000000000.log"

static struct mem_world *world;
static struct broker b[BROKERS_MAX];
static struct partition_config config;
static int damaged_told;

static void on_damaged(void *ctx, struct partition *p)
{
    damaged_told++;
}

static void run_ms(uint64_t ms)
{
    mem_world_run(world, mem_world_now_us(world) + ms * 1000);
}

static void apply(int32_t leader, int32_t leader_epoch, int32_t partition_epoch)
{
    for (int i = 0; i < BROKERS_MAX; i++)
        broker_apply(&b[i], leader, leader_epoch, partition_epoch, BROKERS_MAX, BROKERS_MAX, &config);
}

/* Only the leader is in sync. */
static void apply_alone(int32_t leader, int32_t leader_epoch, int32_t partition_epoch)
{
    for (int i = 0; i < BROKERS_MAX; i++)
        broker_apply(&b[i], leader, leader_epoch, partition_epoch, BROKERS_MAX, 1, &config);
}

static void fetch(struct broker *l, struct broker *f, int32_t id)
{
    struct partition_fetch_state state;
    struct partition_read_result result;
    ck_assert(partition_fetch_state(f->p, &state));
    ck_assert_int_eq(partition_follower_fetched(l->p, id, 100 + id, state.fetch_offset, state.durable_offset,
                                                state.leader_epoch, state.last_fetched_epoch),
                     KAFKA_NONE);
    struct partition_read request = {.fetch_offset = state.fetch_offset,
                                     .max_bytes = 1 << 20,
                                     .replica_id = id,
                                     .current_leader_epoch = state.leader_epoch,
                                     .last_fetched_epoch = state.last_fetched_epoch};
    partition_read(l->p, &request, &result);
    ck_assert_int_eq(result.error, KAFKA_NONE);
    if (result.pieces_count == 0)
        ck_assert_int_eq(partition_follower_append(f->p, state.leader_epoch, NULL, 0, NULL,
                                                   result.high_watermark, result.log_start),
                         OK);
    for (int32_t i = 0; i < result.pieces_count; i++)
        ck_assert_int_eq(partition_follower_append(f->p, state.leader_epoch, result.pieces[i].p,
                                                   result.pieces[i].len, result.pieces[i].owner,
                                                   result.high_watermark, result.log_start),
                         OK);
    partition_read_release(&result);
}

static void append(struct broker *l, int i)
{
    struct waiter w;
    struct iobuf *batch = make_batch(1 + i % 3, 50 + i * 17, 1000, -1, -1, -1);
    ck_assert_int_eq(produce_batch(l, batch, 0, &w).error, KAFKA_NONE);
    iobuf_unref(batch);
}

/* Broker 1 leads in epoch 3; all hold the same BATCHES of it, committed. */
static void setup(void)
{
    world = mem_world_new(5);
    config = fixture_config();
    damaged_told = 0;
    for (int i = 0; i < BROKERS_MAX; i++) {
        broker_start(&b[i], world, i + 1);
        b[i].host.damaged = on_damaged;
        broker_open(&b[i], &config);
    }
    apply(1, 3, 1);
    for (int i = 0; i < BATCHES; i++)
        append(&b[0], i);
    run_ms(50);
    for (int round = 0; round < 3; round++) {
        fetch(&b[0], &b[1], 2);
        fetch(&b[0], &b[2], 3);
        run_ms(50);
    }
    ck_assert_int_eq(view_of(&b[0]).high_watermark, view_of(&b[0]).log_end);
}

static void teardown(void)
{
    for (int i = 0; i < BROKERS_MAX; i++)
        broker_stop(&b[i]);
    run_ms(1000);
    mem_world_free(world);
}

/* Where the n-th batch of the first segment begins, and its offsets. */
static uint64_t batch_at(struct broker *who, int n, int64_t *ret_offset)
{
    uint64_t size, at = 0;
    const uint8_t *bytes = mem_env_bytes(who->mem, LOG, &size);
    while (n-- > 0)
        at += batch_size(bytes + at);
    ck_assert_uint_lt(at, size);
    *ret_offset = batch_base_offset(bytes + at);
    return at;
}

static void flip(struct broker *who, uint64_t at)
{
    uint64_t size;
    mem_env_bytes(who->mem, LOG, &size)[at] ^= 0x10;
}

/* As after a restart: what was appended counts as checked no more. */
static void reopen(struct broker *who, int32_t leader, int32_t leader_epoch)
{
    broker_close(who, true);
    run_ms(50);
    broker_open(who, &config);
    broker_apply(who, leader, leader_epoch, 1, BROKERS_MAX, BROKERS_MAX, &config);
    run_ms(50);
}

static int16_t read_at(struct broker *who, int64_t offset, int32_t replica_id, int32_t *ret_bytes)
{
    struct partition_read_result result;
    struct partition_read request = {.fetch_offset = offset,
                                     .max_bytes = 1,
                                     .at_least_one = true,
                                     .replica_id = replica_id,
                                     .current_leader_epoch = -1,
                                     .last_fetched_epoch = -1};
    partition_read(who->p, &request, &result);
    int16_t error = result.error;
    *ret_bytes = result.bytes;
    partition_read_release(&result);
    if (error == KAFKA_CORRUPT_MESSAGE)
        run_ms(10); /* how far it goes is measured aside */
    return error;
}

/* One question to a peer, as repair.c asks it. */
static enum err ask(struct broker *who, struct broker *peer, int32_t peer_id)
{
    struct partition_repair want;
    struct partition_read_result result;
    int64_t end;
    ck_assert(partition_repair_next(who->p, 0, &want));
    struct partition_read request = {.fetch_offset = want.ask_from,
                                     .max_bytes = 600,
                                     .at_least_one = true,
                                     .replica_id = PARTITION_READER_REPAIR,
                                     .current_leader_epoch = want.leader_epoch,
                                     .last_fetched_epoch = -1};
    partition_read(peer->p, &request, &result);
    if (result.error != KAFKA_NONE) {
        partition_read_release(&result);
        run_ms(10); /* the peer measures its own damage */
        return ERR_REJECTED;
    }
    ck_assert_int_eq(result.pieces_count, 1);
    struct partition_repair_reply reply = {.offset = want.offset,
                                           .leader_epoch = want.leader_epoch,
                                           .from_leader = peer_id == want.leader,
                                           .high_watermark = result.high_watermark,
                                           .records = result.pieces[0].p,
                                           .len = result.pieces[0].len};
    enum err err = partition_repair_take(who->p, &reply, &end);
    if (err == OK)
        ck_assert_int_gt(end, want.offset);
    partition_read_release(&result);
    return err;
}

/* The size without the room at the end. */
static uint64_t used(const uint8_t *bytes, uint64_t size)
{
    while (size > 0 && bytes[size - 1] == 0)
        size--;
    return size;
}

static void same_bytes(struct broker *one, struct broker *other)
{
    uint64_t size, other_size;
    const uint8_t *bytes = mem_env_bytes(one->mem, LOG, &size);
    const uint8_t *others = mem_env_bytes(other->mem, LOG, &other_size);
    size = used(bytes, size);
    ck_assert_uint_eq(size, used(others, other_size));
    ck_assert_mem_eq(bytes, others, size);
}

static const uint64_t places[] = {70, BATCH_AT_BASE_OFFSET + 7, BATCH_AT_LEADER_EPOCH + 3,
                                  BATCH_AT_LENGTH + 2, BATCH_AT_MAGIC};

START_TEST(a_leader_is_mended_by_a_follower_and_serves_the_rest_meanwhile)
{
    int64_t offset, before, behind;
    int32_t bytes;
    setup();
    batch_at(&b[0], 9, &before);
    batch_at(&b[0], 11, &behind);
    uint64_t at = batch_at(&b[0], 10, &offset);
    reopen(&b[0], 1, 3);
    for (int i = 1; i < BROKERS_MAX; i++)
        fetch(&b[0], &b[i], i + 1);
    flip(&b[0], at + places[_i]);
    for (int again = 0; again < 2; again++) {
        ck_assert_int_eq(read_at(&b[0], offset, -1, &bytes), KAFKA_CORRUPT_MESSAGE);
        ck_assert_int_eq(read_at(&b[0], before, -1, &bytes), KAFKA_NONE);
        ck_assert_int_gt(bytes, 0);
        ck_assert_int_eq(read_at(&b[0], behind, -1, &bytes), KAFKA_NONE);
        ck_assert_int_gt(bytes, 0);
    }
    ck_assert_int_eq(damaged_told, 2); /* again: who was told may have had no memory for it */
    ck_assert_int_eq(partition_damages(b[0].p), 1);
    ck_assert(!view_of(&b[0]).offline);
    ck_assert_int_eq(ask(&b[0], &b[1], 2), OK);
    ck_assert_int_eq(partition_damages(b[0].p), 0);
    ck_assert_int_eq(read_at(&b[0], offset, -1, &bytes), KAFKA_NONE);
    ck_assert_int_gt(bytes, 0);
    run_ms(100);
    same_bytes(&b[0], &b[1]);
    teardown();
}
END_TEST

START_TEST(a_follower_is_mended_by_its_leader_piece_by_piece)
{
    int64_t offset;
    int32_t bytes;
    setup();
    reopen(&b[1], 1, 3);
    uint64_t from = batch_at(&b[1], 15, &offset), to = batch_at(&b[1], 20, &offset);
    for (uint64_t at = from; at < to; at += 50)
        flip(&b[1], at);
    batch_at(&b[0], 15, &offset);
    ck_assert_int_eq(read_at(&b[1], offset, PARTITION_READER_REPAIR, &bytes), KAFKA_CORRUPT_MESSAGE);
    int questions = 0;
    while (partition_damages(b[1].p) > 0) {
        ck_assert_int_eq(ask(&b[1], &b[0], 1), OK);
        questions++;
    }
    ck_assert_int_gt(questions, 1);
    run_ms(100);
    same_bytes(&b[0], &b[1]);
    teardown();
}
END_TEST

/* Found by simulation: readers stood at the log start for ever, for no peer has what lies below it. */
START_TEST(a_range_that_begins_below_the_log_start_is_mended)
{
    for (int first = 13; first <= 16; first++) { /* batch; the log start lies inside the 16th */
        int64_t offset, start, low;
        int32_t bytes;
        setup();
        reopen(&b[1], 1, 3);
        for (int i = first; i < 18; i++)
            flip(&b[1], batch_at(&b[0], i, &offset) + 70);
        batch_at(&b[0], first, &offset);
        ck_assert_int_eq(read_at(&b[1], offset, PARTITION_READER_REPAIR, &bytes), KAFKA_CORRUPT_MESSAGE);
        batch_at(&b[0], 16, &start);
        ck_assert_int_eq(partition_delete_records(b[0].p, start + 1, &low), KAFKA_NONE);
        fetch(&b[0], &b[1], 2);
        ck_assert_int_eq(view_of(&b[1]).log_start, start + 1);
        while (partition_damages(b[1].p) > 0)
            ck_assert_int_eq(ask(&b[1], &b[0], 1), OK);
        ck_assert_int_eq(read_at(&b[1], start + 1, PARTITION_READER_REPAIR, &bytes), KAFKA_NONE);
        ck_assert_int_gt(bytes, 0);
        int64_t end = view_of(&b[1]).log_end;
        run_ms(100);
        broker_close(&b[1], false);
        run_ms(50);
        broker_open(&b[1], &config); /* what was put in is no damage to a scan */
        ck_assert_int_eq(partition_damages(b[1].p), 0);
        ck_assert_int_eq(view_of(&b[1]).log_end, end);
        teardown();
    }
}
END_TEST

START_TEST(what_may_be_another_record_is_not_believed)
{
    int64_t offset, end;
    struct partition_repair want;
    int32_t bytes;
    setup();
    reopen(&b[0], 1, 3);
    for (int i = 1; i < BROKERS_MAX; i++)
        fetch(&b[0], &b[i], i + 1);
    uint64_t size, at = batch_at(&b[0], 10, &offset), good = batch_at(&b[1], 10, &offset);
    flip(&b[0], at + 80);
    ck_assert_int_eq(read_at(&b[0], offset, -1, &bytes), KAFKA_CORRUPT_MESSAGE);
    ck_assert(partition_repair_next(b[0].p, 0, &want));
    ck_assert_int_eq(want.leader, -1);
    uint8_t batch[4096];
    const uint8_t *theirs = mem_env_bytes(b[1].mem, LOG, &size) + good;
    int32_t len = (int32_t)batch_size(theirs);
    memcpy(batch, theirs, (size_t)len);
    struct partition_repair_reply reply = {
        .offset = want.offset, .leader_epoch = 3, .records = batch, .len = len, .high_watermark = want.end};
    struct partition_repair_reply other = reply;
    other.high_watermark = want.end - 1; /* not committed as far as that peer knows */
    ck_assert_int_eq(partition_repair_take(b[0].p, &other, &end), ERR_NOT_FOUND);
    other = reply;
    other.leader_epoch = 2;
    ck_assert_int_eq(partition_repair_take(b[0].p, &other, &end), ERR_STALE);
    other = reply;
    other.offset--;
    ck_assert_int_eq(partition_repair_take(b[0].p, &other, &end), ERR_STALE);
    batch_set_leader_epoch(batch, 9);
    ck_assert_int_eq(partition_repair_take(b[0].p, &reply, &end), ERR_MISMATCH);
    batch_set_leader_epoch(batch, 3);
    batch_set_base_offset(batch, want.offset - 1);
    ck_assert_int_ne(partition_repair_take(b[0].p, &reply, &end), OK);
    batch_set_base_offset(batch, want.offset);
    batch[70] ^= 1;
    ck_assert_int_eq(partition_repair_take(b[0].p, &reply, &end), ERR_CORRUPT);
    batch[70] ^= 1;
    other = reply;
    other.len--;
    ck_assert_int_eq(partition_repair_take(b[0].p, &other, &end), ERR_NOT_FOUND);
    ck_assert_int_eq(partition_damages(b[0].p), 1);
    ck_assert_int_eq(partition_repair_take(b[0].p, &reply, &end), OK);
    ck_assert_int_eq(end, want.end);
    ck_assert_int_eq(partition_repair_take(b[0].p, &reply, &end), ERR_STALE);
    run_ms(100);
    same_bytes(&b[0], &b[1]);
    teardown();
}
END_TEST

START_TEST(a_peer_with_the_same_damage_sends_nothing)
{
    int64_t offset;
    int32_t bytes;
    setup();
    reopen(&b[0], 1, 3);
    reopen(&b[1], 1, 3);
    for (int i = 1; i < BROKERS_MAX; i++)
        fetch(&b[0], &b[i], i + 1);
    uint64_t at = batch_at(&b[0], 10, &offset);
    flip(&b[0], at + 80);
    flip(&b[1], at + 90);
    ck_assert_int_eq(read_at(&b[0], offset, -1, &bytes), KAFKA_CORRUPT_MESSAGE);
    ck_assert_int_eq(ask(&b[0], &b[1], 2), ERR_REJECTED);
    ck_assert_int_eq(damaged_told, 2); /* the peer has learned of its own */
    ck_assert_int_eq(ask(&b[0], &b[2], 3), OK);
    ck_assert_int_eq(ask(&b[1], &b[0], 1), OK);
    run_ms(100);
    same_bytes(&b[0], &b[2]);
    same_bytes(&b[1], &b[2]);
    teardown();
}
END_TEST

/* Found by simulation: followers stood before such a range for ever. What is committed stays, damaged. */
START_TEST(a_leader_gives_up_a_damaged_tail_that_nobody_else_has)
{
    int64_t offset, committed;
    int32_t bytes;
    setup();
    for (int i = 0; i < 3; i++)
        append(&b[0], i);
    run_ms(50);
    broker_close(&b[0], true);
    run_ms(50);
    flip(&b[0], batch_at(&b[0], BATCHES + 1, &offset) + places[0]);
    broker_open(&b[0], &config);
    broker_apply(&b[0], 1, 3, 1, BROKERS_MAX, BROKERS_MAX, &config);
    for (int i = 1; i < BROKERS_MAX; i++)
        fetch(&b[0], &b[i], i + 1); /* what lies before it */
    flip(&b[0], batch_at(&b[0], 10, &committed) + places[0]);
    ck_assert_int_eq(read_at(&b[0], committed, 2, &bytes), KAFKA_CORRUPT_MESSAGE);
    ck_assert_int_eq(read_at(&b[0], offset, 2, &bytes), KAFKA_CORRUPT_MESSAGE);
    ck_assert_int_eq(partition_damages(b[0].p), 2);
    partition_repair_give_up(b[0].p, committed, true);
    partition_repair_give_up(b[0].p, offset + 1000, true); /* nothing is damaged there */
    partition_repair_give_up(b[1].p, offset, true);
    run_ms(10);
    ck_assert(!view_of(&b[0]).offline && !view_of(&b[1]).offline);
    partition_repair_give_up(b[0].p, offset, true);
    run_ms(10);
    ck_assert(view_of(&b[0]).offline);
    apply(2, 4, 2);
    run_ms(3000);
    apply(2, 4, 2);
    ck_assert(!view_of(&b[0]).offline);
    while (!partition_follower_diverged(b[0].p, 4, 3, view_of(&b[1]).log_end))
        run_ms(50);
    ck_assert_int_eq(view_of(&b[0]).log_end, view_of(&b[1]).log_end);
    ck_assert_int_eq(read_at(&b[0], committed, PARTITION_READER_REPAIR, &bytes), KAFKA_CORRUPT_MESSAGE);
    teardown();
}
END_TEST

/* A peer may have compacted away what is damaged here, also where that was long ago. */
START_TEST(what_was_compacted_once_is_mended_with_nothing)
{
    int64_t offset, end;
    struct partition_repair want;
    uint64_t size;
    uint8_t batch[4096];
    setup();
    for (int compacted = 1; compacted >= 0; compacted--) {
        config.compacted = compacted;
        reopen(&b[0], 2, 4);
        run_ms(2000);
    }
    uint64_t behind = batch_at(&b[0], 11, &offset), at = batch_at(&b[0], 10, &offset);
    const uint8_t *bytes = mem_env_bytes(b[0].mem, LOG, &size) + behind;
    int32_t len = (int32_t)batch_size(bytes);
    memcpy(batch, bytes, (size_t)len);
    flip(&b[0], at + places[0]);
    while (partition_damage_found(b[0].p, offset) == ERR_BUSY)
        run_ms(10);
    ck_assert(partition_repair_next(b[0].p, 0, &want));
    struct partition_repair_reply reply = {
        .offset = offset, .leader_epoch = 4, .from_leader = true, .records = batch, .len = len};
    ck_assert_int_eq(partition_repair_take(b[0].p, &reply, &end), OK);
    ck_assert_int_eq(end, want.end);
    ck_assert_int_eq(partition_damages(b[0].p), 0);
    teardown();
}
END_TEST

static struct rpc_alter_partition told;

static void on_leave(void *ctx, struct partition *p, const struct rpc_alter_partition *request)
{
    told = *request;
}

/* Found by simulation: the same where no other replica is known to be complete. It could not be acknowledged,
 * once all others have shown that they end before it. */
START_TEST(a_leader_alone_drops_a_damaged_tail_that_nobody_else_has)
{
    int64_t offset;
    int32_t bytes;
    setup();
    config.min_insync_replicas = 2;
    for (int i = 0; i < 3; i++)
        append(&b[0], i);
    run_ms(50);
    int64_t end = view_of(&b[0]).log_end;
    broker_close(&b[0], true);
    run_ms(50);
    flip(&b[0], batch_at(&b[0], BATCHES + 1, &offset) + places[0]);
    b[0].host.leave = on_leave;
    broker_open(&b[0], &config);
    apply_alone(1, 3, 2);
    partition_leave_done(b[0].p, KAFKA_NONE);
    apply_alone(1, 4, 3);
    ck_assert_int_eq(read_at(&b[0], offset, 2, &bytes), KAFKA_CORRUPT_MESSAGE);
    for (int i = 1; i < BROKERS_MAX; i++) {
        partition_repair_give_up(b[0].p, offset, false); /* one has not been heard of, and may have it */
        run_ms(10);
        ck_assert(!view_of(&b[0]).offline);
        fetch(&b[0], &b[i], i + 1);
        ck_assert_int_eq(partition_follower_fetched(b[0].p, i + 1, 101 + i, offset, offset, 4, 3),
                         KAFKA_NONE);
    }
    partition_repair_give_up(b[0].p, offset, false);
    run_ms(10);
    ck_assert(view_of(&b[0]).offline);
    ck_assert(!told.lost_data);
    partition_leave_done(b[0].p, KAFKA_NONE);
    apply_alone(1, 5, 4); /* nobody else may lead */
    run_ms(3000);
    apply_alone(1, 5, 4);
    ck_assert(!view_of(&b[0]).offline);
    ck_assert_int_lt(offset, end);
    ck_assert_int_eq(view_of(&b[0]).log_end, offset);
    ck_assert(told.lost_data && told.leader_epoch == 5); /* who holds most will lead */
    teardown();
}
END_TEST

/* A log's end takes no epoch that it never had: what lies in front of it, which the leader does not have,
 * would be hidden by that. */
START_TEST(a_tail_that_the_leader_has_not_judged_takes_no_newer_epoch)
{
    int64_t offset, end;
    struct partition_repair want;
    uint64_t size;
    uint8_t batch[4096];
    setup();
    append(&b[0], 0);
    append(&b[0], 1);
    run_ms(50);
    broker_close(&b[0], true);
    run_ms(50);
    uint64_t at = batch_at(&b[0], BATCHES + 1, &offset);
    const uint8_t *bytes = mem_env_bytes(b[0].mem, LOG, &size) + at;
    int32_t len = (int32_t)batch_size(bytes);
    memcpy(batch, bytes, (size_t)len);
    flip(&b[0], at + places[0]);
    broker_open(&b[0], &config);
    broker_apply(&b[0], 2, 5, 2, BROKERS_MAX, BROKERS_MAX, &config);
    ck_assert(partition_repair_next(b[0].p, 0, &want));
    ck_assert_int_eq(want.offset, offset);
    struct partition_repair_reply reply = {.offset = offset,
                                           .leader_epoch = 5,
                                           .from_leader = true,
                                           .records = batch,
                                           .len = len,
                                           .high_watermark = offset};
    batch_set_leader_epoch(batch, 5);
    ck_assert_int_eq(partition_repair_take(b[0].p, &reply, &end), ERR_MISMATCH);
    batch_set_leader_epoch(batch, 3);
    ck_assert_int_eq(partition_repair_take(b[0].p, &reply, &end), OK);
    teardown();
}
END_TEST

/* Else nobody would mend it before the broker is started again. */
START_TEST(damage_on_the_way_to_a_cut_is_told)
{
    int64_t offset;
    setup();
    apply(2, 4, 2);
    append(&b[1], 0);
    run_ms(50);
    int64_t end = view_of(&b[0]).log_end;
    flip(&b[1], batch_at(&b[1], BATCHES - 2, &offset) + BATCH_AT_LENGTH + 2);
    apply(1, 5, 3);
    while (!partition_follower_diverged(b[1].p, 5, 3, end))
        run_ms(50);
    ck_assert_int_eq(view_of(&b[1]).log_end, end);
    ck_assert_int_eq(partition_damages(b[1].p), 1);
    ck_assert_int_eq(damaged_told, 1);
    teardown();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, a_leader_is_mended_by_a_follower_and_serves_the_rest_meanwhile, 0, 5);
    tcase_add_test(tcase, a_follower_is_mended_by_its_leader_piece_by_piece);
    tcase_add_test(tcase, a_range_that_begins_below_the_log_start_is_mended);
    tcase_add_test(tcase, what_may_be_another_record_is_not_believed);
    tcase_add_test(tcase, a_peer_with_the_same_damage_sends_nothing);
    tcase_add_test(tcase, what_was_compacted_once_is_mended_with_nothing);
    tcase_add_test(tcase, a_leader_gives_up_a_damaged_tail_that_nobody_else_has);
    tcase_add_test(tcase, a_leader_alone_drops_a_damaged_tail_that_nobody_else_has);
    tcase_add_test(tcase, a_tail_that_the_leader_has_not_judged_takes_no_newer_epoch);
    tcase_add_test(tcase, damage_on_the_way_to_a_cut_is_told);
}

SLUICE_TEST_MAIN("broker_repair", add)
