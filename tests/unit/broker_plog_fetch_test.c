/* SPDX-License-Identifier: Apache-2.0 */
/* What readers are given: pieces of memory, ranges of files, or the advice to warm a range first; and that no
 * damaged byte is ever among it. */
#include "broker/log/plog_internal.h"
#include "tests/unit/broker_plog_fixture.h"

#define SEGMENT 400000
#define BATCHES 300
#define CACHE   (256 * 1024)

static struct plog_fixture f;
static struct tail_cache cache;
static struct budget budget;

static void fill(int batches)
{
    for (int i = 0; i < batches; i++)
        ck_assert_int_eq(fixture_append(&f, 1 + i % 3, 500 + i * 13 % 2000), OK);
}

static void start(void)
{
    fixture_start(&f, SEGMENT, 7);
    f.setup.config.index_interval_bytes = 4096;
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
}

static void reopen(void)
{
    fixture_close(&f, true);
    ck_assert_int_eq(fixture_open(&f, true, 0, 0), OK);
}

static struct plog_fetch ask_at(int64_t offset, int32_t max_bytes)
{
    return (struct plog_fetch){.offset = offset,
                               .end_offset = plog_end(f.log),
                               .file_end_offset = plog_end(f.log),
                               .max_bytes = max_bytes,
                               .at_least_one = true,
                               .may_wait = true};
}

static void release(struct plog_piece *piece)
{
    iobuf_unref(piece->owner);
    if (piece->file)
        env_file_close(piece->file);
}

/* Whole good batches in order from the one with offset to next_offset, whichever way they came. */
static void check_piece(const struct plog_fetch *ask, const struct plog_piece *piece)
{
    uint8_t *bytes = malloc((size_t)piece->len);
    size_t got = (size_t)piece->len;
    int64_t expected = -1;
    if (piece->file)
        ck_assert_int_eq(env_file_read(piece->file, piece->file_offset, bytes, (size_t)piece->len, &got), OK);
    else
        memcpy(bytes, piece->p, (size_t)piece->len);
    ck_assert_uint_eq(got, (size_t)piece->len);
    for (int32_t at = 0; at < piece->len; at += (int32_t)batch_size(bytes + at)) {
        ck_assert_int_eq(batch_verify(bytes + at, (size_t)(piece->len - at)), OK);
        if (at == 0)
            ck_assert(batch_base_offset(bytes) <= ask->offset && batch_last_offset(bytes) >= ask->offset);
        else
            ck_assert_int_eq(batch_base_offset(bytes + at), expected);
        expected = batch_next_offset(bytes + at);
    }
    ck_assert_int_eq(piece->next_offset, expected);
    ck_assert_int_le(expected, ask->end_offset);
    if (piece->file)
        ck_assert_int_le(expected, ask->file_end_offset);
    free(bytes);
}

/* Reads all from 0 on; returns how many bytes came as ranges of files. */
static int64_t read_through(int32_t max_bytes)
{
    int64_t ranges = 0, offset = 0;
    while (offset < plog_end(f.log)) {
        struct plog_fetch ask = ask_at(offset, max_bytes);
        struct plog_piece piece;
        ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
        ck_assert_int_gt(piece.len, 0);
        check_piece(&ask, &piece);
        ranges += piece.file ? piece.len : 0;
        offset = piece.next_offset;
        release(&piece);
    }
    return ranges;
}

START_TEST(what_was_appended_comes_as_ranges)
{
    start();
    fill(BATCHES);
    int64_t ranges = read_through(200000);
    ck_assert_int_gt(ranges, (int64_t)plog_size_bytes(f.log) * 9 / 10);
    ck_assert_int_eq(read_through(10000), 0); /* small reads are copied */
    fixture_stop(&f);
}
END_TEST

START_TEST(bounds_hold_for_every_offset_and_size)
{
    static const int32_t sizes[] = {1, 5000, 40000, 100000, 1 << 20};
    start();
    fill(BATCHES);
    for (int64_t offset = 0; offset < plog_end(f.log); offset += 7)
        for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
            for (int64_t back = 0; back < 60; back += 29) {
                struct plog_fetch ask = ask_at(offset, sizes[s]);
                struct plog_piece piece;
                ask.file_end_offset = plog_end(f.log) - back * 2;
                ask.end_offset = plog_end(f.log) - back;
                ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
                if (piece.len > 0)
                    check_piece(&ask, &piece);
                release(&piece);
            }
    fixture_stop(&f);
}
END_TEST

START_TEST(a_former_lifes_bytes_are_checked_before_they_leave_unread)
{
    start();
    fill(BATCHES);
    reopen();
    ck_assert_int_eq(f.log->segments[0].verified_from, f.log->segments[0].size);
    struct plog_fetch ask = ask_at(0, 200000);
    struct plog_piece piece;
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
    ck_assert_ptr_null(piece.file);
    check_piece(&ask, &piece);
    release(&piece);
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
    ck_assert_ptr_nonnull(piece.file);
    check_piece(&ask, &piece);
    release(&piece);
    fixture_stop(&f);
}
END_TEST

static void flip(uint64_t position)
{
    char path[128];
    uint64_t size;
    uint8_t *bytes = mem_env_bytes(f.mem, fixture_path(0, ".log", path), &size);
    bytes[position] ^= 1;
}

/* Payload, base offset, leader epoch: the last two lie outside the checksum. */
START_TEST(damage_never_leaves)
{
    static const uint64_t at[] = {BATCH_HEADER_BYTES + 5, BATCH_AT_BASE_OFFSET + 7, BATCH_AT_LEADER_EPOCH + 3,
                                  BATCH_AT_LAST_OFFSET_DELTA + 3};
    struct plog_piece piece;
    start();
    fill(BATCHES);
    struct plog_fetch ask = ask_at(0, 20000);
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
    int64_t position = piece.len, offset = piece.next_offset;
    release(&piece);
    reopen();
    flip((uint64_t)position + at[_i]);
    for (int round = 0; round < 2; round++) {
        ask = ask_at(0, 1 << 20);
        ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
        check_piece(&ask, &piece);
        ck_assert_int_eq(piece.next_offset, offset);
        release(&piece);
        ask.offset = offset;
        ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), ERR_CORRUPT);
    }
    fixture_stop(&f);
}
END_TEST

/* Offsets may be missing there; but then the next batch does not begin with one of them, and none ends behind
 * the log (_i 1; found by simulation: readers waited there for ever). */
START_TEST(a_batch_that_jumps_over_others_never_leaves_a_log_with_gaps)
{
    char path[128];
    struct plog_piece piece;
    struct plog_damage found;
    uint64_t size;
    fixture_start(&f, SEGMENT, 7);
    f.setup.config.index_interval_bytes = 4096;
    f.setup.config.may_have_gaps = true;
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    fill(BATCHES);
    struct plog_fetch ask = ask_at(0, 20000);
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
    int64_t position = piece.len, offset = piece.next_offset;
    release(&piece);
    reopen();
    uint8_t bit = offset & 0x20 ? 0x40 : 0x20,
            *bytes = mem_env_bytes(f.mem, fixture_path(0, ".log", path), &size);
    ck_assert_int_eq(offset & bit, 0);
    bytes[position + BATCH_AT_BASE_OFFSET + (_i ? 2 : 7)] ^= bit;
    ask = ask_at(0, 1 << 20);
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
    check_piece(&ask, &piece);
    ck_assert_int_eq(piece.next_offset, offset);
    release(&piece);
    ask.offset = offset;
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), ERR_CORRUPT);
    if (plog_damage_at(f.log, offset, false)) /* met while the index was built anew */
        found = *plog_damage_at(f.log, offset, false);
    else
        ck_assert_int_eq(plog_damage_search(f.log, ask.offset, &found), OK);
    ck_assert_int_eq(found.offset, offset);
    ask.offset = _i ? found.end : offset + bit;
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
    check_piece(&ask, &piece);
    release(&piece);
    fixture_stop(&f);
}
END_TEST

/* A closed segment that has lost its last batch: nobody is led over it, however often the rest was served. */
START_TEST(a_reader_is_not_led_over_a_lost_end)
{
    char path[128];
    uint64_t size, at = 0, last = 0;
    start();
    fill(BATCHES);
    int64_t next = f.log->segments[1].base_offset, lost = 0;
    const uint8_t *bytes = mem_env_bytes(f.mem, fixture_path(0, ".log", path), &size);
    for (; at < size; at += batch_size(bytes + at)) {
        last = at;
        lost = batch_base_offset(bytes + at);
    }
    fixture_close(&f, true);
    mem_env_resize(f.mem, path, last);
    ck_assert_int_eq(fixture_open(&f, true, 0, 0), OK);
    for (int round = 0; round < 3; round++) { /* read, then as ranges of the file */
        enum err err = OK;
        int64_t offset = 0;
        while (err == OK) {
            struct plog_fetch ask = ask_at(offset, 200000);
            struct plog_piece piece;
            err = plog_fetch(f.log, &ask, &piece);
            if (err == OK) {
                ck_assert_int_gt(piece.len, 0);
                offset = piece.next_offset;
                ck_assert_int_le(offset, lost);
                release(&piece);
            }
        }
        ck_assert_int_eq(err, ERR_CORRUPT);
        ck_assert_int_eq(offset, lost);
    }
    struct plog_damage found;
    ck_assert_int_eq(plog_damage_search(f.log, lost, &found), OK);
    ck_assert_int_eq(found.end, next);
    fixture_stop(&f);
}
END_TEST

START_TEST(cold_ranges_are_named_and_not_waited_for)
{
    struct plog_piece piece;
    static const int32_t sizes[] = {100, 20000, 200000};
    start();
    fill(BATCHES);
    mem_env_set_cold(f.mem, true);
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct plog_fetch ask = ask_at(i % 2 ? 3 : plog_end(f.log) - 3, sizes[i]);
        ask.may_wait = false;
        ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), ERR_AGAIN);
        ck_assert_ptr_nonnull(piece.file);
        ck_assert_int_gt(piece.len, 0);
        ck_assert_int_le(piece.len, PLOG_READ_BYTES_MAX);
        release(&piece);
        ask.may_wait = true;
        ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
        check_piece(&ask, &piece);
        release(&piece);
    }
    fixture_stop(&f);
}
END_TEST

START_TEST(what_left_the_page_cache_is_checked_again)
{
    struct plog_piece piece;
    start();
    fill(BATCHES);
    struct plog_fetch ask = ask_at(0, 200000);
    ask.may_wait = false;
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
    ck_assert_ptr_nonnull(piece.file); /* appended by this very process */
    release(&piece);
    flip(50000);
    mem_env_set_cold(f.mem, true);
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), ERR_AGAIN);
    release(&piece);
    ask.may_wait = true;
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
    check_piece(&ask, &piece);
    ck_assert_int_lt(piece.len, 50001);
    ask.offset = piece.next_offset;
    release(&piece);
    ask.may_wait = false; /* behind it, headers are looked at first */
    while (plog_fetch(f.log, &ask, &piece) == ERR_AGAIN) {
        release(&piece);
        ask.may_wait = true;
    }
    ck_assert_int_le(piece.len, 0);
    fixture_stop(&f);
}
END_TEST

/* It has waited for another range before: of this one nobody asked what is in memory. */
START_TEST(what_left_the_page_cache_is_checked_again_for_a_reader_that_may_wait)
{
    struct plog_piece piece;
    start();
    fill(BATCHES);
    struct plog_fetch ask = ask_at(0, 200000);
    flip(50000);
    mem_env_set_cold(f.mem, true);
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
    ck_assert_int_gt(piece.len, 0);
    ck_assert_int_lt(piece.len, 50001);
    check_piece(&ask, &piece);
    release(&piece);
    fixture_stop(&f);
}
END_TEST

/* -- the tail cache -- */

static void start_cached(void)
{
    budget_init(&budget, 1 << 20);
    fixture_start(&f, SEGMENT, 7);
    f.setup.config.index_interval_bytes = 4096;
    tail_cache_init(&cache, &budget, f.env->pool, CACHE);
    f.setup.tail_cache = &cache;
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
}

static void stop_cached(void)
{
    fixture_close(&f, false);
    tail_cache_free(&cache);
    ck_assert_uint_eq(budget.used_bytes, 0);
    plog_handles_free(&f.handles);
    mem_world_free(f.world);
}

static void append_kept(int count, int value_len, bool own)
{
    struct iobuf *batch = fixture_batch(plog_end(f.log), count, value_len, f.epoch);
    ck_assert_int_eq(plog_append_kept(f.log, batch->data, batch->len, own ? batch : NULL), OK);
    iobuf_unref(batch);
}

START_TEST(the_tail_is_served_without_the_file)
{
    struct plog_piece piece;
    start_cached();
    for (int i = 0; i < 500; i++)
        append_kept(1 + i % 3, i % 10 ? 100 : 3000, i % 10 == 0);
    mem_env_set_cold(f.mem, true);
    for (int64_t offset = f.log->tail.first->base_offset; offset < plog_end(f.log); offset++) {
        struct plog_fetch ask = ask_at(offset, offset % 2 ? 1 : 20000);
        ask.may_wait = false;
        ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
        ck_assert_ptr_nonnull(piece.owner);
        check_piece(&ask, &piece);
        release(&piece);
    }
    ck_assert_uint_eq(cache.misses, 0);
    ck_assert_uint_le(cache.used_bytes, CACHE);
    ck_assert_uint_eq(budget.by_owner[BUDGET_CACHE], cache.used_bytes);
    stop_cached();
}
END_TEST

/* Readers that go on where they have ended, several of them, and one that jumps about. */
START_TEST(the_tail_finds_an_offset_wherever_reads_have_ended)
{
    int64_t at[3] = {0, 0, 0};
    start_cached();
    for (int i = 0; i < 600; i++) {
        append_kept(1 + i % 3, 50, false);
        int64_t end = plog_end(f.log), *reader = &at[i % 3];
        for (int turn = 0; turn < 2; turn++) {
            struct plog_fetch ask = ask_at(turn ? (int64_t)i * 7919 % end : MIN(*reader, end - 1), 1000);
            struct plog_piece piece;
            ask.end_offset = turn ? end : MIN(end, ask.offset + 3 + i % 5);
            ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
            check_piece(&ask, &piece);
            if (!turn)
                *reader = MAX(piece.next_offset, ask.offset);
            release(&piece);
        }
    }
    ck_assert_uint_eq(cache.misses, 0);
    for (int i = 0; i < 3; i++)
        ck_assert_int_gt(at[i], plog_end(f.log) / 2);
    stop_cached();
}
END_TEST

/* A small batch out of a large receive buffer is copied, a batch that fills its buffer is kept by reference.
 */
START_TEST(a_small_batch_does_not_hold_the_buffer_that_it_came_in)
{
    start_cached();
    for (int large = 0; large < 2; large++) {
        struct iobuf *batch = fixture_batch(plog_end(f.log), large ? 40 : 1, large ? 2000 : 100, f.epoch);
        struct iobuf *received = iobuf_get(NULL, 100 << 10);
        uint64_t before = cache.used_bytes;
        memcpy(received->data, batch->data, batch->len);
        received->len = batch->len;
        ck_assert_int_eq(plog_append_kept(f.log, received->data, received->len, received), OK);
        ck_assert_int_eq(plog_write_out(f.log), OK); /* until then it does */
        ck_assert_uint_eq(atomic_load(&received->refs), large ? 2 : 1);
        ck_assert_uint_eq(cache.used_bytes - before >= received->cap, large);
        iobuf_unref(received);
        iobuf_unref(batch);
    }
    stop_cached();
}
END_TEST

START_TEST(the_cache_keeps_to_its_budget_and_gives_way_to_others)
{
    start_cached();
    for (int i = 0; i < 1000; i++)
        append_kept(1, 1500, false);
    ck_assert_uint_le(cache.used_bytes, CACHE);
    ck_assert_uint_gt(cache.used_bytes, CACHE / 2);
    ck_assert_int_gt(f.log->tail.first->base_offset, 0);
    ck_assert_int_eq(read_through(50000) > 0, 1);
    ck_assert(budget_take(&budget, BUDGET_REQUESTS, (1 << 20) - cache.used_bytes));
    for (int i = 0; i < 500; i++) /* nothing is left: what is oldest makes room */
        append_kept(1, 1500, false);
    ck_assert_uint_le(budget.used_bytes, 1 << 20);
    read_through(50000);
    budget_give(&budget, BUDGET_REQUESTS, budget.by_owner[BUDGET_REQUESTS]);
    stop_cached();
}
END_TEST

START_TEST(a_cut_log_forgets_its_tail)
{
    struct plog_piece piece;
    int64_t end;
    start_cached();
    for (int i = 0; i < 50; i++)
        append_kept(1, 100, false);
    ck_assert_int_eq(plog_truncate(f.log, 30, &end), OK);
    f.epoch = 9;
    append_kept(1, 100, false);
    struct plog_fetch ask = ask_at(30, 100000);
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
    ck_assert_int_eq(batch_leader_epoch(piece.p), 9);
    check_piece(&ask, &piece);
    release(&piece);
    ck_assert_int_eq(fixture_append(&f, 1, 100), OK); /* not kept: there is a gap now */
    append_kept(1, 100, false);
    read_through(1000);
    ck_assert_int_eq(plog_restart(f.log, 500), OK);
    append_kept(1, 100, false);
    ask = ask_at(500, 1000);
    ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
    check_piece(&ask, &piece);
    release(&piece);
    stop_cached();
}
END_TEST

/* Index files as of a segment of 1 GiB, one of a thousand: searched in the file. */
START_TEST(an_index_in_a_file_gives_what_it_gives_in_memory)
{
    start();
    fill(900);
    for (int32_t i = 0; i + 1 < f.log->segments_count; i++) {
        struct plog_segment *seg = &f.log->segments[i];
        for (int64_t offset = seg->base_offset; offset < plog_segment_end(f.log, i); offset += 3) {
            uint32_t in_file, bound_file, in_memory, bound_memory,
                limit = (uint32_t)(offset * 977 % seg->size);
            plog_index_drop(seg);
            ck_assert_int_eq(plog_index_lookup(f.log, seg, offset, &in_file), OK);
            ck_assert_int_eq(plog_index_bound(f.log, seg, limit, offset, &bound_file), OK);
            ck_assert(!seg->index.in_memory);
            ck_assert_int_eq(plog_index_load(f.log, seg, INT64_MAX, UINT32_MAX), OK);
            ck_assert_int_eq(plog_index_lookup(f.log, seg, offset, &in_memory), OK);
            ck_assert_int_eq(plog_index_bound(f.log, seg, limit, offset, &bound_memory), OK);
            ck_assert_uint_eq(in_file, in_memory);
            ck_assert_uint_eq(bound_file, bound_memory);
            ck_assert_uint_le(bound_file, limit);
        }
        plog_index_drop(seg);
    }
    fixture_stop(&f);
}
END_TEST

/* No read begins where another one ended. */
static void read_backwards(void)
{
    for (int64_t offset = plog_end(f.log) - 1; offset >= 0; offset--) {
        struct plog_fetch ask = ask_at(offset, 1);
        struct plog_piece piece;
        ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
        check_piece(&ask, &piece);
        release(&piece);
    }
}

/* Every other time an entry is lowered, so that it is found for offsets in front of its batch. */
static uint8_t flip_of(uint8_t byte, uint64_t i)
{
    uint8_t highest = 1;
    while (byte >> 1 >= highest && highest < 0x80)
        highest = (uint8_t)(highest << 1);
    return i / 4 % 2 ? (uint8_t)(1 << i / 4 % 4) : highest;
}

/* Its files have no checksum: one bit of an entry, in its offset or its position, flips between two lives or
 * under a living log. Readers come to every batch (found by simulation: an active segment answered that it
 * was corrupt for as long as it was that), and are led over none where offsets may be missing. */
START_TEST(an_index_with_a_flipped_bit_leads_no_reader_astray)
{
    static const uint64_t low_bytes[] = {2, 3, 6, 7}; /* of the offset, of the position */
    char path[128];
    uint64_t size;
    bool closed = _i & 1, living = _i & 2;
    fixture_start(&f, closed ? 80000 : SEGMENT, 7);
    f.setup.config.index_interval_bytes = 4096;
    f.setup.config.may_have_gaps = _i & 4;
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    fill(60);
    ck_assert_int_eq(f.log->segments_count > 1, closed);
    for (uint64_t i = 0; i < 40; i++) {
        fixture_close(&f, true);
        if (living)
            ck_assert_int_eq(fixture_open(&f, true, 0, 0), OK);
        if (living)
            read_backwards();
        uint8_t *index = mem_env_bytes(f.mem, fixture_path(0, ".index", path), &size);
        ck_assert_uint_gt(size, i / 4 * 8 + 7);
        uint8_t *byte = &index[i / 4 * 8 + low_bytes[i % 4]];
        *byte ^= flip_of(*byte, i);
        if (!living)
            ck_assert_int_eq(fixture_open(&f, true, 0, 0), OK);
        read_backwards();
    }
    fixture_stop(&f);
}
END_TEST

/* The first entry of a segment seems to speak of its very first offset: nothing that is read there is in
 * front of what it leads to (found by simulation: a partition that nobody could read from its beginning). */
START_TEST(an_index_that_rots_at_its_beginning_is_made_anew)
{
    char path[128];
    uint64_t size;
    fixture_start(&f, 80000, 7);
    f.setup.config.index_interval_bytes = 4096;
    f.setup.config.may_have_gaps = _i & 1;
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    fill(60);
    for (int32_t i = 0; i + 1 < f.log->segments_count; i++) {
        read_backwards(); /* checks the indexes */
        int64_t base = f.log->segments[i].base_offset;
        memset(mem_env_bytes(f.mem, fixture_path(base, ".index", path), &size), 0, 4);
        struct plog_fetch ask = ask_at(base, 1);
        struct plog_piece piece;
        ck_assert_int_eq(plog_fetch(f.log, &ask, &piece), OK);
        check_piece(&ask, &piece);
        release(&piece);
    }
    fixture_stop(&f);
}
END_TEST

START_TEST(a_batch_that_does_not_fit_is_not_stepped_over_for_one_of_the_next_segment)
{
    struct plog_fixture log;
    struct plog_piece piece;
    fixture_start(&log, 700, 5);
    log.setup.config.may_have_gaps = true;
    ck_assert_int_eq(fixture_open(&log, false, 0, 0), OK);
    ck_assert_int_eq(fixture_append(&log, 1, 400), OK); /* a large one ends the first segment */
    ck_assert_int_eq(fixture_append(&log, 1, 300), OK); /* the next begin others */
    ck_assert_int_eq(fixture_append(&log, 1, 10), OK);
    ck_assert_int_eq(plog_read(log.log, 0, plog_end(log.log), 390, false, &piece), OK);
    ck_assert_int_eq(piece.len, 0);
    ck_assert_int_eq(plog_read(log.log, 0, plog_end(log.log), 390, true, &piece), OK);
    ck_assert_int_eq(batch_base_offset(piece.p), 0);
    iobuf_unref(piece.owner);
    fixture_stop(&log);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, an_index_that_rots_at_its_beginning_is_made_anew, 0, 2);
    tcase_add_test(tcase, a_batch_that_does_not_fit_is_not_stepped_over_for_one_of_the_next_segment);
    tcase_add_test(tcase, what_was_appended_comes_as_ranges);
    tcase_add_test(tcase, bounds_hold_for_every_offset_and_size);
    tcase_add_test(tcase, a_former_lifes_bytes_are_checked_before_they_leave_unread);
    tcase_add_loop_test(tcase, damage_never_leaves, 0, 4);
    tcase_add_test(tcase, a_reader_is_not_led_over_a_lost_end);
    tcase_add_test(tcase, cold_ranges_are_named_and_not_waited_for);
    tcase_add_test(tcase, what_left_the_page_cache_is_checked_again);
    tcase_add_test(tcase, what_left_the_page_cache_is_checked_again_for_a_reader_that_may_wait);
    tcase_add_loop_test(tcase, a_batch_that_jumps_over_others_never_leaves_a_log_with_gaps, 0, 2);
    tcase_add_test(tcase, the_tail_is_served_without_the_file);
    tcase_add_test(tcase, the_tail_finds_an_offset_wherever_reads_have_ended);
    tcase_add_test(tcase, a_small_batch_does_not_hold_the_buffer_that_it_came_in);
    tcase_add_test(tcase, the_cache_keeps_to_its_budget_and_gives_way_to_others);
    tcase_add_test(tcase, a_cut_log_forgets_its_tail);
    tcase_add_loop_test(tcase, an_index_with_a_flipped_bit_leads_no_reader_astray, 0, 8);
    tcase_add_test(tcase, an_index_in_a_file_gives_what_it_gives_in_memory);
}

SLUICE_TEST_MAIN("broker_plog_fetch", add)
