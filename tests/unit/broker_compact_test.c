/* SPDX-License-Identifier: Apache-2.0 */
/* Compaction of one log: what stays, what it looks like, and that a crash at any moment loses nothing. */
#include "broker/core/producer_entry.h"
#include "broker/log/offset_map.h"
#include "broker/log/plog_compact.h"
#include "broker/log/plog_damage.h"
#include "broker/log/plog_hooks.h"
#include "broker/log/plog_txnindex.h"
#include "common/base/prng.h"
#include "tests/unit/broker_plog_fixture.h"

#define KEYS        20
#define OFFSETS_MAX 4000
#define DAY_MS      86400000ll

/* What was written, by offset. */
struct model {
    struct plog_fixture f;
    struct prng prng;
    struct batch_scratch scratch;
    int32_t key[OFFSETS_MAX]; /* -1: a gap, or a control record */
    bool tombstone[OFFSETS_MAX];
    int64_t batch_last[OFFSETS_MAX]; /* of the batch that begins there */
    int64_t end;
    int32_t sequence[3];
    int64_t producer_last[3];
    struct plog_compacted result;
    int results;
};

static void model_start(struct model *m, uint64_t seed, int64_t segment_bytes)
{
    memset(m, 0, sizeof(*m));
    fixture_start(&m->f, segment_bytes, seed);
    m->f.setup.config.may_have_gaps = true;
    prng_seed(&m->prng, seed + 1000);
    ck_assert_int_eq(batch_scratch_init(&m->scratch, 1 << 20, 0), OK);
    for (int i = 0; i < 3; i++)
        m->producer_last[i] = -1;
}

static void model_stop(struct model *m)
{
    batch_scratch_free(&m->scratch);
    fixture_stop(&m->f);
}

static int32_t value_of(int64_t offset)
{
    return (int32_t)(offset * 37 % 1000);
}

/* producer 3: of none. */
static void model_append_of(struct model *m, uint32_t producer, int count, bool tombstones)
{
    struct batch_opts opts = BATCH_OPTS_PLAIN;
    struct batch_builder builder;
    struct iobuf *batch;
    opts.codec = (enum codec)prng_below(&m->prng, CODEC_COUNT);
    if (producer < 3) {
        opts.producer_id = 700 + producer;
        opts.producer_epoch = 0;
        opts.base_sequence = m->sequence[producer];
        m->sequence[producer] += count;
        m->producer_last[producer] = m->end + count - 1;
    }
    ck_assert_int_eq(batch_builder_init(&builder, &opts, NULL, 1024, 1 << 20), OK);
    m->batch_last[m->end] = m->end + count - 1;
    for (int i = 0; i < count; i++, m->end++) {
        char key[32], value[64];
        int32_t k = (int32_t)prng_below(&m->prng, KEYS);
        bool tombstone = tombstones && prng_below(&m->prng, 5) == 0;
        int key_len = snprintf(key, sizeof(key), "key-%d", k);
        int value_len = snprintf(value, sizeof(value), "value-%d-of-%d-which-is-long", value_of(m->end), k);
        struct record_in record = {.timestamp_ms = env_wall_ms(m->f.env) + i,
                                   .key = {(uint8_t *)key, key_len},
                                   .value = {(uint8_t *)value, tombstone ? -1 : value_len}};
        ck_assert_int_lt(m->end, OFFSETS_MAX);
        m->key[m->end] = k;
        m->tombstone[m->end] = tombstone;
        ck_assert_int_eq(batch_builder_add(&builder, &record), OK);
    }
    ck_assert_int_eq(batch_builder_finish(&builder, m->scratch.codecs, &batch), OK);
    batch_set_base_offset(batch->data, m->end - count);
    batch_set_leader_epoch(batch->data, (int32_t)(m->end / 200));
    ck_assert_int_eq(plog_append(m->f.log, batch->data, batch->len), OK);
    iobuf_unref(batch);
}

static void model_append(struct model *m, int count, bool tombstones)
{
    model_append_of(m, (uint32_t)prng_below(&m->prng, 4), count, tombstones);
}

static void model_sync(struct model *m)
{
    plog_sync(m->f.log);
    mem_world_run(m->f.world, mem_world_now_us(m->f.world) + 1000000);
    ck_assert_int_eq(plog_synced_end(m->f.log), m->end);
}

static void model_fill(struct model *m, int batches, bool tombstones)
{
    for (int i = 0; i < batches; i++)
        model_append(m, 1 + (int)prng_below(&m->prng, 6), tombstones);
    model_sync(m);
}

static void compacted(void *ctx, const struct plog_compacted *result)
{
    struct model *m = ctx;
    m->result = *result;
    m->results++;
}

static enum err begin(struct model *m, uint64_t map_bytes)
{
    struct plog_dirt dirt;
    ck_assert_int_eq(plog_dirt(m->f.log, m->end, 0, &dirt), OK);
    struct plog_compact_rules rules = {
        .end = dirt.end, .delete_retention_ms = DAY_MS, .map_bytes = map_bytes, .batch_bytes_max = 1 << 20};
    return plog_compact(m->f.log, &rules, compacted, m);
}

static bool has_result(void *ctx)
{
    return ((struct model *)ctx)->results > 0;
}

static void compact(struct model *m, uint64_t map_bytes)
{
    m->results = 0;
    ck_assert_int_eq(begin(m, map_bytes), OK);
    ck_assert(mem_world_run_until(m->f.world, 60000000, has_result, m));
    ck_assert_int_eq(m->result.err, OK);
    ck_assert_int_eq(m->result.cleaned_to, plog_cleaned_to(m->f.log));
}

/* What the log holds now. */
struct found {
    bool record[OFFSETS_MAX];
    bool batch_end[OFFSETS_MAX];
    int64_t next;
    int records, batches, empty;
};

static void look_at_batch(struct model *m, const uint8_t *batch, struct found *found)
{
    struct batch_iter it;
    struct record record;
    ck_assert_int_eq(batch_verify(batch, batch_size(batch)), OK);
    ck_assert_int_ge(batch_last_offset(batch), found->next);
    ck_assert_int_eq(batch_last_offset(batch), m->batch_last[batch_base_offset(batch)]);
    found->next = batch_next_offset(batch);
    found->batch_end[batch_last_offset(batch)] = true;
    found->batches++;
    found->empty += batch_record_count(batch) == 0;
    ck_assert_int_eq(batch_iter_init(&it, batch, &m->scratch), OK);
    int64_t newest = -1;
    while (batch_iter_next(&it, &record)) {
        char want[64];
        int32_t key = m->key[record.offset];
        int len = snprintf(want, sizeof(want), "key-%d", key);
        ck_assert_int_eq(record.key.len, len);
        ck_assert_mem_eq(record.key.p, want, len);
        ck_assert_int_eq(record.value.len < 0, m->tombstone[record.offset]);
        len = snprintf(want, sizeof(want), "value-%d-of-%d-which-is-long", value_of(record.offset), key);
        if (record.value.len >= 0)
            ck_assert_mem_eq(record.value.p, want, len);
        ck_assert_int_gt(record.timestamp, 1600000000000ll); /* times survive a new base timestamp */
        ck_assert_int_lt(record.timestamp, 1800000000000ll);
        newest = MAX(newest, record.timestamp);
        found->record[record.offset] = true;
        found->records++;
    }
    ck_assert_int_eq(it.r.err, OK);
    if (newest >= 0)
        ck_assert_int_eq(batch_max_timestamp(batch), newest);
}

static void read_log(struct model *m, struct found *found)
{
    struct plog *log = m->f.log;
    memset(found, 0, sizeof(*found));
    found->next = plog_start(log);
    while (found->next < plog_end(log)) {
        struct plog_piece piece;
        ck_assert_int_eq(plog_read(log, found->next, plog_end(log), 3000, true, &piece), OK);
        if (piece.len == 0)
            break;
        for (int32_t at = 0; at < piece.len; at += (int32_t)batch_size(piece.p + at))
            look_at_batch(m, piece.p + at, found);
        iobuf_unref(piece.owner);
    }
}

/* The rule: below cleaned_to the newest record of each key is there (tombstones may be gone when
 * tombstones_gone), above it everything; nothing else than what was written. swept: below cleaned_to nothing
 * but the newest is left. */
static void check_rule(struct model *m, int64_t cleaned_to, bool swept, bool tombstones_gone)
{
    static struct found found;
    int64_t newest[KEYS];
    read_log(m, &found);
    ck_assert_int_eq(found.next, m->end);
    for (int k = 0; k < KEYS; k++)
        newest[k] = -1;
    for (int64_t offset = 0; offset < m->end; offset++)
        newest[m->key[offset]] = offset;
    for (int64_t offset = 0; offset < m->end; offset++) {
        bool last = newest[m->key[offset]] == offset;
        bool must = offset >= cleaned_to || (last && !(m->tombstone[offset] && tombstones_gone));
        if (must)
            ck_assert_msg(found.record[offset], "offset %lld is lost", (long long)offset);
    }
    for (int k = 0; k < KEYS; k++)
        newest[k] = -1;
    for (int64_t offset = 0; offset < cleaned_to; offset++)
        newest[m->key[offset]] = offset;
    for (int64_t offset = 0; swept && offset < cleaned_to; offset++)
        if (newest[m->key[offset]] != offset)
            ck_assert_msg(!found.record[offset], "offset %lld should be gone", (long long)offset);
    for (int i = 0; i < 3; i++)
        if (m->producer_last[i] >= 0)
            ck_assert_msg(found.batch_end[m->producer_last[i]], "the last batch of a producer is lost");
}

/* Every offset is found as it was written, through the indexes. */
static void check_lookups(struct model *m)
{
    static struct found found;
    read_log(m, &found);
    for (int64_t offset = 0; offset < m->end; offset++) {
        struct plog_piece piece;
        int64_t want = offset;
        while (!found.batch_end[want])
            want++;
        ck_assert_int_eq(plog_read(m->f.log, offset, m->end, 1, true, &piece), OK);
        ck_assert_int_gt(piece.len, 0);
        ck_assert_int_eq(batch_last_offset(piece.p), want);
        iobuf_unref(piece.owner);
    }
}

static int count_names(struct model *m, const char *suffix)
{
    int count = 0;
    char path[128];
    uint64_t size;
    for (int64_t offset = 0; offset < m->end; offset++)
        count += mem_env_bytes(m->f.mem, fixture_path(offset, suffix, path), &size) != NULL;
    return count;
}

START_TEST(the_newest_of_each_key_stays)
{
    struct model m;
    model_start(&m, (uint64_t)_i, 3000);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
    model_fill(&m, 150, false);
    uint64_t before = plog_size_bytes(m.f.log);
    int files = count_names(&m, ".log");
    compact(&m, 1 << 20);
    ck_assert_uint_lt(plog_size_bytes(m.f.log), before);
    ck_assert_int_gt(files, 3);
    ck_assert_int_le(count_names(&m, ".log"), files);
    ck_assert_int_eq(count_names(&m, ".log.swap") + count_names(&m, ".log.cleaned"), 0);
    ck_assert_uint_eq(m.result.keys, KEYS);
    check_rule(&m, m.result.cleaned_to, true, false);
    check_lookups(&m);
    int64_t cleaned = m.result.cleaned_to, end = m.end;
    fixture_close(&m.f, true); /* and after a restart, with indexes from the files */
    m.f.setup.cleaned_to = cleaned;
    ck_assert_int_eq(fixture_open(&m.f, true, end, 0), OK);
    ck_assert_int_eq(plog_cleaned_to(m.f.log), cleaned);
    check_rule(&m, cleaned, true, false);
    check_lookups(&m);
    for (int round = 0; round < 3; round++) {
        model_fill(&m, 60, true);
        compact(&m, 1 << 20);
        check_rule(&m, m.result.cleaned_to, true, false);
    }
    ck_assert_int_lt(count_names(&m, ".log"), files); /* small ones were put together */
    check_lookups(&m);
    model_stop(&m);
}
END_TEST

START_TEST(a_small_map_takes_several_rounds)
{
    struct model m;
    model_start(&m, 5, 4000);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
    model_fill(&m, 150, false);
    struct plog_dirt dirt;
    int rounds = 0;
    do {
        int64_t before = plog_cleaned_to(m.f.log);
        compact(&m, 16 * OFFSET_MAP_SLOT_BYTES); /* fewer than there are keys */
        ck_assert_int_gt(m.result.cleaned_to, before);
        check_rule(&m, m.result.cleaned_to, false, false);
        ck_assert_int_eq(plog_dirt(m.f.log, m.end, 0, &dirt), OK);
        rounds++;
    } while (dirt.first_dirty < dirt.end);
    ck_assert_int_gt(rounds, 2);
    check_rule(&m, m.result.cleaned_to, true, false);
    model_stop(&m);
}
END_TEST

START_TEST(tombstones_go_after_their_time)
{
    struct model m;
    static struct found found;
    int tombstones = 0;
    model_start(&m, 6, 3000);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
    model_fill(&m, 150, true);
    compact(&m, 1 << 20);
    check_rule(&m, m.result.cleaned_to, true, false);
    int64_t first = m.result.cleaned_to;
    read_log(&m, &found);
    for (int64_t offset = 0; offset < first; offset++)
        tombstones += found.record[offset] && m.tombstone[offset];
    ck_assert_int_gt(tombstones, 0);
    mem_world_run(m.f.world, mem_world_now_us(m.f.world) + (DAY_MS - 60000) * 1000);
    model_fill(&m, 20, false);
    compact(&m, 1 << 20); /* their horizon has not come */
    check_rule(&m, m.result.cleaned_to, true, false);
    mem_world_run(m.f.world, mem_world_now_us(m.f.world) + 120000 * 1000ll);
    model_fill(&m, 20, false);
    compact(&m, 1 << 20);
    check_rule(&m, m.result.cleaned_to, true, true);
    read_log(&m, &found);
    for (int64_t offset = 0; offset < first; offset++)
        ck_assert(!(found.record[offset] && m.tombstone[offset]));
    model_stop(&m);
}
END_TEST

START_TEST(only_closed_committed_old_segments_count)
{
    struct model m;
    struct plog_dirt dirt;
    model_start(&m, 7, 3000);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
    ck_assert_int_eq(plog_dirt(m.f.log, m.end, 0, &dirt), OK);
    ck_assert(dirt.end == 0 && dirt.dirty_bytes == 0 && !dirt.waits);
    model_fill(&m, 100, false);
    int64_t active = plog_active_base(m.f.log);
    ck_assert_int_eq(plog_dirt(m.f.log, m.end, 0, &dirt), OK);
    ck_assert_int_eq(dirt.end, active);
    ck_assert_int_eq(plog_dirt(m.f.log, active - 1, 0, &dirt), OK);
    ck_assert_int_lt(dirt.end, active);
    ck_assert(dirt.waits);
    ck_assert_int_eq(plog_dirt(m.f.log, m.end, 60000, &dirt), OK);
    ck_assert_int_eq(dirt.end, 0);
    ck_assert_int_ne(dirt.lag_due_ms, INT64_MAX);
    mem_world_run(m.f.world, mem_world_now_us(m.f.world) + 70000000);
    ck_assert_int_eq(plog_dirt(m.f.log, m.end, 60000, &dirt), OK);
    ck_assert_int_eq(dirt.end, active);
    compact(&m, 1 << 20);
    ck_assert_int_eq(plog_dirt(m.f.log, m.end, 0, &dirt), OK);
    ck_assert_uint_eq(dirt.dirty_bytes, 0);
    ck_assert_uint_gt(dirt.clean_bytes, 0);
    ck_assert_int_eq(begin(&m, 1 << 20), OK); /* it may run again all the same */
    ck_assert_int_eq(begin(&m, 1 << 20), ERR_BUSY);
    m.results = 0;
    ck_assert(mem_world_run_until(m.f.world, 60000000, has_result, &m));
    check_rule(&m, active, true, false);
    model_stop(&m);
}
END_TEST

/* What is not committed stands for no batch before it: when it is cut (here _i batches), the producer's last
 * one is in the log as before, whose header is all that tells of it. */
START_TEST(what_is_cut_later_takes_no_producers_place)
{
    struct model m;
    int64_t end;
    struct producer_batch last;
    model_start(&m, 31, 1 << 20);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
    model_append_of(&m, 0, 1, false);
    for (int i = 0; i < 10 * KEYS; i++)
        model_append_of(&m, 3, 1, false);
    ck_assert_int_eq(plog_roll_now(m.f.log), OK);
    int64_t committed = m.end;
    for (int i = 0; i < _i; i++)
        model_append_of(&m, 0, 1, false);
    model_sync(&m);
    compact(&m, 1 << 20);
    ck_assert_int_eq(m.result.cleaned_to, committed);
    ck_assert_int_eq(plog_truncate(m.f.log, committed, &end), OK);
    fixture_close(&m.f, false);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0),
                     OK); /* no snapshot past the recovery point is believed */
    ck_assert(producer_state_last(plog_producers(m.f.log), 700, &last));
    ck_assert_int_eq(last.last_offset, 0);
    model_stop(&m);
}
END_TEST

static void forget_from(struct model *m, int64_t end)
{
    m->end = end;
    for (int i = 0; i < 3; i++)
        m->producer_last[i] = -1;
}

/* Whatever cuts the log meanwhile wins. */
START_TEST(a_cut_stops_it_at_any_moment)
{
    struct model m;
    int64_t end = 0;
    model_start(&m, 8, 3000);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
    model_fill(&m, 120, true);
    ck_assert_int_eq(begin(&m, 1 << 20), OK);
    mem_world_run(m.f.world, mem_world_now_us(m.f.world) + (uint64_t)_i * 150);
    if (_i % 3 == 0) {
        int64_t wanted = m.end * (1 + _i % 7) / 8;
        ck_assert_int_eq(plog_truncate(m.f.log, wanted, &end), OK);
        forget_from(&m, plog_end(m.f.log));
    } else if (_i % 3 == 1) {
        ck_assert_int_eq(plog_restart(m.f.log, m.end + 10), OK);
    } else {
        ck_assert_int_eq(plog_set_start(m.f.log, m.end / 2), OK);
        ck_assert_int_eq(plog_trim(m.f.log, plog_start(m.f.log)), OK);
    }
    ck_assert(mem_world_run_until(m.f.world, mem_world_now_us(m.f.world) + 60000000, has_result, &m));
    static struct found found;
    if (_i % 3 == 1) {
        ck_assert_int_eq(plog_start(m.f.log), m.end + 10);
        ck_assert_uint_eq(plog_size_bytes(m.f.log), 0);
    } else {
        read_log(&m, &found);
    }
    int64_t cleaned = plog_cleaned_to(m.f.log), at = plog_end(m.f.log), start = plog_start(m.f.log);
    fixture_close(&m.f, true);
    m.f.setup.cleaned_to = cleaned;
    ck_assert_int_eq(fixture_open(&m.f, true, at, start), OK);
    ck_assert_int_eq(plog_end(m.f.log), at);
    model_stop(&m);
}
END_TEST

/* _i: when; all three kinds of crash. */
START_TEST(a_crash_at_any_moment_loses_nothing)
{
    for (int kind = MEM_KEEP; kind <= MEM_MIX; kind++) {
        struct model m;
        model_start(&m, 40 + (uint64_t)_i, 3000);
        ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
        model_fill(&m, 120, true);
        ck_assert_int_eq(begin(&m, 1 << 20), OK);
        mem_world_run(m.f.world, mem_world_now_us(m.f.world) + (uint64_t)_i * 100);
        int64_t cleaned = plog_cleaned_to(m.f.log), synced = plog_synced_end(m.f.log);
        mem_env_crash(m.f.mem, (enum mem_crash)kind);
        fixture_close(&m.f, false);
        mem_env_restart(m.f.mem);
        m.f.setup.cleaned_to = cleaned;
        enum err err = fixture_open(&m.f, false, synced, 0);
        ck_assert_msg(err == OK, "%s: %s", err_text(err), m.f.report.damage);
        ck_assert_int_eq(plog_end(m.f.log), m.end);
        check_rule(&m, m.end, false, false);
        check_lookups(&m);
        ck_assert_int_eq(count_names(&m, ".log.swap") + count_names(&m, ".log.cleaned"), 0);
        m.f.epoch = 50;
        compact(&m, 1 << 20);
        check_rule(&m, m.result.cleaned_to, true, false);
        model_stop(&m);
    }
}
END_TEST

/* Damage shows, reads say so, and what is not damaged is there. */
static void check_damaged(struct model *m, int64_t cleaned_to)
{
    static struct found found;
    const struct plog_damage *list;
    struct plog_piece piece;
    int64_t offset = 0;
    memset(&found, 0, sizeof(found));
    while (offset < m->end) {
        enum err err = plog_read(m->f.log, offset, m->end, 1, true, &piece);
        if (err == ERR_CORRUPT) {
            struct plog_damage damage;
            if (!plog_damage_at(m->f.log, offset, false))
                ck_assert_int_eq(plog_damage_search(m->f.log, offset, &damage), OK);
            offset = plog_damage_at(m->f.log, offset, false)->end;
            found.next = offset;
            continue;
        }
        ck_assert_int_eq(err, OK);
        ck_assert_int_gt(piece.len, 0);
        look_at_batch(m, piece.p, &found);
        offset = found.next;
        iobuf_unref(piece.owner);
    }
    ck_assert_int_eq(plog_damages(m->f.log, &list), 1);
    ck_assert_int_lt(list[0].offset, cleaned_to);
    for (int64_t i = cleaned_to; i < m->end; i++)
        ck_assert(found.record[i]);
}

/* The largest compacted segment. */
static int64_t largest(struct model *m, int64_t cleaned_to)
{
    char path[128];
    uint64_t size, most = 0;
    int64_t base = 0;
    for (int64_t i = 0; i < cleaned_to; i++) {
        if (!mem_env_bytes(m->f.mem, fixture_path(i, ".log", path), &size) || size <= most)
            continue;
        base = i;
        most = size;
    }
    return base;
}

/* Flips a bit in the n-th batch, or in the last. Where a checksum covers it. */
static void flip_in_batch(struct model *m, const char *path, int n)
{
    uint64_t size, at = 0;
    uint8_t *bytes = mem_env_bytes(m->f.mem, path, &size);
    for (; n > 0 && at + batch_size(bytes + at) < size; n--)
        at += batch_size(bytes + at);
    bytes[at + 30] ^= 1;
}

/* A segment that had only its last renaming before it. _i: where. */
START_TEST(a_damaged_swap_is_damage_and_no_reason_to_refuse)
{
    struct model m;
    char log[128], swap[128];
    model_start(&m, 70 + (uint64_t)_i, 3000);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
    model_fill(&m, 150, false);
    compact(&m, 1 << 20);
    int64_t cleaned = plog_cleaned_to(m.f.log), base = largest(&m, cleaned);
    fixture_close(&m.f, true);
    fixture_path(base, ".log.swap", swap);
    ck_assert_int_eq(env_rename(m.f.env, fixture_path(base, ".log", log), swap), OK);
    flip_in_batch(&m, swap, _i < 5 ? _i : OFFSETS_MAX);
    m.f.setup.cleaned_to = cleaned;
    ck_assert_msg(fixture_open(&m.f, false, m.end, 0) == OK, "%s", m.f.report.damage);
    ck_assert_int_eq(plog_end(m.f.log), m.end);
    ck_assert_int_eq(count_names(&m, ".log.swap"), 0);
    check_damaged(&m, cleaned);
    model_stop(&m);
}
END_TEST

/* Where the second segment begins. */
static int64_t second_segment(struct model *m)
{
    char path[128];
    uint64_t size;
    int64_t base = 1;
    while (!mem_env_bytes(m->f.mem, fixture_path(base, ".log", path), &size))
        base++;
    return base;
}

/* A reader meets damage in a segment while it is compacted: its range stands for the old file's bytes, so the
 * file must stay until they are mended. _i: when. */
START_TEST(damage_met_meanwhile_stops_it)
{
    struct model m;
    static uint8_t good[4096];
    struct plog_damage damage;
    char path[128];
    uint64_t size;
    model_start(&m, 130 + (uint64_t)_i, 3000);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
    model_fill(&m, 120, true);
    int64_t base = second_segment(&m);
    m.results = 0;
    ck_assert_int_eq(begin(&m, 1 << 20), OK);
    mem_world_run(m.f.world, mem_world_now_us(m.f.world) + (uint64_t)_i * 100);
    uint8_t *bytes = mem_env_bytes(m.f.mem, fixture_path(base, ".log", path), &size);
    if (bytes && m.results == 0) {
        ck_assert_uint_le(batch_size(bytes), sizeof(good));
        memcpy(good, bytes, batch_size(bytes));
        flip_in_batch(&m, path, 0);
        enum err err = plog_damage_search(m.f.log, base, &damage);
        mem_world_run_until(m.f.world, 60000000, has_result, &m);
        ck_assert_int_eq(m.results, 1);
        ck_assert(err == OK || m.result.err == OK);
        if (err == OK)
            ck_assert_int_eq(
                plog_replace_range(m.f.log, damage.offset, damage.end, good, (uint32_t)batch_size(good)), OK);
    }
    ck_assert(mem_world_run_until(m.f.world, 60000000, has_result, &m));
    check_rule(&m, m.end, false, false);
    model_stop(&m);
}
END_TEST

/* What is hidden may be a marker, without which records before it would count that do not, or the reverse. */
START_TEST(nothing_is_compacted_before_damage_is_mended)
{
    struct model m;
    struct plog_dirt dirt;
    struct plog_damage damage;
    model_start(&m, 78, 3000);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
    model_fill(&m, 120, true);
    ck_assert_int_eq(plog_dirt(m.f.log, m.end, 0, &dirt), OK);
    ck_assert_int_gt(dirt.end, 0);
    char path[128];
    const struct plog_segment *active = plog_active(m.f.log);
    flip_in_batch(&m, fixture_path(active->base_offset, ".log", path), 0);
    ck_assert_int_eq(plog_damage_search(m.f.log, active->base_offset, &damage), OK);
    ck_assert_int_eq(plog_dirt(m.f.log, m.end, 0, &dirt), OK);
    ck_assert_int_eq(dirt.end, 0);
    model_stop(&m);
}
END_TEST

/* No checksum covers a base offset: a batch that says a wrong one is neither copied with it nor does it win
 * over newer records. _i: the bit that flips in the first, second, ... batch. */
START_TEST(a_wrong_offset_stops_it)
{
    struct model m;
    char path[128];
    uint64_t size, at = 0;
    model_start(&m, 77, 3000);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
    model_fill(&m, 120, true);
    uint8_t *bytes = mem_env_bytes(m.f.mem, fixture_path(second_segment(&m), ".log", path), &size);
    for (int n = _i % 3; n > 0; n--)
        at += batch_size(bytes + at);
    bytes[at + 7] ^= (uint8_t)(1 << (_i / 3)), m.results = 0;
    ck_assert_int_eq(begin(&m, 1 << 20), OK);
    ck_assert(mem_world_run_until(m.f.world, 60000000, has_result, &m));
    ck_assert_int_eq(m.result.err, ERR_CORRUPT);
    bytes = mem_env_bytes(m.f.mem, path, &size);
    ck_assert_ptr_nonnull(bytes); /* it is as it was */
    bytes[at + 7] ^= (uint8_t)(1 << (_i / 3));
    compact(&m, 1 << 20);
    check_rule(&m, m.end, false, false);
    model_stop(&m);
}
END_TEST

/* Failures of the disk end it, or the log, but never its records. */
START_TEST(a_failing_disk_loses_nothing)
{
    struct model m;
    model_start(&m, 80 + (uint64_t)_i, 3000);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
    model_fill(&m, 120, true);
    if (_i % 2)
        mem_env_fail_sync_after(m.f.mem, 1 + (uint32_t)_i / 2);
    else
        mem_env_fail_write_after(m.f.mem, 1 + (uint32_t)_i / 2);
    ck_assert_int_eq(begin(&m, 1 << 20), OK);
    mem_world_run(m.f.world, mem_world_now_us(m.f.world) + 10000000);
    ck_assert_int_eq(m.results, 1);
    int64_t synced = plog_synced_end(m.f.log);
    mem_env_crash(m.f.mem, MEM_MIX);
    fixture_close(&m.f, false);
    mem_env_restart(m.f.mem);
    mem_env_fail_sync_after(m.f.mem, 0);
    mem_env_fail_write_after(m.f.mem, 0);
    enum err err = fixture_open(&m.f, false, synced, 0);
    ck_assert_msg(err == OK, "%s: %s", err_text(err), m.f.report.damage);
    check_rule(&m, m.end, false, false);
    model_stop(&m);
}
END_TEST

/* Two compactions with appends and retention between them; the n-th change of the disk fails, or is the last.
 * False: there were fewer. */
static bool torture(uint32_t n, bool die, enum mem_crash kind)
{
    static struct model m;
    int64_t start = 0;
    model_start(&m, 900 + n % 7, 3000);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
    model_fill(&m, 60, true);
    int64_t safe = m.end, synced = m.end;
    if (die)
        mem_env_die_after(m.f.mem, n);
    else
        mem_env_fail_change(m.f.mem, n);
    uint32_t before = mem_env_changes(m.f.mem);
    for (int round = 0; round < 2; round++) {
        m.results = 0;
        if (plog_failed(m.f.log) || begin(&m, 1 << 20) != OK)
            break;
        mem_world_run(m.f.world, mem_world_now_us(m.f.world) + 30000);
        synced = MAX(synced, plog_synced_end(m.f.log));
        if (plog_failed(m.f.log) || plog_roll_now(m.f.log) != OK)
            break;
        mem_world_run(m.f.world, mem_world_now_us(m.f.world) + 30000);
        synced = MAX(synced, plog_synced_end(m.f.log));
    }
    if (plog_failed(m.f.log) == OK && n % 3 == 0) {
        ck_assert_int_eq(plog_set_start(m.f.log, safe / 4), OK);
        start = plog_start(m.f.log); /* the manifest has it before files go */
        plog_trim(m.f.log, start);
    }
    bool reached = mem_env_changes(m.f.mem) - before >= n;
    int64_t cleaned = plog_cleaned_to(m.f.log);
    mem_env_crash(m.f.mem, kind);
    fixture_close(&m.f, false);
    mem_env_restart(m.f.mem);
    m.f.setup.power_lost = kind != MEM_KEEP;
    m.f.setup.cleaned_to = cleaned;
    enum err err = fixture_open(&m.f, false, synced, start);
    ck_assert_msg(err == OK, "%s %u kind %d: %s: %s", die ? "death behind" : "failure of", n, kind,
                  err_text(err), m.f.report.damage);
    ck_assert_msg(m.f.report.damages == 0, "change %u kind %d: %s", n, kind, m.f.report.damage);
    ck_assert_int_eq(plog_end(m.f.log), safe);
    if (start == 0) {
        check_rule(&m, m.end, false, false);
        check_lookups(&m);
    }
    ck_assert_int_eq(count_names(&m, ".log.swap") + count_names(&m, ".log.cleaned"), 0);
    model_stop(&m);
    return reached;
}

static void torture_all(bool die, enum mem_crash kind)
{
    uint32_t n = 1;
    while (torture(n, die, kind))
        n++;
    ck_assert_uint_gt(n, 40);
}

START_TEST(every_change_of_the_disk_fails_in_turn)
{
    torture_all(false, (enum mem_crash)_i);
}
END_TEST

START_TEST(every_change_of_the_disk_is_the_last_in_turn)
{
    torture_all(true, (enum mem_crash)_i);
}
END_TEST

START_TEST(the_rate_is_kept)
{
    struct model m;
    model_start(&m, 9, 3000);
    ck_assert_int_eq(fixture_open(&m.f, false, 0, 0), OK);
    model_fill(&m, 200, false);
    struct plog_compact_rules rules = {.end = plog_active_base(m.f.log),
                                       .delete_retention_ms = DAY_MS,
                                       .map_bytes = 1 << 20,
                                       .bytes_per_second = 10000,
                                       .batch_bytes_max = 1 << 20};
    uint64_t began = mem_world_now_us(m.f.world);
    ck_assert_int_eq(plog_compact(m.f.log, &rules, compacted, &m), OK);
    ck_assert(mem_world_run_until(m.f.world, began + 600000000, has_result, &m));
    uint64_t bytes = m.result.bytes_read + m.result.bytes_written;
    double took = (double)(mem_world_now_us(m.f.world) - began) / 1e6;
    ck_assert_double_ge(took * 10000, (double)bytes * 0.7); /* the last step is not paid for */
    model_stop(&m);
}
END_TEST

START_TEST(the_hash_is_siphash_128)
{
    static const uint8_t key_bytes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    uint64_t key[2], hash[2];
    memcpy(key, key_bytes, sizeof(key));
    offset_map_hash(key, "", 0, hash);
    static const uint8_t want[16] = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
                                     0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
    ck_assert_mem_eq(hash, want, 16);
}
END_TEST

static void count_txn(void *ctx, const struct txn_entry *txn)
{
    ((int *)ctx)[txn->producer_id % 8]++;
}

START_TEST(aborted_transactions_are_found)
{
    struct plog_fixture f;
    char path[128];
    uint64_t size;
    int64_t end;
    fixture_start(&f, 2000, 3);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    for (int i = 0; i < 60; i++) {
        ck_assert_int_eq(fixture_append(&f, 2, 50), OK);
        struct txn_entry txn = {.producer_id = 8 + i % 8,
                                .first_offset = MAX(plog_end(f.log) - 10, 0),
                                .last_offset = plog_end(f.log) - 1,
                                .last_stable_offset = MAX(plog_end(f.log) - 10, 0)};
        if (i % 5 == 0)
            ck_assert_int_eq(plog_aborted_add(f.log, plog_active(f.log), &txn), OK);
    }
    mem_env_bytes(f.mem, fixture_path(0, ".txnindex", path), &size);
    ck_assert_uint_eq(size % TXN_ENTRY, 0);
    int seen[8] = {0};
    ck_assert_int_eq(plog_aborted_find(f.log, 0, plog_end(f.log), count_txn, seen, NULL), OK);
    int all = 0;
    for (int i = 0; i < 8; i++)
        all += seen[i];
    ck_assert_int_eq(all, 12);
    memset(seen, 0, sizeof(seen)); /* i = 25: offsets 42..51, producer 9 */
    ck_assert_int_eq(plog_aborted_find(f.log, 51, 52, count_txn, seen, NULL), OK);
    ck_assert_int_ge(seen[1], 1);
    ck_assert_int_eq(plog_truncate(f.log, 60, &end), OK);
    memset(seen, 0, sizeof(seen));
    ck_assert_int_eq(plog_aborted_find(f.log, 0, plog_end(f.log), count_txn, seen, NULL), OK);
    all = 0;
    for (int i = 0; i < 8; i++)
        all += seen[i];
    ck_assert_int_eq(all, 6); /* markers at 1, 11, 21, 31, 41, 51 */
    fixture_stop(&f);
}
END_TEST

/* The markers themselves are not in the log here: nothing but the index tells of these. */
static void append_aborted(struct plog_fixture *f)
{
    struct txn_entry txn = {.producer_id = 8, .first_offset = 0, .last_offset = 1, .last_stable_offset = 0};
    ck_assert_int_eq(fixture_append(f, 2, 50), OK);
    ck_assert_int_eq(plog_aborted_add(f->log, plog_active(f->log), &txn), OK);
}

START_TEST(aborted_transactions_are_durable_after_a_clean_stop)
{
    struct plog_fixture f;
    int seen[8] = {0};
    fixture_start(&f, 2000, 3);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    append_aborted(&f);
    ck_assert_int_eq(plog_close_clean(f.log), OK);
    mem_env_crash(f.mem, MEM_DROP);
    fixture_close(&f, false);
    mem_env_restart(f.mem);
    ck_assert_int_eq(fixture_open(&f, true, 2, 0), OK);
    ck_assert_int_eq(plog_aborted_find(f.log, 0, plog_end(f.log), count_txn, seen, NULL), OK);
    ck_assert_int_eq(seen[0], 1);
    fixture_stop(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, the_hash_is_siphash_128);
    tcase_add_loop_test(tcase, the_newest_of_each_key_stays, 0, 6);
    tcase_add_test(tcase, a_small_map_takes_several_rounds);
    tcase_add_test(tcase, tombstones_go_after_their_time);
    tcase_add_test(tcase, only_closed_committed_old_segments_count);
    tcase_add_loop_test(tcase, what_is_cut_later_takes_no_producers_place, 0, PRODUCER_WINDOW + 2);
    tcase_add_loop_test(tcase, a_cut_stops_it_at_any_moment, 0, 36);
    tcase_add_loop_test(tcase, a_damaged_swap_is_damage_and_no_reason_to_refuse, 0, 6);
    tcase_add_loop_test(tcase, damage_met_meanwhile_stops_it, 0, 40);
    tcase_add_test(tcase, nothing_is_compacted_before_damage_is_mended);
    tcase_add_loop_test(tcase, a_wrong_offset_stops_it, 0, 15);
    tcase_add_loop_test(tcase, a_crash_at_any_moment_loses_nothing, 0, 20);
    tcase_add_loop_test(tcase, a_failing_disk_loses_nothing, 0, 12);
    tcase_set_timeout(tcase, 60);
    tcase_add_loop_test(tcase, every_change_of_the_disk_fails_in_turn, MEM_KEEP, MEM_MIX + 1);
    tcase_add_loop_test(tcase, every_change_of_the_disk_is_the_last_in_turn, MEM_KEEP, MEM_MIX + 1);
    tcase_add_test(tcase, the_rate_is_kept);
    tcase_add_test(tcase, aborted_transactions_are_found);
    tcase_add_test(tcase, aborted_transactions_are_durable_after_a_clean_stop);
}

SLUICE_TEST_MAIN("broker_compact", add)
