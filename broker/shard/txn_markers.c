/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/txn_markers.h"

#include <stdlib.h>
#include <string.h>

#include "broker/shard/peers.h"
#include "common/base/assert.h"
#include "common/base/probe.h"
#include "common/obs/log.h"
#include "proto/kafka/api.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define MARKERS_VERSION   2
#define RETRY_US          20000
#define MARKERS_PER_CALL  512
#define REPLY_ARENA_BYTES (4u << 20)

/* One marker for one partition. */
struct marker_job {
    struct list link;      /* sender->ready or retrying, or marker_call->jobs */
    struct txn_markers of; /* without id and partitions */
    struct str topic;      /* behind it */
    int32_t index, leader;
    uint32_t tries;
};

struct txn_sender {
    struct shard *shard;
    int32_t coordinator_epoch;
    void (*done)(void *ctx, uint64_t token, struct str topic, int32_t index);
    void *ctx;
    struct list ready, retrying;
    struct env_task send;
    struct env_timer retry;
    uint32_t calls; /* under way */
    bool closed;
};

struct marker_call {
    struct peer_call call;
    struct txn_sender *sender;
    struct list jobs; /* in the request's order */
    int32_t count;
};

static void drop_jobs(struct list *jobs)
{
    while (!list_empty(jobs)) {
        struct marker_job *job = CONTAINER_OF(jobs->next, struct marker_job, link);
        list_remove(&job->link);
        free(job);
    }
}

static void sender_free(struct txn_sender *sender)
{
    if (sender->closed && sender->calls == 0)
        free(sender);
}

static void retry_later(struct txn_sender *sender, struct marker_job *job)
{
    struct env *env = sender->shard->env;

    PROBE(MARKER_RETRIED);
    job->tries++;
    list_push_back(&sender->retrying, &job->link);
    if (!env_timer_armed(&sender->retry))
        env_timer_set(env, &sender->retry, env_now_us(env) + RETRY_US);
}

static void job_done(struct txn_sender *sender, struct marker_job *job)
{
    sender->done(sender->ctx, job->of.token, job->topic, job->index);
    free(job);
}

/* -- one request -- */

static void encode(struct peer_call *call, struct writer *w)
{
    struct marker_call *mc = CONTAINER_OF(call, struct marker_call, call);
    struct kafka_write_txn_markers_request request;
    struct kafka_write_txn_markers_request_marker *markers = calloc((size_t)mc->count, sizeof(*markers));
    struct kafka_write_txn_markers_request_topic *topics = calloc((size_t)mc->count, sizeof(*topics));
    int32_t i = 0;

    if (!markers || !topics) {
        writer_fail(w, ERR_NOMEM);
        free(markers);
        free(topics);
        return;
    }
    list_for_each (it, &mc->jobs) {
        struct marker_job *job = CONTAINER_OF(it, struct marker_job, link);
        topics[i] = (struct kafka_write_txn_markers_request_topic){
            .name = job->topic, .partition_indexes = &job->index, .partition_indexes_count = 1};
        markers[i] = (struct kafka_write_txn_markers_request_marker){
            .producer_id = job->of.producer_id,
            .producer_epoch = job->of.producer_epoch,
            .transaction_result = job->of.commit,
            .topics = &topics[i],
            .topics_count = 1,
            .coordinator_epoch = mc->sender->coordinator_epoch,
            .transaction_version = job->of.bumped ? 2 : 0};
        i++;
    }
    kafka_write_txn_markers_request_init(&request);
    request.markers = markers;
    request.markers_count = mc->count;
    kafka_write_txn_markers_request_encode(w, MARKERS_VERSION, &request);
    free(markers);
    free(topics);
}

static void job_answered(struct txn_sender *sender, struct marker_job *job, int16_t error)
{
    switch (error) {
    case KAFKA_NONE:
    case KAFKA_INVALID_PRODUCER_EPOCH: /* a later transaction has begun there: this one's marker is in its log
                                        */
        job_done(sender, job);
        return;
    case KAFKA_TRANSACTION_COORDINATOR_FENCED: /* another coordinator sees to it */ free(job); return;
    default: retry_later(sender, job); return;
    }
}

static int16_t error_of(const struct kafka_write_txn_markers_response *response, int32_t i)
{
    const struct kafka_write_txn_markers_response_marker *marker;

    if (i >= response->markers_count)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    marker = &response->markers[i];
    if (marker->topics_count != 1 || marker->topics[0].partitions_count != 1)
        return KAFKA_UNKNOWN_SERVER_ERROR;
    return marker->topics[0].partitions[0].error_code;
}

static void take_reply(struct marker_call *mc, const struct kafka_write_txn_markers_response *response)
{
    struct list jobs;
    int32_t i = 0;

    list_init(&jobs);
    list_splice_back(&jobs, &mc->jobs);
    while (!list_empty(&jobs)) {
        struct marker_job *job = CONTAINER_OF(jobs.next, struct marker_job, link);
        list_remove(&job->link);
        if (mc->sender->closed)
            free(job);
        else
            job_answered(mc->sender, job, response ? error_of(response, i) : KAFKA_NETWORK_EXCEPTION);
        i++;
    }
}

static void on_answer(struct peer_call *call, struct reader *body)
{
    struct marker_call *mc = CONTAINER_OF(call, struct marker_call, call);
    struct txn_sender *sender = mc->sender;
    struct kafka_write_txn_markers_response response;
    struct arena arena;

    arena_init(&arena, NULL, 0, REPLY_ARENA_BYTES);
    bool ok = body && kafka_write_txn_markers_response_decode(body, &arena, MARKERS_VERSION, &response) == OK;
    take_reply(mc, ok ? &response : NULL);
    arena_free(&arena);
    free(mc);
    sender->calls--;
    sender_free(sender);
}

/* -- whom to -- */

/* -1: nobody leads it just now; the partition is gone (its topic, which may have come back with fewer):
 * *ret_gone. */
static int32_t leader_of(const struct shard *shard, const struct marker_job *job, bool *ret_gone)
{
    const struct image_topic *topic = image_topic_by_name(shard->image, job->topic);
    const struct image_partition *state = topic ? image_partition(shard->image, topic, job->index) : NULL;

    *ret_gone = topic == NULL || job->index >= topic->partitions_count;
    return state ? state->leader : -1;
}

static void start_call(struct txn_sender *sender, int32_t leader)
{
    struct marker_call *mc = calloc(1, sizeof(*mc));

    ASSERT(mc); /* a coordinator must not forget */
    mc->sender = sender;
    list_init(&mc->jobs);
    list_for_each_safe (it, tmp, &sender->ready) {
        struct marker_job *job = CONTAINER_OF(it, struct marker_job, link);
        if (job->leader != leader || mc->count == MARKERS_PER_CALL)
            continue;
        list_remove(it);
        list_push_back(&mc->jobs, it);
        mc->count++;
    }
    mc->call = (struct peer_call){.broker_id = leader,
                                  .api_key = KAFKA_API_WRITE_TXN_MARKERS,
                                  .api_version = MARKERS_VERSION,
                                  .encode = encode,
                                  .done = on_answer};
    sender->calls++;
    broker_peers_call(sender->shard->peers, &mc->call);
}

static void look_up(struct txn_sender *sender)
{
    struct list jobs;

    list_init(&jobs);
    list_splice_back(&jobs, &sender->ready);
    while (!list_empty(&jobs)) {
        struct marker_job *job = CONTAINER_OF(jobs.next, struct marker_job, link);
        bool gone;
        list_remove(&job->link);
        job->leader = leader_of(sender->shard, job, &gone);
        if (gone)
            job_done(sender, job);
        else if (job->leader < 0)
            retry_later(sender, job);
        else
            list_push_back(&sender->ready, &job->link);
    }
}

static void on_send(struct env_task *task)
{
    struct txn_sender *sender = CONTAINER_OF(task, struct txn_sender, send);

    look_up(sender);
    while (!sender->closed && !list_empty(&sender->ready))
        start_call(sender, CONTAINER_OF(sender->ready.next, struct marker_job, link)->leader);
}

static void on_retry(struct env_timer *timer)
{
    struct txn_sender *sender = CONTAINER_OF(timer, struct txn_sender, retry);

    list_splice_back(&sender->ready, &sender->retrying);
    env_defer(sender->shard->env, &sender->send);
}

/* -- life -- */

struct txn_sender *txn_sender_new(struct shard *shard, int32_t coordinator_epoch,
                                  void (*done)(void *ctx, uint64_t token, struct str topic, int32_t index),
                                  void *ctx)
{
    struct txn_sender *sender = calloc(1, sizeof(*sender));

    if (!sender)
        return NULL;
    sender->shard = shard;
    sender->coordinator_epoch = coordinator_epoch;
    sender->done = done;
    sender->ctx = ctx;
    list_init(&sender->ready);
    list_init(&sender->retrying);
    env_task_init(&sender->send, on_send);
    env_timer_init(&sender->retry, on_retry);
    return sender;
}

void txn_sender_close(struct txn_sender *sender)
{
    sender->closed = true;
    env_task_cancel(&sender->send);
    env_timer_cancel(sender->shard->env, &sender->retry);
    drop_jobs(&sender->ready);
    drop_jobs(&sender->retrying);
    sender_free(sender);
}

void txn_sender_add(struct txn_sender *sender, const struct txn_markers *markers)
{
    for (int32_t i = 0; i < markers->partitions_count; i++) {
        struct str topic = markers->partitions[i].topic;
        struct marker_job *job = malloc(sizeof(*job) + (size_t)topic.len);
        ASSERT(job); /* a coordinator must not forget */
        *job = (struct marker_job){.of = *markers, .index = markers->partitions[i].index};
        memcpy(job + 1, topic.p, (size_t)topic.len);
        job->topic = (struct str){(const char *)(job + 1), topic.len};
        list_push_back(&sender->ready, &job->link);
    }
    env_defer(sender->shard->env, &sender->send);
}
