/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions through compaction: what was aborted goes, a marker stays as long as data of its transaction
 * does, and then until its horizon; readers never meet aborted data without being told of it. */
#include "broker/log/plog_compact.h"
#include "broker/log/plog_txnindex.h"
#include "tests/unit/broker_plog_fixture.h"

#define DAY_MS      86400000ll
#define OFFSETS_MAX 32
#define ABORT       0
#define COMMIT      1

/* Offsets of the sample. */
enum {
    ABORTED_DATA = 0,      /* keys a and b, then their marker */
    ABORT_MARKER = 2,      /* of producer 701 */
    KEPT_DATA = 3,         /* key a */
    KEPT_MARKER = 4,       /* of producer 702 */
    SUPERSEDED_DATA = 5,   /* key c */
    SUPERSEDED_MARKER = 6, /* of producer 703 */
    NEWER = 7,             /* key c, no transaction */
};

static struct plog_fixture f;
static struct batch_scratch scratch;
static struct plog_compacted result;
static int results;

/* A batch at the log's end: keys (one letter each), or a marker of that type. */
static void append(int64_t producer_id, int32_t sequence, const char *keys, int marker)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct iobuf *batch;
    uint8_t type[4] = {0, 0, 0, (uint8_t)marker}, coordinator[6] = {0};
    opts.producer_id = producer_id;
    opts.producer_epoch = producer_id < 0 ? -1 : 0;
    opts.base_sequence = sequence;
    opts.transactional = producer_id >= 0 && producer_id < 710;
    opts.control = keys == NULL;
    ck_assert_int_eq(batch_builder_init(&builder, &opts, NULL, 256, 4096), OK);
    for (int i = 0; keys == NULL ? i == 0 : keys[i] != 0; i++) {
        struct record_in record = {.timestamp_ms = env_wall_ms(f.env),
                                   .key = {(const uint8_t *)(keys ? &keys[i] : NULL), 1},
                                   .value = {(const uint8_t *)"value", 5}};
        if (keys == NULL) {
            record.key = (struct bytes){type, sizeof(type)};
            record.value = (struct bytes){coordinator, sizeof(coordinator)};
        }
        ck_assert_int_eq(batch_builder_add(&builder, &record), OK);
    }
    ck_assert_int_eq(batch_builder_finish(&builder, NULL, &batch), OK);
    batch_set_base_offset(batch->data, plog_end(f.log));
    batch_set_leader_epoch(batch->data, 0);
    ck_assert_int_eq(plog_append(f.log, batch->data, batch->len), OK);
    iobuf_unref(batch);
}

static void settle(void)
{
    plog_sync(f.log);
    mem_world_run(f.world, mem_world_now_us(f.world) + 1000000);
    ck_assert_int_eq(plog_synced_end(f.log), plog_end(f.log));
}

static void begin(void)
{
    fixture_start(&f, 1 << 20, 3);
    f.setup.config.may_have_gaps = true;
    ck_assert_int_eq(batch_scratch_init(&scratch, 1 << 20, 0), OK);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    append(701, 0, "ab", -1);
    append(701, -1, NULL, ABORT);
    append(702, 0, "a", -1);
    append(702, -1, NULL, COMMIT);
    append(703, 0, "c", -1);
    append(703, -1, NULL, COMMIT);
    append(-1, -1, "c", -1);
    ck_assert_int_eq(plog_end(f.log), NEWER + 1);
    for (int i = 0; i < 3; i++) { /* a producer's last batch always keeps its header: these are newer */
        append(701 + i, 2, "z", -1);
        append(701 + i, -1, NULL, COMMIT);
    }
    append(-1, -1, "d", -1); /* the segment's last one, too */
    ck_assert_int_eq(plog_roll_now(f.log), OK);
    settle();
}

static void end(void)
{
    batch_scratch_free(&scratch);
    fixture_stop(&f);
}

static void compacted(void *ctx, const struct plog_compacted *done)
{
    result = *done;
    results++;
}

static bool has_result(void *ctx)
{
    return results > 0;
}

static enum err compact_result(void)
{
    struct plog_compact_rules rules = {.end = plog_active_base(f.log),
                                       .delete_retention_ms = DAY_MS,
                                       .map_bytes = 1 << 20,
                                       .batch_bytes_max = 1 << 20};
    results = 0;
    ck_assert_int_eq(plog_compact(f.log, &rules, compacted, NULL), OK);
    ck_assert(mem_world_run_until(f.world, mem_world_now_us(f.world) + 60000000, has_result, NULL));
    return result.err;
}

static void compact(void)
{
    ck_assert_int_eq(compact_result(), OK);
}

static void count_one(void *ctx, const struct txn_entry *txn)
{
    ++*(int *)ctx;
}

/* Which offsets below the active segment still have a record; how many aborted transactions are known. */
static int look(bool ret_there[OFFSETS_MAX])
{
    int aborted = 0;
    memset(ret_there, 0, OFFSETS_MAX * sizeof(*ret_there));
    for (int64_t offset = 0; offset < plog_active_base(f.log);) {
        struct plog_piece piece;
        struct batch_iter it;
        struct record record;
        ck_assert_int_eq(plog_read(f.log, offset, plog_end(f.log), 1, true, &piece), OK);
        ck_assert_int_gt(piece.len, 0);
        ck_assert_int_eq(batch_verify(piece.p, (size_t)piece.len), OK);
        ck_assert_int_eq(batch_iter_init(&it, piece.p, &scratch), OK);
        while (batch_iter_next(&it, &record))
            ret_there[record.offset] = true;
        offset = batch_next_offset(piece.p);
        iobuf_unref(piece.owner);
    }
    ck_assert_int_eq(plog_aborted_find(f.log, 0, plog_active_base(f.log), count_one, &aborted, NULL), OK);
    return aborted;
}

static void pass_ms(int64_t ms)
{
    mem_world_run(f.world, mem_world_now_us(f.world) + (uint64_t)ms * 1000);
}

START_TEST(aborted_data_goes_and_markers_follow_their_data)
{
    bool there[OFFSETS_MAX];
    begin();
    ck_assert_int_eq(look(there), 1);
    ck_assert(there[ABORTED_DATA] && there[ABORTED_DATA + 1] && there[SUPERSEDED_DATA]);
    compact(); /* the data goes, and readers that are on their way still meet all markers */
    look(there);
    ck_assert(!there[ABORTED_DATA] && !there[ABORTED_DATA + 1] && !there[SUPERSEDED_DATA]);
    ck_assert(there[ABORT_MARKER] && there[KEPT_MARKER] && there[SUPERSEDED_MARKER]);
    ck_assert(there[KEPT_DATA] && there[NEWER]); /* an aborted record does not hide an older value, either */
    compact();                                   /* the horizon begins when their data is seen to be gone */
    look(there);
    ck_assert(there[ABORT_MARKER] && there[KEPT_MARKER] && there[SUPERSEDED_MARKER]);
    pass_ms(DAY_MS - 60000);
    compact();
    look(there);
    ck_assert(there[ABORT_MARKER] && there[KEPT_MARKER] && there[SUPERSEDED_MARKER]);
    pass_ms(120000);
    compact();
    ck_assert_int_eq(look(there), 0);
    ck_assert(!there[ABORT_MARKER] && !there[SUPERSEDED_MARKER]);
    ck_assert(there[KEPT_DATA] && there[KEPT_MARKER] && there[NEWER]);
    pass_ms(3 * DAY_MS);
    compact();
    look(there);
    ck_assert(there[KEPT_DATA] && there[KEPT_MARKER]); /* while it has data, its marker stays */
    end();
}
END_TEST

/* The newest value of a key is an aborted one: the committed one before it stays. */
START_TEST(an_aborted_record_supersedes_nothing)
{
    bool there[OFFSETS_MAX];
    fixture_start(&f, 1 << 20, 3);
    f.setup.config.may_have_gaps = true;
    ck_assert_int_eq(batch_scratch_init(&scratch, 1 << 20, 0), OK);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    append(-1, -1, "k", -1);
    append(701, 0, "k", -1);
    append(701, -1, NULL, ABORT);
    append(-1, -1, "l", -1);
    ck_assert_int_eq(plog_roll_now(f.log), OK);
    settle();
    compact();
    look(there);
    ck_assert(there[0] && !there[1]);
    end();
}
END_TEST

/* The index of segment 0 says this and nothing else. */
static void set_index(const struct txn_entry *txns, uint64_t count)
{
    uint8_t bytes[TXN_ENTRY];
    struct iovec iov = {bytes, sizeof(bytes)};
    struct env_file *file;
    ck_assert_int_eq(
        env_file_open(f.env, DATA_DIR "/orders-0/00000000000000000000.txnindex", ENV_OPEN_WRITE, &file), OK);
    ck_assert_int_eq(env_file_truncate(file, 0), OK);
    for (uint64_t i = 0; i < count; i++) {
        txn_entry_store(bytes, txns[i]);
        ck_assert_int_eq(env_file_write(file, i * TXN_ENTRY, &iov, 1), OK);
    }
    env_file_close(file);
}

/* A marker has a checksum, the index has none; but which of them is wrong, and what else is, nobody knows. */
START_TEST(an_index_that_a_marker_contradicts_moves_no_record)
{
    static const struct txn_entry wrong[] = {{701, ABORTED_DATA, ABORT_MARKER, ABORT_MARKER + 1},
                                             {702, KEPT_DATA, KEPT_MARKER, KEPT_MARKER + 1}};
    bool there[OFFSETS_MAX];
    begin();
    set_index(wrong, 2 * (uint64_t)_i); /* without the aborted one, or with a committed one */
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(compact_result(), ERR_CORRUPT);
        ck_assert_int_eq(plog_failed(f.log), OK);
        ck_assert_int_eq(look(there), 2 * _i);
        ck_assert(there[ABORTED_DATA] && there[KEPT_DATA] && there[SUPERSEDED_DATA]);
    }
    end();
}
END_TEST

/* What has no data but below the log start may be unknown to an index that was made since. */
START_TEST(a_transaction_below_the_log_start_may_be_unknown)
{
    int aborted = 0;
    begin();
    ck_assert_int_eq(plog_set_start(f.log, ABORT_MARKER), OK);
    set_index(NULL, 0);
    compact();
    ck_assert_int_eq(
        plog_aborted_find(f.log, ABORT_MARKER, plog_active_base(f.log), count_one, &aborted, NULL), OK);
    ck_assert_int_eq(aborted, 0);
    end();
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_transaction_below_the_log_start_may_be_unknown);
    tcase_add_loop_test(tcase, an_index_that_a_marker_contradicts_moves_no_record, 0, 2);
    tcase_add_test(tcase, aborted_data_goes_and_markers_follow_their_data);
    tcase_add_test(tcase, an_aborted_record_supersedes_nothing);
}

SLUICE_TEST_MAIN("broker_compact_txn", add)
