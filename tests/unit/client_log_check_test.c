/* SPDX-License-Identifier: Apache-2.0 */
/* `sluice log verify` on a broker's own files: nothing is found in whole ones, and every planted damage is
 * named with its file. */
#include "client/cli/log_check.h"
#include "common/logformat/file_name.h"
#include "tests/unit/broker_plog_fixture.h"

struct findings {
    int problems, notes;
    char file[LOG_PATHS_MAX], reason[256];
    int64_t position;
};

static void found(void *ctx, const struct log_finding *finding)
{
    struct findings *f = ctx;
    if (finding->note) {
        f->notes++;
        return;
    }
    if (f->problems++ > 0)
        return;
    snprintf(f->file, sizeof(f->file), "%s", finding->file);
    snprintf(f->reason, sizeof(f->reason), "%s", finding->reason);
    f->position = finding->position;
}

/* Several segments, two epochs, closed cleanly. */
static void make_log(struct plog_fixture *f)
{
    fixture_start(f, 6000, 1);
    ck_assert_int_eq(fixture_open(f, true, 0, 0), OK);
    for (int i = 0; i < 60; i++) {
        f->epoch = i < 30 ? 0 : 4;
        ck_assert_int_eq(fixture_append(f, 3, 50), OK);
        fixture_run(f);
    }
    fixture_close(f, true);
}

static struct log_totals check(struct plog_fixture *f, struct findings *ret)
{
    struct batch_scratch scratch;
    struct log_totals totals;
    char path[LOG_PATHS_MAX];
    const struct log_check check = {.env = f->env, .scratch = &scratch, .found = found, .ctx = ret};
    memset(ret, 0, sizeof(*ret));
    ck_assert_int_eq(batch_scratch_init(&scratch, 1 << 20, 0), OK);
    ck_assert_int_eq(log_check_partition(&check, LOG_DIR, &totals, path), OK);
    batch_scratch_free(&scratch);
    ck_assert_int_eq(totals.problems, ret->problems);
    return totals;
}

START_TEST(a_whole_log_has_no_problem)
{
    struct plog_fixture f;
    struct findings seen;
    make_log(&f);
    struct log_totals totals = check(&f, &seen);
    ck_assert_msg(seen.problems == 0, "%s: %s", seen.file, seen.reason);
    ck_assert_int_eq(totals.records, 180);
    ck_assert_int_eq(totals.batches, 60);
    ck_assert_int_gt(totals.segments, 2);
    ck_assert(totals.first_offset == 0 && totals.next_offset == 180);
    fixture_stop(&f);
}
END_TEST

static int64_t first_segment_bytes(struct plog_fixture *f)
{
    char path[128];
    uint64_t size;
    ck_assert_ptr_nonnull(mem_env_bytes(f->mem, fixture_path(0, ".log", path), &size));
    return (int64_t)size;
}

START_TEST(every_flipped_bit_of_a_segment_is_noticed)
{
    struct plog_fixture f;
    struct findings seen;
    char path[128];
    uint64_t size;
    make_log(&f);
    int64_t len = first_segment_bytes(&f);
    for (int64_t at = 0; at < len; at += at < 200 ? 1 : 37) {
        uint8_t *p = mem_env_bytes(f.mem, fixture_path(0, ".log", path), &size);
        p[at] ^= 0x10;
        check(&f, &seen);
        ck_assert_msg(seen.problems > 0, "byte %lld", (long long)at);
        p[at] ^= 0x10;
    }
    check(&f, &seen);
    ck_assert_int_eq(seen.problems, 0);
    fixture_stop(&f);
}
END_TEST

/* Damage of one file, and what must be said of it. */
struct planted {
    const char *suffix; /* behind the first segment's offset; or NULL and name */
    const char *name;
    int64_t at; /* byte that changes; negative: the file is cut to -at bytes */
    const char *reason;
};

static const struct planted rows[] = {
    {".log", NULL, 30, "bad batch"},
    {".log", NULL, 15, "leader epoch"},
    {".log", NULL, -500, "batch is cut"},
    {".index", NULL, 3, "another offset"},
    {".index", NULL, 6, "no batch begins there"},
    {".index", NULL, -13, "multiple"},
    {".timeindex", NULL, 6, "timestamp is not the largest"},
    {".timeindex", NULL, -25, "multiple"},
    {NULL, "leader-epoch-checkpoint", 0, "version"},
    {NULL, "leader-epoch-checkpoint", 4, "leader epoch"},
    {NULL, "partition.metadata", 3, "not a partition.metadata"},
    {NULL, "00000000000000000180.snapshot", 20, "checksum"},
};

START_TEST(damage_is_named)
{
    const struct planted *row = &rows[_i];
    struct plog_fixture f;
    struct findings seen;
    char path[128];
    uint64_t size;
    make_log(&f);
    if (row->suffix)
        fixture_path(0, row->suffix, path);
    else
        snprintf(path, sizeof(path), LOG_DIR "/%s", row->name);
    uint8_t *p = mem_env_bytes(f.mem, path, &size);
    ck_assert_msg(p != NULL, "%s", path);
    if (row->at < 0)
        mem_env_resize(f.mem, path, (uint64_t)-row->at);
    else
        p[row->at] ^= 1;
    check(&f, &seen);
    ck_assert_msg(seen.problems > 0 && strstr(seen.reason, row->reason) != NULL, "row %d: '%s'", _i,
                  seen.reason);
    if (row->at != 4 && row->at != 15) /* an epoch that differs is found where the segment says so */
        ck_assert_msg(strcmp(seen.file, path) == 0, "row %d: %s", _i, seen.file);
    fixture_stop(&f);
}
END_TEST

START_TEST(a_missing_segment_is_a_gap)
{
    struct plog_fixture f;
    struct findings seen;
    char path[128];
    make_log(&f);
    struct log_names list;
    ck_assert_int_eq(log_names_list(f.env, LOG_DIR, false, log_paths_known, &list), OK);
    int64_t offset = 0;
    for (size_t i = 0, logs = 0; i < list.count && logs < 2; i++)
        logs += log_file_name_parse(list.names[i], LOG_SUFFIX_LOG, &offset);
    log_names_free(&list);
    ck_assert_int_eq(env_unlink(f.env, fixture_path(offset, ".log", path)), OK);
    check(&f, &seen);
    ck_assert_msg(seen.problems == 1 && strstr(seen.reason, "are missing") != NULL, "%s", seen.reason);
    fixture_stop(&f);
}
END_TEST

START_TEST(room_taken_in_advance_is_only_a_note)
{
    struct plog_fixture f;
    struct findings seen;
    char path[128];
    uint64_t size;
    fixture_start(&f, 1 << 20, 1);
    ck_assert_int_eq(fixture_open(&f, true, 0, 0), OK);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(fixture_append(&f, 3, 50), OK);
    fixture_run(&f);
    fixture_close(&f, true);
    mem_env_bytes(f.mem, fixture_path(0, ".log", path), &size);
    mem_env_resize(f.mem, path, size + 4096);
    check(&f, &seen);
    ck_assert_int_eq(seen.problems, 0);
    ck_assert_int_eq(seen.notes, 1);
    fixture_stop(&f);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, a_whole_log_has_no_problem);
    tcase_add_test(tcase, every_flipped_bit_of_a_segment_is_noticed);
    tcase_add_loop_test(tcase, damage_is_named, 0, (int)ARRAY_LEN(rows));
    tcase_add_test(tcase, a_missing_segment_is_a_gap);
    tcase_add_test(tcase, room_taken_in_advance_is_only_a_note);
}

SLUICE_TEST_MAIN("client_log_check", add_tests)
