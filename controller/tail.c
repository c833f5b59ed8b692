/* SPDX-License-Identifier: Apache-2.0 */
/* Committed entries for those who follow: long polls that are answered in the turn in which something
 * commits, and pieces of the newest snapshot for those who are too far behind.
 */
#include <stdlib.h>

#include "common/base/assert.h"
#include "controller/controller_internal.h"
#include "proto/kafka/error.h"

#define TAIL_ENTRIES_MAX  256
#define TAIL_BYTES_MAX    (4u << 20)
#define TAIL_BYTES_MIN    4096u
#define TAIL_WAIT_MAX_MS  30000u
#define TAILS_PER_SESSION 4 /* a broker has one; more are refused */
#define PIECE_BYTES_MAX   (1u << 20)

/* A request that waits for the next commit. */
struct tail_wait {
    struct list link; /* session->tails */
    struct session *session;
    uint32_t correlation;
    struct rpc_tail_request request;
    struct env_timer timer;
};

static void send_entries(struct controller *c, struct rpc_conn *conn, uint32_t correlation,
                         const struct raft_log_entry *entries, uint32_t count)
{
    struct rpc_tail_entry out[TAIL_ENTRIES_MAX];
    struct writer w;
    struct rpc_tail_reply reply = {.error = KAFKA_NONE,
                                   .leader_id = consensus_status(c->consensus).leader,
                                   .commit_index = image_index(c->image),
                                   .entries = out,
                                   .entries_count = (int32_t)count};
    for (uint32_t i = 0; i < count; i++) {
        out[i] =
            (struct rpc_tail_entry){.index = entries[i].index, .term = entries[i].term, .records = {NULL, 0}};
        if (entries[i].type == QUORUM_ENTRY_COMMAND)
            out[i].records = (struct bytes){entries[i].data, (int32_t)entries[i].len};
    }
    requests_init_writer(c, &w);
    rpc_tail_reply_encode(&w, &reply);
    requests_reply(conn, CLUSTER_RPC_TAIL, correlation, &w);
}

/* Answers with what is there from request->from_index on. */
static void answer(struct controller *c, struct rpc_conn *conn, uint32_t correlation,
                   const struct rpc_tail_request *request)
{
    struct raft_log_entry entries[TAIL_ENTRIES_MAX];
    struct iobuf *buf = NULL;
    uint32_t count = 0;
    uint64_t there = image_index(c->image) + 1;
    there = there > request->from_index ? there - request->from_index : 0;
    uint32_t bytes_max = MAX(MIN(request->max_bytes, TAIL_BYTES_MAX), TAIL_BYTES_MIN);
    enum err err = OK;
    if (there > 0)
        err = raft_log_read(storage_log(c->storage), request->from_index,
                            (uint32_t)MIN(there, TAIL_ENTRIES_MAX), bytes_max, entries, &count, &buf);
    if (err == OK)
        send_entries(c, conn, correlation, entries, count);
    else
        requests_refuse(c, conn, CLUSTER_RPC_TAIL, correlation,
                        err == ERR_OUT_OF_RANGE ? KAFKA_OFFSET_OUT_OF_RANGE : KAFKA_UNKNOWN_SERVER_ERROR);
    iobuf_unref(buf);
}

static void end_wait(struct tail_wait *wait)
{
    env_timer_cancel(wait->session->controller->env, &wait->timer);
    list_remove(&wait->link);
    free(wait);
}

static void wait_over(struct env_timer *timer)
{
    struct tail_wait *wait = CONTAINER_OF(timer, struct tail_wait, timer);
    answer(wait->session->controller, wait->session->conn, wait->correlation, &wait->request);
    end_wait(wait);
}

static bool too_many(const struct session *session)
{
    int count = 0;
    list_for_each (it, &session->tails)
        count++;
    return count >= TAILS_PER_SESSION;
}

void tail_request(struct controller *c, struct session *session, uint32_t correlation,
                  const struct rpc_tail_request *request)
{
    struct tail_wait *wait = NULL;
    if (request->from_index == 0 || too_many(session)) {
        requests_refuse(c, session->conn, CLUSTER_RPC_TAIL, correlation, KAFKA_INVALID_REQUEST);
        return;
    }
    if (request->from_index > image_index(c->image) && request->wait_ms > 0)
        wait = calloc(1, sizeof(*wait));
    if (wait == NULL) {
        answer(c, session->conn, correlation, request);
        return;
    }
    wait->session = session;
    wait->correlation = correlation;
    wait->request = *request;
    list_push_back(&session->tails, &wait->link);
    env_timer_init(&wait->timer, wait_over);
    env_timer_set(c->env, &wait->timer,
                  env_now_us(c->env) + MIN(request->wait_ms, TAIL_WAIT_MAX_MS) * 1000ull);
}

void tail_drop_session(struct session *session)
{
    while (!list_empty(&session->tails))
        end_wait(CONTAINER_OF(session->tails.next, struct tail_wait, link));
}

static void publish_to(struct controller *c, struct session *session)
{
    bool active = core_is_active(&c->core);
    list_for_each_safe (it, next, &session->tails) {
        struct tail_wait *wait = CONTAINER_OF(it, struct tail_wait, link);
        if (!active)
            requests_refuse(c, session->conn, CLUSTER_RPC_TAIL, wait->correlation, KAFKA_NOT_CONTROLLER);
        else if (wait->request.from_index <= image_index(c->image))
            answer(c, session->conn, wait->correlation, &wait->request);
        else
            continue;
        end_wait(wait);
    }
}

void tail_publish(struct controller *c)
{
    uint32_t pos = 0;
    uint64_t id;
    void *value;
    while (map_next(&c->sessions, &pos, &id, &value))
        publish_to(c, value);
}

void tail_snapshot(struct controller *c, struct session *session, uint32_t correlation,
                   const struct rpc_snapshot_request *request)
{
    const struct snapshot *snapshot = snapshot_newest(storage_snapshots(c->storage));
    const struct snapshot *older = snapshot_previous(storage_snapshots(c->storage));
    if (request->snapshot_index != 0 && older != NULL && older->id.index == request->snapshot_index)
        snapshot = older; /* one that was begun before a newer one stood */
    if (snapshot == NULL || (request->snapshot_index != 0 && snapshot->id.index != request->snapshot_index)) {
        requests_refuse(c, session->conn, CLUSTER_RPC_SNAPSHOT, correlation, KAFKA_SNAPSHOT_NOT_FOUND);
        return;
    }
    size_t want = MAX(MIN(request->max_bytes, PIECE_BYTES_MAX), TAIL_BYTES_MIN);
    size_t len = 0;
    struct iobuf *buf = iobuf_get(c->env->pool, want);
    if (buf == NULL || snapshot_read_stream(snapshot, request->offset, buf->data, want, &len) != OK) {
        requests_refuse(c, session->conn, CLUSTER_RPC_SNAPSHOT, correlation, KAFKA_SNAPSHOT_NOT_FOUND);
        iobuf_unref(buf);
        return;
    }
    struct rpc_snapshot_reply reply = {.snapshot_index = snapshot->id.index,
                                       .snapshot_term = snapshot->id.term,
                                       .offset = request->offset,
                                       .chunk = {buf->data, (int32_t)len},
                                       .last = request->offset + len == snapshot->stream_size};
    struct writer w;
    requests_init_writer(c, &w);
    rpc_snapshot_reply_encode(&w, &reply);
    requests_reply(session->conn, CLUSTER_RPC_SNAPSHOT, correlation, &w);
    iobuf_unref(buf);
}
