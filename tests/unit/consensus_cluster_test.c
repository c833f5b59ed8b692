/* SPDX-License-Identifier: Apache-2.0 */
/* Three controllers' consensus in one process and virtual time: lossy links, partitions, crashes that keep,
 * drop or tear unsynced writes, snapshots. Whatever happens, all apply one history, nothing committed is
 * lost, and one node leads a term. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/crc32c.h"
#include "controller/consensus.h"
#include "tests/lib/mem_env.h"
#include "tests/lib/unit.h"

#define NODES       3
#define HISTORY_MAX 20000
#define TERMS_MAX   5000
#define STREAM_PAD  300000 /* makes a snapshot of several pieces */

struct cluster;

struct node {
    struct cluster *cluster;
    int32_t id;
    struct mem_env *m;
    struct env *env;
    struct storage *storage;
    struct consensus *consensus;
    bool up, leads, sick; /* sick: its disk will fail, or has */
    uint64_t applied, hash, gained, lost, dropped, installs, snapshots, acked;
    uint64_t next_token;
    uint64_t source_left, source_applied, source_hash;
    enum err failed;
};

struct cluster {
    struct mem_world *world;
    struct prng prng;
    struct node nodes[NODES];
    bool cut[NODES][NODES];
    uint32_t drop_percent;
    uint64_t history[HISTORY_MAX]; /* hash after each index */
    uint64_t history_last, acked_last;
    int32_t leader_of[TERMS_MAX]; /* by term: id + 1 */
    uint64_t refused, pieces, disk_failures;
};

/* A message under way. */
struct parcel {
    struct env_timer timer;
    struct node *to;
    int32_t from;
    struct iobuf *buf;
};

static void deliver(struct env_timer *timer)
{
    struct parcel *p = CONTAINER_OF(timer, struct parcel, timer);
    if (p->to->up && !p->to->cluster->cut[p->from][p->to->id])
        consensus_receive(p->to->consensus, p->from, p->buf->data, p->buf->len);
    iobuf_unref(p->buf);
    free(p);
}

static void send_parcel(void *ctx, int32_t to, struct iobuf *buf)
{
    struct node *from = ctx;
    struct cluster *k = from->cluster;
    if (k->cut[from->id][to] || prng_below(&k->prng, 100) < k->drop_percent)
        return;
    struct parcel *p = malloc(sizeof(*p));
    *p = (struct parcel){.to = &k->nodes[to], .from = from->id};
    p->buf = iobuf_get(NULL, buf->len + 1);
    memcpy(p->buf->data, buf->data, buf->len);
    p->buf->len = buf->len;
    k->pieces += buf->len > 30000;
    env_timer_init(&p->timer, deliver);
    uint64_t delay = prng_below(&k->prng, 20) == 0 ? prng_below(&k->prng, 60000) : prng_below(&k->prng, 1500);
    env_timer_set(p->to->env, &p->timer, env_now_us(from->env) + 20 + delay);
}

static const struct consensus_transport transport = {.send = send_parcel};

static void on_applied(void *ctx, uint64_t index, uint64_t term, struct bytes data, uint64_t token)
{
    struct node *n = ctx;
    struct cluster *k = n->cluster;
    ck_assert_uint_eq(index, n->applied + 1);
    ck_assert_uint_lt(index, HISTORY_MAX);
    n->applied = index;
    n->hash = (n->hash ^ crc32c((uint32_t)term, data.p, (size_t)data.len)) * 1099511628211ull + 1;
    if (index > k->history_last) {
        k->history_last = index;
        k->history[index] = n->hash;
    }
    ck_assert_msg(k->history[index] == n->hash, "node %d applies another history at %llu", n->id,
                  (unsigned long long)index);
    if (token != 0) {
        ck_assert(n->leads);
        n->acked++;
        k->acked_last = MAX(k->acked_last, index);
    }
}

static enum err on_install(void *ctx, const struct snapshot *snapshot)
{
    struct node *n = ctx;
    struct iobuf *buf;
    ck_assert_int_eq(snapshot_load(snapshot, &buf), OK);
    ck_assert_uint_eq(buf->len, 16 + STREAM_PAD);
    uint64_t applied, hash;
    memcpy(&applied, buf->data, 8);
    memcpy(&hash, buf->data + 8, 8);
    iobuf_unref(buf);
    ck_assert_uint_eq(applied, snapshot->id.index);
    ck_assert_uint_eq(hash, n->cluster->history[applied]);
    n->applied = applied;
    n->hash = hash;
    n->installs++;
    return OK;
}

static void on_gained(void *ctx, uint64_t term)
{
    struct node *n = ctx;
    ck_assert_uint_lt(term, TERMS_MAX);
    ck_assert_msg(n->cluster->leader_of[term] == 0 || n->cluster->leader_of[term] == n->id + 1,
                  "two leaders");
    ck_assert(!n->leads);
    ck_assert_uint_ge(n->applied, n->cluster->acked_last); /* leader completeness */
    n->cluster->leader_of[term] = n->id + 1;
    n->leads = true;
    n->gained++;
}

static void on_lost(void *ctx)
{
    struct node *n = ctx;
    ck_assert(n->leads);
    n->leads = false;
    n->lost++;
}

static void on_dropped(void *ctx, uint64_t token, enum err err)
{
    ((struct node *)ctx)->dropped++;
}

static void on_leader(void *ctx, int32_t leader_id, uint64_t term)
{
}

static void on_refused(void *ctx, int32_t from, enum err err, const char *why)
{
    ((struct node *)ctx)->cluster->refused++;
}

static void on_failed(void *ctx, enum err err, const char *what)
{
    struct node *n = ctx;
    n->failed = err;
    n->leads = false;
    n->cluster->disk_failures++;
}

static const struct consensus_handler handler = {.applied = on_applied,
                                                 .install = on_install,
                                                 .gained = on_gained,
                                                 .lost = on_lost,
                                                 .dropped = on_dropped,
                                                 .leader = on_leader,
                                                 .refused = on_refused,
                                                 .failed = on_failed};

static void node_start(struct node *n)
{
    char text[STORAGE_TEXT_MAX];
    struct storage_options so = {
        .dir = "/meta/quorum", .node_id = n->id, .segment_bytes = 20000, .allocate_bytes = 4096};
    struct consensus_options co = {.node_id = n->id,
                                   .voters = {2, 0, 1},
                                   .voters_count = NODES,
                                   .election_timeout_ms = 200,
                                   .heartbeat_ms = 20,
                                   .trailing_entries = 10};
    enum err err = storage_open(n->env, &so, &n->storage, text);
    ck_assert_msg(err == OK, "node %d: %s", n->id, text);
    n->applied = 0;
    n->hash = 1;
    n->consensus = consensus_new(n->env, n->storage, &co, &transport, n, &handler, n);
    n->up = true;
    ck_assert_int_eq(consensus_start(n->consensus), OK);
}

static void node_crash(struct node *n, enum mem_crash kind)
{
    mem_env_crash(n->m, kind);
    n->up = n->leads = n->sick = false;
    consensus_free(n->consensus);
    storage_close(n->storage);
    mem_env_restart(n->m);
    n->failed = OK;
}

static struct cluster *cluster_new(uint64_t seed)
{
    struct cluster *k = calloc(1, sizeof(*k));
    k->world = mem_world_new(seed);
    prng_seed(&k->prng, seed * 77 + 1);
    for (int i = 0; i < NODES; i++) {
        struct node *n = &k->nodes[i];
        n->cluster = k;
        n->id = i;
        n->m = mem_env_new(k->world);
        n->env = mem_env_env(n->m);
        node_start(n);
    }
    return k;
}

/* Parcels still under way are delivered to nobody. */
static void cluster_free(struct cluster *k)
{
    for (int i = 0; i < NODES; i++) {
        if (k->nodes[i].up)
            node_crash(&k->nodes[i], MEM_KEEP);
    }
    mem_world_run(k->world, mem_world_now_us(k->world) + 200000);
    mem_world_free(k->world);
    free(k);
}

static void run(struct cluster *k, uint64_t us)
{
    mem_world_run(k->world, mem_world_now_us(k->world) + us);
}

static struct node *leader_of(struct cluster *k)
{
    struct node *best = NULL;
    for (int i = 0; i < NODES; i++) {
        struct node *n = &k->nodes[i];
        if (n->up && n->leads &&
            (best == NULL || consensus_status(n->consensus).term > consensus_status(best->consensus).term))
            best = n;
    }
    return best;
}

static bool has_leader(void *ctx)
{
    return leader_of(ctx) != NULL;
}

static enum err submit(struct node *n, uint32_t len)
{
    uint8_t data[512];
    for (uint32_t i = 0; i < len; i++)
        data[i] = (uint8_t)(n->next_token + i);
    return consensus_submit(n->consensus, data, len, ++n->next_token);
}

static bool all_equal(void *ctx)
{
    struct cluster *k = ctx;
    for (int i = 0; i < NODES; i++) {
        if (!k->nodes[i].up || k->nodes[i].applied != k->history_last)
            return false;
    }
    return leader_of(k) != NULL;
}

/* A snapshot's stream: index, hash, padding, in three parts. */
static enum err source_next(void *ctx, struct writer *w, size_t budget, bool *ret_done)
{
    struct node *n = ctx;
    static const uint8_t pad[STREAM_PAD / 2];
    if (n->source_left == 3) {
        writer_raw(w, &n->source_applied, 8);
        writer_raw(w, &n->source_hash, 8);
    } else {
        writer_raw(w, pad, sizeof(pad));
    }
    *ret_done = --n->source_left == 0;
    return OK;
}

static void source_end(void *ctx, enum err err)
{
    ((struct node *)ctx)->snapshots += err == OK;
}

static const struct consensus_source source = {.next = source_next, .end = source_end};

static enum err take_snapshot(struct node *n)
{
    n->source_left = 3;
    n->source_applied = n->applied;
    n->source_hash = n->hash;
    return consensus_take_snapshot(n->consensus, &source, n);
}

START_TEST(three_nodes_elect_one_leader_and_commit)
{
    struct cluster *k = cluster_new(1);
    ck_assert(mem_world_run_until(k->world, 2000000, has_leader, k));
    struct node *leader = leader_of(k);
    for (int i = 0; i < NODES; i++) {
        if (&k->nodes[i] != leader)
            ck_assert_int_eq(submit(&k->nodes[i], 10), ERR_NOT_LEADER);
    }
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(submit(leader, (uint32_t)i * 3), OK);
    ck_assert(mem_world_run_until(k->world, 2000000, all_equal, k));
    run(k, 100000);
    ck_assert(all_equal(k));
    ck_assert_uint_eq(leader->acked, 100);
    ck_assert_int_eq(consensus_status(k->nodes[0].consensus).leader, leader->id);
    cluster_free(k);
}
END_TEST

START_TEST(leadership_moves_on_request_without_losing_what_was_acknowledged)
{
    struct cluster *k = cluster_new(2);
    ck_assert(mem_world_run_until(k->world, 2000000, has_leader, k));
    struct node *old = leader_of(k);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(submit(old, 30), OK);
    run(k, 100000);
    uint64_t before_us = mem_world_now_us(k->world);
    ck_assert_int_eq(consensus_transfer(old->consensus), OK);
    ck_assert_int_eq(submit(old, 30), OK); /* while it hands over */
    run(k, 60000);
    struct node *next = leader_of(k);
    ck_assert_ptr_nonnull(next);
    ck_assert_ptr_ne(next, old);
    ck_assert_uint_lt(mem_world_now_us(k->world) - before_us, 100000);
    ck_assert_uint_eq(old->dropped, 1);
    ck_assert_uint_eq(old->lost, 1);
    ck_assert_int_eq(submit(next, 5), OK);
    ck_assert(mem_world_run_until(k->world, 1000000, all_equal, k));
    cluster_free(k);
}
END_TEST

START_TEST(a_node_far_behind_gets_a_snapshot_and_trimmed_logs_stay_usable)
{
    struct cluster *k = cluster_new(3);
    ck_assert(mem_world_run_until(k->world, 2000000, has_leader, k));
    struct node *leader = leader_of(k);
    struct node *behind = &k->nodes[(leader->id + 1) % NODES];
    node_crash(behind, MEM_DROP);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 200; i++)
            ck_assert_int_eq(submit(leader, 200), OK);
        run(k, 300000);
        ck_assert_int_eq(take_snapshot(leader), OK);
        ck_assert_int_eq(take_snapshot(leader), ERR_BUSY);
        run(k, 300000);
        ck_assert_int_eq(take_snapshot(leader), ERR_EXISTS);
    }
    ck_assert_uint_eq(leader->snapshots, 4);
    ck_assert_uint_gt(raft_log_first(storage_log(leader->storage)), 400);
    node_start(behind);
    ck_assert(mem_world_run_until(k->world, 5000000, all_equal, k));
    ck_assert_uint_eq(behind->installs, 1);
    ck_assert_uint_gt(k->pieces, 1);
    /* The receiver restarts from what it received; the leader restarts from its own. */
    node_crash(behind, MEM_DROP);
    node_start(behind);
    ck_assert_uint_eq(behind->installs, 2);
    node_crash(leader, MEM_DROP);
    node_start(leader);
    ck_assert(mem_world_run_until(k->world, 5000000, all_equal, k));
    cluster_free(k);
}
END_TEST

START_TEST(a_failed_sync_stops_the_node_and_the_others_go_on)
{
    struct cluster *k = cluster_new(4);
    ck_assert(mem_world_run_until(k->world, 2000000, has_leader, k));
    struct node *sick = leader_of(k);
    mem_env_fail_sync_after(sick->m, 1);
    ck_assert_int_eq(submit(sick, 10), OK);
    run(k, 1500000);
    ck_assert_int_ne(sick->failed, OK);
    ck_assert_int_eq(submit(sick, 10), ERR_NOT_LEADER);
    ck_assert_uint_eq(sick->acked, 0);
    sick->up = sick->leads = false;
    struct node *next = leader_of(k);
    ck_assert_ptr_nonnull(next);
    ck_assert_int_eq(submit(next, 10), OK);
    run(k, 100000);
    ck_assert_uint_eq(next->acked, 1);
    sick->up = true;
    cluster_free(k);
}
END_TEST

START_TEST(a_controller_with_a_new_disk_is_not_believed)
{
    struct cluster *k = cluster_new(5);
    ck_assert(mem_world_run_until(k->world, 2000000, has_leader, k));
    struct node *leader = leader_of(k);
    struct node *wiped = &k->nodes[(leader->id + 1) % NODES];
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(submit(leader, 10), OK);
    run(k, 200000);
    node_crash(wiped, MEM_KEEP);
    struct mem_disk *nothing = mem_env_save(mem_env_new(k->world));
    mem_env_restore(wiped->m, nothing);
    mem_disk_free(nothing);
    node_start(wiped);
    run(k, 1000000);
    ck_assert_uint_gt(k->refused, 0);
    ck_assert(!wiped->leads);
    /* Its vote counts for nothing: with the third node gone, nobody can lead. */
    struct node *third = &k->nodes[(leader->id + 2) % NODES];
    node_crash(third, MEM_KEEP);
    run(k, 3000000);
    ck_assert_ptr_null(leader_of(k));
    node_start(third);
    ck_assert(mem_world_run_until(k->world, 3000000, has_leader, k));
    cluster_free(k);
}
END_TEST

START_TEST(a_hint_that_the_leader_is_gone_shortens_the_election)
{
    uint64_t with = 0, without = 0;
    for (uint64_t seed = 10; seed < 30; seed++) {
        for (int hint = 0; hint < 2; hint++) {
            struct cluster *k = cluster_new(seed);
            ck_assert(mem_world_run_until(k->world, 2000000, has_leader, k));
            run(k, 300000);
            struct node *old = leader_of(k);
            int32_t gone = old->id;
            node_crash(old, MEM_KEEP);
            for (int i = 0; i < NODES; i++)
                k->cut[gone][i] = true; /* a closed connection delivers nothing after its end */
            uint64_t start_us = mem_world_now_us(k->world);
            for (int i = 0; i < NODES && hint; i++) {
                if (k->nodes[i].up)
                    consensus_peer_gone(k->nodes[i].consensus, gone);
            }
            ck_assert(mem_world_run_until(k->world, 3000000, has_leader, k));
            *(hint ? &with : &without) += mem_world_now_us(k->world) - start_us;
            cluster_free(k);
        }
    }
    ck_assert_uint_lt(with / 20, 120000);
    ck_assert_uint_gt(without / 20, 180000);
}
END_TEST

/* One random event of the storm. */
static void chaos(struct cluster *k)
{
    static const enum mem_crash kinds[3] = {MEM_KEEP, MEM_DROP, MEM_MIX};
    struct node *n = &k->nodes[prng_below(&k->prng, NODES)];
    int other = (int)prng_below(&k->prng, NODES);
    switch (prng_below(&k->prng, 9)) {
    case 0:
    case 1:
        if (n->up)
            node_crash(n, kinds[prng_below(&k->prng, 3)]);
        break;
    case 2:
    case 3:
        if (!n->up)
            node_start(n);
        break;
    case 4: k->cut[n->id][other] = true; break;
    case 5: memset(k->cut, 0, sizeof(k->cut)); break;
    case 7:
        if (!n->up)
            break;
        n->sick = true;
        if (prng_below(&k->prng, 4) == 0)
            mem_env_fail_sync_after(n->m, (uint32_t)prng_below(&k->prng, 30) + 1);
        else if (prng_below(&k->prng, 4) == 0)
            mem_env_fail_write_after(n->m, (uint32_t)prng_below(&k->prng, 30) + 1);
        break;
    case 6: k->drop_percent = (uint32_t)prng_below(&k->prng, 10); break;
    default:
        if (n->up && n->applied > 20)
            take_snapshot(n);
        break;
    }
}

static void storm(uint64_t seed, uint64_t *ret_commits, uint64_t *ret_installs, uint64_t *ret_failures)
{
    struct cluster *k = cluster_new(seed);
    for (int i = 0; i < 300; i++) {
        struct node *leader = leader_of(k);
        for (uint64_t j = prng_below(&k->prng, 8); leader != NULL && j > 0; j--)
            submit(leader, (uint32_t)prng_below(&k->prng, 400));
        run(k, 1000 + prng_below(&k->prng, 120000));
        chaos(k);
    }
    memset(k->cut, 0, sizeof(k->cut));
    k->drop_percent = 0;
    for (int i = 0; i < NODES; i++) {
        if (k->nodes[i].up && k->nodes[i].sick)
            node_crash(&k->nodes[i], MEM_KEEP); /* a new disk controller, say */
        if (!k->nodes[i].up)
            node_start(&k->nodes[i]);
    }
    ck_assert_msg(mem_world_run_until(k->world, 30000000, all_equal, k), "seed %llu does not heal",
                  (unsigned long long)seed);
    ck_assert_int_eq(submit(leader_of(k), 10), OK);
    run(k, 100000);
    ck_assert(mem_world_run_until(k->world, 3000000, all_equal, k));
    *ret_commits += k->history_last;
    *ret_failures += k->disk_failures;
    for (int i = 0; i < NODES; i++)
        *ret_installs += k->nodes[i].installs;
    cluster_free(k);
}

START_TEST(random_crashes_partitions_and_losses_never_split_the_history)
{
    uint64_t commits = 0, installs = 0, failures = 0;
    uint64_t first = 1000, count = 25;
    storm(1681, &commits, &installs, &failures);
    if (getenv("CONSENSUS_SEEDS") != NULL)
        sscanf(getenv("CONSENSUS_SEEDS"), "%llu,%llu", (unsigned long long *)&first,
               (unsigned long long *)&count);
    for (uint64_t seed = first; seed < first + count; seed++)
        storm(seed, &commits, &installs, &failures);
    /* The storm must have been one. */
    ck_assert_uint_gt(commits, count * 50);
    ck_assert_uint_gt(installs, count);
    ck_assert_uint_gt(failures, count / 2);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, three_nodes_elect_one_leader_and_commit);
    tcase_add_test(tcase, leadership_moves_on_request_without_losing_what_was_acknowledged);
    tcase_add_test(tcase, a_node_far_behind_gets_a_snapshot_and_trimmed_logs_stay_usable);
    tcase_add_test(tcase, a_failed_sync_stops_the_node_and_the_others_go_on);
    tcase_add_test(tcase, a_controller_with_a_new_disk_is_not_believed);
    tcase_add_test(tcase, a_hint_that_the_leader_is_gone_shortens_the_election);
    tcase_add_test(tcase, random_crashes_partitions_and_losses_never_split_the_history);
}

SLUICE_TEST_MAIN("consensus_cluster", add)
