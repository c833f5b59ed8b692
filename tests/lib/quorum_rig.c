/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/lib/quorum_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/crc32c.h"
#include "tests/lib/unit.h"

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
    ck_assert_msg(n->applied >= n->cluster->acked_last, "node %d leads term %llu with %llu of %llu", n->id,
                  (unsigned long long)term, (unsigned long long)n->applied,
                  (unsigned long long)n->cluster->acked_last); /* leader completeness */
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

static void introduce(struct node *from, struct node *to)
{
    struct consensus_member guest = {.node_id = from->id,
                                     .directory_id = storage_directory_id(from->storage)};
    consensus_introduce(to->consensus, &guest, storage_joined(from->storage));
}

/* Controllers connect to each other. */
static void meet(struct node *n)
{
    for (int i = 0; i < n->cluster->nodes_count; i++) {
        struct node *other = &n->cluster->nodes[i];
        if (other == n || !other->up)
            continue;
        introduce(n, other);
        introduce(other, n);
    }
}

void rig_node_start(struct node *n)
{
    char text[STORAGE_TEXT_MAX];
    struct storage_options so = {
        .dir = "/meta/quorum", .node_id = n->id, .segment_bytes = 20000, .allocate_bytes = 4096};
    struct consensus_options co = {.node_id = n->id,
                                   .voters_count = n->cluster->voters_count,
                                   .election_timeout_ms = 200,
                                   .heartbeat_ms = 20,
                                   .trailing_entries = 10};
    for (int i = 0; i < co.voters_count; i++)
        co.voters[i] = (i + 2) % co.voters_count; /* in any order */
    for (int i = 0; n->joins && i < co.voters_count; i++) {
        if (co.voters[i] == n->id)
            co.voters[i] = n->id + 1000;
    }
    enum err err = storage_open(n->env, &so, &n->storage, text);
    ck_assert_msg(err == OK, "node %d: %s", n->id, text);
    n->applied = 0;
    n->hash = 1;
    n->consensus = consensus_new(n->env, n->storage, &co, &transport, n, &handler, n);
    n->up = true;
    ck_assert_int_eq(consensus_start(n->consensus), OK);
    meet(n);
}

void rig_node_crash(struct node *n, enum mem_crash kind)
{
    mem_env_crash(n->m, kind);
    n->up = n->leads = n->sick = false;
    consensus_free(n->consensus);
    storage_close(n->storage);
    mem_env_restart(n->m);
    n->failed = OK;
}

void rig_node_wipe(struct node *n)
{
    if (n->cluster->nothing == NULL)
        n->cluster->nothing = mem_env_save(mem_env_new(n->cluster->world));
    mem_env_restore(n->m, n->cluster->nothing);
}

struct cluster *rig_cluster_new_of(uint64_t seed, int nodes, int voters)
{
    struct cluster *k = calloc(1, sizeof(*k));
    k->nodes_count = nodes;
    k->voters_count = voters;
    k->world = mem_world_new(seed);
    prng_seed(&k->prng, seed * 77 + 1);
    for (int i = 0; i < k->nodes_count; i++) {
        struct node *n = &k->nodes[i];
        n->cluster = k;
        n->id = i;
        n->m = mem_env_new(k->world);
        n->env = mem_env_env(n->m);
        rig_node_start(n);
    }
    return k;
}

/* Parcels still under way are delivered to nobody. */
void rig_cluster_free(struct cluster *k)
{
    for (int i = 0; i < k->nodes_count; i++) {
        if (k->nodes[i].up)
            rig_node_crash(&k->nodes[i], MEM_KEEP);
    }
    mem_world_run(k->world, mem_world_now_us(k->world) + 200000);
    if (k->nothing != NULL)
        mem_disk_free(k->nothing);
    mem_world_free(k->world);
    free(k);
}

void rig_run(struct cluster *k, uint64_t us)
{
    mem_world_run(k->world, mem_world_now_us(k->world) + us);
}

struct node *rig_leader_of(struct cluster *k)
{
    struct node *best = NULL;
    for (int i = 0; i < k->nodes_count; i++) {
        struct node *n = &k->nodes[i];
        if (n->up && n->leads &&
            (best == NULL || consensus_status(n->consensus).term > consensus_status(best->consensus).term))
            best = n;
    }
    return best;
}

bool rig_has_leader(void *ctx)
{
    return rig_leader_of(ctx) != NULL;
}

enum err rig_submit(struct node *n, uint32_t len)
{
    uint8_t data[512];
    for (uint32_t i = 0; i < len; i++)
        data[i] = (uint8_t)(n->next_token + i);
    return consensus_submit(n->consensus, data, len, ++n->next_token);
}

const struct consensus_member *rig_member(struct node *viewer, int32_t node_id)
{
    int count;
    const struct consensus_member *members = consensus_members(viewer->consensus, &count);
    for (int i = 0; i < count; i++) {
        if (members[i].node_id == node_id)
            return &members[i];
    }
    return NULL;
}

bool rig_all_equal(void *ctx)
{
    struct cluster *k = ctx;
    struct node *leader = rig_leader_of(k);
    for (int i = 0; leader != NULL && i < k->nodes_count; i++) {
        if (rig_member(leader, i) != NULL && (!k->nodes[i].up || k->nodes[i].applied != k->history_last))
            return false;
    }
    return leader != NULL;
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

enum err rig_take_snapshot(struct node *n)
{
    n->source_left = 3;
    n->source_applied = n->applied;
    n->source_hash = n->hash;
    return consensus_take_snapshot(n->consensus, &source, n);
}
