/* SPDX-License-Identifier: Apache-2.0 */
/* Derived files (indexes, epochs, producers) that are lost, spoilt or wrong: all of them come back from the
 * batches. */
#include "tests/unit/broker_plog_sample.h"

/* Derived files: bytes of every one of them after a reopen are what they were. */
static void same_files(struct sample *s, const struct plog_fixture *was)
{
    static const char *const suffixes[] = {".index", ".timeindex"};
    char path[128];
    for (int64_t o = 0; o < s->end[BATCHES]; o++)
        for (size_t k = 0; k < ARRAY_LEN(suffixes); k++) {
            uint64_t size, old_size;
            const uint8_t *now = mem_env_bytes(s->f.mem, fixture_path(o, suffixes[k], path), &size);
            const uint8_t *old = mem_env_bytes(was->mem, path, &old_size);
            ck_assert((now == NULL) == (old == NULL));
            if (now == NULL)
                continue;
            ck_assert_msg(size == old_size && memcmp(now, old, size) == 0, "%s differs", path);
        }
}

static void drop_file(struct sample *s, const char *suffix)
{
    char path[128];
    for (int64_t o = 0; o < s->end[BATCHES]; o++)
        env_unlink(s->f.env, fixture_path(o, suffix, path));
}

static void spoil_file(struct sample *s, const char *suffix)
{
    char path[128];
    uint64_t size;
    for (int64_t o = 0; o < s->end[BATCHES]; o++) {
        uint8_t *bytes = mem_env_bytes(s->f.mem, fixture_path(o, suffix, path), &size);
        for (uint64_t i = 0; bytes && i < size; i += 5)
            bytes[i] ^= 0x55;
    }
}

START_TEST(lost_or_spoilt_indexes_are_rebuilt_as_they_were)
{
    static const char *const suffixes[] = {".index", ".timeindex"};
    struct sample s, was;
    int64_t end;
    sample_start(&s, 1200);
    sample_start(&was, 1200);
    for (size_t k = 0; k < ARRAY_LEN(suffixes); k++) {
        for (int how = 0; how < 2; how++) {
            back(&s);
            if (how == 0)
                drop_file(&s, suffixes[k]);
            else
                spoil_file(&s, suffixes[k]);
            ck_assert_int_eq(fixture_open(&s.f, false, 0, 0), OK);
            fixture_read_all(&s.f, 0, 300, &end);
            ck_assert_int_eq(end, s.end[BATCHES]);
            fixture_close(&s.f, true);
            same_files(&s, &was.f);
        }
    }
    sample_stop(&s);
    sample_stop(&was);
}
END_TEST

START_TEST(a_closed_segments_index_that_lies_is_rebuilt_when_it_is_used)
{
    struct sample s;
    sample_start(&s, 1200);
    for (int how = 0; how < 2; how++) {
        back(&s);
        if (how == 0)
            drop_file(&s, ".index");
        else
            spoil_file(&s, ".index");
        ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
        for (int64_t offset = 0; offset < s.end[BATCHES]; offset++) {
            struct plog_piece piece;
            ck_assert_int_eq(plog_read(s.f.log, offset, s.end[BATCHES], 100, true, &piece), OK);
            ck_assert_int_le(batch_base_offset(piece.p), offset);
            ck_assert_int_ge(batch_last_offset(piece.p), offset);
            iobuf_unref(piece.owner);
        }
    }
    sample_stop(&s);
}
END_TEST

/* What a power cut leaves of a file whose length was written and whose bytes were not. */
static void blank_file(struct sample *s, const char *suffix)
{
    char path[128];
    uint64_t size;
    for (int64_t o = 0; o < s->end[BATCHES]; o++) {
        uint8_t *bytes = mem_env_bytes(s->f.mem, fixture_path(o, suffix, path), &size);
        if (bytes)
            memset(bytes, 0, size);
    }
}

START_TEST(a_closed_segments_times_are_those_of_its_batches_whatever_its_index_says)
{
    struct sample s;
    sample_start(&s, 1200);
    for (int how = 0; how < 3; how++) {
        back(&s);
        if (how == 0)
            drop_file(&s, ".timeindex");
        else if (how == 1)
            spoil_file(&s, ".timeindex");
        else
            blank_file(&s, ".timeindex");
        ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
        for (int64_t offset = 0; offset < s.end[BATCHES]; offset++) {
            int64_t base;
            ck_assert_int_eq(plog_find_time(s.f.log, 1000000 + offset * 10, &base), OK);
            ck_assert_int_le(base, offset);
            ck_assert_int_gt(base + 4, offset); /* batches have up to four records */
        }
        struct plog_retention want = {.ms = 100,
                                      .bytes = -1,
                                      .messages = -1,
                                      .roll_ms = -1,
                                      .now_ms = 1000050,
                                      .high_watermark = s.end[BATCHES]};
        int64_t start, next_ms;
        ck_assert_int_eq(plog_retain(s.f.log, &want, &start, &next_ms), OK);
        ck_assert_int_eq(start, 0);
    }
    sample_stop(&s);
}
END_TEST

/* The first segment's index says that its newest record comes in a far future. */
static void delay_first(struct plog_fixture *f)
{
    char path[128];
    uint64_t size;
    uint8_t *times = mem_env_bytes(f->mem, fixture_path(0, ".timeindex", path), &size);
    ck_assert_uint_ge(size, 24);
    times[0] ^= 0x40;
}

/* All of it is old, and goes. */
static void expires(struct plog_fixture *f)
{
    int64_t start, next_ms;
    ck_assert_int_eq(plog_roll_now(f->log), OK);
    fixture_run(f);
    struct plog_retention want = {.ms = 100,
                                  .bytes = -1,
                                  .messages = -1,
                                  .roll_ms = -1,
                                  .now_ms = env_wall_ms(f->env),
                                  .high_watermark = plog_end(f->log)};
    ck_assert_int_eq(plog_retain(f->log, &want, &start, &next_ms), OK);
    ck_assert_int_eq(start, plog_end(f->log));
}

/* Else it would not go before that time comes, or the log is opened again. */
START_TEST(an_active_segments_time_that_is_still_to_come_is_its_batches_word_once_it_ends)
{
    struct sample s;
    sample_start(&s, 1 << 20);
    back(&s);
    delay_first(&s.f);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    expires(&s.f);
    sample_stop(&s);
}
END_TEST

START_TEST(a_segment_that_is_active_again_has_its_times_from_its_index)
{
    struct plog_fixture f;
    int64_t end;
    fixture_start(&f, 1200, 21);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    while (plog_active_base(f.log) == 0)
        ck_assert_int_eq(fixture_append(&f, 1, 50), OK);
    fixture_run(&f);
    delay_first(&f);
    ck_assert_int_eq(plog_truncate(f.log, plog_active_base(f.log) - 1, &end), OK);
    ck_assert_int_eq(plog_active_base(f.log), 0);
    expires(&f);
    fixture_stop(&f);
}
END_TEST

START_TEST(epochs_and_producers_come_back_without_their_files)
{
    struct sample s;
    sample_start(&s, 1200);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    uint64_t epochs = epoch_cache_hash(plog_epochs(s.f.log)),
             producers = producer_state_hash(plog_producers(s.f.log));
    ck_assert_uint_eq(plog_epochs(s.f.log)->count, 3);
    ck_assert_uint_eq(plog_producers(s.f.log)->count, 3);
    for (int how = 0; how < 4; how++) {
        back(&s);
        uint64_t size;
        uint8_t *bytes = mem_env_bytes(s.f.mem, LOG_DIR "/leader-epoch-checkpoint", &size);
        if (how & 1)
            env_unlink(s.f.env, LOG_DIR "/leader-epoch-checkpoint");
        else
            bytes[3] = 'x';
        if (how & 2)
            drop_file(&s, ".snapshot");
        else
            spoil_file(&s, ".snapshot");
        char path[128];
        env_unlink(s.f.env, fixture_path(s.end[BATCHES], ".snapshot", path));
        ck_assert_int_eq(fixture_open(&s.f, how & 1, s.end[BATCHES], 0), OK);
        ck_assert_uint_eq(epoch_cache_hash(plog_epochs(s.f.log)), epochs);
        ck_assert_uint_eq(producer_state_hash(plog_producers(s.f.log)), producers);
        ck_assert(s.f.report.rebuilt_epochs);
    }
    sample_stop(&s);
}
END_TEST

/* Else the range is taken for one of a later epoch, and what a peer has of it is refused for ever. */
START_TEST(epochs_behind_a_bad_batch_come_back_and_the_batch_is_mended)
{
    struct sample s, peer;
    sample_start(&s, 1 << 20);
    sample_start(&peer, 1 << 20);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    uint64_t epochs = epoch_cache_hash(plog_epochs(s.f.log));
    for (int byte = 1; byte < 17; byte += 5) { /* base offset, length, magic */
        back(&s);
        log_bytes(&s)[byte] ^= 1;
        env_unlink(s.f.env, LOG_DIR "/leader-epoch-checkpoint");
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[BATCHES - 1], 0), OK);
        ck_assert_int_eq(epoch_cache_at(plog_epochs(s.f.log), s.end[1]), 0);
        ck_assert_int_eq(epoch_cache_at(plog_epochs(s.f.log), s.end[11]), 1);
        struct plog_damage found;
        ck_assert_int_eq(plog_damage_search(s.f.log, 0, &found), OK);
        ck_assert_int_eq(found.end, s.end[1]);
        mend(&s, &peer, 0, 1, OK);
        ck_assert_uint_eq(epoch_cache_hash(plog_epochs(s.f.log)), epochs);
    }
    sample_stop(&peer);
    sample_stop(&s);
}
END_TEST

/* The checkpoint is read without any checksum: a flipped digit must not make good batches damage. */
static void write_checkpoint(struct sample *s, int64_t start_1, int64_t start_2)
{
    char text[128];
    uint64_t size;
    int len = snprintf(text, sizeof(text), "0\n3\n0 0\n1 %d\n2 %d\n", (int)start_1, (int)start_2);
    mem_env_resize(s->f.mem, LOG_DIR "/leader-epoch-checkpoint", (uint64_t)len);
    memcpy(mem_env_bytes(s->f.mem, LOG_DIR "/leader-epoch-checkpoint", &size), text, (size_t)len);
}

START_TEST(a_wrong_checkpoint_does_not_make_good_batches_damage)
{
    struct sample s;
    struct plog_damage found;
    sample_start(&s, 1 << 20);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    uint64_t epochs = epoch_cache_hash(plog_epochs(s.f.log));
    for (int how = 0; how < 4; how++) { /* an epoch begins too early or too late, the stop was clean or not */
        back(&s);
        write_checkpoint(&s, how & 1 ? s.end[4] : s.end[10], how & 1 ? s.end[20] : s.end[24]);
        ck_assert_int_eq(fixture_open(&s.f, how & 2, how & 2 ? s.end[BATCHES] : s.end[28], 0), OK);
        ck_assert_int_eq(s.f.report.damages, 0);
        for (int i = 0; i < BATCHES; i++)
            ck_assert_int_eq(plog_damage_search(s.f.log, s.end[i], &found), ERR_NOT_FOUND);
        ck_assert_uint_eq(epoch_cache_hash(plog_epochs(s.f.log)), epochs);
    }
    sample_stop(&s);
}
END_TEST

/* It would be dropped, and what is of it taken for the end of the epoch before. */
START_TEST(an_epoch_that_begins_behind_a_clean_end_begins_where_its_batches_do)
{
    struct sample s;
    sample_start(&s, 1 << 20);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    uint64_t epochs = epoch_cache_hash(plog_epochs(s.f.log));
    back(&s);
    write_checkpoint(&s, s.end[10], s.end[BATCHES] + 700);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    ck_assert_uint_eq(epoch_cache_hash(plog_epochs(s.f.log)), epochs);
    sample_stop(&s);
}
END_TEST

/* Found by a scan, which does not know the log's end yet, or by a search. */
START_TEST(an_epoch_that_never_was_does_not_outlast_the_batches_that_contradict_it)
{
    static const char text[] = "0\n1\n9 0\n";
    struct sample s;
    struct plog_damage found;
    uint64_t size;
    sample_start(&s, 1 << 20);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    uint64_t epochs = epoch_cache_hash(plog_epochs(s.f.log));
    for (int clean = 0; clean < 2; clean++) {
        back(&s);
        mem_env_resize(s.f.mem, LOG_DIR "/leader-epoch-checkpoint", sizeof(text) - 1);
        memcpy(mem_env_bytes(s.f.mem, LOG_DIR "/leader-epoch-checkpoint", &size), text, sizeof(text) - 1);
        ck_assert_int_eq(fixture_open(&s.f, clean, clean ? s.end[BATCHES] : s.end[28], 0), OK);
        ck_assert_int_eq(s.f.report.damages, 0);
        ck_assert_int_eq(plog_damage_search(s.f.log, 0, &found), ERR_NOT_FOUND);
        ck_assert_uint_eq(epoch_cache_hash(plog_epochs(s.f.log)), epochs);
    }
    sample_stop(&s);
}
END_TEST

/* Batch i, and nothing else, is found to be bad, and with what a peer has of it epochs are right again. */
static void batch_is_mended(struct sample *s, struct sample *peer, int i, uint64_t epochs)
{
    struct plog_damage found;
    ck_assert_int_eq(plog_damage_search(s->f.log, s->end[i], &found), OK);
    ck_assert_int_eq(found.offset, s->end[i]);
    ck_assert_int_eq(found.end, s->end[i + 1]);
    mend(s, peer, i, i + 1, OK);
    ck_assert_uint_eq(epoch_cache_hash(plog_epochs(s->f.log)), epochs);
}

START_TEST(damage_is_mended_though_the_checkpoint_is_wrong)
{
    struct sample s, peer;
    sample_start(&s, 1 << 20);
    sample_start(&peer, 1 << 20);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    uint64_t epochs = epoch_cache_hash(plog_epochs(s.f.log));
    for (int clean = 0; clean < 2; clean++) {
        back(&s);
        write_checkpoint(&s, s.end[6], s.end[20]);
        log_bytes(&s)[s.position[8] + BATCH_HEADER_BYTES + 1] ^= 1;
        ck_assert_int_eq(fixture_open(&s.f, clean, s.end[clean ? BATCHES : 28], 0), OK);
        batch_is_mended(&s, &peer, 8, epochs);
    }
    sample_stop(&peer);
    sample_stop(&s);
}
END_TEST

/* Only one batch contradicts it, and the epoch is said to begin within the batch before that one. */
START_TEST(a_checkpoint_that_errs_by_one_batch_is_put_right_by_what_a_peer_has_there)
{
    struct sample s, peer;
    struct plog_damage found;
    sample_start(&s, 1 << 20);
    sample_start(&peer, 1 << 20);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    uint64_t epochs = epoch_cache_hash(plog_epochs(s.f.log));
    for (int clean = 0; clean < 2; clean++) {
        back(&s);
        ck_assert_int_ge(s.end[19] - s.end[18], 2);
        write_checkpoint(&s, s.end[10], s.end[19] - 1);
        ck_assert_int_eq(fixture_open(&s.f, clean, s.end[clean ? BATCHES : 28], 0), OK);
        batch_is_mended(&s, &peer, 19, epochs);
        ck_assert_int_eq(plog_damage_search(s.f.log, s.end[19], &found), ERR_NOT_FOUND);
    }
    sample_stop(&peer);
    sample_stop(&s);
}
END_TEST

START_TEST(epochs_above_the_recovery_point_are_taken_from_the_batches)
{
    struct sample s;
    sample_start(&s, 1200);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    uint64_t epochs = epoch_cache_hash(plog_epochs(s.f.log));
    back(&s);
    write_checkpoint(&s, s.end[10], s.end[16]); /* 2 began at 20 */
    ck_assert_int_eq(fixture_open(&s.f, false, s.end[12], 0), OK);
    ck_assert_uint_eq(epoch_cache_hash(plog_epochs(s.f.log)), epochs);
    sample_stop(&s);
}
END_TEST

/* Else a diverging replica would be told too late an end of the epoch before, and keep what it must cut. */
START_TEST(an_epoch_begins_where_it_began_though_compaction_took_its_first_batches)
{
    struct sample s;
    sample_start(&s, 1 << 20);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    uint64_t epochs = epoch_cache_hash(plog_epochs(s.f.log)), size;
    s.f.setup.config.may_have_gaps = true;
    for (int how = 0; how < 2; how++) { /* the other checkpoint is wrong, elsewhere */
        back(&s);
        if (how)
            write_checkpoint(&s, s.end[10], s.end[24]);
        uint8_t *bytes = log_bytes(&s);
        mem_env_bytes(s.f.mem, LOG_DIR "/00000000000000000000.log", &size);
        uint32_t gone = s.position[14] - s.position[10];
        memmove(bytes + s.position[10], bytes + s.position[14], size - s.position[14]);
        mem_env_resize(s.f.mem, LOG_DIR "/00000000000000000000.log", size - gone);
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[how ? 28 : 5], 0), OK);
        struct plog_damage found; /* a reader meets what contradicts the checkpoint */
        ck_assert_int_eq(plog_damage_search(s.f.log, s.end[20], &found), ERR_NOT_FOUND);
        ck_assert_uint_eq(epoch_cache_hash(plog_epochs(s.f.log)), epochs);
    }
    sample_stop(&s);
}
END_TEST

/* Two batches of five records each. */
static void follow_compacted(struct plog_fixture *f, int64_t first, int64_t second, int32_t epoch)
{
    uint8_t bytes[4096];
    uint32_t len = 0;
    for (int i = 0; i < 2; i++) {
        struct iobuf *batch = fixture_batch(i ? second : first, 5, 50, epoch);
        memcpy(bytes + len, batch->data, batch->len);
        len += (uint32_t)batch->len;
        iobuf_unref(batch);
    }
    ck_assert_int_eq(plog_append(f->log, bytes, len), OK);
}

static void begin_behind_what_was_before(struct plog_fixture *f)
{
    const struct epoch_cache *epochs = plog_epochs(f->log);
    ck_assert_uint_eq(epochs->count, 2);
    ck_assert_int_eq(epochs->entries[0].epoch, 3);
    ck_assert_int_eq(epochs->entries[0].start_offset, 10);
    ck_assert_int_eq(epochs->entries[1].epoch, 5);
    ck_assert_int_eq(epochs->entries[1].start_offset, 45);
}

/* Who copied a compacted log, or lost the checkpoint, does not know how much of the gap was of which epoch.
 */
START_TEST(an_epoch_behind_a_gap_begins_where_the_batch_before_it_ended)
{
    struct plog_fixture f;
    fixture_start(&f, 1 << 20, 21);
    ck_assert_int_eq(fixture_open(&f, false, 0, 10), OK);
    f.setup.config.may_have_gaps = true;
    plog_set_config(f.log, &f.setup.config);
    follow_compacted(&f, 30, 40, 3);
    plog_sync(f.log);
    fixture_run(&f);
    follow_compacted(&f, 90, 95, 5);
    begin_behind_what_was_before(&f);
    fixture_close(&f, false); /* the checkpoint has heard of the first */
    ck_assert_int_eq(fixture_open(&f, false, 45, 10), OK);
    ck_assert(!f.report.rebuilt_epochs);
    begin_behind_what_was_before(&f);
    fixture_close(&f, true);
    ck_assert_int_eq(env_unlink(f.env, LOG_DIR "/leader-epoch-checkpoint"), OK);
    ck_assert_int_eq(fixture_open(&f, true, 100, 10), OK);
    ck_assert(f.report.rebuilt_epochs);
    begin_behind_what_was_before(&f);
    fixture_stop(&f);
}
END_TEST

/* Where a bad batch lies in front of the epoch's first one, that is no gap: a peer's good copy of it must not
 * be cut. The epoch begins behind it until it is mended, with what a peer has left of it. */
START_TEST(a_mended_range_with_a_gap_begins_its_epoch_where_the_batch_before_it_ended)
{
    struct sample s, peer;
    struct plog_damage found;
    uint32_t first, second;
    sample_start(&s, 1 << 20);
    sample_start(&peer, 1 << 20);
    s.f.setup.config.may_have_gaps = true;
    back(&s);
    for (int i = 8; i < 12; i++)
        log_bytes(&s)[s.position[i] + BATCH_HEADER_BYTES + 1] ^= 1;
    log_bytes(&s)[s.position[8] + 16] ^= 1; /* no header can be read there */
    env_unlink(s.f.env, LOG_DIR "/leader-epoch-checkpoint");
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    int64_t began = plog_epochs(s.f.log)->entries[1].start_offset;
    ck_assert_int_ge(began, s.end[9]);
    ck_assert_int_eq(plog_damage_search(s.f.log, s.end[8], &found), OK);
    ck_assert_int_eq(found.offset, s.end[8]);
    ck_assert_int_eq(found.end, s.end[12]);
    uint8_t *p = peer_bytes(&peer, 8, 10, &first), *q = peer_bytes(&peer, 11, 12, &second);
    p = realloc(p, first + second); /* batch 10 was compacted */
    memcpy(p + first, q, second);
    ck_assert_int_eq(plog_replace_range(s.f.log, s.end[8], s.end[12], p, first + second), OK);
    ck_assert_int_eq(plog_epochs(s.f.log)->entries[1].epoch, 1);
    ck_assert_int_eq(plog_epochs(s.f.log)->entries[1].start_offset, s.end[10]);
    free(p);
    free(q);
    sample_stop(&peer);
    sample_stop(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, lost_or_spoilt_indexes_are_rebuilt_as_they_were);
    tcase_add_test(tcase, a_closed_segments_index_that_lies_is_rebuilt_when_it_is_used);
    tcase_add_test(tcase, a_closed_segments_times_are_those_of_its_batches_whatever_its_index_says);
    tcase_add_test(tcase, an_active_segments_time_that_is_still_to_come_is_its_batches_word_once_it_ends);
    tcase_add_test(tcase, a_segment_that_is_active_again_has_its_times_from_its_index);
    tcase_add_test(tcase, epochs_and_producers_come_back_without_their_files);
    tcase_add_test(tcase, epochs_behind_a_bad_batch_come_back_and_the_batch_is_mended);
    tcase_add_test(tcase, a_wrong_checkpoint_does_not_make_good_batches_damage);
    tcase_add_test(tcase, an_epoch_that_begins_behind_a_clean_end_begins_where_its_batches_do);
    tcase_add_test(tcase, an_epoch_that_never_was_does_not_outlast_the_batches_that_contradict_it);
    tcase_add_test(tcase, damage_is_mended_though_the_checkpoint_is_wrong);
    tcase_add_test(tcase, a_checkpoint_that_errs_by_one_batch_is_put_right_by_what_a_peer_has_there);
    tcase_add_test(tcase, epochs_above_the_recovery_point_are_taken_from_the_batches);
    tcase_add_test(tcase, an_epoch_begins_where_it_began_though_compaction_took_its_first_batches);
    tcase_add_test(tcase, an_epoch_behind_a_gap_begins_where_the_batch_before_it_ended);
    tcase_add_test(tcase, a_mended_range_with_a_gap_begins_its_epoch_where_the_batch_before_it_ended);
}

SLUICE_TEST_MAIN("broker_plog_derived", add)
