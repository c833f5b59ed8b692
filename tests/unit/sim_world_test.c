/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated world itself: repeatable, its processes mortal, its network breakable. */
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/lib/unit.h"
#include "tests/sim/world/sim_heap.h"
#include "tests/sim/world/world.h"

#define PORT 7000

/* A process that answers each byte with one, and one that sends a byte after each answer. */
struct peer {
    struct process *process, *other;
    uint64_t *echoes; /* the simulator's: outlives the process */
    enum err *why;
};

struct talk {
    const struct peer *peer;
    struct env *env;
    struct env_conn *conn;
    struct env_timer timer;
    uint8_t buf[64];
};

static struct world *world;
static struct peer server, client;
static uint64_t echoes;
static enum err client_why;
static bool deadly; /* the server dies of the next byte */

static void talk_send(struct talk *talk)
{
    struct iobuf *buf = iobuf_get(talk->env->pool, 1);
    buf->data[0] = 'x';
    env_conn_write(talk->conn, buf, 0, 1);
    iobuf_unref(buf);
}

static void talk_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct talk *talk = ctx;
    *ret_buf = talk->buf;
    *ret_len = sizeof(talk->buf);
}

static void talk_read(void *ctx, size_t len)
{
    struct talk *talk = ctx;
    if (deadly && talk->peer == &server) {
        deadly = false;
        process_kill(server.process, DEATH_KILL); /* does not return */
    }
    if (talk->peer->echoes != NULL)
        *talk->peer->echoes += len;
    talk_send(talk);
}

static void talk_again(struct env_timer *timer);

static void talk_closed(void *ctx, enum err why)
{
    struct talk *talk = ctx;
    talk->conn = NULL;
    if (talk->peer->why != NULL)
        *talk->peer->why = why;
    if (talk->peer->other != NULL)
        env_timer_set(talk->env, &talk->timer, env_now_us(talk->env) + 10000);
}

static const struct env_conn_handler talk_handler = {
    .alloc = talk_alloc, .read = talk_read, .closed = talk_closed};

static void server_accepted(void *ctx, struct env_conn *conn, const struct env_addr *peer)
{
    struct talk *talk = calloc(1, sizeof(*talk)); /* never freed: the process is killed, or leaks */
    *talk = (struct talk){.peer = &server, .env = ctx, .conn = conn};
    env_conn_start(conn, &talk_handler, talk);
}

static const struct env_listener_handler server_listener = {.accepted = server_accepted};

static void server_begin(void *arg, struct env *env)
{
    struct env_addr addr = {.port = PORT};
    struct env_listener *listener;
    ck_assert_int_eq(env_listen(env, &addr, false, &server_listener, env, &listener, NULL), OK);
}

static void talk_open(struct talk *talk)
{
    struct env_addr addr = {.port = PORT};
    strcpy(addr.host, process_name(talk->peer->other));
    talk->conn = env_connect(talk->env, &addr, &talk_handler, talk);
    talk_send(talk);
}

static void talk_again(struct env_timer *timer)
{
    talk_open(CONTAINER_OF(timer, struct talk, timer));
}

static void client_begin(void *arg, struct env *env)
{
    struct talk *talk = calloc(1, sizeof(*talk));
    *talk = (struct talk){.peer = &client, .env = env};
    env_timer_init(&talk->timer, talk_again);
    talk_open(talk);
}

static void setup(uint64_t seed)
{
    struct world_options options = {.seed = seed,
                                    .latency_us = 200,
                                    .jitter_us = 300,
                                    .disk_sync_us = 300,
                                    .disk_read_us = 50,
                                    .bad_luck = true};
    echoes = 0;
    client_why = OK;
    world = world_new(&options);
    server = (struct peer){.process = world_process_new(world, "server")};
    client = (struct peer){.process = world_process_new(world, "client"),
                           .other = server.process,
                           .echoes = &echoes,
                           .why = &client_why};
    process_start(server.process, server_begin, NULL);
    process_start(client.process, client_begin, NULL);
}

static uint64_t run_hash(uint64_t seed)
{
    setup(seed);
    world_run(world, 300000);
    process_kill(server.process, DEATH_KILL);
    world_run(world, 600000);
    process_start(server.process, server_begin, NULL);
    world_run(world, 1000000);
    uint64_t hash = world_hash(world);
    ck_assert_uint_gt(echoes, 100);
    world_free(world);
    return hash;
}

START_TEST(same_seed_same_world_other_seed_other_world)
{
    uint64_t first = run_hash(7);
    ck_assert_uint_eq(run_hash(7), first);
    ck_assert_uint_ne(run_hash(8), first);
}
END_TEST

START_TEST(killed_process_leaves_no_memory_and_its_peers_hear_of_it)
{
    setup(1);
    world_run(world, 100000);
    ck_assert_uint_gt(sim_heap_blocks(process_heap_slot(server.process)), 0);
    process_kill(server.process, DEATH_KILL);
    ck_assert_uint_eq(sim_heap_blocks(process_heap_slot(server.process)), 0);
    ck_assert_uint_eq(sim_heap_bytes(process_heap_slot(server.process)), 0);
    ck_assert(!process_alive(server.process));
    world_run(world, 200000);
    ck_assert_int_eq(client_why, ERR_REFUSED); /* after ERR_CLOSED: it tries again */
    uint64_t before = echoes;
    process_start(server.process, server_begin, NULL);
    world_run(world, 400000);
    ck_assert_uint_gt(echoes, before);
    ck_assert_uint_eq(world_bites(world)->kills, 1);
    world_free(world);
}
END_TEST

START_TEST(peer_of_a_machine_without_power_hears_nothing_until_it_is_back)
{
    setup(1);
    world_run(world, 100000);
    process_kill(server.process, DEATH_POWER);
    world_run(world, 3000000);
    ck_assert_int_eq(client_why, OK);
    process_start(server.process, server_begin, NULL);
    world_run(world, 4000000);
    ck_assert_int_eq(client_why, ERR_CLOSED);
    world_free(world);
}
END_TEST

START_TEST(cut_stops_one_direction_and_healing_loses_nothing)
{
    setup(1);
    world_run(world, 100000);
    world_cut(world, server.process, client.process, true);
    world_run(world, 110000);
    uint64_t before = echoes;
    world_run(world, 2000000);
    ck_assert_uint_eq(echoes, before);
    ck_assert_uint_gt(world_bites(world)->segments_stalled, 0);
    world_heal(world);
    world_run(world, 2500000);
    ck_assert_uint_gt(echoes, before);
    ck_assert_int_eq(client_why, OK);
    world_free(world);
}
END_TEST

START_TEST(what_was_written_outlives_its_connection_until_it_is_read)
{
    setup(7);
    world_run(world, 100000);
    world_cut(world, client.process, server.process, true);
    world_run(world, 200000);
    ck_assert(!world_outlives_close(world, client.process));
    process_kill(client.process, DEATH_KILL); /* its kernel goes on sending */
    world_run(world, 5000000);
    ck_assert(world_outlives_close(world, client.process));
    ck_assert(!world_outlives_close(world, server.process));
    process_pause(server.process, 2000000);
    world_cut(world, client.process, server.process, false);
    world_run(world, 6000000);
    ck_assert(world_outlives_close(world, client.process)); /* it has arrived, and nobody has read it */
    world_run(world, 8000000);
    ck_assert(!world_outlives_close(world, client.process));
    world_free(world);
}
END_TEST

/* Found by simulation: what a client had sent before it died came after the final reads. */
START_TEST(healing_hurries_what_a_clog_or_a_slow_way_held_back)
{
    for (int slow = 0; slow < 2; slow++) {
        setup(1);
        world_run(world, 100000);
        if (slow)
            world_slow(world, client.process, server.process, 60000000, 0);
        else
            world_clog(world, client.process, server.process, 60000000);
        world_run(world, 1000000);
        uint64_t before = echoes;
        world_run(world, 2000000);
        ck_assert_uint_eq(echoes, before);
        world_heal(world);
        world_run(world, 2300000);
        ck_assert_uint_gt(echoes, before);
        ck_assert_int_eq(client_why, OK);
        world_free(world);
    }
}
END_TEST

START_TEST(sender_over_a_cut_gives_up_in_the_end)
{
    setup(1);
    world_run(world, 100000);
    world_cut(world, client.process, server.process, true);
    world_cut(world, server.process, client.process, true);
    world_run(world, 200000000);
    ck_assert_int_ne(client_why, OK);
    world_free(world);
}
END_TEST

START_TEST(reset_is_told_to_both_ends)
{
    setup(1);
    world_run(world, 100000);
    ck_assert(world_reset_one(world, client.process, server.process));
    world_run(world, 101000);
    ck_assert_int_eq(client_why, ERR_CLOSED);
    ck_assert(!world_reset_one(world, client.process, client.process));
    ck_assert_uint_eq(world_bites(world)->resets, 1);
    world_free(world);
}
END_TEST

START_TEST(paused_process_does_nothing_and_goes_on_where_it_was)
{
    setup(1);
    world_run(world, 100000);
    process_pause(server.process, 500000);
    world_run(world, 110000);
    uint64_t before = echoes;
    world_run(world, 590000);
    ck_assert_uint_eq(echoes, before);
    world_run(world, 700000);
    ck_assert_uint_gt(echoes, before);
    world_free(world);
}
END_TEST

/* -- clocks -- */

START_TEST(skewed_clocks_go_at_their_pace_and_wall_clocks_jump)
{
    setup(1);
    world_run(world, 1000);
    struct env *env = process_env(client.process);
    int64_t wall_ms = env_wall_ms(env);
    uint64_t mono_us = env_now_us(env);
    process_set_skew(client.process, 100000);
    world_run(world, 1001000);
    ck_assert_uint_eq(env_now_us(env) - mono_us, 1100000);
    ck_assert_int_eq(env_wall_ms(env) - wall_ms, 1100);
    process_wall_jump(client.process, -3600000);
    ck_assert_int_eq(env_wall_ms(env) - wall_ms, 1100 - 3600000);
    process_wall_freeze(client.process, true);
    world_run(world, 2001000);
    ck_assert_int_eq(env_wall_ms(env) - wall_ms, 1100 - 3600000);
    ck_assert_uint_eq(env_now_us(env) - mono_us, 2200000);
    world_free(world);
}
END_TEST

/* -- programmer errors -- */

static void fail_assertion(void *arg)
{
    ASSERT(arg != NULL);
}

static char why_text[256];

static void on_death(void *ctx, struct process *process, const char *why)
{
    snprintf(why_text, sizeof(why_text), "%s: %s", process_name(process), why);
}

START_TEST(failed_assertion_kills_its_process_only)
{
    setup(1);
    world_run(world, 100000);
    process_on_death(server.process, on_death, NULL);
    process_call(server.process, fail_assertion, NULL);
    world_run(world, 101000);
    ck_assert(!process_alive(server.process));
    ck_assert(process_alive(client.process));
    ck_assert_ptr_nonnull(strstr(why_text, "server: assertion"));
    ck_assert_uint_eq(world_bites(world)->assertions, 1);
    process_start(server.process, server_begin, NULL);
    process_call(server.process, fail_assertion, NULL); /* the hook is armed again */
    world_run(world, 200000);
    ck_assert_uint_eq(world_bites(world)->assertions, 2);
    world_free(world);
}
END_TEST

static void leak_one(void *arg)
{
    void *volatile *keep = arg;
    *keep = malloc(100);
}

START_TEST(what_an_ended_process_still_holds_is_a_leak)
{
    static void *volatile keep;
    setup(1);
    struct process *lean = world_process_new(world, "lean");
    process_start(lean, client_begin, NULL);
    process_kill(lean, DEATH_KILL);
    process_start(lean, server_begin, NULL);
    world_run(world, 1000);
    ck_assert_uint_eq(process_end(lean), 0);
    process_start(lean, server_begin, NULL);
    process_call(lean, leak_one, (void *)(uintptr_t)&keep);
    world_run(world, 2000);
    ck_assert_uint_eq(process_end(lean), 1);
    world_free(world);
}
END_TEST

/* What else the turn would have brought is dropped, and nothing keeps a place on its stack. */
START_TEST(process_dies_of_the_first_of_several_things_in_one_turn)
{
    setup((uint64_t)_i);
    for (int i = 0; i < 8; i++) {
        char name[16];
        snprintf(name, sizeof(name), "client%d", i);
        process_start(world_process_new(world, name), client_begin, NULL);
    }
    world_run(world, 100000);
    process_pause(server.process, 50000);
    world_run(world, 120000);
    deadly = true;
    world_run(world, 200000);
    ck_assert(!deadly);
    ck_assert(!process_alive(server.process));
    process_start(server.process, server_begin, NULL);
    uint64_t before = echoes;
    world_run(world, 1000000);
    ck_assert_uint_gt(echoes, before);
    world_free(world);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, same_seed_same_world_other_seed_other_world);
    tcase_add_test(tcase, killed_process_leaves_no_memory_and_its_peers_hear_of_it);
    tcase_add_test(tcase, peer_of_a_machine_without_power_hears_nothing_until_it_is_back);
    tcase_add_test(tcase, cut_stops_one_direction_and_healing_loses_nothing);
    tcase_add_test(tcase, what_was_written_outlives_its_connection_until_it_is_read);
    tcase_add_test(tcase, healing_hurries_what_a_clog_or_a_slow_way_held_back);
    tcase_add_test(tcase, sender_over_a_cut_gives_up_in_the_end);
    tcase_add_test(tcase, reset_is_told_to_both_ends);
    tcase_add_test(tcase, paused_process_does_nothing_and_goes_on_where_it_was);
    tcase_add_test(tcase, skewed_clocks_go_at_their_pace_and_wall_clocks_jump);
    tcase_add_test(tcase, failed_assertion_kills_its_process_only);
    tcase_add_loop_test(tcase, process_dies_of_the_first_of_several_things_in_one_turn, 1, 6);
    tcase_add_test(tcase, what_an_ended_process_still_holds_is_a_leak);
}

SLUICE_TEST_MAIN("sim_world", add)
