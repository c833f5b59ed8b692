/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/repair.h"

#include <stdlib.h>

#include "broker/config.h"
#include "broker/shard/partition_repair.h"
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/base/frame_in.h"
#include "common/base/mutant.h"
#include "common/base/wire.h"
#include "common/obs/log.h"
#include "proto/kafka/api.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define FETCH_VERSION     17
#define PIECE_BYTES       (1024 * 1024)
#define REPLY_SLACK_BYTES (16u * 1024 * 1024) /* headers, and the piece asked for */
#define REQUEST_BYTES_MAX 4096u
#define ARENA_BYTES       (256u * 1024)
#define PEER_TIMEOUT_US   10000000
#define RETRY_FIRST_US    200000
#define RETRY_DOUBLINGS   8 /* up to 51 s */
#define HOPELESS_ROUNDS   3 /* a follower may be about to fetch it */

/* A partition with damage. */
struct repair_job {
    struct list link; /* repairer->jobs */
    struct uuid topic_id;
    int32_t index;
    int32_t peer;      /* place in the order of peers of the one to ask */
    uint32_t failures; /* rounds through all peers */
    bool lacked;       /* a peer of this round has nothing of the range */
    int64_t from;      /* of the range that is tried; nobody had those before it */
    uint64_t due_us;
};

struct repairer {
    struct shard *shard;
    struct list jobs;
    struct env_timer retry, timeout;
    struct env_task look;
    struct repair_job *active; /* whose peer is being asked */
    struct env_conn *conn;     /* to it */
    int32_t peer_id;
    struct partition_repair asked;
    struct partition_mend mend;                        /* of active, before its answer is taken */
    const struct kafka_fetch_response_partition *held; /* that answer, in the arena */
    struct iobuf *held_frame;                          /* and where its records are */
    struct frame_in in;
    struct arena arena;
    size_t charged;
    bool closing;
};

/* -- jobs -- */

static struct partition *partition_of(const struct repairer *r, const struct repair_job *job)
{
    return shard_partition(r->shard, job->topic_id, job->index);
}

static void job_free(struct repair_job *job)
{
    list_remove(&job->link);
    free(job);
}

/* The other replicas of a partition: its leader first, then the in-sync ones, then the rest. -1: no n-th. */
static int32_t nth_peer(const struct repairer *r, const struct image_partition *state, int32_t n)
{
    int32_t self = r->shard->broker->broker_id;
    if (state->leader >= 0 && state->leader != self && n-- == 0)
        return state->leader;
    for (int32_t i = 0; i < state->isr_count; i++)
        if (state->isr[i] != self && state->isr[i] != state->leader && n-- == 0)
            return state->isr[i];
    for (int32_t i = 0; i < state->replicas_count; i++) {
        bool seen = state->replicas[i] == self || state->replicas[i] == state->leader;
        for (int32_t k = 0; k < state->isr_count; k++)
            seen = seen || state->isr[k] == state->replicas[i];
        if (!seen && n-- == 0)
            return state->replicas[i];
    }
    return -1;
}

static bool peer_address(const struct repairer *r, int32_t broker_id, struct env_addr *ret_addr)
{
    const struct image_broker *broker = image_broker(r->shard->image, broker_id);

    for (int32_t i = 0; broker && i < broker->endpoints_count; i++) {
        const struct meta_endpoint *endpoint = &broker->endpoints[i];
        if (!endpoint->internal || endpoint->host.len >= ENV_HOST_MAX)
            continue;
        str_copy(endpoint->host, ret_addr->host, sizeof(ret_addr->host));
        ret_addr->port = endpoint->port;
        return true;
    }
    return false;
}

static bool names_other(const int32_t *ids, int32_t count, int32_t self)
{
    for (int32_t i = 0; i < count; i++)
        if (ids[i] != self)
            return true;
    return false;
}

/* Whether the controllers could give the partition to another replica without losing what is committed. */
static bool other_may_lead(const struct repairer *r, const struct repair_job *job)
{
    const struct image_topic *topic = image_topic_by_id(r->shard->image, job->topic_id);
    const struct image_partition *state = topic ? image_partition(r->shard->image, topic, job->index) : NULL;
    int32_t self = r->shard->broker->broker_id;

    return state && (names_other(state->isr, state->isr_count, self) ||
                     names_other(state->elr, state->elr_count, self));
}

/* Nobody has it for now: later. */
static void put_off(struct repairer *r, struct repair_job *job)
{
    uint32_t shift = MIN(job->failures, (uint32_t)RETRY_DOUBLINGS);
    struct partition *p = partition_of(r, job);

    if (p && job->lacked && job->failures >= HOPELESS_ROUNDS)
        partition_repair_give_up(p, r->asked.offset, other_may_lead(r, job));
    job->lacked = false;
    job->peer = 0;
    job->from = r->asked.end;
    job->failures++;
    job->due_us = env_now_us(r->shard->env) + ((uint64_t)RETRY_FIRST_US << shift);
    shard_count(r->shard, repairs_put_off, 1);
}

/* The next peer that can be asked on behalf of job; -1: none in this round. */
static int32_t choose_peer(struct repairer *r, struct repair_job *job, struct env_addr *ret_addr)
{
    const struct image_topic *topic = image_topic_by_id(r->shard->image, job->topic_id);
    const struct image_partition *state = topic ? image_partition(r->shard->image, topic, job->index) : NULL;
    int32_t peer;

    if (!state)
        return -1;
    while ((peer = nth_peer(r, state, job->peer)) >= 0) {
        if (peer_address(r, peer, ret_addr))
            return peer;
        job->peer++;
    }
    return -1;
}

/* -- one question -- */

static void look_soon(struct repairer *r)
{
    if (!r->closing)
        env_defer(r->shard->env, &r->look);
}

static void uncharge(struct repairer *r)
{
    if (r->charged > 0)
        budget_give(&r->shard->broker->budget, BUDGET_REPLICATION, r->charged);
    r->charged = 0;
}

static void encode_request(struct repairer *r, struct writer *w)
{
    struct kafka_request_header header = {
        .api_key = KAFKA_API_FETCH, .api_version = FETCH_VERSION, .client_id = STR_LIT("repair")};
    struct kafka_fetch_request request;
    struct kafka_fetch_request_topic topic;
    struct kafka_fetch_request_partition part;

    kafka_fetch_request_init(&request);
    kafka_fetch_request_topic_init(&topic);
    kafka_fetch_request_partition_init(&part);
    part.partition = r->active->index;
    part.current_leader_epoch = MUTANT(REFETCH_UNCHECKED) ? -1 : r->asked.leader_epoch;
    part.fetch_offset = r->asked.ask_from;
    part.partition_max_bytes = PIECE_BYTES;
    topic.topic_id = r->active->topic_id;
    topic.partitions = &part;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    request.replica_state.replica_id = PARTITION_READER_REPAIR;
    request.replica_state.replica_epoch = -1;
    request.max_bytes = PIECE_BYTES;
    writer_i32(w, 0);
    kafka_request_header_encode(w, kafka_request_header_version(KAFKA_API_FETCH, FETCH_VERSION), &header);
    kafka_fetch_request_encode(w, FETCH_VERSION, &request);
}

/* Asks for what is damaged now; closes when there is nothing to ask. */
static void ask(struct repairer *r)
{
    struct env *env = r->shard->env;
    struct partition *p = partition_of(r, r->active);
    struct writer w;

    if (!p || !partition_repair_next(p, r->active->from, &r->asked)) {
        env_conn_close(r->conn);
        return;
    }
    writer_init(&w, env->pool, 512, REQUEST_BYTES_MAX);
    encode_request(r, &w);
    if (w.err == OK) {
        writer_patch_i32(&w, 0, (int32_t)(writer_pos(&w) - 4));
        env_conn_write(r->conn, w.buf, 0, writer_pos(&w));
        env_timer_set(env, &r->timeout, env_now_us(env) + PEER_TIMEOUT_US);
    } else {
        env_conn_close(r->conn);
    }
    writer_free(&w);
}

/* -- the answer -- */

static struct partition_repair_reply reply_of(const struct repairer *r)
{
    return (struct partition_repair_reply){.offset = r->asked.offset,
                                           .leader_epoch = r->asked.leader_epoch,
                                           .from_leader = r->peer_id == r->asked.leader,
                                           .high_watermark = r->held->high_watermark,
                                           .records = r->held->records.p,
                                           .len = MAX(r->held->records.len, 0)};
}

static enum err take(struct repairer *r)
{
    struct partition *p = partition_of(r, r->active);
    int64_t end;
    struct partition_repair_reply reply = reply_of(r);

    if (!p)
        return ERR_STALE;
    enum err err = partition_repair_take(p, &reply, &end);
    if (err != OK)
        return err;
    shard_count(r->shard, refetched_bytes, reply.len);
    if (end == r->asked.end)
        shard_count(r->shard, damaged_ranges_refetched, 1);
    return OK;
}

static void answered(struct repairer *r, enum err err)
{
    if (err == OK) {
        r->active->failures = 0;
        ask(r);
        return;
    }
    LOG(r->shard->broker->log, WARN, "partition.refetch_failed", F_I64("peer", r->peer_id),
        F_I64("partition", r->active->index), F_I64("offset", r->asked.offset), F_ERR("error", err));
    r->active->lacked = r->active->lacked || err == ERR_NOT_FOUND;
    if (err != ERR_STALE)
        r->active->peer++;
    env_conn_close(r->conn);
}

static void let_go(struct repairer *r)
{
    if (!r->held)
        return;
    partition_mend_cancel(&r->mend);
    iobuf_unref(r->held_frame);
    r->held = NULL;
}

static void on_prepared(struct partition_mend *mend)
{
    struct repairer *r = CONTAINER_OF(mend, struct repairer, mend);
    enum err err = take(r);

    let_go(r);
    answered(r, err);
}

/* The answer is taken when what that reads has been read. */
static void hold(struct repairer *r, const struct kafka_fetch_response_partition *in, struct iobuf *frame)
{
    struct partition *p = partition_of(r, r->active);

    if (!p || in->error_code != KAFKA_NONE) {
        answered(r, p ? ERR_REJECTED : ERR_STALE);
        return;
    }
    r->held = in;
    r->held_frame = iobuf_ref(frame);
    r->mend.done = on_prepared;
    struct partition_repair_reply reply = reply_of(r);
    if (!partition_repair_prepare(p, &reply, &r->mend))
        on_prepared(&r->mend);
}

static bool on_frame(void *ctx, const uint8_t *p, uint32_t len, struct iobuf *owner)
{
    struct repairer *r = ctx;
    struct reader in = reader_over(p, len);
    struct kafka_response_header header;
    struct kafka_fetch_response reply;

    if (!r->active || !env_timer_armed(&r->timeout))
        return false; /* an answer that nobody asked for */
    arena_reset(&r->arena);
    if (kafka_response_header_decode(&in, kafka_response_header_version(KAFKA_API_FETCH, FETCH_VERSION),
                                     &header) != OK ||
        kafka_fetch_response_decode(&in, &r->arena, FETCH_VERSION, &reply) != OK)
        return false;
    env_timer_cancel(r->shard->env, &r->timeout);
    bool ours = reply.error_code == KAFKA_NONE && reply.topics_count == 1 &&
                reply.topics[0].partitions_count == 1 &&
                reply.topics[0].partitions[0].partition_index == r->active->index;
    if (ours)
        hold(r, &reply.topics[0].partitions[0], owner);
    else
        answered(r, ERR_REJECTED);
    return true;
}

/* -- the connection -- */

static void on_alloc(void *ctx, void **ret_buf, size_t *ret_len)
{
    struct repairer *r = ctx;

    *ret_len = 0;
    if (!frame_in_room(&r->in, ret_buf, ret_len))
        env_conn_close(r->conn);
}

static void on_read(void *ctx, size_t len)
{
    struct repairer *r = ctx;

    if (frame_in_landed(&r->in, len, on_frame, r) != OK)
        env_conn_close(r->conn);
}

static void on_connected(void *ctx)
{
    ask(ctx);
}

static void repairer_free(struct repairer *r)
{
    struct shard *shard = r->shard;

    while (!list_empty(&r->jobs))
        job_free(CONTAINER_OF(r->jobs.next, struct repair_job, link));
    arena_free(&r->arena);
    free(r);
    shard->repairer = NULL;
    shard_look_idle(shard);
}

static void on_closed(void *ctx, enum err why)
{
    struct repairer *r = ctx;

    r->conn = NULL;
    let_go(r);
    if (why != OK)
        r->active->peer++; /* refused, broken: the next one */
    r->active = NULL;
    env_timer_cancel(r->shard->env, &r->timeout);
    frame_in_reset(&r->in);
    uncharge(r);
    if (r->closing)
        repairer_free(r);
    else
        look_soon(r);
}

static void on_timeout(struct env_timer *timer)
{
    struct repairer *r = CONTAINER_OF(timer, struct repairer, timeout);

    r->active->peer++;
    env_conn_close(r->conn);
}

/* -- what is next -- */

static const struct env_conn_handler handler = {
    .alloc = on_alloc,
    .read = on_read,
    .connected = on_connected,
    .closed = on_closed,
};

/* False: not now; the job's turn comes later, or it is gone. */
static bool start_job(struct repairer *r, struct repair_job *job)
{
    struct partition *p = partition_of(r, job);
    struct env_addr addr;

    if (!p || partition_damages(p) == 0 || !partition_repair_next(p, job->from, &r->asked)) {
        job_free(job);
        return false;
    }
    r->peer_id = choose_peer(r, job, &addr);
    if (r->peer_id < 0 || !budget_take(&r->shard->broker->budget, BUDGET_REPLICATION, 2 * PIECE_BYTES)) {
        put_off(r, job);
        return false;
    }
    r->charged = 2 * PIECE_BYTES;
    r->active = job;
    env_timer_set(r->shard->env, &r->timeout, env_now_us(r->shard->env) + PEER_TIMEOUT_US);
    r->conn = tls_connect(r->shard->env, r->shard->broker->replica_tls ? r->shard->tls : NULL,
                          TLS_USE_CLUSTER_CLIENT, TLS_ROLE_BROKER, r->peer_id, &addr, &handler, r);
    return true;
}

static void on_look(struct env_task *task)
{
    struct repairer *r = CONTAINER_OF(task, struct repairer, look);
    uint64_t now = env_now_us(r->shard->env), next = UINT64_MAX;

    if (r->active || r->closing)
        return;
    list_for_each_safe (it, tmp, &r->jobs) {
        struct repair_job *job = CONTAINER_OF(it, struct repair_job, link);
        if (job->due_us <= now && start_job(r, job))
            return;
    }
    list_for_each (it, &r->jobs)
        next = MIN(next, CONTAINER_OF(it, struct repair_job, link)->due_us);
    if (next != UINT64_MAX)
        env_timer_set(r->shard->env, &r->retry, next);
}

static void on_retry(struct env_timer *timer)
{
    look_soon(CONTAINER_OF(timer, struct repairer, retry));
}

/* -- life -- */

/* One batch may be larger than the piece asked for (KIP-74): as large as a request that brought it. */
static uint32_t reply_bytes_max(const struct shard *shard)
{
    uint64_t most = (uint64_t)shard->broker->config->socket_request_max_bytes + REPLY_SLACK_BYTES;

    return (uint32_t)MIN(most, (uint64_t)INT32_MAX);
}

struct repairer *repairer_new(struct shard *shard)
{
    struct repairer *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    r->shard = shard;
    list_init(&r->jobs);
    env_timer_init(&r->retry, on_retry);
    env_timer_init(&r->timeout, on_timeout);
    env_task_init(&r->look, on_look);
    frame_in_init(&r->in, shard->env->pool, reply_bytes_max(shard));
    arena_init(&r->arena, NULL, 0, ARENA_BYTES);
    return r;
}

void repairer_close(struct repairer *r)
{
    r->closing = true;
    env_timer_cancel(r->shard->env, &r->retry);
    env_task_cancel(&r->look);
    if (r->conn)
        env_conn_close(r->conn);
    else
        repairer_free(r);
}

void repairer_add(struct repairer *r, const struct partition *p)
{
    struct uuid topic_id = partition_topic_id(p);

    list_for_each (it, &r->jobs) {
        struct repair_job *job = CONTAINER_OF(it, struct repair_job, link);
        if (uuid_eq(job->topic_id, topic_id) && job->index == partition_index(p)) {
            look_soon(r);
            return;
        }
    }
    struct repair_job *job = calloc(1, sizeof(*job));
    if (!job || r->closing) {
        free(job);
        return; /* out of memory: whoever meets the damage again adds it again */
    }
    job->topic_id = topic_id;
    job->index = partition_index(p);
    list_push_back(&r->jobs, &job->link);
    look_soon(r);
}
