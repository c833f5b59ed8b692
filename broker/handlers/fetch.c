/* SPDX-License-Identifier: Apache-2.0 */
/* Fetch: reads partitions for consumers (below the high watermark) and followers (to the log's end), and
 * waits when there is not enough.
 *
 * READING: every shard concerned reads; when all are back the reply goes out, if it holds min_bytes, an
 * error, or the time is up. WATCHING: nothing is held; the first shard that sees a change ends the watch of
 * all, and reading starts over. Where one byte is enough, another shard reads what it has seen before it says
 * so, and looks and watches in one go (FETCH_AWAIT): mail between shards is what waiting fetches cost.
 * Sessions (KIP-227) are not kept: every answer says session 0, which a client
 * must take for "none". */
#include "broker/config.h"
#include "broker/handlers/fetch_sub.h"
#include "broker/handlers/handler.h"
#include "broker/handlers/topic_lookup.h"
#include "broker/shard/connection.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define FETCH_ID_VERSION    13 /* topic ids in place of names */
#define FETCH_STATE_VERSION 15 /* replica id in replica_state */
#define READ_COMMITTED      1
#define FOLLOWER_QUEUE      8 /* fetches of one follower waiting behind another: then the first is answered */
#define RANGES_PARTS_MAX                                                                                     \
    (WRITER_SPLICES_MAX / PARTITION_READ_PIECES_MAX) /* each piece finds room in a reply */
#define FETCH_WAIT_MS_MAX (10 * 60 * 1000)

struct fetch_op {
    struct request *rq;
    struct kafka_fetch_request *request;
    struct kafka_fetch_response response;
    struct fetch_sub *subs;
    struct env_timer timer;
    enum { FETCH_IDLE, FETCH_READING, FETCH_WATCHING } phase;
    bool sending; /* inside a loop over subs: their returns are looked at when it ends */
    bool final;   /* the next reading answers in any case */
    bool follower;
    bool report; /* a follower tells durable offsets: the reply has no partitions */
    bool repair; /* a replica that mends its log (broker/shard/repair.h) */
    int32_t replica_id;
    int32_t parts_count;
    int64_t replica_epoch;
    int32_t max_bytes;
    uint64_t deadline_us;
};

static void read_round(struct fetch_op *op);

/* -- answering -- */

static void part_records(struct fetch_op *op, struct fetch_part *part)
{
    const struct partition_read_result *result = &part->result;
    struct kafka_records *pieces =
        arena_calloc(&op->rq->arena, (size_t)result->pieces_count, sizeof(*pieces));

    part->out->records = (struct kafka_records){.p = (const uint8_t *)"", .len = 0};
    if (!pieces || result->pieces_count == 0)
        return;
    for (int32_t i = 0; i < result->pieces_count; i++) {
        const struct partition_piece *piece = &result->pieces[i];
        pieces[i] = (struct kafka_records){.p = piece->p,
                                           .owner = piece->owner,
                                           .file = piece->file,
                                           .file_offset = piece->file_offset,
                                           .len = piece->len};
    }
    part->out->records =
        (struct kafka_records){.pieces = pieces, .pieces_count = result->pieces_count, .len = result->bytes};
}

/* Without records there is nothing that was aborted. */
static void part_aborted(struct fetch_op *op, struct fetch_part *part, bool with_records)
{
    struct kafka_fetch_response_partition *out = part->out;
    int32_t count = with_records ? part->result.aborted_count : 0;

    out->aborted_transactions =
        arena_calloc(&op->rq->arena, (size_t)count, sizeof(*out->aborted_transactions));
    out->aborted_transactions_count = 0;
    if (!out->aborted_transactions) { /* without the list the records may not be seen */
        out->error_code = KAFKA_UNKNOWN_SERVER_ERROR;
        out->records = (struct kafka_records){.p = (const uint8_t *)"", .len = 0};
        return;
    }
    for (int32_t i = 0; i < count; i++) {
        struct kafka_fetch_response_aborted_transaction *aborted =
            &out->aborted_transactions[out->aborted_transactions_count++];
        kafka_fetch_response_aborted_transaction_init(aborted);
        aborted->producer_id = part->result.aborted[i].producer_id;
        aborted->first_offset = part->result.aborted[i].first_offset;
    }
}

static void part_report(struct fetch_op *op, struct fetch_part *part, bool with_records)
{
    const struct partition_read_result *result = &part->result;
    struct kafka_fetch_response_partition *out = part->out;

    out->error_code = result->error;
    out->high_watermark = result->high_watermark;
    out->last_stable_offset = result->last_stable_offset;
    out->log_start_offset = result->log_start;
    if (op->rq->header.api_version >= 12) {
        if (result->diverging_epoch >= 0) {
            out->diverging_epoch.epoch = result->diverging_epoch;
            out->diverging_epoch.end_offset = result->diverging_end_offset;
        }
        if (result->error == KAFKA_NOT_LEADER_OR_FOLLOWER || result->error == KAFKA_FENCED_LEADER_EPOCH) {
            out->current_leader.leader_id = result->leader;
            out->current_leader.leader_epoch = result->leader_epoch;
        }
    }
    if (with_records)
        part_records(op, part);
    if (part->read.read_committed)
        part_aborted(op, part, with_records);
}

static int32_t report_parts(struct fetch_op *op)
{
    int32_t bytes = 0;

    for (struct fetch_sub *sub = op->subs; sub; sub = sub->next) {
        for (struct fetch_part *part = sub->parts; part; part = part->next) {
            /* Shards read on their own: together they may have read too much. What is left out comes with the
             * next fetch. */
            bool fits = bytes == 0 || part->result.bytes <= op->max_bytes - bytes;
            part_report(op, part, fits);
            bytes += fits ? part->result.bytes : 0;
        }
    }
    return bytes;
}

static void fetch_answer(struct fetch_op *op)
{
    struct request *rq = op->rq;

    env_timer_cancel(rq->shard->env, &op->timer);
    if (op->report)
        op->response.topics_count = 0;
    else
        shard_count(rq->shard, fetch_bytes, report_parts(op));
    kafka_fetch_response_encode(request_reply_begin(rq), rq->header.api_version, &op->response);
    request_reply_end(rq); /* fetch_release() follows when it was sent */
}

/* The reply was sent, or is not wanted any more. */
static void fetch_release(struct request *rq)
{
    struct fetch_op *op = rq->op;

    for (struct fetch_sub *sub = op->subs; sub; sub = sub->next)
        fetch_sub_release(sub);
}

/* -- rounds -- */

static bool all_home(const struct fetch_op *op)
{
    for (const struct fetch_sub *sub = op->subs; sub; sub = sub->next)
        if (sub->out || sub->cancel_out)
            return false;
    return true;
}

/* elsewhere: what the subs of other shards do; ours watches. */
static void watch_round(struct fetch_op *op, enum fetch_task elsewhere)
{
    if (!env_timer_armed(&op->timer))
        env_timer_set(op->rq->shard->env, &op->timer, op->deadline_us);
    op->phase = FETCH_WATCHING;
    op->sending = true;
    for (struct fetch_sub *sub = op->subs; sub; sub = sub->next) {
        fetch_sub_release(sub);
        fetch_sub_send(sub, sub->owner == sub->home ? FETCH_WATCH : elsewhere);
    }
    op->sending = false;
}

static void read_done(struct fetch_op *op)
{
    int64_t bytes = 0;
    bool answer = op->final || op->request->max_wait_ms <= 0;

    for (struct fetch_sub *sub = op->subs; sub; sub = sub->next) {
        bytes += sub->bytes;
        answer |= sub->answer_now;
    }
    if (answer || bytes >= op->request->min_bytes) {
        fetch_answer(op);
        return;
    }
    watch_round(op, FETCH_WATCH);
}

/* Ends a watch: asks every sub back; reading starts when the last one is home. */
static void watch_end(struct fetch_op *op)
{
    if (op->phase != FETCH_WATCHING || op->sending)
        return;
    op->sending = true;
    for (struct fetch_sub *sub = op->subs; sub; sub = sub->next)
        fetch_sub_cancel(sub);
    op->sending = false;
    if (all_home(op))
        read_round(op);
}

static void sub_back(struct fetch_sub *sub)
{
    struct fetch_op *op = sub->op;

    if (op->sending)
        return;
    if (op->phase == FETCH_WATCHING)
        watch_end(op);
    else if (all_home(op))
        read_done(op);
}

/* Sends those subs to read that are of this shard, or those that are not; what is fresh was read already. */
static void read_some(struct fetch_op *op, bool here)
{
    for (struct fetch_sub *sub = op->subs; sub; sub = sub->next)
        if (!sub->fresh && (sub->owner == sub->home) == here)
            fetch_sub_send(sub, FETCH_READ);
}

/* Whether all that is known says: wait. */
static bool nothing_yet(const struct fetch_op *op)
{
    if (op->final || op->request->max_wait_ms <= 0 || op->request->min_bytes != 1 || !all_home(op))
        return false;
    for (const struct fetch_sub *sub = op->subs; sub; sub = sub->next)
        if ((sub->fresh || sub->owner == sub->home) && (sub->bytes > 0 || sub->answer_now))
            return false;
    return true;
}

static void read_round(struct fetch_op *op)
{
    op->phase = FETCH_READING;
    op->sending = true;
    read_some(op, true);
    if (nothing_yet(op)) {
        watch_round(op, FETCH_AWAIT);
        return;
    }
    read_some(op, false);
    op->sending = false;
    if (all_home(op))
        read_done(op);
}

static void fetch_hurry(struct request *rq)
{
    struct fetch_op *op = rq->op;

    op->final = true;
    watch_end(op);
}

static void on_deadline(struct env_timer *timer)
{
    fetch_hurry(CONTAINER_OF(timer, struct fetch_op, timer)->rq);
}

/* -- setting up -- */

static struct fetch_sub *sub_for(struct fetch_op *op, unsigned shard)
{
    struct shard *home = op->rq->shard;
    struct fetch_sub **link = &op->subs;

    for (; *link; link = &(*link)->next)
        if ((*link)->owner->index == shard)
            return *link;
    struct fetch_sub *sub = arena_calloc(&op->rq->arena, 1, sizeof(*sub));
    if (!sub)
        return NULL;
    sub->op = op;
    sub->home = home;
    sub->owner = home->broker->shards[shard];
    sub->back = sub_back;
    sub->max_bytes = op->max_bytes;
    sub->at_least_one = op->max_bytes > 0;
    sub->follower = op->follower;
    sub->report = op->report;
    sub->first_read = true;
    sub->replica_id = op->replica_id;
    sub->replica_epoch = op->replica_epoch;
    *link = sub;
    return sub;
}

static void part_init(struct fetch_op *op, struct fetch_part *part,
                      const struct kafka_fetch_request_partition *in)
{
    list_init(&part->watch.link);
    part->durable_offset = in->durable_offset;
    part->log_start = in->log_start_offset;
    part->read = (struct partition_read){
        .fetch_offset = in->fetch_offset,
        .max_bytes = in->partition_max_bytes,
        .read_committed = !op->follower && op->request->isolation_level == READ_COMMITTED,
        .replica_id = op->follower || op->repair ? op->replica_id : -1,
        .current_leader_epoch = in->current_leader_epoch,
        .last_fetched_epoch = in->last_fetched_epoch,
    };
}

/* Puts one partition into the sub of its shard; an error answers at once. */
static bool part_place(struct fetch_op *op, const struct kafka_fetch_request_topic *topic,
                       const struct kafka_fetch_request_partition *in,
                       struct kafka_fetch_response_partition *out)
{
    struct partition_place place;
    bool by_id = op->rq->header.api_version >= FETCH_ID_VERSION;
    int16_t error =
        partition_place_find(op->rq->shard, by_id, topic->topic, topic->topic_id, in->partition, &place);

    kafka_fetch_response_partition_init(out);
    out->partition_index = in->partition;
    out->high_watermark = -1;
    out->records = (struct kafka_records){.p = (const uint8_t *)"", .len = 0};
    out->aborted_transactions_count = -1;
    if (error == KAFKA_NONE && op->replica_id >= 0 && !op->follower)
        error = KAFKA_CLUSTER_AUTHORIZATION_FAILED; /* replica fetches belong to the internal listener */
    if (error != KAFKA_NONE) {
        out->error_code = error;
        if (place.state && op->rq->header.api_version >= 12) {
            out->current_leader.leader_id = place.state->leader;
            out->current_leader.leader_epoch = place.state->leader_epoch;
        }
        op->final = true;
        return true;
    }
    struct fetch_sub *sub = sub_for(op, place.route->shard);
    struct fetch_part *part = sub ? arena_calloc(&op->rq->arena, 1, sizeof(*part)) : NULL;
    if (!part)
        return false;
    op->parts_count++;
    part->sub = sub;
    part->out = out;
    part->topic_id = place.topic->id;
    part_init(op, part, in);
    if (sub->last)
        sub->last->next = part;
    else
        sub->parts = part;
    sub->last = part;
    return true;
}

static bool fetch_lay_out(struct fetch_op *op)
{
    const struct kafka_fetch_request *request = op->request;
    struct arena *arena = &op->rq->arena;
    int32_t topics_count = MAX(request->topics_count, 0);

    op->response.topics_count = topics_count;
    op->response.topics = arena_calloc(arena, (size_t)topics_count, sizeof(*op->response.topics));
    if (!op->response.topics)
        return false;
    for (int32_t t = 0; t < topics_count; t++) {
        const struct kafka_fetch_request_topic *topic = &request->topics[t];
        struct kafka_fetch_response_topic *out = &op->response.topics[t];
        int32_t count = MAX(topic->partitions_count, 0);

        out->topic = topic->topic;
        out->topic_id = topic->topic_id;
        out->partitions_count = count;
        out->partitions = arena_calloc(arena, (size_t)count, sizeof(*out->partitions));
        if (!out->partitions)
            return false;
        for (int32_t p = 0; p < count; p++)
            if (!part_place(op, topic, &topic->partitions[p], &out->partitions[p]))
                return false;
    }
    return true;
}

static void fetch_op_init(struct fetch_op *op, struct request *rq, struct kafka_fetch_request *request)
{
    const struct broker_config *config = rq->shard->broker->config;
    bool has_state = rq->header.api_version >= FETCH_STATE_VERSION;
    int32_t wait_ms = MIN(MAX(request->max_wait_ms, 0), FETCH_WAIT_MS_MAX);

    op->rq = rq;
    op->request = request;
    op->replica_id = has_state ? request->replica_state.replica_id : request->replica_id;
    op->replica_epoch = has_state ? request->replica_state.replica_epoch : -1;
    op->follower = op->replica_id >= 0 && rq->conn->listener->internal;
    op->repair = op->replica_id == PARTITION_READER_REPAIR && rq->conn->listener->internal;
    op->max_bytes = MIN(MAX(request->max_bytes, 0), (int32_t)config->fetch_max_bytes);
    op->report = op->follower && op->max_bytes == 0 && wait_ms == 0;
    op->deadline_us = rq->started_us + (uint64_t)wait_ms * 1000;
    env_timer_init(&op->timer, on_deadline);
    kafka_fetch_response_init(&op->response);
}

/* Only a registered broker reads as a follower, under its present epoch; one that has registered anew may be
 * ahead of what this broker has heard. With TLS its certificate must name it. */
static int16_t follower_refused(const struct fetch_op *op)
{
    struct shard *shard = op->rq->shard;
    const struct image_broker *broker = image_broker(shard->image, op->replica_id);

    if (!tls_conn_is_node(op->rq->conn->conn, TLS_ROLE_BROKER, op->replica_id,
                          image_cluster_id(shard->image)))
        return KAFKA_CLUSTER_AUTHORIZATION_FAILED;
    if (broker && op->replica_epoch >= broker->epoch)
        return KAFKA_NONE;
    shard_count(shard, replica_fetches_refused, 1);
    LOG_LIMITED(shard->broker->log, &shard->close_limit, WARN, "replica.fetch_refused",
                F_STR("peer", op->rq->conn->peer), F_I64("broker", op->replica_id),
                F_I64("epoch", op->replica_epoch), F_I64("registered", broker ? broker->epoch : -1));
    return KAFKA_STALE_BROKER_EPOCH;
}

void handle_fetch(struct request *rq)
{
    struct kafka_fetch_request *request = request_decode(rq, fetch);
    struct fetch_op *op = request ? arena_calloc(&rq->arena, 1, sizeof(*op)) : NULL;

    if (!request)
        return;
    if (!op) {
        request_refuse(rq, "out of memory");
        return;
    }
    fetch_op_init(op, rq, request);
    rq->op = op;
    if (op->follower)
        op->response.error_code = follower_refused(op);
    if (op->response.error_code == KAFKA_NONE && request->session_id != 0)
        op->response.error_code = KAFKA_FETCH_SESSION_ID_NOT_FOUND;
    if (op->response.error_code != KAFKA_NONE) {
        request_respond(rq, fetch, &op->response);
        return;
    }
    if (!fetch_lay_out(op)) {
        request_refuse(rq, "out of memory");
        return;
    }
    if (!op->subs)
        op->final = true;
    /* Followers report durable offsets (max_bytes 0) behind a fetch that waits, and ask with an empty fetch
     * to have that one answered. */
    if (op->follower && (request->topics_count == 0 || rq->conn->requests_count > FOLLOWER_QUEUE))
        connection_hurry(rq->conn);
    rq->hurry = op->follower ? fetch_hurry : NULL;
    rq->abandoned = fetch_hurry;
    rq->release = fetch_release;
    for (struct fetch_sub *sub = op->subs; sub; sub = sub->next)
        sub->ranges_max = op->parts_count <= RANGES_PARTS_MAX ? PARTITION_READ_PIECES_MAX : 0;
    read_round(op);
}
