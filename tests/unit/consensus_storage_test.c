/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's disk: what is durable comes back, what was durable and changed is refused, what was never
 * promised may go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "controller/storage.h"
#include "tests/lib/mem_env.h"
#include "tests/lib/unit.h"

#define DIR    "/meta"
#define CONFIG "configuration"
#define NAMES  16

struct fixture {
    struct mem_world *world;
    struct mem_env *m;
    struct env *env;
    struct storage *storage;
    uint64_t durable;
    enum err failed;
    char text[STORAGE_TEXT_MAX];
};

static void on_durable(void *ctx, uint64_t index)
{
    ((struct fixture *)ctx)->durable = index;
}

static void on_failed(void *ctx, enum err err)
{
    ((struct fixture *)ctx)->failed = err;
}

static const struct storage_handler handler = {.durable = on_durable, .failed = on_failed};

static enum err try_open(struct fixture *f, int32_t node_id)
{
    struct storage_options o = {
        .dir = DIR, .node_id = node_id, .segment_bytes = 4000, .allocate_bytes = 1024};
    enum err err = storage_open(f->env, &o, &f->storage, f->text);
    if (err == OK)
        storage_set_handler(f->storage, &handler, f);
    else
        ck_assert_msg(f->text[0] != 0 && strchr(f->text, '\n') == NULL, "no line for people: %s", f->text);
    return err;
}

static void reopen(struct fixture *f)
{
    storage_close(f->storage);
    ck_assert_msg(try_open(f, 3) == OK, "%s", f->text);
}

static void setup(struct fixture *f, uint64_t seed)
{
    memset(f, 0, sizeof(*f));
    f->world = mem_world_new(seed);
    f->m = mem_env_new(f->world);
    f->env = mem_env_env(f->m);
    ck_assert_int_eq(try_open(f, 3), OK);
    ck_assert(storage_is_new(f->storage));
    ck_assert_int_eq(storage_bootstrap_wait(f->storage, 3, (struct bytes){(const uint8_t *)CONFIG, 13}), OK);
}

static void teardown(struct fixture *f)
{
    storage_close(f->storage);
    mem_world_free(f->world);
}

static void fill(uint8_t *data, uint64_t index, uint64_t term, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        data[i] = (uint8_t)(index * 7 + term * 3 + i + 1);
}

static uint32_t len_of(uint64_t index)
{
    return (uint32_t)(index * 37 % 200);
}

static enum err append(struct fixture *f, uint64_t index, uint32_t count, uint64_t term)
{
    struct raft_log_entry entries[32];
    uint8_t data[32][200];
    ASSERT(count <= 32);
    for (uint32_t i = 0; i < count; i++) {
        fill(data[i], index + i, term, len_of(index + i));
        entries[i] =
            (struct raft_log_entry){.term = term, .type = 1, .data = data[i], .len = len_of(index + i)};
    }
    enum err err = raft_log_append(storage_log(f->storage), index, entries, count);
    if (err == OK)
        raft_log_sync(storage_log(f->storage));
    return err;
}

/* Every entry from first on reads back as it was written. */
static void check_entries(struct fixture *f, uint64_t first)
{
    const struct raft_log *log = storage_log(f->storage);
    uint8_t expected[200];
    for (uint64_t at = MAX(first, raft_log_first(log)); at <= raft_log_last(log);) {
        struct raft_log_entry entries[16];
        struct iobuf *buf;
        uint32_t n;
        ck_assert_int_eq(raft_log_read(log, at, 16, 2000, entries, &n, &buf), OK);
        ck_assert_uint_gt(n, 0);
        for (uint32_t i = 0; i < n; i++) {
            ck_assert_uint_eq(entries[i].index, at + i);
            ck_assert_uint_eq(entries[i].term, raft_log_term(log, at + i));
            if (at + i == 1)
                continue;
            fill(expected, at + i, entries[i].term, len_of(at + i));
            ck_assert_uint_eq(entries[i].len, len_of(at + i));
            ck_assert_int_eq(memcmp(entries[i].data, expected, entries[i].len), 0);
        }
        iobuf_unref(buf);
        at += n;
    }
}

static void run(struct fixture *f)
{
    mem_world_run(f->world, mem_world_now_us(f->world) + 20000);
}

START_TEST(entries_come_back_over_segments_with_replaced_suffixes)
{
    struct fixture f;
    setup(&f, 1);
    for (uint64_t i = 2; i < 200; i += 10)
        ck_assert_int_eq(append(&f, i, 10, 1), OK);
    run(&f);
    ck_assert_uint_eq(f.durable, 201);
    ck_assert_uint_gt(raft_log_sequence(storage_log(f.storage)), 3);
    ck_assert_int_eq(storage_set_vote_wait(f.storage, 2, 1), OK);
    ck_assert_int_eq(append(&f, 150, 5, 2), OK); /* Raft replaces 150 to 201 */
    ck_assert_uint_eq(raft_log_last(storage_log(f.storage)), 154);
    ck_assert_uint_eq(raft_log_durable(storage_log(f.storage)), 149);
    run(&f);
    ck_assert_uint_eq(f.durable, 154);
    check_entries(&f, 1);
    reopen(&f);
    ck_assert_uint_eq(raft_log_first(storage_log(f.storage)), 1);
    ck_assert_uint_eq(raft_log_last(storage_log(f.storage)), 154);
    ck_assert_uint_eq(raft_log_term(storage_log(f.storage), 149), 1);
    ck_assert_uint_eq(raft_log_term(storage_log(f.storage), 150), 2);
    ck_assert_uint_eq(storage_term(f.storage), 2);
    ck_assert_uint_eq(storage_vote(f.storage), 1);
    check_entries(&f, 1);
    teardown(&f);
}
END_TEST

START_TEST(identity_is_kept_and_a_foreign_directory_is_refused)
{
    struct fixture f;
    struct uuid other = {{1, 2, 3}}, cluster = {{9, 9}};
    setup(&f, 2);
    struct uuid directory = storage_directory_id(f.storage);
    ck_assert_int_eq(storage_set_cluster_id_wait(f.storage, cluster, f.text), OK);
    ck_assert_int_eq(storage_set_cluster_id_wait(f.storage, other, f.text), ERR_MISMATCH);
    ck_assert_ptr_nonnull(strstr(f.text, "meta.properties"));
    ck_assert_int_eq(storage_check_peer_wait(f.storage, 7, other), OK);
    struct storage *first = f.storage;
    ck_assert_int_eq(try_open(&f, 3), ERR_BUSY);
    f.storage = first;
    reopen(&f);
    ck_assert(uuid_eq(storage_directory_id(f.storage), directory));
    ck_assert(uuid_eq(storage_cluster_id(f.storage), cluster));
    ck_assert_int_eq(storage_check_peer_wait(f.storage, 7, other), OK);
    ck_assert_int_eq(storage_check_peer_wait(f.storage, 7, cluster), ERR_MISMATCH);
    storage_close(f.storage);
    ck_assert_int_eq(try_open(&f, 4), ERR_MISMATCH);
    ck_assert_ptr_nonnull(strstr(f.text, "node.id 3"));
    ck_assert_int_eq(env_unlink(f.env, DIR "/meta.properties"), OK);
    ck_assert_int_eq(try_open(&f, 3), ERR_MISMATCH);
    mem_world_free(f.world);
}
END_TEST

struct names {
    char names[NAMES][64];
    int count;
};

static bool take_name(void *ctx, const char *name, bool is_dir)
{
    struct names *n = ctx;
    ASSERT(n->count < NAMES);
    if (strcmp(name, ".lock") != 0)
        snprintf(n->names[n->count++], 64, "%s", name);
    return true;
}

/* A directory with several segments, two snapshots and a clean end. */
static struct mem_disk *clean_disk(struct fixture *f, struct names *names)
{
    setup(f, 3);
    struct uuid peer = {{5}};
    for (uint64_t i = 2; i < 100; i += 7)
        ck_assert_int_eq(append(f, i, 7, 1), OK);
    run(f);
    ck_assert_int_eq(storage_check_peer_wait(f->storage, 1, peer), OK);
    ck_assert_int_eq(storage_set_vote_wait(f->storage, 5, 2), OK);
    ck_assert_int_eq(storage_stop_wait(f->storage), OK);
    storage_close(f->storage);
    names->count = 0;
    env_dir_list(f->env, DIR, take_name, names);
    return mem_env_save(f->m);
}

/* The directory as it is now: refused, or nothing is missing. */
static bool intact_or_refused(struct fixture *f)
{
    if (try_open(f, 3) != OK)
        return false;
    ck_assert_uint_eq(raft_log_last(storage_log(f->storage)), 99);
    ck_assert_uint_eq(storage_term(f->storage), 5);
    ck_assert_uint_eq(storage_vote(f->storage), 2);
    check_entries(f, 1);
    storage_close(f->storage);
    return true;
}

START_TEST(no_flipped_bit_goes_unnoticed_after_a_clean_stop)
{
    struct fixture f;
    struct names names;
    struct mem_disk *disk = clean_disk(&f, &names);
    uint64_t tried = 0, refused = 0;
    ck_assert_int_ge(names.count, 6);
    for (int i = 0; i < names.count; i++) {
        char path[128];
        uint64_t size;
        snprintf(path, sizeof(path), DIR "/%s", names.names[i]);
        mem_env_bytes(f.m, path, &size);
        for (uint64_t at = 0; at < size; at++) {
            mem_env_restore(f.m, disk);
            mem_env_bytes(f.m, path, &size)[at] ^= (uint8_t)(1u << (at % 8));
            refused += !intact_or_refused(&f);
            tried++;
        }
    }
    ck_assert_uint_gt(refused, tried / 2);
    mem_disk_free(disk);
    mem_world_free(f.world);
}
END_TEST

START_TEST(no_lost_file_and_no_lost_end_goes_unnoticed_after_a_clean_stop)
{
    struct fixture f;
    struct names names;
    struct mem_disk *disk = clean_disk(&f, &names);
    for (int i = 0; i < names.count; i++) {
        char path[128];
        uint64_t size, content;
        snprintf(path, sizeof(path), DIR "/%s", names.names[i]);
        bool peers = strcmp(names.names[i], "peers") == 0;
        mem_env_restore(f.m, disk);
        uint8_t *bytes = mem_env_bytes(f.m, path, &size);
        for (content = size; content > 0 && bytes[content - 1] == 0; content--)
            continue;
        ck_assert_int_eq(env_unlink(f.env, path), OK);
        ck_assert_msg(intact_or_refused(&f) == peers, "%s may be missing", path); /* pins are learned anew */
        for (uint64_t at = 0; at < content; at++) {
            mem_env_restore(f.m, disk);
            mem_env_resize(f.m, path, at);
            ck_assert_msg(!intact_or_refused(&f), "%s may end at %llu of %llu", path, (unsigned long long)at,
                          (unsigned long long)content);
        }
    }
    mem_disk_free(disk);
    mem_world_free(f.world);
}
END_TEST

START_TEST(a_killed_process_loses_nothing_and_a_torn_end_gives_a_prefix)
{
    struct fixture f;
    setup(&f, 4);
    for (uint64_t i = 2; i < 30; i++)
        ck_assert_int_eq(append(&f, i, 1, 1), OK);
    run(&f);
    for (uint64_t i = 30; i < 36; i++)
        ck_assert_int_eq(append(&f, i, 1, 1), OK);
    mem_env_crash(f.m, MEM_KEEP);
    storage_close(f.storage);
    mem_env_restart(f.m);
    struct mem_disk *disk = mem_env_save(f.m);
    ck_assert_int_eq(try_open(&f, 3), OK);
    ck_assert_uint_eq(raft_log_last(storage_log(f.storage)), 35);
    uint64_t sequence = raft_log_sequence(storage_log(f.storage));
    storage_close(f.storage);
    char path[128];
    uint64_t size, last = 36;
    snprintf(path, sizeof(path), DIR "/%020llu.log", (unsigned long long)sequence);
    mem_env_bytes(f.m, path, &size);
    for (uint64_t at = size; at > 64; at--) {
        mem_env_restore(f.m, disk);
        mem_env_resize(f.m, path, at);
        if (try_open(&f, 3) != OK)
            break; /* reached what quorum-state knows to be durable */
        ck_assert_uint_le(raft_log_last(storage_log(f.storage)), last);
        last = raft_log_last(storage_log(f.storage));
        check_entries(&f, 1);
        ck_assert_int_eq(append(&f, last + 1, 3, 1), OK);
        storage_close(f.storage);
    }
    ck_assert_uint_lt(last, 30);
    mem_disk_free(disk);
    mem_world_free(f.world);
}
END_TEST

START_TEST(term_and_vote_are_durable_when_the_call_returns)
{
    struct fixture f;
    setup(&f, 5);
    for (uint64_t term = 2; term < 30; term++) {
        ck_assert_int_eq(storage_set_vote_wait(f.storage, term, 0), OK);
        ck_assert_int_eq(storage_set_vote_wait(f.storage, term, term % 3 + 1), OK);
        mem_env_crash(f.m, term % 2 ? MEM_DROP : MEM_MIX);
        storage_close(f.storage);
        mem_env_restart(f.m);
        ck_assert_msg(try_open(&f, 3) == OK, "%s", f.text);
        ck_assert_uint_eq(storage_term(f.storage), term);
        ck_assert_uint_eq(storage_vote(f.storage), term % 3 + 1);
    }
    teardown(&f);
}
END_TEST

/* -- snapshots -- */

#define STREAM 150000

struct made {
    struct snapshot *snapshot;
    enum err err;
    int calls;
};

static void made_one(void *ctx, struct snapshot *snapshot, enum err err)
{
    struct made *made = ctx;
    made->snapshot = snapshot;
    made->err = err;
    made->calls++;
}

static uint8_t *stream_of(uint64_t index)
{
    static uint8_t stream[STREAM];
    for (size_t i = 0; i < STREAM; i++)
        stream[i] = (uint8_t)(i * 31 + index);
    return stream;
}

static void write_snapshot(struct fixture *f, uint64_t index, struct made *made)
{
    struct snapshot_writer *writer;
    uint64_t term = raft_log_term(storage_log(f->storage), index);
    struct snapshot_id id = {.index = index, .term = MAX(term, 1)};
    *made = (struct made){.err = OK};
    made->err = snapshot_write_begin(storage_snapshots(f->storage), id, 1,
                                     (struct bytes){(const uint8_t *)CONFIG, 13}, &writer);
    if (made->err != OK)
        return;
    made->err = snapshot_write_put(writer, stream_of(index), 1000);
    if (made->err == OK)
        made->err = snapshot_write_put(writer, stream_of(index) + 1000, STREAM - 1000);
    if (made->err == OK)
        snapshot_write_finish(writer, made_one, made);
    else
        snapshot_write_abort(writer);
}

static void check_snapshot(const struct snapshot *snapshot)
{
    struct iobuf *buf;
    uint8_t piece[777];
    size_t len;
    ck_assert_int_eq(snapshot_load(snapshot, &buf), OK);
    ck_assert_uint_eq(buf->len, STREAM);
    ck_assert_int_eq(memcmp(buf->data, stream_of(snapshot->id.index), STREAM), 0);
    iobuf_unref(buf);
    for (uint64_t at = 0; at < STREAM; at += 65500) {
        ck_assert_int_eq(snapshot_read_stream(snapshot, at, piece, sizeof(piece), &len), OK);
        ck_assert_uint_eq(len, MIN(sizeof(piece), STREAM - at));
        ck_assert_int_eq(memcmp(piece, stream_of(snapshot->id.index) + at, len), 0);
    }
    ck_assert_int_eq(snapshot_read_stream(snapshot, STREAM + 1, piece, 1, &len), ERR_OUT_OF_RANGE);
    ck_assert_uint_eq(snapshot->config->len, 13);
}

START_TEST(the_newest_two_snapshots_are_kept_and_a_damaged_one_is_passed_over)
{
    struct fixture f;
    struct made made;
    setup(&f, 6);
    for (uint64_t i = 2; i < 40; i++)
        ck_assert_int_eq(append(&f, i, 1, 1), OK);
    run(&f);
    for (uint64_t index = 10; index <= 30; index += 10) {
        write_snapshot(&f, index, &made);
        ck_assert_int_eq(made.calls, 0);
        run(&f);
        ck_assert_int_eq(made.err, OK);
        ck_assert_ptr_eq(made.snapshot, snapshot_newest(storage_snapshots(f.storage)));
    }
    reopen(&f);
    ck_assert_uint_eq(snapshot_newest(storage_snapshots(f.storage))->id.index, 30);
    ck_assert_uint_eq(snapshot_previous(storage_snapshots(f.storage))->id.index, 20);
    check_snapshot(snapshot_newest(storage_snapshots(f.storage)));
    check_snapshot(snapshot_previous(storage_snapshots(f.storage)));
    ck_assert_uint_eq(raft_log_first(storage_log(f.storage)), 1);
    storage_close(f.storage);
    uint64_t size;
    mem_env_bytes(f.m, DIR "/00000000000000000030-00000000000000000001.checkpoint", &size)[80000] ^= 1;
    ck_assert_int_eq(try_open(&f, 3), OK);
    ck_assert_ptr_nonnull(strstr(storage_warning(f.storage), "00000000000000000030"));
    ck_assert_uint_eq(snapshot_newest(storage_snapshots(f.storage))->id.index, 20);
    ck_assert_uint_eq(raft_log_last(storage_log(f.storage)), 39);
    teardown(&f);
}
END_TEST

START_TEST(a_snapshot_past_the_log_voids_the_log)
{
    struct fixture f;
    struct made made;
    setup(&f, 7);
    for (uint64_t i = 2; i < 20; i++)
        ck_assert_int_eq(append(&f, i, 1, 1), OK);
    run(&f);
    write_snapshot(&f, 500,
                   &made); /* as when one was received and the process died before it was installed */
    run(&f);
    mem_env_crash(f.m, MEM_DROP);
    storage_close(f.storage);
    mem_env_restart(f.m);
    ck_assert_msg(try_open(&f, 3) == OK, "%s", f.text);
    ck_assert_uint_eq(raft_log_first(storage_log(f.storage)), 501);
    ck_assert_uint_eq(raft_log_last(storage_log(f.storage)), 500);
    ck_assert_int_eq(append(&f, 501, 3, 1), OK);
    run(&f);
    reopen(&f);
    ck_assert_uint_eq(raft_log_last(storage_log(f.storage)), 503);
    storage_close(f.storage);
    /* Without the snapshot nothing covers what comes before the log. */
    ck_assert_int_eq(env_unlink(f.env, DIR "/00000000000000000500-00000000000000000001.checkpoint"), OK);
    ck_assert_int_eq(try_open(&f, 3), ERR_CORRUPT);
    mem_world_free(f.world);
}
END_TEST

START_TEST(a_snapshot_of_an_older_term_voids_a_longer_log_of_a_newer_one)
{
    struct fixture f;
    struct made made;
    setup(&f, 11);
    for (uint64_t i = 2; i < 20; i++)
        ck_assert_int_eq(append(&f, i, 1, 1), OK);
    ck_assert_int_eq(storage_set_vote_wait(f.storage, 5, 1), OK);
    for (uint64_t i = 20; i < 40; i++)
        ck_assert_int_eq(append(&f, i, 1, 5), OK);
    run(&f);
    write_snapshot(&f, 500,
                   &made); /* term 1: a later leader committed what this one, deposed, had replaced */
    run(&f);
    ck_assert_int_eq(storage_set_vote_wait(f.storage, 6, 2), OK);
    ck_assert_int_eq(storage_void_log_wait(f.storage), OK);
    mem_env_crash(f.m, MEM_DROP);
    storage_close(f.storage);
    mem_env_restart(f.m);
    ck_assert_msg(try_open(&f, 3) == OK, "%s", f.text);
    ck_assert_uint_eq(raft_log_last(storage_log(f.storage)), 500);
    ck_assert_uint_eq(storage_term(f.storage), 6);
    teardown(&f);
}
END_TEST

/* A leader of term 5 replaces what one of term 4 left by entries of term 3, and then by its own, which did
 * not become durable. */
START_TEST(what_replaces_a_suffix_may_end_in_an_older_term)
{
    struct fixture f;
    setup(&f, 13);
    ck_assert_int_eq(append(&f, 2, 8, 1), OK);
    ck_assert_int_eq(storage_set_vote_wait(f.storage, 4, 1), OK);
    ck_assert_int_eq(append(&f, 10, 3, 4), OK);
    run(&f);
    ck_assert_int_eq(storage_set_vote_wait(f.storage, 5, 0), OK);
    ck_assert_int_eq(append(&f, 10, 2, 3), OK);
    run(&f);
    ck_assert_int_eq(append(&f, 12, 1, 5), OK);
    mem_env_crash(f.m, MEM_DROP);
    storage_close(f.storage);
    mem_env_restart(f.m);
    ck_assert_msg(try_open(&f, 3) == OK, "%s", f.text);
    ck_assert_uint_eq(raft_log_last(storage_log(f.storage)), 11);
    ck_assert_uint_eq(raft_log_term(storage_log(f.storage), 11), 3);
    ck_assert_uint_eq(storage_term(f.storage), 5);
    check_entries(&f, 1);
    teardown(&f);
}
END_TEST

START_TEST(a_received_snapshot_takes_its_name_only_when_every_byte_is_right)
{
    struct fixture f, g;
    struct made made;
    setup(&f, 8);
    setup(&g, 9);
    write_snapshot(&f, 40, &made);
    run(&f);
    struct snapshot *from = made.snapshot;
    for (uint64_t bad = 0; bad < 6; bad++) {
        struct snapshot_writer *writer;
        uint64_t flip = bad * (snapshot_raw_size(from) - 1) / 4;
        ck_assert_int_eq(snapshot_receive_begin(storage_snapshots(g.storage), from->id, &writer), OK);
        for (;;) {
            uint8_t piece[40000];
            size_t len;
            uint64_t at = snapshot_receive_offset(writer);
            ck_assert_int_eq(snapshot_read_raw(from, at, piece, sizeof(piece), &len), OK);
            if (len == 0)
                break;
            if (bad < 5 && flip >= at && flip < at + len)
                piece[flip - at] ^= 4;
            ck_assert_int_eq(snapshot_receive_put(writer, piece, len), OK);
        }
        snapshot_write_finish(writer, made_one, &made);
        run(&g);
        if (made.err == OK)
            break;
        ck_assert_int_eq(made.err, ERR_CORRUPT);
        ck_assert_ptr_null(snapshot_newest(storage_snapshots(g.storage)));
    }
    ck_assert_int_eq(made.err, OK);
    check_snapshot(snapshot_newest(storage_snapshots(g.storage)));
    teardown(&f);
    teardown(&g);
}
END_TEST

/* -- every step fails, or is the last one -- */

/* A scripted life: appends, replacements, votes, snapshots, trims. Stops at the first failure. */
static void live(struct fixture *f, uint64_t *ret_term, uint64_t *ret_vote, uint64_t *ret_acked)
{
    struct made made = {.err = OK};
    uint64_t term = 1, last = 1;
    *ret_term = 1;
    *ret_vote = 0;
    *ret_acked = 1;
    for (int i = 0; i < 40 && f->failed == OK; i++) {
        if (i % 7 == 6) {
            uint64_t vote = (uint64_t)i % 3 + 1;
            if (storage_set_vote_wait(f->storage, ++term, vote) != OK)
                return;
            *ret_term = term;
            *ret_vote = vote;
            last = MAX(last - 2, *ret_acked); /* an unsynced suffix is replaced */
        }
        if (append(f, last + 1, 3, term) != OK)
            return;
        last += 3;
        if (i % 3 == 0)
            run(f);
        *ret_acked = f->durable > *ret_acked ? f->durable : *ret_acked;
        if (i % 11 == 10 && storage_snapshots(f->storage) != NULL && made.err == OK) {
            write_snapshot(f, *ret_acked, &made);
            run(f);
            if (made.err == OK)
                storage_trim(f->storage, 5);
        }
    }
}

START_TEST(whatever_step_fails_nothing_acknowledged_is_lost)
{
    int recovered = 0, failures = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct fixture f;
        uint64_t term, vote, acked;
        setup(&f, seed);
        uint32_t step = (uint32_t)(seed / 2 % 150) + 1;
        if (seed % 2)
            mem_env_fail_sync_after(f.m, step);
        else
            mem_env_fail_write_after(f.m, step);
        live(&f, &term, &vote, &acked);
        failures += f.failed != OK;
        mem_env_crash(f.m, seed % 3 == 0 ? MEM_KEEP : seed % 3 == 1 ? MEM_DROP : MEM_MIX);
        storage_close(f.storage);
        mem_env_restart(f.m);
        f.failed = OK;
        ck_assert_msg(try_open(&f, 3) == OK, "seed %llu: %s", (unsigned long long)seed, f.text);
        ck_assert_uint_ge(storage_term(f.storage), term);
        if (storage_term(f.storage) == term)
            ck_assert(storage_vote(f.storage) == vote);
        ck_assert_uint_ge(raft_log_last(storage_log(f.storage)), acked);
        check_entries(&f, 1);
        recovered++;
        ck_assert_int_eq(append(&f, raft_log_last(storage_log(f.storage)) + 1, 2, storage_term(f.storage)),
                         OK);
        run(&f);
        reopen(&f);
        teardown(&f);
    }
    ck_assert_int_eq(recovered, 400);
    ck_assert_int_gt(failures, 30); /* the others failed in a blocking call */
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, entries_come_back_over_segments_with_replaced_suffixes);
    tcase_add_test(tcase, identity_is_kept_and_a_foreign_directory_is_refused);
    tcase_add_test(tcase, no_flipped_bit_goes_unnoticed_after_a_clean_stop);
    tcase_add_test(tcase, no_lost_file_and_no_lost_end_goes_unnoticed_after_a_clean_stop);
    tcase_add_test(tcase, a_killed_process_loses_nothing_and_a_torn_end_gives_a_prefix);
    tcase_add_test(tcase, term_and_vote_are_durable_when_the_call_returns);
    tcase_add_test(tcase, the_newest_two_snapshots_are_kept_and_a_damaged_one_is_passed_over);
    tcase_add_test(tcase, a_snapshot_past_the_log_voids_the_log);
    tcase_add_test(tcase, a_snapshot_of_an_older_term_voids_a_longer_log_of_a_newer_one);
    tcase_add_test(tcase, what_replaces_a_suffix_may_end_in_an_older_term);
    tcase_add_test(tcase, a_received_snapshot_takes_its_name_only_when_every_byte_is_right);
    tcase_add_test(tcase, whatever_step_fails_nothing_acknowledged_is_lost);
}

SLUICE_TEST_MAIN("consensus_storage", add)
