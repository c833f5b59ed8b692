/* SPDX-License-Identifier: Apache-2.0 */
/* Raft as the controllers run it: consensus, its log and its connections, in three processes on real disks
 * and loopback sockets. The leader keeps a number of entries on their way and measures from submission until
 * applied. Prints each figure beside what libraft 0.22.1 did with its own storage and transport on a machine
 * like this (facts, dependencies 1.2: 200-byte entries; a batch is one entry of 128 of them).
 *
 * RAFT_BENCH_DIR: where the three logs go (default /tmp); RAFT_BENCH_SECONDS: of each row (default 2). */
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
#include "controller/consensus.h"
#include "tests/lib/free_ports.h"

#define NODES       3
#define ENTRY_BYTES 200
#define BATCH       128
#define MSG_RAFT    1
#define WINDOW_MAX  4096

static const struct row {
    const char *what;
    uint32_t window, entry_bytes, records;
    const char *reference_text;
} rows[] = {
    {"1 outstanding", 1, ENTRY_BYTES, 1, "2.9-3.2k/s, p50 280 us, p99 0.6 ms"},
    {"window 64", 64, ENTRY_BYTES, 1, "18k/s; 37-42k/s with max_inflight 4096"},
    {"window 256", 256, ENTRY_BYTES, 1, "27k/s; 46-58k/s with max_inflight 4096"},
    {"window 1024", 1024, ENTRY_BYTES, 1, "25k/s; 40-49k/s with max_inflight 4096"},
    {"batches of 128, window 1", 1, ENTRY_BYTES *BATCH, BATCH, "154k/s"},
    {"batches of 128, window 16", 16, ENTRY_BYTES *BATCH, BATCH, "332k/s"},
};

struct node {
    int32_t id;
    struct env *env;
    struct storage *storage;
    struct consensus *consensus;
    struct rpc_peer_info self;
    struct rpc_client *links[NODES];
    uint64_t seconds, row, next_token, outstanding, applied, begin_us;
    bool leads;
    uint64_t sent_us[WINDOW_MAX];
    struct hist latency;
    struct env_task refill;
    uint8_t data[ENTRY_BYTES * BATCH];
};

static uint16_t ports[NODES];
static char root[128];

/* -- the load -- */

static void report(const struct node *n, uint64_t took_us)
{
    const struct row *row = &rows[n->row];
    double rate = (double)n->applied * row->records * 1e6 / (double)took_us;
    printf("%-27s %9.0f records/s, p50 %6.0f us, p99 %6.0f us; libraft alone: %s\n", row->what, rate,
           (double)hist_quantile(&n->latency, 0.5), (double)hist_quantile(&n->latency, 0.99),
           row->reference_text);
    fflush(stdout);
}

static void fill(struct node *n)
{
    const struct row *row = &rows[n->row];
    while (n->leads && n->outstanding < row->window) {
        uint64_t token = n->next_token + 1;
        if (consensus_submit(n->consensus, n->data, row->entry_bytes, token) != OK)
            return; /* full: goes on when one is applied */
        n->next_token = token;
        n->sent_us[token % WINDOW_MAX] = env_now_us(n->env);
        n->outstanding++;
    }
}

static void next_row(struct node *n)
{
    n->row++;
    n->applied = 0;
    n->begin_us = env_now_us(n->env);
    hist_reset(&n->latency);
}

static void refill(struct env_task *task)
{
    struct node *n = CONTAINER_OF(task, struct node, refill);
    uint64_t now_us = env_now_us(n->env);
    if (!n->leads)
        return;
    if (now_us - n->begin_us < n->seconds * 1000000) {
        fill(n);
        return;
    }
    if (n->outstanding > 0)
        return; /* the row drains first */
    report(n, now_us - n->begin_us);
    if (n->row + 1 == sizeof(rows) / sizeof(rows[0]))
        _exit(0);
    next_row(n);
    fill(n);
}

static void on_applied(void *ctx, uint64_t index, uint64_t term, struct bytes data, uint64_t token)
{
    struct node *n = ctx;
    if (token == 0)
        return;
    hist_add(&n->latency, env_now_us(n->env) - n->sent_us[token % WINDOW_MAX]);
    n->applied++;
    n->outstanding--;
    env_defer(n->env, &n->refill);
}

static void on_gained(void *ctx, uint64_t term)
{
    struct node *n = ctx;
    n->leads = true;
    n->begin_us = env_now_us(n->env);
    env_defer(n->env, &n->refill);
}

static void on_lost(void *ctx)
{
    fprintf(stderr, "the leader changed: measure again on a quieter machine\n");
    _exit(2);
}

static void on_dropped(void *ctx, uint64_t token, enum err err)
{
    ((struct node *)ctx)->outstanding--;
}

static enum err on_install(void *ctx, const struct snapshot *snapshot)
{
    return OK;
}

static void on_leader(void *ctx, int32_t leader_id, uint64_t term)
{
}

static void on_refused(void *ctx, int32_t from, enum err err, const char *why)
{
    fprintf(stderr, "refused: %s\n", why);
}

static void on_failed(void *ctx, enum err err, const char *what)
{
    fprintf(stderr, "failed: %s: %s\n", what, err_text(err));
    _exit(1);
}

static const struct consensus_handler handler = {.applied = on_applied,
                                                 .install = on_install,
                                                 .gained = on_gained,
                                                 .lost = on_lost,
                                                 .dropped = on_dropped,
                                                 .leader = on_leader,
                                                 .refused = on_refused,
                                                 .failed = on_failed};

/* -- one node -- */

static void send_to_peer(void *ctx, int32_t to, struct iobuf *buf)
{
    rpc_client_send(((struct node *)ctx)->links[to], MSG_RAFT, buf);
}

static void on_request(void *ctx, struct rpc_conn *conn, uint16_t type, uint32_t correlation,
                       const uint8_t *payload, size_t len)
{
    struct node *n = ctx;
    if (type == MSG_RAFT && n->consensus)
        consensus_receive(n->consensus, rpc_conn_peer(conn)->node_id, payload, len);
}

static const struct consensus_transport transport = {.send = send_to_peer};
static const struct rpc_server_handler server_handler = {.request = on_request};
static const struct rpc_client_handler client_handler = {.up = NULL};

static struct env_addr address_of(int node)
{
    struct env_addr addr = {.port = ports[node]};
    snprintf(addr.host, sizeof(addr.host), "127.0.0.1");
    return addr;
}

static void check(enum err err, const char *what)
{
    if (err == OK)
        return;
    fprintf(stderr, "%s: %s\n", what, err_text(err));
    _exit(1);
}

static void connect_node(struct node *n)
{
    static struct env_addr addrs[NODES], bound;
    struct rpc_server *server;
    n->self = (struct rpc_peer_info){.node_id = n->id, .role = RPC_ROLE_CONTROLLER, .incarnation = 1};
    for (int i = 0; i < NODES; i++)
        addrs[i] = address_of(i);
    check(rpc_server_listen(n->env, NULL, &addrs[n->id], &n->self, &server_handler, n, &server, &bound),
          "listening");
    for (int i = 0; i < NODES; i++)
        n->links[i] =
            i == n->id ? NULL : rpc_client_new(n->env, NULL, &addrs[i], &n->self, &client_handler, n);
}

static void run_node(int id, uint64_t seconds)
{
    static struct node node;
    struct node *n = &node;
    char dir[192], text[STORAGE_TEXT_MAX];
    struct consensus_options options = {.node_id = id,
                                        .voters = {0, 1, 2},
                                        .voters_count = NODES,
                                        .election_timeout_ms = 2000,
                                        .heartbeat_ms = 20,
                                        .trailing_entries = 1000};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(dir, sizeof(dir), "%s/%d", root, id);
    *n = (struct node){.id = id, .env = env_uv_main_new(), .seconds = seconds};
    hist_reset(&n->latency);
    env_task_init(&n->refill, refill);
    struct storage_options so = {
        .dir = dir, .node_id = id, .segment_bytes = 8 << 20, .allocate_bytes = 8 << 20};
    enum err err = storage_open(n->env, &so, &n->storage, text);
    check(err, err ? text : "");
    n->consensus = consensus_new(n->env, n->storage, &options, &transport, n, &handler, n);
    connect_node(n);
    check(consensus_start(n->consensus), "starting");
    env_uv_main_run(n->env);
    _exit(1);
}

/* -- three of them -- */

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *at)
{
    return remove(path);
}

int main(void)
{
    const char *dir = getenv("RAFT_BENCH_DIR"), *text = getenv("RAFT_BENCH_SECONDS");
    uint64_t seconds = text ? strtoull(text, NULL, 10) : 2;
    pid_t nodes[NODES];
    int status;
    snprintf(root, sizeof(root), "%s/sluice-raft-bench-XXXXXX", dir ? dir : "/tmp");
    ASSERT(mkdtemp(root) != NULL);
    free_ports(ports, NODES);
    for (int i = 0; i < NODES; i++) {
        nodes[i] = fork();
        if (nodes[i] == 0)
            run_node(i, MAX(seconds, 1));
    }
    pid_t ended = wait(&status); /* the leader, when it has measured all */
    for (int i = 0; i < NODES; i++) {
        if (nodes[i] == ended)
            continue;
        kill(nodes[i], SIGKILL);
        waitpid(nodes[i], NULL, 0);
    }
    nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
