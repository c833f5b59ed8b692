/* SPDX-License-Identifier: Apache-2.0 */
/* What a follower asks its leader: one fetch that reads, and beside it reports of durable offsets, which read
 * nothing and are taken note of at once. */
#include "broker/config.h"
#include "broker/shard/fetcher_link.h"
#include "common/base/assert.h"
#include "proto/kafka/api.h"
#include "proto/kafka/messages.h"

#define FETCH_VERSION     17
#define SCARCE_BYTES      (64 * 1024) /* asked for while the memory budget is used up */
#define REQUEST_CAP_BYTES (32u * 1024 * 1024)

/* A fetch being put together: partitions of one topic stand in a row when they come in a row. */
struct draft {
    struct leader_link *link;
    bool report;
    struct kafka_fetch_request request;
    struct kafka_fetch_request_topic *topics; /* room for one per partition */
    struct kafka_fetch_request_partition *partitions;
    int32_t partitions_count;
};

static int64_t broker_epoch(const struct shard *shard)
{
    const struct image_broker *self = image_broker(shard->image, shard->broker->broker_id);

    return self ? self->epoch : -1;
}

static void draft_add(struct draft *draft, struct follow *follow, const struct partition_fetch_state *state)
{
    struct kafka_fetch_request *request = &draft->request;
    struct uuid topic_id = partition_topic_id(follow->partition);
    struct kafka_fetch_request_partition *in = &draft->partitions[draft->partitions_count++];
    struct kafka_fetch_request_topic *topic =
        request->topics_count > 0 ? &draft->topics[request->topics_count - 1] : NULL;

    if (!topic || !uuid_eq(topic->topic_id, topic_id)) {
        topic = &draft->topics[request->topics_count++];
        topic->topic_id = topic_id;
        topic->partitions = in;
    }
    topic->partitions_count++;
    kafka_fetch_request_partition_init(in);
    in->partition = partition_index(follow->partition);
    in->current_leader_epoch = state->leader_epoch;
    in->fetch_offset = state->fetch_offset;
    in->last_fetched_epoch = state->last_fetched_epoch;
    in->log_start_offset = state->log_start;
    in->durable_offset = state->durable_offset;
    in->partition_max_bytes =
        draft->report ? 0 : draft->link->fetchers->shard->broker->config->replica_fetch_max_bytes;
    follow->told_durable = state->durable_offset;
    if (!draft->report) {
        follow->reading = true;
        follow->reading_epoch = state->leader_epoch;
    }
}

/* Whether this partition goes into the draft. A read takes all that may be read; a report those whose durable
 * offset the leader does not know yet. */
static bool wanted(const struct draft *draft, const struct follow *follow,
                   const struct partition_fetch_state *state)
{
    return !draft->report || (follow->reading && state->leader_epoch == follow->reading_epoch &&
                              state->durable_offset > follow->told_durable);
}

static uint32_t count_of(const struct list *list)
{
    uint32_t count = 0;

    list_for_each (it, list)
        count++;
    return count;
}

/* Until when a throttled replica reads nothing, 0: it may. */
static uint64_t held_until(const struct draft *draft, const struct follow *follow, uint64_t now)
{
    const struct shard *shard = draft->link->fetchers->shard;
    uint64_t until = draft->report ? 0 : throttle_wait_until(&shard->broker->replication_in, now);
    if (until != 0 && follow_is_throttled(shard, follow))
        return until;
    return 0;
}

/* Puts the partition into the draft if it belongs there. What has to wait is looked at again when its time
 * has come; what the fetch on the wire lacks goes into the next one that reads. */
static void consider(struct draft *draft, struct follow *follow, uint64_t now, uint64_t *retry_at)
{
    struct partition_fetch_state state;

    list_remove(&follow->moved);
    if (!partition_fetch_state(follow->partition, &state))
        return; /* fetchers_changed() comes when it follows again */
    follow->retry_at_us = MAX(follow->retry_at_us, held_until(draft, follow, now));
    if (follow->retry_at_us > now) {
        *retry_at = MIN(*retry_at, follow->retry_at_us);
        follow_touch(follow);
        return;
    }
    if (wanted(draft, follow, &state))
        draft_add(draft, follow, &state);
    draft->link->left_out |= draft->report && !follow->reading;
}

/* False: memory is out. */
static bool draft_fill(struct draft *draft)
{
    struct leader_link *link = draft->link;
    struct env *env = link->fetchers->shard->env;
    uint64_t now = env_now_us(env), retry_at = UINT64_MAX;
    uint32_t count = count_of(draft->report ? &link->moved : &link->follows);
    struct list moved;

    arena_reset(&link->arena);
    kafka_fetch_request_init(&draft->request);
    draft->topics = arena_calloc(&link->arena, count, sizeof(*draft->topics));
    draft->partitions = arena_calloc(&link->arena, count, sizeof(*draft->partitions));
    if (!draft->topics || !draft->partitions)
        return false;
    draft->request.topics = draft->topics;
    list_init(&moved);
    list_splice_back(&moved, &link->moved); /* those that wait go back */
    if (!draft->report)
        list_for_each (it, &link->follows)
            consider(draft, CONTAINER_OF(it, struct follow, link), now, &retry_at);
    while (!list_empty(&moved)) /* a report looks at nothing else */
        consider(draft, CONTAINER_OF(moved.next, struct follow, moved), now, &retry_at);
    if (retry_at != UINT64_MAX)
        env_timer_set(env, &link->retry, retry_at);
    return true;
}

static void draft_send(struct draft *draft)
{
    struct leader_link *link = draft->link;
    struct shard *shard = link->fetchers->shard;
    const struct broker_config *config = shard->broker->config;
    struct kafka_request_header header = {.api_key = KAFKA_API_FETCH,
                                          .api_version = FETCH_VERSION,
                                          .correlation_id = link->next_correlation++,
                                          .client_id = STR_LIT("replica-fetcher")};

    draft->request.replica_state.replica_id = shard->broker->broker_id;
    draft->request.replica_state.replica_epoch = broker_epoch(shard);
    draft->request.max_wait_ms = draft->report ? 0 : config->replica_fetch_wait_max_ms;
    draft->request.min_bytes = draft->report ? 0 : 1;
    draft->request.max_bytes = draft->report  ? 0
                               : link->scarce ? MIN(SCARCE_BYTES, config->replica_fetch_response_max_bytes)
                                              : config->replica_fetch_response_max_bytes;
    writer_reset(&link->out, shard->env->pool, 1024, REQUEST_CAP_BYTES);
    writer_i32(&link->out, 0);
    kafka_request_header_encode(&link->out, kafka_request_header_version(KAFKA_API_FETCH, FETCH_VERSION),
                                &header);
    kafka_fetch_request_encode(&link->out, FETCH_VERSION, &draft->request);
    if (link->out.err != OK) {
        env_conn_close(link->conn);
        return;
    }
    writer_patch_i32(&link->out, 0, (int32_t)(writer_pos(&link->out) - 4));
    env_conn_write(link->conn, link->out.buf, 0, writer_pos(&link->out));
    writer_clear(&link->out);
    uint32_t slot = (link->inflight_first + link->inflight_count++) % LINK_INFLIGHT_MAX;
    link->inflight[slot] =
        (struct inflight){.correlation_id = header.correlation_id, .report = draft->report};
    link->reading |= !draft->report;
    if (link->inflight_count == 1)
        link_await_answer(link);
}

void link_send(struct leader_link *link)
{
    struct draft draft = {.link = link, .report = link->reading};

    if (link->inflight_count == LINK_INFLIGHT_MAX)
        return; /* the next reply looks again */
    if (!draft_fill(&draft)) {
        env_conn_close(link->conn);
        return;
    }
    if (draft.partitions_count > 0)
        draft_send(&draft);
    if (link->left_out && !link->hurried && link->inflight_count < LINK_INFLIGHT_MAX) {
        struct draft hurry = {.link = link, .report = true};
        kafka_fetch_request_init(&hurry.request);
        link->hurried = true;
        draft_send(&hurry);
    }
}
