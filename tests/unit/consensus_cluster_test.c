/* SPDX-License-Identifier: Apache-2.0 */
/* Three controllers' consensus: see tests/lib/quorum_rig.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/quorum_rig.h"
#include "tests/lib/unit.h"

#define NODES 3

static struct cluster *three_nodes(uint64_t seed)
{
    return rig_cluster_new_of(seed, NODES, NODES);
}

START_TEST(three_nodes_elect_one_leader_and_commit)
{
    struct cluster *k = three_nodes(1);
    ck_assert(mem_world_run_until(k->world, 2000000, rig_has_leader, k));
    struct node *leader = rig_leader_of(k);
    for (int i = 0; i < NODES; i++) {
        if (&k->nodes[i] != leader)
            ck_assert_int_eq(rig_submit(&k->nodes[i], 10), ERR_NOT_LEADER);
    }
    for (int i = 0; i < 100; i++)
        ck_assert_int_eq(rig_submit(leader, (uint32_t)i * 3), OK);
    ck_assert(mem_world_run_until(k->world, 2000000, rig_all_equal, k));
    rig_run(k, 100000);
    ck_assert(rig_all_equal(k));
    ck_assert_uint_eq(leader->acked, 100);
    ck_assert_int_eq(consensus_status(k->nodes[0].consensus).leader, leader->id);
    rig_cluster_free(k);
}
END_TEST

START_TEST(leadership_moves_on_request_without_losing_what_was_acknowledged)
{
    struct cluster *k = three_nodes(2);
    ck_assert(mem_world_run_until(k->world, 2000000, rig_has_leader, k));
    struct node *old = rig_leader_of(k);
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(rig_submit(old, 30), OK);
    rig_run(k, 100000);
    uint64_t before_us = mem_world_now_us(k->world);
    ck_assert_int_eq(consensus_transfer(old->consensus), OK);
    ck_assert_int_eq(rig_submit(old, 30), OK); /* while it hands over */
    rig_run(k, 60000);
    struct node *next = rig_leader_of(k);
    ck_assert_ptr_nonnull(next);
    ck_assert_ptr_ne(next, old);
    ck_assert_uint_lt(mem_world_now_us(k->world) - before_us, 100000);
    ck_assert_uint_eq(old->dropped, 1);
    ck_assert_uint_eq(old->lost, 1);
    ck_assert_int_eq(rig_submit(next, 5), OK);
    ck_assert(mem_world_run_until(k->world, 1000000, rig_all_equal, k));
    rig_cluster_free(k);
}
END_TEST

START_TEST(a_node_far_behind_gets_a_snapshot_and_trimmed_logs_stay_usable)
{
    struct cluster *k = three_nodes(3);
    ck_assert(mem_world_run_until(k->world, 2000000, rig_has_leader, k));
    struct node *leader = rig_leader_of(k);
    struct node *behind = &k->nodes[(leader->id + 1) % NODES];
    rig_node_crash(behind, MEM_DROP);
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 200; i++)
            ck_assert_int_eq(rig_submit(leader, 200), OK);
        rig_run(k, 300000);
        ck_assert_int_eq(rig_take_snapshot(leader), OK);
        ck_assert_int_eq(rig_take_snapshot(leader), ERR_BUSY);
        rig_run(k, 300000);
        ck_assert_int_eq(rig_take_snapshot(leader), ERR_EXISTS);
    }
    ck_assert_uint_eq(leader->snapshots, 4);
    ck_assert_uint_gt(raft_log_first(storage_log(leader->storage)), 400);
    rig_node_start(behind);
    ck_assert(mem_world_run_until(k->world, 5000000, rig_all_equal, k));
    ck_assert_uint_eq(behind->installs, 1);
    ck_assert_uint_gt(k->pieces, 1);
    /* The receiver restarts from what it received; the leader restarts from its own. */
    rig_node_crash(behind, MEM_DROP);
    rig_node_start(behind);
    ck_assert_uint_eq(behind->installs, 2);
    rig_node_crash(leader, MEM_DROP);
    rig_node_start(leader);
    ck_assert(mem_world_run_until(k->world, 5000000, rig_all_equal, k));
    rig_cluster_free(k);
}
END_TEST

/* A first piece of a snapshot that the node does not have yet. */
static void send_piece(const struct node *from, const struct node *to, uint64_t index)
{
    uint8_t data[100] = {0};
    struct writer w;
    uint64_t term = consensus_status(from->consensus).term;
    struct quorum_message m = {.type = QUORUM_PIECE,
                               .from = from->id,
                               .to = to->id,
                               .directory_id = storage_directory_id(from->storage),
                               .term = term,
                               .piece = {.index = index, .index_term = term, .data = {data, sizeof(data)}}};
    writer_init(&w, to->env->pool, 512, 4096);
    quorum_message_encode(&w, &m);
    struct iobuf *buf = writer_take(&w);
    ck_assert_ptr_nonnull(buf);
    consensus_receive(to->consensus, from->id, buf->data, buf->len);
    iobuf_unref(buf);
    writer_free(&w);
}

START_TEST(a_transfer_that_broke_off_holds_up_no_snapshot)
{
    struct cluster *k = three_nodes(7);
    ck_assert(mem_world_run_until(k->world, 2000000, rig_has_leader, k));
    struct node *leader = rig_leader_of(k);
    struct node *follower = &k->nodes[(leader->id + 1) % NODES];
    ck_assert_int_eq(rig_submit(leader, 100), OK);
    ck_assert(mem_world_run_until(k->world, 2000000, rig_all_equal, k));
    send_piece(leader, follower, consensus_status(follower->consensus).applied_index + 10);
    ck_assert_int_eq(rig_take_snapshot(follower), ERR_BUSY);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(rig_submit(leader, 100), OK);
    rig_run(k, 300000);
    ck_assert(rig_all_equal(k));
    ck_assert_int_eq(rig_take_snapshot(follower), OK);
    rig_run(k, 300000);
    ck_assert_uint_eq(follower->snapshots, 1);
    rig_cluster_free(k);
}
END_TEST

START_TEST(a_failed_sync_stops_the_node_and_the_others_go_on)
{
    struct cluster *k = three_nodes(4);
    ck_assert(mem_world_run_until(k->world, 2000000, rig_has_leader, k));
    struct node *sick = rig_leader_of(k);
    mem_env_fail_sync_after(sick->m, 1);
    ck_assert_int_eq(rig_submit(sick, 10), OK);
    rig_run(k, 1500000);
    ck_assert_int_ne(sick->failed, OK);
    ck_assert_int_eq(rig_submit(sick, 10), ERR_NOT_LEADER);
    ck_assert_uint_eq(sick->acked, 0);
    sick->up = sick->leads = false;
    struct node *next = rig_leader_of(k);
    ck_assert_ptr_nonnull(next);
    ck_assert_int_eq(rig_submit(next, 10), OK);
    rig_run(k, 100000);
    ck_assert_uint_eq(next->acked, 1);
    sick->up = true;
    rig_cluster_free(k);
}
END_TEST

START_TEST(a_controller_with_a_new_disk_is_not_believed)
{
    struct cluster *k = three_nodes(5);
    ck_assert(mem_world_run_until(k->world, 2000000, rig_has_leader, k));
    struct node *leader = rig_leader_of(k);
    struct node *wiped = &k->nodes[(leader->id + 1) % NODES];
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(rig_submit(leader, 10), OK);
    rig_run(k, 200000);
    rig_node_crash(wiped, MEM_KEEP);
    rig_node_wipe(wiped);
    rig_node_start(wiped);
    rig_run(k, 1000000);
    ck_assert_uint_gt(k->refused, 0);
    ck_assert(!wiped->leads);
    /* Its vote counts for nothing: with the third node gone, nobody can lead. */
    struct node *third = &k->nodes[(leader->id + 2) % NODES];
    rig_node_crash(third, MEM_KEEP);
    rig_run(k, 3000000);
    ck_assert_ptr_null(rig_leader_of(k));
    rig_node_start(third);
    ck_assert(mem_world_run_until(k->world, 3000000, rig_has_leader, k));
    rig_cluster_free(k);
}
END_TEST

START_TEST(a_hint_that_the_leader_is_gone_shortens_the_election)
{
    uint64_t with = 0, without = 0;
    for (uint64_t seed = 10; seed < 30; seed++) {
        for (int hint = 0; hint < 2; hint++) {
            struct cluster *k = three_nodes(seed);
            ck_assert(mem_world_run_until(k->world, 2000000, rig_has_leader, k));
            rig_run(k, 300000);
            struct node *old = rig_leader_of(k);
            int32_t gone = old->id;
            rig_node_crash(old, MEM_KEEP);
            for (int i = 0; i < NODES; i++)
                k->cut[gone][i] = true; /* a closed connection delivers nothing after its end */
            uint64_t start_us = mem_world_now_us(k->world);
            for (int i = 0; i < NODES && hint; i++) {
                if (k->nodes[i].up)
                    consensus_peer_gone(k->nodes[i].consensus, gone);
            }
            ck_assert(mem_world_run_until(k->world, 3000000, rig_has_leader, k));
            *(hint ? &with : &without) += mem_world_now_us(k->world) - start_us;
            rig_cluster_free(k);
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
            rig_node_crash(n, kinds[prng_below(&k->prng, 3)]);
        break;
    case 2:
    case 3:
        if (!n->up)
            rig_node_start(n);
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
            rig_take_snapshot(n);
        break;
    }
}

static void storm(uint64_t seed, uint64_t *ret_commits, uint64_t *ret_installs, uint64_t *ret_failures)
{
    struct cluster *k = three_nodes(seed);
    for (int i = 0; i < 300; i++) {
        struct node *leader = rig_leader_of(k);
        for (uint64_t j = prng_below(&k->prng, 8); leader != NULL && j > 0; j--)
            rig_submit(leader, (uint32_t)prng_below(&k->prng, 400));
        rig_run(k, 1000 + prng_below(&k->prng, 120000));
        chaos(k);
    }
    memset(k->cut, 0, sizeof(k->cut));
    k->drop_percent = 0;
    for (int i = 0; i < NODES; i++) {
        if (k->nodes[i].up && k->nodes[i].sick)
            rig_node_crash(&k->nodes[i], MEM_KEEP); /* a new disk controller, say */
        if (!k->nodes[i].up)
            rig_node_start(&k->nodes[i]);
    }
    ck_assert_msg(mem_world_run_until(k->world, 30000000, rig_all_equal, k), "seed %llu does not heal",
                  (unsigned long long)seed);
    ck_assert_int_eq(rig_submit(rig_leader_of(k), 10), OK);
    rig_run(k, 100000);
    ck_assert(mem_world_run_until(k->world, 3000000, rig_all_equal, k));
    *ret_commits += k->history_last;
    *ret_failures += k->disk_failures;
    for (int i = 0; i < NODES; i++)
        *ret_installs += k->nodes[i].installs;
    rig_cluster_free(k);
}

/* As elections leave it that came to nothing: the node is down. */
static void raise_term(struct node *n, uint64_t by)
{
    char text[STORAGE_TEXT_MAX];
    struct storage_options options = {
        .dir = "/meta/quorum", .node_id = n->id, .segment_bytes = 20000, .allocate_bytes = 4096};
    struct storage *storage;
    ck_assert_int_eq(storage_open(n->env, &options, &storage, text), OK);
    ck_assert_int_eq(storage_set_vote_wait(storage, storage_term(storage) + by, 0), OK);
    storage_close(storage);
}

static void cut_off(struct cluster *k, struct node *n)
{
    for (int i = 0; i < NODES; i++)
        k->cut[n->id][i] = k->cut[i][n->id] = i != n->id;
}

/* Found by simulation: the longer a log, the older the term that its node had seen. Pre-votes were refused
 * for their term or for their log, nobody told the newer term, and the cluster had no leader any more. */
START_TEST(a_long_log_is_elected_though_its_node_has_seen_the_oldest_term)
{
    struct cluster *k = three_nodes(9);
    ck_assert(mem_world_run_until(k->world, 2000000, rig_has_leader, k));
    struct node *longest = rig_leader_of(k);
    struct node *middle = &k->nodes[(longest->id + 1) % NODES],
                *shortest = &k->nodes[(longest->id + 2) % NODES];
    cut_off(k, shortest);
    ck_assert_int_eq(rig_submit(longest, 10), OK);
    rig_run(k, 50000);
    cut_off(k, longest);
    ck_assert_int_eq(rig_submit(longest, 10), OK);
    rig_run(k, 50000);
    for (int i = 0; i < NODES; i++)
        rig_node_crash(&k->nodes[i], MEM_KEEP);
    memset(k->cut, 0, sizeof(k->cut));
    raise_term(middle, 10);
    raise_term(shortest, 20);
    for (int i = 0; i < NODES; i++)
        rig_node_start(&k->nodes[i]);
    ck_assert(mem_world_run_until(k->world, 10000000, rig_has_leader, k));
    ck_assert_ptr_ne(rig_leader_of(k), shortest);
    ck_assert(mem_world_run_until(k->world, 2000000, rig_all_equal, k));
    rig_cluster_free(k);
}
END_TEST

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
    tcase_add_test(tcase, a_transfer_that_broke_off_holds_up_no_snapshot);
    tcase_add_test(tcase, a_failed_sync_stops_the_node_and_the_others_go_on);
    tcase_add_test(tcase, a_controller_with_a_new_disk_is_not_believed);
    tcase_add_test(tcase, a_hint_that_the_leader_is_gone_shortens_the_election);
    tcase_add_test(tcase, a_long_log_is_elected_though_its_node_has_seen_the_oldest_term);
    tcase_add_test(tcase, random_crashes_partitions_and_losses_never_split_the_history);
}

SLUICE_TEST_MAIN("consensus_cluster", add)
