/* SPDX-License-Identifier: Apache-2.0 */
/* DescribeQuorum (KIP-595, KIP-642, KIP-853): the voters as the active controller sees them. Kafka's tools
 * ask for the one partition of its metadata topic; here it stands for the Raft log. */
#include "common/base/assert.h"
#include "controller/controller_internal.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define METADATA_TOPIC "__cluster_metadata"
#define OBSERVERS_MAX  8 /* that wait to be added */

struct describing {
    struct controller *c;
    struct arena *arena;
    struct consensus_status status;
    bool failed; /* out of memory */
};

static void *get(struct describing *d, size_t count, size_t size)
{
    void *p = arena_calloc(d->arena, count, size);
    d->failed |= p == NULL;
    return p;
}

/* The moment of a monotonic time as a date. */
static int64_t date_ms(const struct controller *c, uint64_t us)
{
    return us == 0 ? -1 : env_wall_ms(c->env) - (int64_t)((env_now_us(c->env) - us) / 1000);
}

static struct kafka_describe_quorum_response_replica_state state_of(const struct describing *d,
                                                                    const struct consensus_voter *voter)
{
    bool caught_up = voter->last_index >= d->status.commit_index;
    return (struct kafka_describe_quorum_response_replica_state){
        .replica_id = voter->node_id,
        .replica_directory_id = voter->directory_id,
        .log_end_offset = (int64_t)voter->last_index,
        .last_fetch_timestamp = date_ms(d->c, voter->heard_us),
        .last_caught_up_timestamp = caught_up ? date_ms(d->c, voter->heard_us) : -1};
}

static void add_members(struct describing *d, struct kafka_describe_quorum_response_partition *out)
{
    int count;
    const struct consensus_member *members = consensus_members(d->c->consensus, &count);
    out->current_voters = get(d, (size_t)count, sizeof(*out->current_voters));
    out->observers = get(d, (size_t)count + OBSERVERS_MAX, sizeof(*out->observers));
    for (int i = 0; !d->failed && i < count; i++) {
        struct consensus_voter voter = {.node_id = members[i].node_id};
        if (consensus_describe(d->c->consensus, &voter) != OK)
            continue;
        /* Who was heard last under that id may be another disk that wants to join: the member is the known
         * one. */
        struct uuid known = !uuid_is_zero(members[i].directory_id)
                                ? members[i].directory_id
                                : storage_peer_directory(d->c->storage, voter.node_id);
        if (!uuid_is_zero(known))
            voter.directory_id = known;
        if (members[i].voter)
            out->current_voters[out->current_voters_count++] = state_of(d, &voter);
        else
            out->observers[out->observers_count++] = state_of(d, &voter);
    }
}

static bool is_member(const struct describing *d, int32_t node_id)
{
    int count;
    const struct consensus_member *members = consensus_members(d->c->consensus, &count);
    for (int i = 0; i < count; i++) {
        if (members[i].node_id == node_id)
            return true;
    }
    return false;
}

/* Controllers that are here and wait to be added: observers that have nothing yet. */
static void add_guests(struct describing *d, struct kafka_describe_quorum_response_partition *out)
{
    uint32_t pos = 0, added = 0;
    uint64_t id;
    void *value;
    while (!d->failed && added < OBSERVERS_MAX && map_next(&d->c->sessions, &pos, &id, &value)) {
        const struct session *session = value;
        if (!session->introduced || is_member(d, session->guest.node_id))
            continue;
        out->observers[out->observers_count++] = (struct kafka_describe_quorum_response_replica_state){
            .replica_id = session->guest.node_id,
            .replica_directory_id = session->guest.directory_id,
            .last_fetch_timestamp = date_ms(d->c, env_now_us(d->c->env)),
            .last_caught_up_timestamp = -1};
        added++;
    }
}

static void fill_partition(struct describing *d, int32_t index,
                           struct kafka_describe_quorum_response_partition *out)
{
    kafka_describe_quorum_response_partition_init(out);
    out->partition_index = index;
    if (index != 0) {
        out->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
        return;
    }
    out->leader_id = d->status.leader;
    out->leader_epoch = (int32_t)d->status.term;
    out->high_watermark = (int64_t)d->status.commit_index;
    add_members(d, out);
    add_guests(d, out);
}

static void fill_topic(struct describing *d, const struct kafka_describe_quorum_request_topic *wanted,
                       struct kafka_describe_quorum_response_topic *out)
{
    bool known = str_eq_z(wanted->topic_name, METADATA_TOPIC);
    kafka_describe_quorum_response_topic_init(out);
    out->topic_name = wanted->topic_name;
    out->partitions = get(d, (size_t)MAX(wanted->partitions_count, 0), sizeof(*out->partitions));
    for (int32_t i = 0; out->partitions && i < wanted->partitions_count; i++)
        fill_partition(d, known ? wanted->partitions[i].partition_index : -1,
                       &out->partitions[out->partitions_count++]);
}

static void fill_nodes(struct describing *d, struct kafka_describe_quorum_response *out)
{
    struct controller *c = d->c;
    int32_t count = 0;
    out->nodes = get(d, (size_t)c->peers_count + 1, sizeof(*out->nodes));
    for (int32_t i = -1; out->nodes && i < c->peers_count; i++) {
        int32_t node_id = i < 0 ? c->options.node_id : c->peers[i]->node_id;
        const struct env_addr *addr = peers_address(c, node_id);
        struct kafka_describe_quorum_response_node *node = &out->nodes[count++];
        kafka_describe_quorum_response_node_init(node);
        node->node_id = node_id;
        node->listeners = get(d, 1, sizeof(*node->listeners));
        if (!node->listeners)
            return;
        node->listeners_count = 1;
        node->listeners[0] = (struct kafka_describe_quorum_response_listener){
            .name = STR_LIT("CONTROLLER"), .host = str_from(addr->host), .port = addr->port};
    }
    out->nodes_count = count;
}

static void reply(struct controller *c, struct session *session, uint32_t correlation, int16_t version,
                  const struct kafka_describe_quorum_response *response)
{
    struct writer w, body;
    struct rpc_admin_reply out = {.leader_id = consensus_status(c->consensus).leader, .index = 0};
    requests_init_writer(c, &w);
    writer_init(&body, w.pool, 1024, REPLY_BYTES_MAX);
    kafka_describe_quorum_response_encode(&body, version, response);
    if (body.err != OK)
        out.error = KAFKA_UNKNOWN_SERVER_ERROR;
    else
        out.body = (struct bytes){body.buf->data, (int32_t)body.buf->len};
    rpc_admin_reply_encode(&w, &out);
    writer_free(&body);
    requests_reply(session->conn, CLUSTER_RPC_ADMIN, correlation, &w);
}

void describe_quorum(struct controller *c, struct session *session, uint32_t correlation, int16_t version,
                     struct arena *arena, const void *message)
{
    const struct kafka_describe_quorum_request *request = message;
    struct describing d = {.c = c, .arena = arena, .status = consensus_status(c->consensus)};
    struct kafka_describe_quorum_response response;
    kafka_describe_quorum_response_init(&response);
    response.topics = get(&d, (size_t)MAX(request->topics_count, 0), sizeof(*response.topics));
    for (int32_t i = 0; response.topics && i < request->topics_count; i++)
        fill_topic(&d, &request->topics[i], &response.topics[response.topics_count++]);
    fill_nodes(&d, &response);
    if (d.failed)
        requests_refuse(c, session->conn, CLUSTER_RPC_ADMIN, correlation, KAFKA_UNKNOWN_SERVER_ERROR);
    else
        reply(c, session, correlation, version, &response);
}
