/* SPDX-License-Identifier: Apache-2.0 */
/* One bad batch, two side by side, one beside missing offsets, one beside a cut: whoever meets it first, what
 * is found is what is bad, a peer's bytes fit into it, and all the rest is served as it was written. */
#include "broker/log/plog_scrub.h"
#include "tests/unit/broker_plog_sample.h"

/* Whole batches from the one that holds offset on, up to end: what a repair takes of a peer's answer. */
static enum err mend_from(struct sample *s, const uint8_t *bytes, struct plog_damage d)
{
    int first = 0, to;
    bool gaps = s->f.setup.config.may_have_gaps;
    while (s->end[first + 1] <= d.offset)
        first++;
    for (to = first; to < BATCHES && s->end[to + 1] <= d.end;)
        to++;
    bool whole = gaps && (to == BATCHES || batch_base_offset(bytes + s->position[to]) >= d.end);
    int64_t end = whole ? d.end : s->end[to];
    if (end <= d.offset)
        return ERR_NOT_FOUND;
    return plog_replace_range(s->f.log, d.offset, end, bytes + s->position[first],
                              s->position[to] - s->position[first]);
}

/* Offset by offset, as a reader asks: what it gets is what was written there; what is bad is found. */
static void ask_and_search(struct sample *s, int64_t offset)
{
    struct plog_piece piece;
    struct plog_damage found;
    enum err err = plog_read(s->f.log, offset, plog_end(s->f.log), 1, true, &piece);
    if (err == ERR_CORRUPT) {
        if (!plog_damage_at(s->f.log, offset, false))
            plog_damage_search(s->f.log, offset, &found);
        return;
    }
    ck_assert_int_eq(err, OK);
    if (piece.len == 0)
        return;
    ck_assert_int_eq(load_be32(piece.p + BATCH_AT_BASE_SEQUENCE), batch_base_offset(piece.p));
    ck_assert_int_ge(batch_last_offset(piece.p), offset);
    ck_assert_int_le(batch_base_offset(piece.p), offset);
    iobuf_unref(piece.owner);
}

static void mend_all(struct sample *s, const uint8_t *bytes)
{
    const struct plog_damage *list;
    for (int tries = 0; tries < 10 && plog_damages(s->f.log, &list) > 0; tries++)
        mend_from(s, bytes, list[tries % plog_damages(s->f.log, &list)]);
}

static void damage_one(struct sample *s, int batch, int how)
{
    uint8_t *p = log_bytes(s) + s->position[batch];
    int64_t base = batch_base_offset(p);
    if (how < 5 && (base & (1 << how)) == 0) /* too far on */
        batch_set_base_offset(p, base + (1 << how));
    else if (how < 5)
        batch_set_base_offset(p, base - (1 << how));
    else if (how == 5)
        p[BATCH_AT_MAGIC] ^= 1;
    else if (how == 6)
        p[BATCH_AT_LENGTH + 2] ^= 1;
    else
        p[BATCH_AT_CRC] ^= 1;
}

static uint64_t first_size(struct sample *s)
{
    char path[128];
    uint64_t size;
    mem_env_bytes(s->f.mem, fixture_path(0, ".log", path), &size);
    return size;
}

static void check_whoever(struct sample *s, const uint8_t *bytes, int64_t asked)
{
    int64_t end;
    ask_and_search(s, asked);
    mend_all(s, bytes);
    for (int64_t o = 0; o < s->end[BATCHES]; o++) {
        ask_and_search(s, o);
        mend_all(s, bytes);
    }
    ck_assert_int_eq(plog_end(s->f.log), s->end[BATCHES]);
    fixture_read_all(&s->f, 0, 1 << 16, &end);
}

static uint8_t *all_bytes(struct sample *s)
{
    uint8_t *bytes = malloc(s->position[BATCHES]);
    for (int i = 0; i < BATCHES; i++) {
        struct plog_piece piece;
        ck_assert_int_eq(plog_read(s->f.log, s->end[i], s->end[i + 1], 1, true, &piece), OK);
        memcpy(bytes + s->position[i], piece.p, (size_t)piece.len);
        iobuf_unref(piece.owner);
    }
    return bytes;
}

/* Short segments or one long one, with offsets missing or not; the good bytes are the caller's. */
static uint8_t *start(struct sample *s, int variant)
{
    sample_start(s, variant & 2 ? 1 << 20 : 2500);
    s->f.setup.config.may_have_gaps = variant & 1;
    ck_assert_int_eq(fixture_open(&s->f, true, s->end[BATCHES], 0), OK);
    return all_bytes(s);
}

/* The log as it was at first, open, but for one bad batch. */
static void start_again(struct sample *s, int batch, int how)
{
    back(s);
    ck_assert_int_eq(fixture_open(&s->f, true, s->end[BATCHES], 0), OK);
    damage_one(s, batch, how);
}

START_TEST(whoever_meets_a_bad_batch_first_it_is_found_and_mended)
{
    struct sample s;
    uint8_t *bytes = start(&s, _i);
    for (int batch = 0; batch < 8; batch++)
        for (int how = 0; how < 8; how++)
            for (int64_t asked = 0; asked < s.end[12]; asked++) {
                start_again(&s, batch, how);
                check_whoever(&s, bytes, asked);
            }
    free(bytes);
    sample_stop(&s);
}
END_TEST

START_TEST(two_bad_batches_side_by_side_are_found_and_mended)
{
    struct sample s;
    int in_first = 0;
    sample_start(&s, _i & 2 ? 1 << 20 : 2000);
    s.f.setup.config.may_have_gaps = _i & 1;
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    uint8_t *bytes = all_bytes(&s);
    while (in_first < BATCHES && s.position[in_first + 1] <= first_size(&s))
        in_first++;
    for (int batch = 0; batch + 1 < MIN(in_first, BATCHES - 3); batch++)
        for (int how = _i & 1 ? 6 : 0; how < 8; how++) /* with gaps, the first must say where it ends */
            for (int how2 = how < 5 ? 5 : 0; how2 < 8; how2++) {
                back(&s);
                if (_i & 4)
                    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
                damage_one(&s, batch, how);
                damage_one(&s, batch + 1, how2);
                if (!(_i & 4))
                    ck_assert_int_eq(fixture_open(&s.f, false, s.end[batch + 2], 0), OK);
                check_whoever(&s, bytes, 0);
            }
    free(bytes);
    sample_stop(&s);
}
END_TEST

/* A compacted log: offsets are missing in front of each batch. */
static uint8_t *gaps_start(struct sample *s, int64_t segment_bytes)
{
    memset(s, 0, sizeof(*s));
    fixture_start(&s->f, segment_bytes, 21);
    s->f.setup.config.may_have_gaps = true;
    ck_assert_int_eq(fixture_open(&s->f, false, 0, 0), OK);
    for (int i = 0; i < BATCHES; i++) {
        struct iobuf *batch = fixture_batch(s->end[i] + i % 3 * 9, 1 + i % 4, 20 + i * 13 % 150, i / 10);
        ck_assert_int_eq(plog_append(s->f.log, batch->data, batch->len), OK);
        iobuf_unref(batch);
        s->end[i + 1] = plog_end(s->f.log);
        s->position[i + 1] = (uint32_t)plog_size_bytes(s->f.log);
    }
    uint8_t *bytes = all_bytes(s);
    fixture_close(&s->f, true);
    s->disk = mem_env_save(s->f.mem);
    return bytes;
}

/* Where offsets are missing on both sides of a batch, nobody can know that it stands too far on. But no other
 * batch suffers. */
static void others_are_right(struct sample *s, const uint8_t *bytes, int batch, int64_t asked)
{
    struct plog_damage found;
    for (int i = -1; i < BATCHES; i++) {
        struct plog_piece piece;
        int64_t offset = i < 0 ? asked : batch_base_offset(bytes + s->position[i]);
        enum err err = plog_read(s->f.log, offset, plog_end(s->f.log), 1, true, &piece);
        if (err == ERR_CORRUPT && !plog_damage_at(s->f.log, offset, false))
            plog_damage_search(s->f.log, offset, &found);
        mend_all(s, bytes);
        if (err == OK)
            iobuf_unref(piece.owner);
        if (i < 0 || i == batch)
            continue;
        ck_assert_int_eq(plog_read(s->f.log, offset, plog_end(s->f.log), 1, true, &piece), OK);
        ck_assert_int_gt(piece.len, 0);
        ck_assert_int_eq(batch_base_offset(piece.p), offset);
        ck_assert_int_eq(load_be32(piece.p + BATCH_AT_BASE_SEQUENCE), offset);
        iobuf_unref(piece.owner);
    }
}

START_TEST(a_wrong_offset_beside_missing_ones_is_found_and_mended)
{
    struct sample s;
    uint8_t *bytes = gaps_start(&s, _i & 1 ? 1 << 20 : 2500);
    for (int batch = 0; batch < 8; batch++)
        for (int how = 0; how < 8; how++)
            for (int64_t asked = _i & 2 ? s.end[11] - 1 : 0; asked < s.end[11]; asked++) {
                back(&s);
                if (!(_i & 2))
                    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
                damage_one(&s, batch, how);
                if (_i & 2)
                    ck_assert_int_eq(fixture_open(&s.f, false, s.end[batch + 1], 0), OK);
                others_are_right(&s, bytes, batch, asked);
            }
    free(bytes);
    sample_stop(&s);
}
END_TEST

/* Damage that is known (or not) in front of a cut: nothing good in front of both goes, and what is appended
 * then goes on where the log ends. */
static void cut_beside(struct sample *s, const uint8_t *bytes, int batch, int64_t to)
{
    int64_t end, behind;
    int last = 0;
    while (s->end[last + 1] <= to)
        last++;
    ck_assert_int_eq(plog_truncate(s->f.log, to, &end), OK);
    ck_assert_int_le(end, to);
    ck_assert_int_ge(end, s->end[MIN(last, batch)]);
    ck_assert_int_eq(end, plog_end(s->f.log));
    s->f.epoch = 3;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(fixture_append(&s->f, 2, 30), OK);
    for (int64_t o = 0; o < end; o++) {
        ask_and_search(s, o);
        mend_all(s, bytes);
    }
    fixture_read_all(&s->f, 0, 1 << 16, &behind);
    ck_assert_int_eq(behind, end + 6);
}

START_TEST(a_cut_beside_damage_leaves_a_log_that_goes_on_where_it_ends)
{
    struct sample s;
    struct plog_damage found;
    uint8_t *bytes = start(&s, _i);
    for (int batch = 1; batch < 6; batch++)
        for (int how = 0; how < 8; how++)
            for (int64_t to = s.end[batch - 1] + 1; to <= s.end[batch + 2]; to++)
                for (int known = 0; known < 2; known++) {
                    start_again(&s, batch, how);
                    if (known)
                        ck_assert_int_eq(plog_damage_search(s.f.log, s.end[batch], &found), OK);
                    cut_beside(&s, bytes, batch, to);
                }
    free(bytes);
    sample_stop(&s);
}
END_TEST

START_TEST(a_cut_in_damage_that_begins_below_the_log_start_does_not_bring_it_back)
{
    struct sample s;
    struct plog_damage found;
    int64_t end;
    sample_start(&s, 1 << 20);
    back(&s);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    for (int batch = 2; batch < 6; batch++)
        log_bytes(&s)[s.position[batch] + BATCH_AT_CRC] ^= 1;
    ck_assert_int_eq(plog_damage_search(s.f.log, s.end[2], &found), OK);
    ck_assert_int_eq(found.end, s.end[6]);
    ck_assert_int_eq(plog_set_start(s.f.log, s.end[4]), OK);
    ck_assert_int_eq(plog_truncate(s.f.log, s.end[5], &end), OK);
    ck_assert_int_eq(end, s.end[4]);
    ck_assert_int_eq(plog_start(s.f.log), s.end[4]);
    sample_stop(&s);
}
END_TEST

/* Found by simulation: a batch whose records were deleted says that it reaches over the log start. */
START_TEST(a_bad_batch_below_the_log_start_does_not_stand_before_a_reader)
{
    struct sample s;
    struct plog_piece piece;
    const struct plog_damage *list;
    sample_start(&s, 1 << 20);
    for (int batch = 1; batch < BATCHES - 1; batch++) {
        int64_t start = s.end[batch + 1];
        back(&s);
        ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
        log_bytes(&s)[s.position[batch] + BATCH_AT_LAST_OFFSET_DELTA + 2] ^= 4;
        ck_assert_int_eq(plog_set_start(s.f.log, start), OK);
        ask_and_search(&s, start);
        ck_assert_int_eq(plog_read(s.f.log, start, s.end[BATCHES], 1, true, &piece), OK);
        ck_assert_int_eq(batch_base_offset(piece.p), start);
        iobuf_unref(piece.owner);
        ck_assert_int_eq(plog_damages(s.f.log, &list), 0); /* nobody misses it */
    }
    sample_stop(&s);
}
END_TEST

/* Found by simulation: an index whose file was checked, and rotted after that. */
START_TEST(an_index_that_rots_under_a_living_log_is_made_anew)
{
    struct sample s;
    struct plog_piece piece;
    char path[128];
    uint64_t size;
    sample_start(&s, 2500);
    uint8_t *index = mem_env_bytes(s.f.mem, fixture_path(0, ".index", path), &size);
    uint64_t entries = size / 8;
    ck_assert_uint_gt(entries, 2);
    for (uint64_t entry = 0; entry < entries; entry++) {
        back(&s);
        ck_assert_int_eq(fixture_open(&s.f, false, 0, 0), OK); /* all is scanned */
        index = mem_env_bytes(s.f.mem, path, &size);
        ck_assert_uint_gt(size, entry * 8 + 7);
        index[entry * 8 + 7] ^= 1;
        for (int64_t o = 0; o < s.end[BATCHES]; o++) {
            ask_and_search(&s, o);
            ck_assert_int_eq(plog_read(s.f.log, o, s.end[BATCHES], 1, true, &piece), OK);
            iobuf_unref(piece.owner);
        }
    }
    sample_stop(&s);
}
END_TEST

/* What a scrubber calls good may leave without another look. */
static void scrub_all(struct sample *s)
{
    struct plog_scrub scrub = {0};
    struct plog_damage found;
    uint64_t offset;
    uint32_t len;
    int64_t at;
    while (plog_scrub_next(s->f.log, &scrub, &offset, &len) == OK) {
        uint8_t *bytes = malloc(len + 1);
        size_t got = 0;
        ck_assert_int_eq(env_file_read(scrub.file, offset, bytes, len, &got), OK);
        enum err err = plog_scrub_take(s->f.log, &scrub, bytes, (uint32_t)got, &at);
        free(bytes);
        for (int64_t o = 0; err && o < s->end[BATCHES]; o++) { /* before anybody has searched */
            struct plog_piece piece;
            if (plog_read(s->f.log, o, plog_end(s->f.log), 1, true, &piece) != OK)
                continue;
            if (piece.len > 0)
                ck_assert_int_eq(load_be32(piece.p + BATCH_AT_BASE_SEQUENCE), batch_base_offset(piece.p));
            iobuf_unref(piece.owner);
        }
        if (err && !plog_damage_at(s->f.log, at, false) && plog_damage_search(s->f.log, at, &found) != OK)
            plog_scrub_skip(&scrub);
    }
    plog_scrub_end(&scrub);
}

START_TEST(what_a_scrubber_calls_good_stands_at_its_offset)
{
    struct sample s;
    uint8_t *bytes = start(&s, _i);
    for (int batch = 0; batch < 8; batch++)
        for (int how = 0; how < 8; how++) {
            start_again(&s, batch, how);
            scrub_all(&s);
            check_whoever(&s, bytes, 0);
        }
    free(bytes);
    sample_stop(&s);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, whoever_meets_a_bad_batch_first_it_is_found_and_mended, 0, 4);
    tcase_add_loop_test(tcase, two_bad_batches_side_by_side_are_found_and_mended, 0, 8);
    tcase_add_loop_test(tcase, a_wrong_offset_beside_missing_ones_is_found_and_mended, 0, 4);
    tcase_add_loop_test(tcase, what_a_scrubber_calls_good_stands_at_its_offset, 0, 4);
    tcase_add_loop_test(tcase, a_cut_beside_damage_leaves_a_log_that_goes_on_where_it_ends, 0, 4);
    tcase_add_test(tcase, a_cut_in_damage_that_begins_below_the_log_start_does_not_bring_it_back);
    tcase_add_test(tcase, a_bad_batch_below_the_log_start_does_not_stand_before_a_reader);
    tcase_add_test(tcase, an_index_that_rots_under_a_living_log_is_made_anew);
}

SLUICE_TEST_MAIN("broker_plog_beside", add)
