/* SPDX-License-Identifier: Apache-2.0 */
/* Three controllers as three processes on real disks and sockets, killed with SIGKILL while a client asks for
 * producer ids. Each block of ids is one committed entry: a block that is given out twice would be an entry
 * that was lost after it was acknowledged.
 *
 * CONSENSUS_KILLS=n and CONSENSUS_CALLS=n make it longer; what was measured is printed. */
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/base/hist.h"
#include "common/env_uv/env_uv.h"
#include "common/rpc/rpc.h"
#include "controller/controller.h"
#include "proto/cluster/rpc_messages.h"
#include "tests/lib/free_ports.h"
#include "tests/lib/unit.h"

#define NODES      3
#define BROKER_ID  10
#define CALL_US    300000
#define GIVE_UP_US 20000000

static struct shared {
    char dir[64];
    uint16_t ports[NODES];
} shared;

/* -- one controller, in a process of its own -- */

static void run_controller(int node)
{
    struct logger_options lo = {.level = LOG_LEVEL_ERROR, .node_id = node};
    struct controller_options o = controller_options_defaults();
    struct controller *c;
    struct logger log;
    char dir[128], text[CONTROLLER_TEXT_MAX];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct env *env = env_uv_main_new();
    logger_init(&log, &lo);
    snprintf(dir, sizeof(dir), "%s/%d", shared.dir, node);
    o.node_id = node;
    o.metadata_dir = dir;
    o.logger = &log;
    o.snapshot_entries = 500;
    o.segment_bytes = 100000;
    for (int i = 0; i < NODES; i++) {
        o.voters[i].node_id = i;
        snprintf(o.voters[i].addr.host, sizeof(o.voters[i].addr.host), "127.0.0.1");
        o.voters[i].addr.port = shared.ports[i];
    }
    o.voters_count = NODES;
    o.listen = o.voters[node].addr;
    if (controller_new(env, &o, &c, text) != OK || controller_start(c) != OK) {
        fprintf(stderr, "controller %d: %s\n", node, text);
        _exit(1);
    }
    env_uv_main_run(env);
    _exit(0);
}

/* -- the spawner: forks controllers from a process that never has a thread -- */

struct spawner {
    int ask, answer;
    pid_t pid;
    pid_t nodes[NODES];
};

static void spawner_loop(int ask, int answer)
{
    uint8_t node;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    while (read(ask, &node, 1) == 1) {
        pid_t pid = fork();
        if (pid == 0) {
            close(ask);
            close(answer);
            run_controller(node);
        }
        if (write(answer, &pid, sizeof(pid)) != sizeof(pid))
            break;
    }
    _exit(0);
}

static void spawner_start(struct spawner *s)
{
    int ask[2], answer[2];
    ck_assert_int_eq(pipe(ask), 0);
    ck_assert_int_eq(pipe(answer), 0);
    s->pid = fork();
    if (s->pid == 0) {
        close(ask[1]);
        close(answer[0]);
        spawner_loop(ask[0], answer[1]);
    }
    close(ask[0]);
    close(answer[1]);
    s->ask = ask[1];
    s->answer = answer[0];
}

static void spawn(struct spawner *s, int node)
{
    uint8_t byte = (uint8_t)node;
    ck_assert_int_eq(write(s->ask, &byte, 1), 1);
    ck_assert_int_eq(read(s->answer, &s->nodes[node], sizeof(pid_t)), sizeof(pid_t));
}

static void kill_node(struct spawner *s, int node)
{
    kill(s->nodes[node], SIGKILL);
}

/* The spawner reaps it; then its lock is free. A condition with a deadline: a process's end cannot be waited
 * for by others than its parent. */
static void wait_gone(struct spawner *s, int node)
{
    for (int i = 0; kill(s->nodes[node], 0) == 0; i++) {
        ck_assert_int_lt(i, 10000);
        usleep(1000);
    }
}

/* -- the client -- */

struct client {
    struct env *env;
    struct rpc_peer_info self;
    struct rpc_client *links[NODES];
    struct env_addr addrs[NODES];
    struct rpc_call call;
    bool waiting;
    enum err err;
    int16_t error;
    int32_t leader_hint;
    int64_t value; /* broker epoch, or first producer id */
    int leader;
    int64_t epoch, last_id;
    uint64_t asked;
};

static void take_register(struct client *c, struct reader *r, struct arena *arena)
{
    struct rpc_register_broker_reply m;
    c->err = rpc_register_broker_reply_decode(r, arena, &m);
    c->error = m.error;
    c->leader_hint = m.leader_id;
    c->value = m.broker_epoch;
}

static void take_ids(struct client *c, struct reader *r, struct arena *arena)
{
    struct rpc_producer_ids_reply m;
    c->err = rpc_producer_ids_reply_decode(r, arena, &m);
    c->error = m.error;
    c->leader_hint = m.leader_id;
    c->value = m.first_id;
}

static void call_done(struct rpc_call *call, enum err err, uint16_t type, const uint8_t *payload, size_t len)
{
    struct client *c = CONTAINER_OF(call, struct client, call);
    struct arena arena;
    struct reader r = reader_over(payload, len);
    c->waiting = false;
    c->err = err;
    if (err != OK)
        return;
    arena_init(&arena, NULL, 0, 1 << 20);
    if (type == (CLUSTER_RPC_REGISTER_BROKER | CLUSTER_RPC_REPLY))
        take_register(c, &r, &arena);
    else
        take_ids(c, &r, &arena);
    arena_free(&arena);
}

/* Sends to the supposed leader and waits. True: answered without error. Otherwise the next guess is set. */
static bool ask(struct client *c, uint16_t type, struct writer *w)
{
    struct iobuf *buf = writer_take(w);
    c->waiting = true;
    c->asked++;
    c->call.done = call_done;
    rpc_client_call(c->links[c->leader], type, buf, CALL_US, &c->call);
    iobuf_unref(buf);
    writer_free(w);
    while (c->waiting)
        env_uv_main_turn(c->env);
    if (c->err == OK && c->error == 0)
        return true;
    if (c->err == OK && c->leader_hint >= 0 && c->leader_hint < NODES && c->leader_hint != c->leader)
        c->leader = c->leader_hint;
    else
        c->leader = (c->leader + 1) % NODES;
    return false;
}

static void pause_fired(struct env_timer *timer)
{
}

static void pause_us(struct client *c, uint64_t us)
{
    struct env_timer timer;
    uint64_t end = env_now_us(c->env) + us;
    env_timer_init(&timer, pause_fired);
    env_timer_set(c->env, &timer, end);
    while (env_now_us(c->env) < end)
        env_uv_main_turn(c->env);
    env_timer_cancel(c->env, &timer);
}

static bool register_broker(struct client *c)
{
    struct meta_endpoint endpoint = {.name = STR_LIT("PLAINTEXT"), .host = STR_LIT("127.0.0.1"), .port = 1};
    struct rpc_register_broker_request m = {.broker_id = BROKER_ID,
                                            .incarnation_id = {{1, 2, 3}},
                                            .directory_id = {{4, 5, 6}},
                                            .rack = STR_NULL,
                                            .endpoints = &endpoint,
                                            .endpoints_count = 1,
                                            .previous_broker_epoch = -1};
    struct writer w;
    writer_init(&w, c->env->pool, 256, 65536);
    rpc_register_broker_request_encode(&w, &m);
    bool done = ask(c, CLUSTER_RPC_REGISTER_BROKER, &w);
    if (done)
        c->epoch = c->value;
    return done;
}

/* One block of producer ids, which nobody was given before. */
static bool take_block(struct client *c)
{
    struct rpc_producer_ids_request m = {.broker_id = BROKER_ID, .broker_epoch = c->epoch};
    struct writer w;
    writer_init(&w, c->env->pool, 256, 65536);
    rpc_producer_ids_request_encode(&w, &m);
    if (!ask(c, CLUSTER_RPC_PRODUCER_IDS, &w))
        return false;
    ck_assert_msg(c->value > c->last_id, "block %lld was given out before (%lld)", (long long)c->value,
                  (long long)c->last_id);
    c->last_id = c->value;
    return true;
}

/* Repeats until it works; returns how long that took. */
static uint64_t until(struct client *c, bool (*fn)(struct client *c))
{
    uint64_t start = env_now_us(c->env);
    while (!fn(c)) {
        ck_assert_msg(env_now_us(c->env) - start < GIVE_UP_US, "no controller answers");
        pause_us(c, 2000);
    }
    return env_now_us(c->env) - start;
}

static void client_start(struct client *c)
{
    static const struct rpc_client_handler handler = {.up = NULL};
    memset(c, 0, sizeof(*c));
    c->env = env_uv_main_new();
    ck_assert_ptr_nonnull(c->env);
    c->self = (struct rpc_peer_info){.node_id = BROKER_ID, .role = RPC_ROLE_BROKER, .incarnation = 1};
    c->last_id = -1;
    for (int i = 0; i < NODES; i++) {
        snprintf(c->addrs[i].host, sizeof(c->addrs[i].host), "127.0.0.1");
        c->addrs[i].port = shared.ports[i];
        c->links[i] = rpc_client_new(c->env, NULL, &c->addrs[i], &c->self, &handler, c);
    }
}

static void client_stop(struct client *c)
{
    for (int i = 0; i < NODES; i++)
        rpc_client_close(c->links[i]);
    pause_us(c, 1000);
    env_uv_main_free(c->env);
}

/* -- the world -- */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

static void world_start(struct spawner *s, struct client *c)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(shared.dir, sizeof(shared.dir), "%s/sluice-quorum-XXXXXX", tmp != NULL ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(shared.dir));
    free_ports(shared.ports, NODES);
    spawner_start(s);
    for (int i = 0; i < NODES; i++)
        spawn(s, i);
    client_start(c);
    until(c, register_broker);
}

static void world_stop(struct spawner *s, struct client *c)
{
    client_stop(c);
    for (int i = 0; i < NODES; i++)
        kill_node(s, i);
    close(s->ask);
    close(s->answer);
    waitpid(s->pid, NULL, 0);
    nftw(shared.dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static long rss_kib(pid_t pid)
{
    char path[64], line[256];
    long kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        sscanf(line, "VmRSS: %ld", &kib);
    if (f != NULL)
        fclose(f);
    return kib;
}

START_TEST(a_killed_leader_is_replaced_and_nothing_acknowledged_is_given_twice)
{
    struct spawner s;
    struct client c;
    static struct hist latency, gaps;
    world_start(&s, &c);
    hist_reset(&latency);
    hist_reset(&gaps);
    uint64_t kills = setting("CONSENSUS_KILLS", 3), calls = setting("CONSENSUS_CALLS", 300);
    for (uint64_t i = 0; i <= kills; i++) {
        for (uint64_t j = 0; j < calls; j++)
            hist_add(&latency, until(&c, take_block));
        if (i == kills)
            break;
        int victim = c.leader;
        kill_node(&s, victim);
        hist_add(&gaps, until(&c, take_block));
        ck_assert_int_ne(c.leader, victim);
        wait_gone(&s, victim);
        spawn(&s, victim);
    }
    fprintf(stderr,
            "# one committed entry, three controllers: p50 %lu us, p99 %lu us, max %lu us, %lu entries\n",
            hist_quantile(&latency, 0.5), hist_quantile(&latency, 0.99), latency.max, latency.count);
    fprintf(stderr,
            "# kill -9 of the leader to the next committed entry: p50 %lu ms, max %lu ms, %lu kills\n",
            hist_quantile(&gaps, 0.5) / 1000, gaps.max / 1000, gaps.count);
    fprintf(stderr, "# resident memory of the leader: %ld KiB\n", rss_kib(s.nodes[c.leader]));
    ck_assert_uint_lt(gaps.max, 1000000);
    world_stop(&s, &c);
}
END_TEST

START_TEST(all_three_killed_at_once_come_back_with_everything)
{
    struct spawner s;
    struct client c;
    world_start(&s, &c);
    for (int round = 0; round < 3; round++) {
        for (int j = 0; j < 50; j++)
            until(&c, take_block);
        for (int i = 0; i < NODES; i++)
            kill_node(&s, i);
        for (int i = 0; i < NODES; i++) {
            wait_gone(&s, i);
            spawn(&s, i);
        }
    }
    until(&c, take_block);
    world_stop(&s, &c);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_killed_leader_is_replaced_and_nothing_acknowledged_is_given_twice);
    tcase_add_test(tcase, all_three_killed_at_once_come_back_with_everything);
}

SLUICE_TEST_MAIN("consensus_process", add)
