/* SPDX-License-Identifier: Apache-2.0 */
/* The partition log: appending, rolling, reading, looking up, cutting. What crashes and damage do is in
 * broker_plog_recovery_test. */
#include "tests/unit/broker_plog_fixture.h"

static uint32_t count_files(struct plog_fixture *f, const char *suffix)
{
    uint32_t count = 0;
    char path[128];
    uint64_t size;
    for (int64_t offset = 0; offset < 2000; offset++)
        count += mem_env_bytes(f->mem, fixture_path(offset, suffix, path), &size) != NULL;
    return count;
}

static void fill(struct plog_fixture *f, int batches)
{
    for (int i = 0; i < batches; i++)
        ck_assert_int_eq(fixture_append(f, 1 + i % 4, 20 + i * 13 % 150), OK);
}

START_TEST(it_has_kafkas_files)
{
    struct plog_fixture f;
    char path[128];
    uint64_t size;
    fixture_start(&f, 2000, 1);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    ck_assert(f.report.created);
    fill(&f, 60);
    fixture_close(&f, true);
    ck_assert_uint_gt(count_files(&f, ".log"), 3);
    ck_assert_uint_eq(count_files(&f, ".index"), count_files(&f, ".log"));
    ck_assert_uint_eq(count_files(&f, ".timeindex"), count_files(&f, ".log"));
    ck_assert_uint_ge(count_files(&f, ".snapshot"), count_files(&f, ".log"));
    const uint8_t *meta = mem_env_bytes(f.mem, LOG_DIR "/partition.metadata", &size);
    static const char text[] = "version: 0\ntopic_id: AQIDBAUGBwgJAAAAAAAAAA";
    ck_assert_uint_eq(size, sizeof(text) - 1);
    ck_assert_int_eq(memcmp(meta, text, size), 0);
    const uint8_t *epochs = mem_env_bytes(f.mem, LOG_DIR "/leader-epoch-checkpoint", &size);
    ck_assert_uint_eq(size, 8);
    ck_assert_int_eq(memcmp(epochs, "0\n1\n0 0\n", 8), 0);
    /* an index entry: last offset of a batch (relative), position of that batch */
    const uint8_t *index = mem_env_bytes(f.mem, fixture_path(0, ".index", path), &size);
    const uint8_t *log = mem_env_bytes(f.mem, fixture_path(0, ".log", path), &(uint64_t){0});
    ck_assert_uint_ge(size, 16);
    for (uint64_t at = 0; at < size; at += 8)
        ck_assert_int_eq(batch_last_offset(log + load_be32(index + at + 4)), load_be32(index + at));
    const uint8_t *times = mem_env_bytes(f.mem, fixture_path(0, ".timeindex", path), &size);
    ck_assert_uint_ge(size, 24);
    for (uint64_t at = 0; at < size; at += 12) /* every record's time is 1000000 + 10 * offset */
        ck_assert_int_eq((int64_t)load_be64(times + at), 1000000 + 10 * (int64_t)load_be32(times + at + 8));
    fixture_stop(&f);
}
END_TEST

START_TEST(every_offset_is_found_with_every_read_size)
{
    struct plog_fixture f;
    static const int32_t sizes[] = {1, 61, 300, 5000, 1 << 20};
    fixture_start(&f, 3000, 2);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    fill(&f, 150);
    for (int again = 0; again < 2; again++) { /* as written, and as opened again */
        for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
            for (int64_t offset = 0; offset < plog_end(f.log); offset += 1 + (int64_t)s) {
                struct plog_piece piece;
                ck_assert_int_eq(plog_read(f.log, offset, plog_end(f.log), sizes[s], true, &piece), OK);
                ck_assert_int_le(batch_base_offset(piece.p), offset);
                ck_assert_int_ge(batch_last_offset(piece.p), offset);
                ck_assert(piece.len <= sizes[s] || piece.len == (int32_t)batch_size(piece.p));
                ck_assert_int_eq(batch_verify(piece.p, (size_t)piece.len), OK);
                iobuf_unref(piece.owner);
            }
        int64_t end;
        fixture_read_all(&f, 0, 700, &end);
        ck_assert_int_eq(end, plog_end(f.log));
        int64_t log_end = plog_end(f.log);
        fixture_close(&f, true);
        ck_assert_int_eq(fixture_open(&f, true, log_end, 0), OK);
        ck_assert_int_eq(plog_end(f.log), log_end);
    }
    fixture_stop(&f);
}
END_TEST

START_TEST(a_read_ends_at_the_bound_and_may_be_empty)
{
    struct plog_fixture f;
    struct plog_piece piece;
    fixture_start(&f, 1 << 20, 3);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    for (int i = 0; i < 40; i++)
        ck_assert_int_eq(fixture_append(&f, 5, 100), OK);
    ck_assert_int_eq(plog_read(f.log, 0, 100, 1 << 20, false, &piece), OK);
    int32_t size = (int32_t)batch_size(piece.p);
    ck_assert_int_eq(piece.len / size, 20);
    iobuf_unref(piece.owner);
    ck_assert_int_eq(plog_read(f.log, 100, 100, 1 << 20, true, &piece), OK);
    ck_assert_int_eq(piece.len, 0);
    ck_assert_int_eq(plog_read(f.log, 0, 3, 1 << 20, true, &piece), OK); /* the bound lies inside a batch */
    ck_assert_int_eq(piece.len, 0);
    ck_assert_int_eq(plog_read(f.log, 50, 200, size - 1, false, &piece), OK);
    ck_assert_int_eq(piece.len, 0);
    ck_assert_int_eq(plog_read(f.log, 50, 200, size - 1, true, &piece), OK);
    ck_assert_int_eq(piece.len, size);
    iobuf_unref(piece.owner);
    fixture_stop(&f);
}
END_TEST

START_TEST(the_estimate_is_exact_at_the_tail)
{
    struct plog_fixture f;
    fixture_start(&f, 1 << 20, 4);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    fill(&f, 100);
    ck_assert_int_eq(plog_estimate(f.log, plog_end(f.log), plog_end(f.log)), 0);
    int64_t end = plog_end(f.log), before = plog_size_bytes(f.log);
    ck_assert_int_eq(fixture_append(&f, 2, 30), OK);
    ck_assert_int_eq(plog_estimate(f.log, end, plog_end(f.log)), (int64_t)plog_size_bytes(f.log) - before);
    ck_assert_int_eq(plog_estimate(f.log, 0, plog_end(f.log)), (int64_t)plog_size_bytes(f.log));
    ck_assert_int_ge(plog_estimate(f.log, 0, 1), 1);
    fixture_stop(&f);
}
END_TEST

START_TEST(a_time_is_found)
{
    struct plog_fixture f;
    int64_t base, time, offset;
    fixture_start(&f, 2500, 5);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    ck_assert_int_eq(plog_max_time(f.log, &time, &offset), ERR_NOT_FOUND);
    ck_assert_int_eq(plog_find_time(f.log, 5, &base), ERR_NOT_FOUND);
    fill(&f, 120);
    for (int again = 0; again < 2; again++) {
        int64_t end = plog_end(f.log);
        for (int64_t o = 0; o < end; o += 3) {
            struct plog_piece piece;
            ck_assert_int_eq(plog_find_time(f.log, 1000000 + o * 10 - 4, &base), OK);
            ck_assert_int_eq(plog_read(f.log, base, end, 1, true, &piece), OK);
            ck_assert_int_le(batch_base_offset(piece.p), o);
            ck_assert_int_ge(batch_last_offset(piece.p), o);
            iobuf_unref(piece.owner);
        }
        ck_assert_int_eq(plog_find_time(f.log, 1000000 + end * 10, &base), ERR_NOT_FOUND);
        ck_assert_int_eq(plog_max_time(f.log, &time, &offset), OK);
        ck_assert_int_eq(time, 1000000 + (end - 1) * 10);
        ck_assert_int_eq(offset, end - 1);
        fixture_close(&f, true);
        ck_assert_int_eq(fixture_open(&f, true, end, 0), OK);
    }
    fixture_stop(&f);
}
END_TEST

/* Cuts a log at `offset`, then goes on in a new epoch; compared with what a log that never had the tail would
 * be. */
static void cut_and_go_on(int64_t offset, bool reopen)
{
    struct plog_fixture f;
    int64_t end, read_end;
    fixture_start(&f, 2000, 6);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    fill(&f, 60);
    plog_sync(f.log);
    fixture_run(&f);
    int64_t before = plog_end(f.log);
    ck_assert_int_eq(plog_truncate(f.log, offset, &end), OK);
    ck_assert_int_le(end, offset);
    ck_assert_int_gt(end, offset - 4); /* batches have up to four records */
    ck_assert_int_eq(plog_end(f.log), MIN(end, before));
    ck_assert_int_le(plog_synced_end(f.log), end);
    f.epoch = 3;
    ck_assert_int_eq(fixture_append(&f, 2, 50), OK);
    ck_assert_int_eq(fixture_append(&f, 1, 50), OK);
    if (reopen) {
        fixture_close(&f, false);
        ck_assert_int_eq(fixture_open(&f, false, MIN(end, before), 0), OK);
        ck_assert_int_eq(f.report.missing_from, -1);
    }
    ck_assert_int_eq(plog_end(f.log), end + 3);
    fixture_read_all(&f, 0, 600, &read_end);
    ck_assert_int_eq(read_end, end + 3);
    ck_assert_int_eq(epoch_cache_latest(plog_epochs(f.log)), 3);
    int32_t epoch;
    int64_t epoch_end;
    epoch_cache_end(plog_epochs(f.log), 0, plog_end(f.log), &epoch, &epoch_end);
    ck_assert_int_eq(epoch_end, end);
    struct producer_batch last;
    for (int64_t id = 500; id < 503; id++) /* nobody remembers what was cut */
        if (producer_state_last(plog_producers(f.log), id, &last))
            ck_assert_int_lt(last.last_offset, end + 3);
    fixture_stop(&f);
}

START_TEST(it_can_be_cut_anywhere)
{
    cut_and_go_on(1 + _i, _i % 2 == 0);
}
END_TEST

START_TEST(the_start_moves_and_whole_segments_go)
{
    struct plog_fixture f;
    int64_t end;
    fixture_start(&f, 2000, 7);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    f.epoch = 1;
    fill(&f, 30);
    f.epoch = 2;
    fill(&f, 60);
    uint32_t files = count_files(&f, ".log");
    for (int64_t start = 1; start <= plog_end(f.log); start += 7) {
        ck_assert_int_eq(plog_set_start(f.log, start), OK);
        ck_assert_int_eq(plog_trim(f.log, plog_start(f.log)), OK);
        ck_assert_int_eq(plog_start(f.log), start);
        fixture_read_all(&f, start, 600, &end);
        epoch_cache_check(plog_epochs(f.log));
    }
    ck_assert_int_eq(plog_set_start(f.log, plog_end(f.log)), OK);
    ck_assert(plog_can_trim(f.log));
    ck_assert_int_eq(plog_trim(f.log, plog_start(f.log)), OK);
    ck_assert(!plog_can_trim(f.log));
    ck_assert_uint_eq(count_files(&f, ".log"), 1);
    ck_assert_uint_gt(files, 3);
    end = plog_end(f.log);
    fixture_close(&f, true);
    ck_assert_int_eq(fixture_open(&f, true, end, end), OK);
    ck_assert_int_eq(plog_start(f.log), end);
    ck_assert_int_eq(plog_end(f.log), end);
    fixture_stop(&f);
}
END_TEST

START_TEST(a_restart_leaves_an_empty_log_there)
{
    struct plog_fixture f;
    fixture_start(&f, 2000, 8);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    fill(&f, 60);
    ck_assert_int_eq(plog_restart(f.log, 5000), OK);
    ck_assert_int_eq(plog_start(f.log), 5000);
    ck_assert_int_eq(plog_end(f.log), 5000);
    ck_assert_int_eq(epoch_cache_latest(plog_epochs(f.log)), EPOCH_NONE);
    ck_assert_uint_eq(plog_producers(f.log)->count, 0);
    f.epoch = 9;
    fill(&f, 5);
    fixture_close(&f, false);
    ck_assert_int_eq(fixture_open(&f, false, 5000, 5000), OK);
    ck_assert_int_eq(plog_start(f.log), 5000);
    ck_assert_int_gt(plog_end(f.log), 5005);
    fixture_stop(&f);
}
END_TEST

START_TEST(a_sync_covers_what_was_written_before_it)
{
    struct plog_fixture f;
    fixture_start(&f, 1500, 9);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    fill(&f, 30); /* several segments */
    int64_t first = plog_end(f.log);
    plog_sync(f.log);
    ck_assert(plog_syncing(f.log));
    fill(&f, 30);
    plog_sync(f.log); /* joins the next round */
    while (f.synced_end == 0)
        mem_world_run(f.world, mem_world_now_us(f.world) + 50);
    ck_assert_int_le(f.synced_end, first);
    fixture_run(&f);
    ck_assert_int_eq(f.synced_end, plog_end(f.log));
    ck_assert(!plog_syncing(f.log));
    mem_env_crash(f.mem, MEM_DROP);
    plog_close(f.log);
    f.log = NULL;
    mem_env_restart(f.mem);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    ck_assert_int_eq(plog_end(f.log), f.synced_end);
    ck_assert_int_eq(f.report.cut_bytes, 0);
    fixture_stop(&f);
}
END_TEST

/* Found by simulation: it fails after the log was closed, and a sync behind it is told nothing of that. */
START_TEST(no_log_is_clean_while_a_sync_is_under_way)
{
    struct plog_fixture f;
    fixture_start(&f, 1 << 20, 13);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    ck_assert_int_eq(fixture_append(&f, 1, 50), OK);
    plog_sync(f.log);
    ck_assert_int_eq(fixture_append(&f, 1, 50), OK);
    ck_assert_int_eq(plog_close_clean(f.log), ERR_BUSY);
    ck_assert_int_eq(plog_synced_end(f.log), 0);
    fixture_run(&f);
    ck_assert(!plog_syncing(f.log));
    ck_assert_int_eq(plog_close_clean(f.log), OK);
    ck_assert_int_eq(plog_synced_end(f.log), 2);
    fixture_stop(&f);
}
END_TEST

START_TEST(a_sync_under_way_says_nothing_about_what_was_cut_meanwhile)
{
    struct plog_fixture f;
    int64_t end;
    fixture_start(&f, 1 << 20, 12);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(fixture_append(&f, 1, 50), OK);
    plog_sync(f.log);
    ck_assert_int_eq(plog_truncate(f.log, 5, &end), OK);
    f.epoch = 1;
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(fixture_append(&f, 1, 50), OK);
    fixture_run(&f);
    ck_assert_int_eq(f.synced_end, 5);
    ck_assert_int_eq(plog_synced_end(f.log), 5);
    plog_sync(f.log);
    fixture_run(&f);
    ck_assert_int_eq(f.synced_end, 13);
    fixture_stop(&f);
}
END_TEST

/* For each producer the last batch that is in the log. */
static void producers_fit_the_log(struct plog_fixture *f)
{
    int64_t last[3] = {-1, -1, -1};
    struct plog_piece piece;
    struct producer_batch known;
    for (int64_t offset = 0; offset < plog_end(f->log); offset = batch_next_offset(piece.p)) {
        if (offset > 0)
            iobuf_unref(piece.owner);
        ck_assert_int_eq(plog_read(f->log, offset, plog_end(f->log), 1, true, &piece), OK);
        last[batch_producer_id(piece.p) - 500] = batch_last_offset(piece.p);
    }
    iobuf_unref(piece.owner);
    for (int i = 0; i < 3; i++) {
        ck_assert(producer_state_last(plog_producers(f->log), 500 + i, &known) == (last[i] >= 0));
        ck_assert(last[i] < 0 || known.last_offset == last[i]);
    }
}

START_TEST(producers_follow_every_cut)
{
    struct plog_fixture f;
    int64_t end;
    fixture_start(&f, 1500, 13);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    fill(&f, 80);
    int64_t before = plog_end(f.log);
    fixture_close(&f, true); /* leaves a snapshot at `before` */
    ck_assert_int_eq(fixture_open(&f, true, before, 0), OK);
    ck_assert_int_eq(plog_truncate(f.log, before - 1 - _i * 11, &end), OK);
    producers_fit_the_log(&f);
    f.epoch = 1;
    while (plog_end(f.log) <=
           before) /* one producer goes on; snapshots of the cut part would tell of the others */
        ck_assert_int_eq(fixture_append(&f, 3, 0), OK);
    producers_fit_the_log(&f);
    uint64_t hash = 0;
    for (int clean = 0; clean < 2; clean++) {
        end = plog_end(f.log);
        fixture_close(&f, clean);
        ck_assert_int_eq(fixture_open(&f, clean, clean ? end : 0, 0), OK);
        producers_fit_the_log(&f);
        ck_assert(!clean || producer_state_hash(plog_producers(f.log)) ==
                                hash); /* replay fills windows that the cut left short */
        hash = producer_state_hash(plog_producers(f.log));
    }
    fixture_stop(&f);
}
END_TEST

START_TEST(a_deleted_log_leaves_nothing)
{
    struct plog_fixture f;
    fixture_start(&f, 1500, 10);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    fill(&f, 30);
    plog_delete(f.log);
    f.log = NULL;
    bool is_dir;
    ck_assert_int_eq(env_path_exists(f.env, LOG_DIR, &is_dir), ERR_NOT_FOUND);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    ck_assert_int_eq(plog_end(f.log), 0);
    fixture_stop(&f);
}
END_TEST

START_TEST(a_large_batch_is_read_whole)
{
    struct plog_fixture f;
    struct plog_piece piece;
    fixture_start(&f, 8 << 20, 11);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    ck_assert_int_eq(fixture_append(&f, 2, 10), OK);
    ck_assert_int_eq(fixture_append(&f, 200, 4000), OK);
    ck_assert_int_eq(fixture_append(&f, 2, 10), OK);
    ck_assert_int_eq(plog_read(f.log, 50, plog_end(f.log), 100, true, &piece), OK);
    ck_assert_int_gt(piece.len, 800000);
    ck_assert_int_eq(batch_verify(piece.p, (size_t)piece.len), OK);
    iobuf_unref(piece.owner);
    ck_assert_int_eq(plog_read(f.log, 0, plog_end(f.log), 100, true, &piece), OK);
    ck_assert_int_lt(piece.len, 1000);
    iobuf_unref(piece.owner);
    fixture_stop(&f);
}
END_TEST

/* A sync of a file that grew also writes its new size: room is made in large steps, and given back at the end
 * of the segment. */
START_TEST(room_is_made_ahead_and_given_back)
{
    struct plog_fixture f;
    char path[128];
    uint64_t size, before = 0;
    int steps = 0, appends = 0;
    fixture_start(&f, 300000, 9);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    uint64_t in_first = 0;
    while (plog_active_base(f.log) == 0) {
        in_first = plog_size_bytes(f.log);
        ck_assert_int_eq(fixture_append(&f, 1, 400), OK);
        appends++;
        mem_env_bytes(f.mem, fixture_path(0, ".log", path), &size);
        steps += plog_active_base(f.log) == 0 && size != before;
        before = size;
    }
    ck_assert_int_gt(appends, 500);
    ck_assert_int_le(steps, 6);
    ck_assert_uint_eq(size, in_first); /* it has ended: what was not needed is given back */
    mem_env_bytes(f.mem, fixture_path(plog_active_base(f.log), ".log", path), &size);
    ck_assert_uint_gt(size, 10000);
    fixture_stop(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, it_has_kafkas_files);
    tcase_add_test(tcase, room_is_made_ahead_and_given_back);
    tcase_add_test(tcase, every_offset_is_found_with_every_read_size);
    tcase_add_test(tcase, a_read_ends_at_the_bound_and_may_be_empty);
    tcase_add_test(tcase, the_estimate_is_exact_at_the_tail);
    tcase_add_test(tcase, a_time_is_found);
    tcase_add_loop_test(tcase, it_can_be_cut_anywhere, 0, 150); /* up to the log end */
    tcase_add_test(tcase, the_start_moves_and_whole_segments_go);
    tcase_add_test(tcase, a_restart_leaves_an_empty_log_there);
    tcase_add_test(tcase, a_sync_covers_what_was_written_before_it);
    tcase_add_test(tcase, no_log_is_clean_while_a_sync_is_under_way);
    tcase_add_test(tcase, a_sync_under_way_says_nothing_about_what_was_cut_meanwhile);
    tcase_add_loop_test(tcase, producers_follow_every_cut, 0, 17);
    tcase_add_test(tcase, a_deleted_log_leaves_nothing);
    tcase_add_test(tcase, a_large_batch_is_read_whole);
}

SLUICE_TEST_MAIN("broker_plog", add)
