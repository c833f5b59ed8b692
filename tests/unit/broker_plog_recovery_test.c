/* SPDX-License-Identifier: Apache-2.0 */
/* What a partition log makes of crashes and damage: a torn tail is cut, damage is refused and left alone,
 * derived files come back as they were. */
#include "broker/log/plog_torn.h"
#include "tests/unit/broker_plog_sample.h"

START_TEST(a_log_cut_at_any_byte_of_its_last_batches_loses_only_them)
{
    struct sample s;
    char path[128];
    sample_start(&s, 1 << 20);
    for (uint32_t cut = s.position[BATCHES - 2]; cut <= s.position[BATCHES]; cut++) {
        back(&s);
        mem_env_resize(s.f.mem, fixture_path(0, ".log", path), cut);
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[10], 0), OK);
        int last = BATCHES;
        while (s.position[last] > cut)
            last--;
        ck_assert_int_eq(plog_end(s.f.log), s.end[last]);
        bool zeros = cut - s.position[last] < 8; /* of a base offset below 256: taken for room */
        ck_assert_int_eq(s.f.report.cut_bytes, zeros ? 0 : cut - s.position[last]);
        int64_t end;
        fixture_read_all(&s.f, 0, 500, &end);
        ck_assert_int_eq(end, s.end[last]);
        s.f.epoch = 3;
        ck_assert_int_eq(fixture_append(&s.f, 2, 40), OK); /* and it goes on */
        fixture_close(&s.f, false);
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[last], 0), OK);
        ck_assert_int_eq(plog_end(s.f.log), s.end[last] + 2);
        ck_assert_int_eq(epoch_cache_at(plog_epochs(s.f.log), s.end[last]), 3);
    }
    sample_stop(&s);
}
END_TEST

START_TEST(only_what_lies_above_the_recovery_point_is_scanned)
{
    struct sample s;
    sample_start(&s, 1 << 20);
    for (int i = 0; i <= BATCHES; i += 7) {
        back(&s);
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[i], 0), OK);
        ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES]);
        int64_t above = (int64_t)s.position[BATCHES] - s.position[i];
        ck_assert_int_ge(s.f.report.scanned_bytes, above);
        ck_assert_int_le(s.f.report.scanned_bytes, above + 1000); /* from the index entry in front of it */
    }
    sample_stop(&s);
}
END_TEST

START_TEST(what_was_synced_and_is_gone_is_reported)
{
    struct sample s;
    char path[128];
    sample_start(&s, 1 << 20);
    back(&s);
    mem_env_resize(s.f.mem, fixture_path(0, ".log", path), s.position[20]);
    ck_assert_int_eq(fixture_open(&s.f, false, s.end[25], 0), OK);
    ck_assert_int_eq(s.f.report.missing_from, s.end[20]);
    sample_stop(&s);
}
END_TEST

START_TEST(zeros_at_the_end_are_room)
{
    struct sample s;
    char path[128];
    uint64_t size;
    sample_start(&s, 1 << 20);
    back(&s);
    mem_env_resize(s.f.mem, fixture_path(0, ".log", path), s.position[BATCHES] + 5000);
    ck_assert_int_eq(fixture_open(&s.f, false, s.end[10], 0), OK);
    ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES]);
    ck_assert_int_eq(s.f.report.cut_bytes, 0);
    s.f.epoch = 3;
    ck_assert_int_eq(fixture_append(&s.f, 2, 40), OK); /* into it */
    mem_env_bytes(s.f.mem, path, &size);
    ck_assert_uint_eq(size, s.position[BATCHES] + 5000);
    fixture_close(&s.f, true); /* given back */
    mem_env_bytes(s.f.mem, path, &size);
    ck_assert_uint_lt(size, s.position[BATCHES] + 5000);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES] + 2, 0), OK);
    ck_assert_uint_eq(plog_size_bytes(s.f.log), size);
    sample_stop(&s);
}
END_TEST

static bool outside_checks(const struct sample *s, uint32_t at)
{
    int i = 0;
    while (s->position[i + 1] <= at)
        i++;
    uint32_t inside = at - s->position[i];
    return inside >= BATCH_AT_LEADER_EPOCH &&
           inside < BATCH_AT_MAGIC; /* no checksum covers the leader epoch */
}

/* Every offset is readable but those in damaged ranges. */
static void all_but_the_damage_is_readable(struct sample *s)
{
    struct plog_piece piece;
    for (int64_t o = plog_start(s->f.log); o < plog_end(s->f.log); o++) {
        enum err err = plog_read(s->f.log, o, plog_end(s->f.log), 1, true, &piece);
        bool bad = plog_damage_at(s->f.log, o, false) != NULL;
        ck_assert_int_eq(err, bad ? ERR_CORRUPT : OK);
        if (err)
            continue;
        ck_assert_int_le(batch_base_offset(piece.p), o);
        ck_assert_int_ge(batch_last_offset(piece.p), o);
        iobuf_unref(piece.owner);
    }
}

START_TEST(a_flipped_bit_anywhere_is_found_and_never_cut_away)
{
    struct sample s;
    const struct plog_damage *list;
    sample_start(&s, 1 << 20);
    for (uint32_t at = 0; at < s.position[BATCHES]; at += 3) { /* in 30 batches: every field */
        if (outside_checks(&s, at))
            continue;
        back(&s);
        log_bytes(&s)[at] ^= 1 << (at % 8);
        int batch = 0;
        while (s.position[batch + 1] <= at)
            batch++;
        ck_assert_int_eq(fixture_open(&s.f, false, 0, 0), OK);
        if (batch == BATCHES - 1) { /* the last batch, never said to be synced */
            ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES - 1]);
            continue;
        }
        ck_assert_int_eq(plog_damages(s.f.log, &list), 1);
        ck_assert_int_eq(list[0].offset, s.end[batch]);
        ck_assert_int_eq(list[0].end, s.end[batch + 1]);
        ck_assert_uint_eq(list[0].position, s.position[batch]);
        ck_assert_uint_eq(list[0].position + list[0].size, s.position[batch + 1]);
        ck_assert_uint_gt(strlen(s.f.report.damage), 10);
        ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES]);
        all_but_the_damage_is_readable(&s);
        uint64_t size; /* untouched */
        char path[128];
        log_bytes(&s)[at] ^= 1 << (at % 8);
        mem_env_bytes(s.f.mem, fixture_path(0, ".log", path), &size);
        ck_assert_uint_eq(size, s.position[BATCHES]);
        fixture_close(&s.f, false);
        ck_assert_int_eq(fixture_open(&s.f, false, 0, 0), OK);
        ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES]);
    }
    sample_stop(&s);
}
END_TEST

START_TEST(past_the_last_sync_a_power_cut_may_keep_a_later_batch_and_drop_an_earlier_one)
{
    struct sample s;
    sample_start(&s, 1200);
    for (int power = 0; power < 2; power++) {
        for (int bad = 2; bad < 5; bad++) { /* all in the first segment; later segments are good */
            back(&s);
            memset(log_bytes(&s) + s.position[bad], 0, 40);
            s.f.setup.power_lost = power;
            ck_assert_int_eq(fixture_open(&s.f, false, s.end[2], 0), OK);
            ck_assert_int_eq(plog_end(s.f.log), power ? s.end[bad] : s.end[BATCHES]);
            ck_assert(s.f.report.cut_good == power);
            ck_assert_int_eq(s.f.report.damages, !power);
            ck_assert_int_eq(s.f.report.missing_from, -1);
            all_but_the_damage_is_readable(&s);
        }
        back(&s); /* below what was synced it is damage, whatever happened to the power */
        memset(log_bytes(&s) + s.position[2], 0, 40);
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[3], 0), OK);
        ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES]);
        ck_assert_int_eq(s.f.report.damages, 1);
        all_but_the_damage_is_readable(&s);
    }
    sample_stop(&s);
}
END_TEST

START_TEST(past_the_last_sync_a_batch_that_is_all_there_but_bad_was_perhaps_promised)
{
    struct sample s;
    const struct plog_damage *list;
    sample_start(&s, 1 << 20);
    for (int i = 0; i < 3; i++) { /* the power is gone; a flipped bit, with good batches behind it */
        back(&s);
        log_bytes(&s)[s.position[8] + (uint32_t)(20 + i * 25)] ^= 4;
        s.f.setup.power_lost = true;
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[2], 0), OK);
        ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES]); /* is damage, and mended from a peer */
        ck_assert_int_eq(plog_damages(s.f.log, &list), 1);
        ck_assert_int_eq(list[0].offset, s.end[8]);
        ck_assert_int_eq(list[0].end, s.end[9]);
        all_but_the_damage_is_readable(&s);
    }
    for (int power = 0; power < 2; power++) { /* the very last batch: it is cut, but this is said, */
        back(&s);
        log_bytes(&s)[s.position[BATCHES] - 20] ^= 4;
        s.f.setup.power_lost = power;
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[2], 0), OK);
        ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES - 1]);
        ck_assert(s.f.report.doubt);
        fixture_close(&s.f, false); /* also by the next life if this one had no time to */
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[BATCHES - 1], 0), OK);
        ck_assert(s.f.report.doubt);
        plog_doubt_clear(s.f.env, DATA_DIR, s.f.setup.name);
        fixture_close(&s.f, false);
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[BATCHES - 1], 0), OK);
        ck_assert(!s.f.report.doubt);
    }
    char path[128];
    uint64_t size;
    static const uint32_t lengths[] = {0, 60, 2000, 1u << 30}; /* a length that is wrong, with room behind */
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        uint32_t behind = 512 - s.position[BATCHES] % 512;
        ck_assert_uint_ge(behind, 16);
        back(&s);
        mem_env_resize(s.f.mem, fixture_path(0, ".log", path), s.position[BATCHES] + 5000);
        store_be32(mem_env_bytes(s.f.mem, path, &size) + s.position[BATCHES - 1] + BATCH_AT_LENGTH,
                   lengths[i]);
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[2], 0), OK);
        ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES - 1]);
        ck_assert(s.f.report.doubt);
        fixture_close(&s.f, false);
        plog_doubt_clear(s.f.env, DATA_DIR, s.f.setup.name);
    }
    uint32_t at = (s.position[BATCHES] - 1) / 512 * 512;
    back(&s); /* the last sector of the write is missing */
    mem_env_resize(s.f.mem, fixture_path(0, ".log", path), s.position[BATCHES] + 5000);
    memset(mem_env_bytes(s.f.mem, path, &size) + at, 0, s.position[BATCHES] - at);
    ck_assert_int_eq(fixture_open(&s.f, false, s.end[2], 0), OK);
    ck_assert(!s.f.report.doubt);
    back(&s); /* a write that was torn is no reason for doubt */
    mem_env_resize(s.f.mem, fixture_path(0, ".log", path), s.position[BATCHES] - 20);
    ck_assert_int_eq(fixture_open(&s.f, false, s.end[2], 0), OK);
    ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES - 1]);
    ck_assert(!s.f.report.doubt);
    sample_stop(&s);
}
END_TEST

START_TEST(after_a_failed_sync_what_lies_past_the_recovery_point_is_written_again)
{
    struct sample s;
    int64_t end;
    sample_start(&s, 1200);
    for (int i = 0; i < 2; i++) {
        back(&s);
        s.f.setup.sync_failed = true;
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[7], 0), OK);
        ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES]);
        ck_assert_int_eq(plog_synced_end(s.f.log),
                         s.end[7]); /* and counts as synced only after the next sync */
        fixture_read_all(&s.f, 0, 500, &end);
        fixture_close(&s.f, false);
        mem_env_fail_write_after(s.f.mem, 1);
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[7], 0), ERR_IO); /* it does write */
        mem_env_repair(s.f.mem);
    }
    sample_stop(&s);
}
END_TEST

START_TEST(a_bad_last_batch_below_the_recovery_point_or_of_a_clean_log_is_damage)
{
    struct sample s;
    const struct plog_damage *list;
    sample_start(&s, 1 << 20);
    for (int clean = 0; clean < 2; clean++) {
        back(&s);
        log_bytes(&s)[s.position[BATCHES] - 1] ^= 1;
        ck_assert_int_eq(fixture_open(&s.f, clean, s.end[BATCHES], 0), OK);
        ck_assert_int_eq(plog_damages(s.f.log, &list), 1);
        ck_assert_int_eq(list[0].offset, s.end[BATCHES - 1]);
        ck_assert_int_eq(list[0].end, s.end[BATCHES]);
        ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES]);
        s.f.epoch = 5;
        ck_assert_int_eq(fixture_append(&s.f, 2, 40), OK); /* behind it, in a segment of its own */
        all_but_the_damage_is_readable(&s);
    }
    sample_stop(&s);
}
END_TEST

/* Found by simulation: a follower begins anew where its leader's log starts, which may be within a batch. */
START_TEST(a_log_that_begins_within_a_batch_is_not_damaged)
{
    struct plog_fixture f;
    fixture_start(&f, 1 << 20, 7);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    ck_assert_int_eq(plog_restart(f.log, 1000), OK);
    ck_assert_int_eq(fixture_append(&f, 10, 50), OK);
    ck_assert_int_eq(fixture_append(&f, 3, 50), OK);
    ck_assert_int_eq(plog_set_start(f.log, 1004), OK);
    fixture_close(&f, false);
    ck_assert_int_eq(fixture_open(&f, false, 1004, 1004), OK); /* nothing was synced yet */
    ck_assert_int_eq(f.report.damages, 0);
    ck_assert_int_eq(plog_start(f.log), 1004);
    ck_assert_int_eq(plog_end(f.log), 1013);
    fixture_close(&f, false);
    ck_assert_int_eq(fixture_open(&f, false, 1004, 1006), OK); /* records were deleted since */
    ck_assert_int_eq(f.report.damages, 0);
    fixture_stop(&f);
}
END_TEST

START_TEST(a_missing_segment_is_damage)
{
    struct sample s;
    const struct plog_damage *list;
    sample_start(&s, 1200);
    char path[128];
    uint64_t size;
    for (int first = 0; first < 2; first++) {
        int64_t base = 0, next = 0;
        back(&s);
        for (int64_t o = 1; o < s.end[BATCHES] / 2 && !first; o++)
            base = mem_env_bytes(s.f.mem, fixture_path(o, ".log", path), &size) ? o : base;
        for (int64_t o = base + 1; next == 0; o++)
            next = mem_env_bytes(s.f.mem, fixture_path(o, ".log", path), &size) ? o : 0;
        ck_assert(first || base > 0);
        ck_assert_int_eq(env_unlink(s.f.env, fixture_path(base, ".log", path)), OK);
        ck_assert_int_eq(fixture_open(&s.f, false, first ? s.end[BATCHES] : 0, 0), OK);
        ck_assert_ptr_nonnull(strstr(s.f.report.damage, "missing"));
        ck_assert_int_eq(plog_damages(s.f.log, &list), 1);
        ck_assert_int_eq(list[0].offset, base);
        ck_assert_int_eq(list[0].end, next);
        ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES]);
        all_but_the_damage_is_readable(&s);
    }
    sample_stop(&s);
}
END_TEST

/* A closed segment that has lost its end, or all it had: found when it is read at the latest, also when
 * nothing needs a scan, and never closed over. */
START_TEST(a_closed_segment_that_was_cut_short_is_damage)
{
    struct sample s, peer;
    struct plog_piece piece;
    struct plog_damage found;
    char path[128];
    uint64_t size;
    int64_t end;
    sample_start(&s, 1200);
    sample_start(&peer, 1 << 20);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    uint64_t crc = fixture_read_all(&s.f, 0, 500, &end);
    fixture_close(&s.f, true);
    int next = 1;
    while (mem_env_bytes(s.f.mem, fixture_path(s.end[next], ".log", path), &size) == NULL)
        next++;
    ck_assert_int_gt(next, 2);
    for (int left = 0; left < next; left++)
        for (int how = 0; how < 3; how++) { /* a clean stop, a kill, a scan of everything */
            back(&s);
            mem_env_resize(s.f.mem, fixture_path(0, ".log", path), s.position[left]);
            ck_assert_int_eq(fixture_open(&s.f, how == 0, how == 2 ? 0 : s.end[BATCHES], 0), OK);
            ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES]);
            ck_assert_int_eq(plog_read(s.f.log, s.end[left], s.end[BATCHES], 1, true, &piece), ERR_CORRUPT);
            if (!plog_damage_at(s.f.log, s.end[left], false)) /* wherever in it the reader is */
                ck_assert_int_eq(plog_damage_search(s.f.log, s.end[next] - 1, &found), OK);
            ck_assert_int_eq(plog_damage_at(s.f.log, s.end[left], false)->end, s.end[next]);
            all_but_the_damage_is_readable(&s);
            mend(&s, &peer, left, next, OK);
            ck_assert_uint_eq(fixture_read_all(&s.f, 0, 500, &end), crc);
        }
    sample_stop(&peer);
    sample_stop(&s);
}
END_TEST

/* -- mending -- */

START_TEST(good_bytes_of_a_peer_take_the_place_of_bad_ones)
{
    struct sample s, peer;
    const struct plog_damage *list;
    int64_t end;
    sample_start(&s, 1 << 20);
    sample_start(&peer, 1 << 20);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    uint64_t producers = producer_state_hash(plog_producers(s.f.log)),
             epochs = epoch_cache_hash(plog_epochs(s.f.log)), crc = fixture_read_all(&s.f, 0, 500, &end);
    for (int pieces = 1; pieces <= 3; pieces++) {
        back(&s);
        for (int i = 8; i < 11; i++) /* across an epoch's start */
            log_bytes(&s)[s.position[i] + 75] ^= 4;
        char path[128];
        if (pieces % 2 == 0)
            env_unlink(s.f.env, fixture_path(s.end[BATCHES], ".snapshot", path));
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[BATCHES] * (pieces % 2), 0), OK);
        if (pieces % 2) { /* below the recovery point, and the snapshot, nobody looked yet */
            struct plog_damage found;
            struct plog_piece piece;
            ck_assert_int_eq(plog_read(s.f.log, s.end[8], s.end[BATCHES], 1, true, &piece), ERR_CORRUPT);
            ck_assert_int_eq(plog_damage_search(s.f.log, s.end[8], &found), OK);
            ck_assert_int_eq(found.end, s.end[11]);
            ck_assert_int_eq(plog_damage_search(s.f.log, s.end[9], &found), ERR_NOT_FOUND);
        }
        ck_assert_int_eq(plog_damages(s.f.log, &list), 1);
        mend(&s, &peer, 9, 11, ERR_NOT_FOUND); /* not the beginning of a range */
        mend(&s, &peer, 8, 12, ERR_MISMATCH);  /* beyond it */
        if (pieces == 1) {
            mend(&s, &peer, 8, 11, OK);
        } else {
            mend(&s, &peer, 8, 9, OK);
            all_but_the_damage_is_readable(&s);
            ck_assert_int_eq(plog_damages(s.f.log, &list), 1);
            mend(&s, &peer, 9, 11, OK);
        }
        ck_assert_int_eq(plog_damages(s.f.log, &list), 0);
        ck_assert_uint_eq(fixture_read_all(&s.f, 0, 500, &end), crc);
        ck_assert_uint_eq(producer_state_hash(plog_producers(s.f.log)), producers);
        ck_assert_uint_eq(epoch_cache_hash(plog_epochs(s.f.log)), epochs);
        plog_sync(s.f.log);
        fixture_run(&s.f);
        mem_env_crash(s.f.mem, MEM_DROP);
        plog_close(s.f.log);
        s.f.log = NULL;
        mem_env_restart(s.f.mem);
        ck_assert_int_eq(fixture_open(&s.f, false, 0, 0), OK);
        ck_assert_int_eq(s.f.report.damages, 0);
        ck_assert_uint_eq(fixture_read_all(&s.f, 0, 500, &end), crc);
    }
    sample_stop(&peer);
    sample_stop(&s);
}
END_TEST

START_TEST(a_segment_that_is_gone_is_fetched_again_and_bytes_of_another_length_fit)
{
    struct sample s, peer;
    int64_t end;
    char path[128];
    sample_start(&s, 1200);
    sample_start(&peer, 1 << 20);
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
    uint64_t crc = fixture_read_all(&s.f, 0, 500, &end);
    back(&s);
    int next = 1;
    uint64_t size;
    while (mem_env_bytes(s.f.mem, fixture_path(s.end[next], ".log", path), &size) == NULL)
        next++;
    ck_assert_int_eq(env_unlink(s.f.env, fixture_path(0, ".log", path)), OK);
    ck_assert_int_eq(fixture_open(&s.f, false, s.end[BATCHES], 0), OK);
    for (int i = 0; i < next; i++) /* as fetches bring it */
        mend(&s, &peer, i, i + 1, OK);
    ck_assert_uint_eq(fixture_read_all(&s.f, 0, 500, &end), crc);

    back(&s); /* garbage that is longer than what belongs there, in a closed segment and in the active one */
    s.f.setup.config.segment_bytes = 1 << 20;
    for (int active = 0; active < 2; active++) {
        struct sample *victim = active ? &peer : &s;
        uint8_t *bytes;
        back(victim);
        fixture_path(0, ".log", path);
        bytes = mem_env_bytes(victim->f.mem, path, &size);
        mem_env_resize(victim->f.mem, path, size + 50);
        bytes = mem_env_bytes(victim->f.mem, path, &size);
        memmove(bytes + s.position[2] + 50, bytes + s.position[2], size - 50 - s.position[2]);
        memset(bytes + s.position[1] + 3, 0x5a, s.position[2] + 50 - s.position[1] - 3);
        ck_assert_int_eq(fixture_open(&victim->f, false, victim->end[BATCHES] * !active, 0), OK);
        if (!active) {
            struct plog_damage found;
            ck_assert_int_eq(plog_damage_search(victim->f.log, victim->end[1], &found), OK);
        }
        struct sample other;
        sample_start(&other, 1 << 20);
        mend(victim, &other, 1, 2, OK);
        ck_assert_uint_eq(fixture_read_all(&victim->f, 0, 500, &end), crc);
        victim->f.epoch = 7;
        ck_assert_int_eq(fixture_append(&victim->f, 2, 40), OK);
        all_but_the_damage_is_readable(victim);
        fixture_close(&victim->f, false);
        ck_assert_int_eq(fixture_open(&victim->f, false, 0, 0), OK);
        ck_assert_int_eq(victim->f.report.damages, 0);
        sample_stop(&other);
    }
    sample_stop(&peer);
    sample_stop(&s);
}
END_TEST

START_TEST(damage_below_the_recovery_point_is_found_when_it_is_read)
{
    struct sample s;
    struct plog_piece piece;
    int64_t end;
    sample_start(&s, 1 << 20);
    back(&s);
    log_bytes(&s)[s.position[5] + 80] ^= 1;
    ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK); /* clean: nothing is scanned */
    ck_assert_int_eq(plog_read(s.f.log, 0, s.end[BATCHES], 1 << 20, true, &piece), OK);
    ck_assert_int_eq(piece.len, (int32_t)s.position[5]); /* up to the bad one */
    iobuf_unref(piece.owner);
    ck_assert_int_eq(plog_read(s.f.log, s.end[5], s.end[BATCHES], 1 << 20, true, &piece), ERR_CORRUPT);
    fixture_read_all(&s.f, s.end[6], 700, &end); /* the rest stays readable */
    ck_assert_int_eq(end, s.end[BATCHES]);
    sample_stop(&s);
}
END_TEST

/* Found by simulation: the end of a segment was lost with the power, the name of the next one was not, and
 * what lay between was taken for compacted: a replica counted as complete without it. */
START_TEST(an_unsynced_end_of_a_segment_that_is_gone_is_no_gap)
{
    struct sample s;
    char path[128];
    sample_start(&s, 1200);
    s.f.setup.config.may_have_gaps = s.f.setup.power_lost = true;
    for (int left = 2; left < 5; left++) { /* batches of the first segment */
        back(&s);
        mem_env_resize(s.f.mem, fixture_path(0, ".log", path), s.position[left]);
        ck_assert_int_eq(fixture_open(&s.f, false, s.end[2], 0), OK);
        ck_assert_int_eq(plog_end(s.f.log), s.end[left]);
        ck_assert_int_eq(s.f.report.missing_from, -1);
    }
    sample_stop(&s);
}
END_TEST

/* The peer has compacted what is missing here; the segment is written anew, and on the way more is found. */
START_TEST(mending_that_finds_more_damage_takes_only_its_own_off_the_list)
{
    struct sample s;
    const struct plog_damage *list;
    sample_start(&s, 1 << 20);
    back(&s);
    log_bytes(&s)[s.position[20] + 75] ^= 4;
    s.f.setup.config.may_have_gaps = true;
    ck_assert_int_eq(fixture_open(&s.f, false, 0, 0), OK);
    ck_assert_int_eq(plog_damages(s.f.log, &list), 1);
    for (int i = 2; i < 18; i += 3) /* lengths */
        log_bytes(&s)[s.position[i] + 10] ^= 0x40;
    ck_assert_int_eq(plog_replace_range(s.f.log, s.end[20], s.end[21], NULL, 0), OK);
    ck_assert_int_eq(plog_damages(s.f.log, &list), 6);
    for (int i = 2, k = 0; i < 18; i += 3, k++)
        ck_assert_int_eq(list[k].offset, s.end[i]);
    sample_stop(&s);
}
END_TEST

/* No checksum covers the base offset; where offsets may be missing only its range tells. */
START_TEST(an_offset_too_far_from_its_segments_is_damage)
{
    struct sample s;
    sample_start(&s, 1 << 20);
    back(&s);
    log_bytes(&s)[s.position[5]] ^= 0x40;
    s.f.setup.config.may_have_gaps = true;
    ck_assert_int_eq(fixture_open(&s.f, false, 0, 0), OK);
    ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES]);
    ck_assert_ptr_nonnull(plog_damage_at(s.f.log, s.end[5], false));
    all_but_the_damage_is_readable(&s);
    sample_stop(&s);
}
END_TEST

/* A low bit of a base offset: the batch stands behind those that follow it, or in the next segment. */
START_TEST(an_offset_that_jumps_over_its_followers_is_damage_where_there_may_be_gaps)
{
    struct sample s;
    for (int many = 0; many < 2; many++) {
        sample_start(&s, many ? 1200 : 1 << 20);
        for (int power = 0; power < 2; power++) {
            back(&s);
            log_bytes(&s)[s.position[4] + 7] ^= 0x20;
            s.f.setup.config.may_have_gaps = true;
            s.f.setup.power_lost = power;
            ck_assert_int_eq(fixture_open(&s.f, false, s.end[2], 0), OK);
            ck_assert_int_eq(plog_end(s.f.log), s.end[BATCHES]);
            ck_assert_int_eq(s.f.report.cut_bytes, 0);
            ck_assert_int_eq(s.f.report.damages, 1);
            ck_assert_ptr_nonnull(plog_damage_at(s.f.log, s.end[4], false));
            ck_assert_ptr_null(plog_damage_at(s.f.log, s.end[5], false));
            all_but_the_damage_is_readable(&s);
        }
        struct plog_damage found; /* a reader meets it */
        struct plog_piece piece;
        back(&s);
        ck_assert_int_eq(fixture_open(&s.f, true, s.end[BATCHES], 0), OK);
        log_bytes(&s)[s.position[4] + 7] ^= 0x20;
        ck_assert_int_eq(plog_read(s.f.log, s.end[4], s.end[BATCHES], 1, true, &piece), ERR_CORRUPT);
        if (plog_damage_at(s.f.log, s.end[4], false)) /* met while the index was built anew */
            found = *plog_damage_at(s.f.log, s.end[4], false);
        else
            ck_assert_int_eq(plog_damage_search(s.f.log, s.end[4], &found), OK);
        ck_assert_int_eq(found.offset, s.end[4]);
        ck_assert_int_eq(found.end, s.end[5]);
        sample_stop(&s);
    }
}
END_TEST

START_TEST(a_directory_without_metadata_but_with_data_is_not_ours)
{
    struct sample s;
    sample_start(&s, 1 << 20);
    back(&s);
    ck_assert_int_eq(env_unlink(s.f.env, LOG_DIR "/partition.metadata"), OK);
    ck_assert_int_eq(fixture_open(&s.f, false, 0, 0), ERR_MISMATCH);
    back(&s);
    s.f.setup.topic_id.b[0] = 77;
    ck_assert_int_eq(fixture_open(&s.f, false, 0, 0), ERR_MISMATCH);
    s.f.log = NULL;
    sample_stop(&s);
}
END_TEST

/* It lost its power before its first sync, which makes the metadata durable before anything is promised. */
START_TEST(an_empty_log_without_metadata_is_ours)
{
    struct plog_fixture f;
    for (int torn = 0; torn < 2; torn++) {
        fixture_start(&f, 1 << 20, 1);
        ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
        fixture_close(&f, false);
        if (torn)
            mem_env_resize(f.mem, LOG_DIR "/partition.metadata", 0);
        else
            ck_assert_int_eq(env_unlink(f.env, LOG_DIR "/partition.metadata"), OK);
        ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
        ck_assert_int_eq(plog_end(f.log), 0);
        ck_assert(!f.report.doubt && f.report.missing_from < 0);
        ck_assert_int_eq(fixture_append(&f, 1, 10), OK);
        plog_sync(f.log);
        fixture_run(&f);
        mem_env_crash(f.mem, MEM_DROP);
        fixture_close(&f, false);
        mem_env_restart(f.mem);
        ck_assert_int_eq(fixture_open(&f, false, 1, 0), OK); /* its metadata are there, and durable */
        ck_assert_int_eq(plog_end(f.log), 1);
        fixture_stop(&f);
    }
}
END_TEST

/* The manifest may not hold the new log start for good yet: without those files the log would look damaged.
 */
START_TEST(a_log_that_is_opened_again_keeps_deleted_segments_until_it_is_told)
{
    struct plog_fixture f;
    uint64_t size;
    fixture_start(&f, 2000, 5);
    ck_assert_int_eq(fixture_open(&f, false, 0, 0), OK);
    while (plog_end(f.log) < 60)
        ck_assert_int_eq(fixture_append(&f, 5, 100), OK);
    fixture_close(&f, true);
    f.setup.keep_segments = true;
    ck_assert_int_eq(fixture_open(&f, false, 60, 40), OK);
    ck_assert_int_eq(plog_start(f.log), 40);
    ck_assert_ptr_nonnull(mem_env_bytes(f.mem, LOG_DIR "/00000000000000000000.log", &size));
    ck_assert_int_eq(plog_trim(f.log, 40), OK);
    ck_assert_ptr_null(mem_env_bytes(f.mem, LOG_DIR "/00000000000000000000.log", &size));
    fixture_stop(&f);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_log_cut_at_any_byte_of_its_last_batches_loses_only_them);
    tcase_add_test(tcase, what_was_synced_and_is_gone_is_reported);
    tcase_add_test(tcase, only_what_lies_above_the_recovery_point_is_scanned);
    tcase_add_test(tcase, zeros_at_the_end_are_room);
    tcase_add_test(tcase, a_flipped_bit_anywhere_is_found_and_never_cut_away);
    tcase_add_test(tcase, a_bad_last_batch_below_the_recovery_point_or_of_a_clean_log_is_damage);
    tcase_add_test(tcase, a_log_that_begins_within_a_batch_is_not_damaged);
    tcase_add_test(tcase, a_missing_segment_is_damage);
    tcase_add_test(tcase, a_closed_segment_that_was_cut_short_is_damage);
    tcase_add_test(tcase, past_the_last_sync_a_power_cut_may_keep_a_later_batch_and_drop_an_earlier_one);
    tcase_add_test(tcase, past_the_last_sync_a_batch_that_is_all_there_but_bad_was_perhaps_promised);
    tcase_add_test(tcase, after_a_failed_sync_what_lies_past_the_recovery_point_is_written_again);
    tcase_add_test(tcase, good_bytes_of_a_peer_take_the_place_of_bad_ones);
    tcase_add_test(tcase, a_segment_that_is_gone_is_fetched_again_and_bytes_of_another_length_fit);
    tcase_add_test(tcase, damage_below_the_recovery_point_is_found_when_it_is_read);
    tcase_add_test(tcase, mending_that_finds_more_damage_takes_only_its_own_off_the_list);
    tcase_add_test(tcase, an_unsynced_end_of_a_segment_that_is_gone_is_no_gap);
    tcase_add_test(tcase, an_offset_too_far_from_its_segments_is_damage);
    tcase_add_test(tcase, an_offset_that_jumps_over_its_followers_is_damage_where_there_may_be_gaps);
    tcase_add_test(tcase, a_log_that_is_opened_again_keeps_deleted_segments_until_it_is_told);
    tcase_add_test(tcase, a_directory_without_metadata_but_with_data_is_not_ours);
    tcase_add_test(tcase, an_empty_log_without_metadata_is_ours);
}

SLUICE_TEST_MAIN("broker_plog_recovery", add)
