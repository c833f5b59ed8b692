/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions on a partition: who may begin one, what is stable, markers that come twice or late, and which
 * aborted ones a reader is told of, also after the log was opened again. */
#include <stdio.h>

#include "broker/log/plog_damage.h"
#include "broker/log/plog_txnindex.h"
#include "broker/shard/partition_internal.h"
#include "broker/shard/partition_repair.h"
#include "broker/shard/partition_txn.h"
#include "common/batch/marker.h"
#include "tests/unit/broker_fixture.h"

#define PRODUCER    7
#define OTHER       8
#define COORDINATOR 4  /* its epoch */
#define ENTRY_BYTES 34 /* of .txnindex */

struct fixture {
    struct mem_world *world;
    struct broker b;
    struct partition_config config;
    int32_t epoch;
};

static void run(struct fixture *f)
{
    mem_world_run(f->world, mem_world_now_us(f->world) + 1000000);
}

static void lead(struct fixture *f)
{
    f->epoch++;
    broker_apply(&f->b, 1, f->epoch, f->epoch, 1, 1, &f->config);
    run(f);
}

static void setup_with(struct fixture *f, int64_t segment_bytes)
{
    memset(f, 0, sizeof(*f));
    f->world = mem_world_new(5);
    f->config = fixture_config();
    f->config.segment_bytes = segment_bytes;
    broker_start(&f->b, f->world, 1);
    broker_open(&f->b, &f->config);
    lead(f);
}

static void setup(struct fixture *f)
{
    setup_with(f, 1 << 20);
}

static void teardown(struct fixture *f)
{
    broker_stop(&f->b);
    run(f);
    mem_world_free(f->world);
}

static void reopen(struct fixture *f, bool clean)
{
    broker_close(&f->b, clean);
    run(f);
    broker_open(&f->b, &f->config);
    lead(f);
}

static struct iobuf *txn_batch(int64_t producer_id, int16_t epoch, int32_t sequence)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct iobuf *batch;
    struct record_in record = {.timestamp_ms = 1000, .key = BYTES_NULL, .value = {(const uint8_t *)"v", 1}};
    opts.transactional = true;
    opts.producer_id = producer_id;
    opts.producer_epoch = epoch;
    opts.base_sequence = sequence;
    ck_assert_int_eq(batch_builder_init(&builder, &opts, NULL, 256, 4096), OK);
    ck_assert_int_eq(batch_builder_add(&builder, &record), OK);
    ck_assert_int_eq(batch_builder_finish(&builder, NULL, &batch), OK);
    return batch;
}

/* Asks whether it begins a transaction, as a produce handler does. */
static bool begins(struct fixture *f, int64_t producer_id, int16_t epoch, int32_t sequence,
                   struct partition_txn_guard *guard)
{
    struct iobuf *batch = txn_batch(producer_id, epoch, sequence);
    bool yes = partition_txn_begins(f->b.p, batch->data, guard);
    iobuf_unref(batch);
    return yes;
}

/* Appends one record; guard: NULL when nobody was asked. */
static int16_t append(struct fixture *f, int64_t producer_id, int16_t epoch, int32_t sequence,
                      const struct partition_txn_guard *guard)
{
    struct iobuf *batch = txn_batch(producer_id, epoch, sequence);
    struct waiter w = {.wait.done = waiter_done};
    struct partition_append request = {.records = batch->data,
                                       .len = (int32_t)batch->len,
                                       .owner = batch,
                                       .acks = -1,
                                       .timeout_ms = 30000,
                                       .current_leader_epoch = -1,
                                       .guard = guard};
    struct partition_appended ret;
    partition_append(f->b.p, &request, &w.wait, &ret);
    run(f);
    iobuf_unref(batch);
    return ret.error != KAFKA_NONE ? ret.error : w.answers > 0 ? w.error : KAFKA_NONE;
}

/* The coordinator has said yes in between. */
static void begin(struct fixture *f, int64_t producer_id, int16_t epoch, int32_t sequence)
{
    struct partition_txn_guard guard;
    ck_assert(begins(f, producer_id, epoch, sequence, &guard));
    ck_assert_int_eq(append(f, producer_id, epoch, sequence, &guard), KAFKA_NONE);
}

static int16_t mark_by(struct fixture *f, int64_t producer_id, int16_t epoch, bool commit,
                       int32_t coordinator, bool bumped)
{
    struct partition_marker marker = {.producer_id = producer_id,
                                      .producer_epoch = epoch,
                                      .coordinator_epoch = coordinator,
                                      .commit = commit,
                                      .bumped = bumped};
    struct waiter w = {.wait.done = waiter_done};
    struct partition_appended ret;
    partition_append_marker(f->b.p, &marker, 30000, &w.wait, &ret);
    run(f);
    return ret.error != KAFKA_NONE ? ret.error : w.answers > 0 ? w.error : KAFKA_NONE;
}

static int16_t mark(struct fixture *f, int64_t producer_id, int16_t epoch, bool commit)
{
    return mark_by(f, producer_id, epoch, commit, COORDINATOR, true);
}

static int64_t end_of(struct fixture *f)
{
    return view_of(&f->b).log_end;
}

static int64_t stable(struct fixture *f)
{
    return partition_last_stable(f->b.p);
}

/* What a reader of committed records is told from an offset on; the caller releases it. */
static void read_committed(struct fixture *f, int64_t from, struct partition_read_result *ret)
{
    struct partition_read request = {.fetch_offset = from,
                                     .max_bytes = 1 << 20,
                                     .read_committed = true,
                                     .replica_id = -1,
                                     .current_leader_epoch = -1,
                                     .last_fetched_epoch = -1};
    memset(ret, 0, sizeof(*ret));
    partition_read(f->b.p, &request, ret);
    ck_assert_int_eq(ret->error, KAFKA_NONE);
}

START_TEST(nothing_begins_without_the_coordinators_word)
{
    struct fixture f;
    struct partition_txn_guard guard;
    setup(&f);
    ck_assert_int_eq(append(&f, PRODUCER, 0, 0, NULL), KAFKA_INVALID_TXN_STATE);
    ck_assert_int_eq(end_of(&f), 0);
    ck_assert(begins(&f, PRODUCER, 0, 0, &guard));
    ck_assert_int_eq(append(&f, PRODUCER, 0, 0, &guard), KAFKA_NONE);
    ck_assert(!begins(&f, PRODUCER, 0, 1, &guard)); /* it goes on */
    ck_assert_int_eq(append(&f, PRODUCER, 0, 1, NULL), KAFKA_NONE);
    ck_assert_int_eq(end_of(&f), 2);
    ck_assert_int_eq(stable(&f), 0);
    ck_assert_int_eq(mark(&f, PRODUCER, 1, true), KAFKA_NONE);
    ck_assert_int_eq(stable(&f), 3);
    teardown(&f);
}
END_TEST

START_TEST(the_coordinators_word_is_void_after_a_marker_or_with_another_leader)
{
    struct fixture f;
    struct partition_txn_guard guard;
    setup(&f);
    ck_assert(begins(&f, PRODUCER, 0, 0, &guard));
    ck_assert_int_eq(mark_by(&f, PRODUCER, 0, false, COORDINATOR, false), KAFKA_NONE); /* aborted meanwhile */
    ck_assert_int_eq(append(&f, PRODUCER, 0, 0, &guard), KAFKA_INVALID_TXN_STATE);
    ck_assert_int_eq(stable(&f), end_of(&f)); /* nothing hangs */
    ck_assert(begins(&f, PRODUCER, 0, 0, &guard));
    lead(&f);
    ck_assert_int_eq(append(&f, PRODUCER, 0, 0, &guard), KAFKA_INVALID_TXN_STATE);
    teardown(&f);
}
END_TEST

/* The next transaction's first batch came before the marker of the one before it, and joined that one: its
 * outcome then was that of another transaction. */
START_TEST(a_first_batch_does_not_join_the_transaction_whose_marker_is_under_way)
{
    struct fixture f;
    struct partition_txn_guard guard;
    setup(&f);
    begin(&f, PRODUCER, 0, 0);
    ck_assert(!begins(&f, PRODUCER, 1, 0, &guard)); /* its coordinator could not say yes yet */
    ck_assert_int_eq(append(&f, PRODUCER, 1, 0, NULL), KAFKA_CONCURRENT_TRANSACTIONS);
    ck_assert_int_eq(end_of(&f), 1);
    ck_assert_int_eq(mark(&f, PRODUCER, 1, false), KAFKA_NONE);
    begin(&f, PRODUCER, 1, 0);
    ck_assert_int_eq(stable(&f), 2);
    ck_assert_int_eq(mark(&f, PRODUCER, 2, true), KAFKA_NONE);
    struct partition_read_result read;
    read_committed(&f, 2, &read);
    ck_assert_int_eq(read.aborted_count, 0);
    partition_read_release(&read);
    teardown(&f);
}
END_TEST

START_TEST(a_marker_that_comes_twice_is_written_once)
{
    struct fixture f;
    setup(&f);
    begin(&f, PRODUCER, 0, 0);
    ck_assert_int_eq(mark(&f, PRODUCER, 1, true), KAFKA_NONE);
    ck_assert_int_eq(end_of(&f), 2);
    ck_assert_int_eq(mark(&f, PRODUCER, 1, true), KAFKA_NONE);
    ck_assert_int_eq(end_of(&f), 2);
    teardown(&f);
}
END_TEST

START_TEST(a_late_marker_does_not_end_the_next_transaction)
{
    struct fixture f;
    setup(&f);
    begin(&f, PRODUCER, 0, 0);
    ck_assert_int_eq(mark(&f, PRODUCER, 1, true), KAFKA_NONE);
    begin(&f, PRODUCER, 1, 0);
    ck_assert_int_eq(mark(&f, PRODUCER, 1, true), KAFKA_INVALID_PRODUCER_EPOCH); /* KIP-1228 */
    ck_assert_int_eq(mark(&f, PRODUCER, 0, true), KAFKA_INVALID_PRODUCER_EPOCH);
    ck_assert_int_eq(stable(&f), 2);
    ck_assert_int_eq(mark_by(&f, PRODUCER, 2, true, COORDINATOR - 1, true),
                     KAFKA_TRANSACTION_COORDINATOR_FENCED);
    ck_assert_int_eq(stable(&f), 2);
    ck_assert_int_eq(mark_by(&f, PRODUCER, 2, true, COORDINATOR + 1, true), KAFKA_NONE);
    ck_assert_int_eq(stable(&f), 4);
    teardown(&f);
}
END_TEST

START_TEST(a_zombie_is_refused_once_a_marker_has_told_of_its_successor)
{
    struct fixture f;
    struct partition_txn_guard guard;
    setup(&f);
    begin(&f, PRODUCER, 0, 0);
    ck_assert_int_eq(mark(&f, PRODUCER, 2, false), KAFKA_NONE); /* the abort of a server bumps by two */
    begins(&f, PRODUCER, 0, 1, &guard);
    ck_assert_int_eq(append(&f, PRODUCER, 0, 1, &guard), KAFKA_INVALID_PRODUCER_EPOCH);
    ck_assert_int_eq(append(&f, PRODUCER, 1, 0, &guard), KAFKA_INVALID_PRODUCER_EPOCH);
    ck_assert_int_eq(stable(&f), end_of(&f));
    teardown(&f);
}
END_TEST

START_TEST(stable_is_what_lies_below_the_first_open_transaction)
{
    struct fixture f;
    setup(&f);
    begin(&f, PRODUCER, 0, 0); /* 0 */
    begin(&f, OTHER, 0, 0);    /* 1 */
    ck_assert_int_eq(mark(&f, OTHER, 1, true), KAFKA_NONE);
    ck_assert_int_eq(stable(&f), 0);
    begin(&f, OTHER, 1, 0); /* 3 */
    ck_assert_int_eq(mark(&f, PRODUCER, 1, true), KAFKA_NONE);
    ck_assert_int_eq(stable(&f), 3);
    reopen(&f, true);
    ck_assert_int_eq(stable(&f), 3);
    reopen(&f, false);
    ck_assert_int_eq(stable(&f), 3);
    ck_assert_int_eq(mark(&f, OTHER, 2, true), KAFKA_NONE);
    ck_assert_int_eq(stable(&f), end_of(&f));
    teardown(&f);
}
END_TEST

/* Two aborted ones that overlap, and a committed one. */
static void write_aborted(struct fixture *f)
{
    begin(f, PRODUCER, 0, 0); /* 0 */
    begin(f, OTHER, 0, 0);    /* 1 */
    ck_assert_int_eq(mark(f, PRODUCER, 1, false), KAFKA_NONE);
    begin(f, PRODUCER, 1, 0); /* 3 */
    ck_assert_int_eq(mark(f, OTHER, 1, false), KAFKA_NONE);
    ck_assert_int_eq(mark(f, PRODUCER, 2, true), KAFKA_NONE);
}

static void check_aborted(struct fixture *f)
{
    struct partition_read_result read;
    read_committed(f, 0, &read);
    ck_assert_int_eq(read.aborted_count, 2);
    ck_assert_int_eq(read.aborted[0].producer_id, PRODUCER);
    ck_assert_int_eq(read.aborted[0].first_offset, 0);
    ck_assert_int_eq(read.aborted[1].producer_id, OTHER);
    ck_assert_int_eq(read.aborted[1].first_offset, 1);
    ck_assert_int_eq(read.last_stable_offset, 6);
    partition_read_release(&read);
    read_committed(f, 3, &read); /* only the other one's goes on there */
    ck_assert_int_eq(read.aborted_count, 1);
    ck_assert_int_eq(read.aborted[0].producer_id, OTHER);
    partition_read_release(&read);
    read_committed(f, 5, &read);
    ck_assert_int_eq(read.aborted_count, 0);
    partition_read_release(&read);
}

START_TEST(readers_are_told_of_aborted_transactions_in_every_life)
{
    struct fixture f;
    setup(&f);
    write_aborted(&f);
    check_aborted(&f);
    reopen(&f, true);
    check_aborted(&f);
    reopen(&f, false);
    check_aborted(&f);
    teardown(&f);
}
END_TEST

/* What a power cut takes of the index is made anew from the log, which was synced. */
START_TEST(the_index_of_aborted_transactions_survives_a_power_cut)
{
    struct fixture f;
    setup(&f);
    write_aborted(&f);
    mem_env_crash(f.b.mem, MEM_DROP);
    broker_close(&f.b, false);
    mem_env_restart(f.b.mem);
    broker_open(&f.b, &f.config);
    lead(&f);
    check_aborted(&f);
    teardown(&f);
}
END_TEST

/* Puts zeros where an entry was, or in front of where the first one comes: lost power leaves sizes without
 * content. */
static void spoil_index(struct fixture *f, uint64_t at, uint32_t len)
{
    uint8_t zeros[128] = {0};
    struct iovec iov = {zeros, len};
    struct env_file *file;
    char path[256];
    ck_assert_uint_le(len, sizeof(zeros));
    snprintf(path, sizeof(path), "%s/orders-0/00000000000000000000.txnindex", DATA_DIR);
    ck_assert_int_eq(env_file_open(f->b.env, path, ENV_OPEN_WRITE | ENV_OPEN_CREATE, &file), OK);
    ck_assert_int_eq(env_file_write(file, at, &iov, 1), OK);
    env_file_close(file);
}

/* The first batch of a transaction, or its marker, is bad when the index is made anew: that it was aborted
 * nobody knows until it is mended, and a later one is in the index by then (found by simulation: read as
 * committed). */
START_TEST(a_mended_batch_is_aborted_as_it_was)
{
    struct fixture f;
    uint64_t size;
    uint8_t good[256];
    const char *path = DATA_DIR "/orders-0/00000000000000000000.log";
    setup(&f);
    write_aborted(&f);
    run(&f);
    broker_close(&f.b, false);
    run(&f);
    uint8_t *bytes = mem_env_bytes(f.b.mem, path, &size);
    for (int i = 0; i < _i / 2 * 2; i++) /* the marker is the third batch */
        bytes += batch_size(bytes);
    int64_t bad = batch_base_offset(bytes);
    uint32_t len = (uint32_t)batch_size(bytes);
    ck_assert_uint_le(len, sizeof(good));
    memcpy(good, bytes, len);
    bytes[len - 1] ^= 1;
    mem_env_resize(f.b.mem, DATA_DIR "/orders-0/00000000000000000000.txnindex", _i % 2 * ENTRY_BYTES);
    broker_open(&f.b, &f.config);
    lead(&f);
    ck_assert_int_eq(partition_damages(f.b.p), 1);
    ck_assert_int_eq(plog_replace_range(f.b.p->log, bad, bad + 1, good, len), OK);
    check_aborted(&f);
    reopen(&f, false);
    check_aborted(&f);
    teardown(&f);
}
END_TEST

#define LOG_PATH   DATA_DIR "/orders-0/00000000000000000000.log"
#define INDEX_PATH DATA_DIR "/orders-0/00000000000000000000.txnindex"

/* A batch that was made bad in the file of a closed log, and its bytes. */
struct bad_batch {
    uint8_t good[256];
    uint32_t len;
    int64_t offset;
};

/* Which batch, and which of its bytes, counted from its end. */
static void spoil_batch(struct fixture *f, int place, uint32_t from_end, struct bad_batch *ret)
{
    uint64_t size;
    uint8_t *bytes = mem_env_bytes(f->b.mem, LOG_PATH, &size);
    for (int i = 0; i < place; i++)
        bytes += batch_size(bytes);
    ret->offset = batch_base_offset(bytes);
    ret->len = (uint32_t)batch_size(bytes);
    ck_assert_uint_le(ret->len, sizeof(ret->good));
    memcpy(ret->good, bytes, ret->len);
    bytes[ret->len - from_end] ^= 1;
}

static void mend(struct fixture *f, const struct bad_batch *bad)
{
    ck_assert_int_eq(partition_damages(f->b.p), 1);
    ck_assert_int_eq(plog_replace_range(f->b.p->log, bad->offset, bad->offset + 1, bad->good, bad->len), OK);
    ck_assert_int_eq(partition_damages(f->b.p), 0);
}

struct found_aborted {
    struct txn_entry last;
    int count;
};

static void find_one(void *ctx, const struct txn_entry *txn)
{
    struct found_aborted *found = ctx;
    found->last = *txn;
    found->count++;
}

/* What the index says of [from, end). */
static struct found_aborted aborted_in(struct fixture *f, int64_t from, int64_t end)
{
    struct found_aborted found = {.count = 0};
    ck_assert_int_eq(plog_aborted_find(f->b.p->log, from, end, find_one, &found, NULL), OK);
    return found;
}

/* 0 and its commit marker, 1; of the next transaction 2, or nothing, and its abort marker. */
static void check_second_aborted(struct fixture *f, bool has_data)
{
    struct found_aborted found = aborted_in(f, 0, end_of(f));
    ck_assert_int_eq(found.count, has_data);
    if (has_data)
        ck_assert_int_eq(found.last.first_offset, 2);
    ck_assert_int_eq(aborted_in(f, 0, 2).count, 0);
}

/* The marker that committed a producer's first transaction is bad, so that its second one, which was aborted,
 * seems to begin with the first: the index was there already (1), is made anew (0), the second one ends while
 * that is so (2); or has no data here (3). */
START_TEST(a_mended_marker_parts_what_was_committed_from_what_was_aborted)
{
    struct fixture f;
    struct bad_batch bad;
    bool has_data = _i != 3;
    setup(&f);
    begin(&f, PRODUCER, 0, 0);
    ck_assert_int_eq(mark(&f, PRODUCER, 1, true), KAFKA_NONE);
    if (has_data)
        begin(&f, PRODUCER, 1, 0);
    if (_i != 2)
        ck_assert_int_eq(mark(&f, PRODUCER, 2, false), KAFKA_NONE);
    run(&f);
    broker_close(&f.b, false);
    run(&f);
    spoil_batch(&f, 1, 1, &bad);
    if (_i == 0)
        mem_env_resize(f.b.mem, INDEX_PATH, 0);
    broker_open(&f.b, &f.config);
    lead(&f);
    if (_i == 2)
        ck_assert_int_eq(mark(&f, PRODUCER, 2, false), KAFKA_NONE);
    if (_i == 1) /* what is derived without the marker is not believed */
        check_second_aborted(&f, true);
    mend(&f, &bad);
    check_second_aborted(&f, has_data);
    reopen(&f, false);
    check_second_aborted(&f, has_data);
    teardown(&f);
}
END_TEST

/* 0 and its abort marker, 1; 2 and its commit marker, 3; 4 and its abort marker, 5; 6 is not decided. */
static void abort_two(struct fixture *f)
{
    begin(f, PRODUCER, 0, 0);
    ck_assert_int_eq(mark(f, PRODUCER, 1, false), KAFKA_NONE);
    begin(f, PRODUCER, 1, 0);
    ck_assert_int_eq(mark(f, PRODUCER, 2, true), KAFKA_NONE);
    begin(f, PRODUCER, 2, 0);
    ck_assert_int_eq(mark(f, PRODUCER, 3, false), KAFKA_NONE);
    begin(f, PRODUCER, 3, 0);
    run(f);
}

static void check_both_aborted(struct fixture *f)
{
    struct found_aborted found = aborted_in(f, 0, end_of(f));
    ck_assert_int_eq(found.count, 2);
    ck_assert_int_eq(found.last.first_offset, 4);
    ck_assert_int_eq(found.last.last_offset, 5);
    ck_assert_int_eq(aborted_in(f, 2, 4).count, 0);
}

static void flip_in_index(struct fixture *f, uint32_t byte)
{
    uint64_t size;
    uint8_t *bytes = mem_env_bytes(f->b.mem, INDEX_PATH, &size);
    ck_assert_uint_lt(byte, size);
    bytes[byte] ^= 1;
}

/* Each byte of two entries, while the log is open, or closed. */
START_TEST(a_bad_index_is_made_anew)
{
    struct fixture f;
    setup(&f);
    abort_two(&f);
    flip_in_index(&f, (uint32_t)_i / 2);
    if (_i % 2)
        reopen(&f, false);
    check_both_aborted(&f);
    ck_assert_uint_eq(plog_aborted_remade(f.b.p->log), 1);
    ck_assert_int_eq(mark(&f, PRODUCER, 4, false), KAFKA_NONE); /* what was open still is */
    ck_assert_int_eq(aborted_in(&f, 6, 8).count, 1);
    reopen(&f, false);
    ck_assert_int_eq(aborted_in(&f, 0, end_of(&f)).count, 3);
    ck_assert_uint_eq(plog_aborted_remade(f.b.p->log), 0);
    teardown(&f);
}
END_TEST

/* What is not known may begin or end a transaction: readers wait. */
START_TEST(a_bad_index_waits_for_bad_batches)
{
    struct fixture f;
    struct bad_batch bad;
    struct found_aborted found = {.count = 0};
    setup(&f);
    abort_two(&f);
    broker_close(&f.b, false);
    run(&f);
    spoil_batch(&f, 3, 1, &bad);
    flip_in_index(&f, 5);
    broker_open(&f.b, &f.config);
    lead(&f);
    ck_assert_int_eq(plog_aborted_find(f.b.p->log, 0, 4, find_one, &found, NULL), ERR_BUSY);
    ck_assert_int_eq(found.count, 0);
    mend(&f, &bad);
    check_both_aborted(&f);
    teardown(&f);
}
END_TEST

/* The first entry is bad, and the log is cut within the last transaction (0), or before it (1). */
START_TEST(a_cut_does_not_hide_a_bad_index)
{
    struct fixture f;
    int64_t end;
    setup(&f);
    abort_two(&f);
    flip_in_index(&f, 5);
    ck_assert_int_eq(plog_truncate(f.b.p->log, _i ? 4 : 6, &end), OK);
    struct found_aborted found = aborted_in(&f, 0, end);
    ck_assert_int_eq(found.count, _i ? 1 : 2);
    ck_assert_int_eq(found.last.first_offset, _i ? 0 : 4);
    teardown(&f);
}
END_TEST

/* Not mended yet, it is opened again and again: nothing that was right goes. */
START_TEST(nothing_is_forgotten_while_a_batch_is_bad)
{
    struct fixture f;
    struct bad_batch bad;
    setup(&f);
    begin(&f, PRODUCER, 0, 0);
    ck_assert_int_eq(mark(&f, PRODUCER, 1, false), KAFKA_NONE);
    broker_close(&f.b, false);
    run(&f);
    spoil_batch(&f, 0, 1, &bad);
    for (int i = 0; i < 2; i++) {
        broker_open(&f.b, &f.config);
        lead(&f);
        ck_assert_int_eq(aborted_in(&f, 0, 1).count, 1);
        broker_close(&f.b, false);
        run(&f);
    }
    broker_open(&f.b, &f.config);
    lead(&f);
    mend(&f, &bad);
    ck_assert_int_eq(aborted_in(&f, 0, 1).count, 1);
    teardown(&f);
}
END_TEST

/* While the first batch of a transaction is bad, all seems stable at the marker of another one; readers of
 * that batch then look no further than there. */
START_TEST(what_was_stable_at_a_marker_is_corrected_when_a_batch_is_mended)
{
    struct fixture f;
    struct bad_batch bad;
    setup(&f);
    begin(&f, OTHER, 0, 0);    /* 0 */
    begin(&f, PRODUCER, 0, 0); /* 1 */
    ck_assert_int_eq(mark(&f, PRODUCER, 1, false), KAFKA_NONE);
    ck_assert_int_eq(mark(&f, OTHER, 1, false), KAFKA_NONE);
    run(&f);
    broker_close(&f.b, false);
    run(&f);
    spoil_batch(&f, 0, 1, &bad);
    mem_env_resize(f.b.mem, INDEX_PATH, 0);
    broker_open(&f.b, &f.config);
    lead(&f);
    mend(&f, &bad);
    struct found_aborted found = aborted_in(&f, 0, 2);
    ck_assert_int_eq(found.count, 2);
    ck_assert_int_eq(found.last.producer_id, OTHER);
    teardown(&f);
}
END_TEST

/* So much that what was written before lies in a closed segment of 64 KiB. */
static void fill_segments(struct fixture *f)
{
    struct waiter w;
    for (int i = 0; i < 3; i++) {
        struct iobuf *batch = make_batch(1, 60000, 1000, -1, -1, -1);
        ck_assert_int_eq(produce_batch(&f->b, batch, 1, &w).error, KAFKA_NONE);
        iobuf_unref(batch);
        run(f);
    }
}

static bool drop_snapshot(void *ctx, const char *name, bool is_dir)
{
    struct fixture *f = ctx;
    char path[256];
    snprintf(path, sizeof(path), "%s/orders-0/%s", DATA_DIR, name);
    if (strstr(name, ".snapshot"))
        ck_assert_int_eq(env_unlink(f->b.env, path), OK);
    return true;
}

/* Below the recovery point nobody checks the batches when producers are made anew from them: a flipped bit is
 * all that parts a commit marker from one that aborts. */
START_TEST(a_marker_with_a_flipped_bit_aborts_nothing)
{
    struct fixture f;
    struct bad_batch bad;
    struct marker marker;
    uint64_t size;
    setup_with(&f, 64 << 10);
    begin(&f, PRODUCER, 0, 0);
    ck_assert_int_eq(mark(&f, PRODUCER, 1, true), KAFKA_NONE);
    begin(&f, PRODUCER, 1, 0);
    fill_segments(&f);
    broker_close(&f.b, true);
    run(&f);
    spoil_batch(&f, 1, 9, &bad); /* length and value, and the number of headers, are behind the type */
    uint8_t *bytes = mem_env_bytes(f.b.mem, LOG_PATH, &size);
    ck_assert_int_eq(marker_parse(bytes + batch_size(bytes), &marker), OK);
    ck_assert_int_eq(marker.type, MARKER_ABORT);
    ck_assert_int_eq(env_dir_list(f.b.env, DATA_DIR "/orders-0", drop_snapshot, &f), OK);
    broker_open(&f.b, &f.config);
    lead(&f);
    ck_assert_int_eq(aborted_in(&f, 0, 3).count, 0);
    mend(&f, &bad);
    ck_assert_int_eq(aborted_in(&f, 0, 3).count, 0);
    ck_assert_int_eq(stable(&f), 2);
    teardown(&f);
}
END_TEST

/* The same of a batch that seems to begin a transaction, which would never end. */
START_TEST(a_bad_batch_begins_no_transaction)
{
    enum { ATTRIBUTES_AT = 22, TRANSACTIONAL = 1 << 4 };
    struct fixture f;
    struct bad_batch bad;
    struct waiter w;
    uint64_t size;
    setup_with(&f, 64 << 10);
    for (int i = 0; i < 3; i++) {
        struct iobuf *batch = make_batch(1, 50, 1000, PRODUCER, 0, i);
        ck_assert_int_eq(produce_batch(&f.b, batch, 1, &w).error, KAFKA_NONE);
        iobuf_unref(batch);
        run(&f);
    }
    fill_segments(&f);
    broker_close(&f.b, true);
    run(&f);
    spoil_batch(&f, 1, 1, &bad);
    uint8_t *bytes = mem_env_bytes(f.b.mem, LOG_PATH, &size);
    bytes += batch_size(bytes);
    bytes[bad.len - 1] ^= 1; /* as it was */
    bytes[ATTRIBUTES_AT] ^= TRANSACTIONAL;
    ck_assert_int_eq(env_dir_list(f.b.env, DATA_DIR "/orders-0", drop_snapshot, &f), OK);
    broker_open(&f.b, &f.config);
    lead(&f);
    ck_assert_int_eq(producer_state_open_txn(plog_producers(f.b.p->log), PRODUCER), -1);
    mend(&f, &bad);
    ck_assert_int_eq(producer_state_open_txn(plog_producers(f.b.p->log), PRODUCER), -1);
    teardown(&f);
}
END_TEST

static bool count_snapshot(void *ctx, const char *name, bool is_dir)
{
    *(int *)ctx += strstr(name, ".snapshot") != NULL;
    return true;
}

/* One that was made without the bad batch must not come back beside the mended one. */
START_TEST(lost_power_brings_back_no_snapshot_from_before_a_mend)
{
    struct fixture f;
    struct bad_batch bad;
    int snapshots = 0;
    setup(&f);
    begin(&f, PRODUCER, 0, 0);
    ck_assert_int_eq(mark(&f, PRODUCER, 1, true), KAFKA_NONE);
    begin(&f, PRODUCER, 1, 0);
    reopen(&f, true); /* which makes all durable */
    broker_close(&f.b, true);
    run(&f);
    spoil_batch(&f, 1, 1, &bad);
    broker_open(&f.b, &f.config);
    lead(&f);
    ck_assert_int_eq(env_dir_list(f.b.env, DATA_DIR "/orders-0", count_snapshot, &snapshots), OK);
    ck_assert_int_eq(snapshots, 1);
    mend(&f, &bad);
    mem_env_crash(f.b.mem, MEM_DROP);
    broker_close(&f.b, false);
    mem_env_restart(f.b.mem);
    snapshots = 0;
    ck_assert_int_eq(env_dir_list(f.b.env, DATA_DIR "/orders-0", count_snapshot, &snapshots), OK);
    ck_assert_int_eq(snapshots, 0);
    broker_open(&f.b, &f.config);
    teardown(&f);
}
END_TEST

START_TEST(zeros_in_the_index_are_no_aborted_transactions_and_hide_none)
{
    struct fixture f;
    setup(&f);
    write_aborted(&f);
    broker_close(&f.b, false);
    run(&f);
    spoil_index(&f, (uint64_t)_i * ENTRY_BYTES, ENTRY_BYTES);
    broker_open(&f.b, &f.config);
    lead(&f);
    check_aborted(&f);
    reopen(&f, false);
    check_aborted(&f);
    teardown(&f);
}
END_TEST

/* Producer 0 is the one that zeros name. */
START_TEST(what_the_first_producer_committed_at_offset_0_is_not_called_aborted)
{
    struct fixture f;
    struct partition_read_result read;
    setup(&f);
    begin(&f, 0, 0, 0);
    ck_assert_int_eq(mark(&f, 0, 1, true), KAFKA_NONE);
    broker_close(&f.b, false);
    run(&f);
    spoil_index(&f, 0, ENTRY_BYTES);
    broker_open(&f.b, &f.config);
    lead(&f);
    read_committed(&f, 0, &read);
    ck_assert_int_eq(read.aborted_count, 0);
    partition_read_release(&read);
    teardown(&f);
}
END_TEST

/* The index of a closed segment, too, whose snapshot of producers is on the disk already. */
START_TEST(the_index_of_a_closed_segment_is_restored)
{
    struct fixture f;
    setup_with(&f, 64 << 10);
    write_aborted(&f);
    fill_segments(&f);
    ck_assert_int_gt(view_of(&f.b).log_end, 6);
    broker_close(&f.b, false);
    run(&f);
    spoil_index(&f, 0, 2 * ENTRY_BYTES);
    broker_open(&f.b, &f.config);
    lead(&f);
    struct partition_read_result read;
    read_committed(&f, 0, &read);
    ck_assert_int_eq(read.aborted_count, 2);
    partition_read_release(&read);
    teardown(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, nothing_begins_without_the_coordinators_word);
    tcase_add_test(tcase, the_coordinators_word_is_void_after_a_marker_or_with_another_leader);
    tcase_add_test(tcase, a_first_batch_does_not_join_the_transaction_whose_marker_is_under_way);
    tcase_add_test(tcase, a_marker_that_comes_twice_is_written_once);
    tcase_add_test(tcase, a_late_marker_does_not_end_the_next_transaction);
    tcase_add_test(tcase, a_zombie_is_refused_once_a_marker_has_told_of_its_successor);
    tcase_add_test(tcase, stable_is_what_lies_below_the_first_open_transaction);
    tcase_add_test(tcase, readers_are_told_of_aborted_transactions_in_every_life);
    tcase_add_test(tcase, the_index_of_aborted_transactions_survives_a_power_cut);
    tcase_add_loop_test(tcase, a_mended_batch_is_aborted_as_it_was, 0, 4);
    tcase_add_loop_test(tcase, a_mended_marker_parts_what_was_committed_from_what_was_aborted, 0, 4);
    tcase_add_test(tcase, nothing_is_forgotten_while_a_batch_is_bad);
    tcase_add_loop_test(tcase, a_bad_index_is_made_anew, 0, 2 * 2 * ENTRY_BYTES);
    tcase_add_test(tcase, a_bad_index_waits_for_bad_batches);
    tcase_add_loop_test(tcase, a_cut_does_not_hide_a_bad_index, 0, 2);
    tcase_add_test(tcase, what_was_stable_at_a_marker_is_corrected_when_a_batch_is_mended);
    tcase_add_test(tcase, a_marker_with_a_flipped_bit_aborts_nothing);
    tcase_add_test(tcase, a_bad_batch_begins_no_transaction);
    tcase_add_test(tcase, lost_power_brings_back_no_snapshot_from_before_a_mend);
    tcase_add_loop_test(tcase, zeros_in_the_index_are_no_aborted_transactions_and_hide_none, 0, 2);
    tcase_add_test(tcase, what_the_first_producer_committed_at_offset_0_is_not_called_aborted);
    tcase_add_test(tcase, the_index_of_a_closed_segment_is_restored);
}

SLUICE_TEST_MAIN("broker_partition_txn", add)
