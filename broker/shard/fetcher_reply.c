/* SPDX-License-Identifier: Apache-2.0 */
/* What a leader answers: records to append, a divergence to cut back to, or a reason to wait. */
#include "broker/shard/fetcher_link.h"
#include "common/base/assert.h"
#include "common/obs/log.h"
#include "proto/kafka/api.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

#define FETCH_VERSION 17
#define WAIT_METADATA_US                                                                                     \
    20000                       /* leader and follower see different metadata: one of them is about to learn \
                                 */
#define WAIT_MANIFEST_US 5000   /* a recovery point is being lowered before the log is cut */
#define WAIT_FAILURE_US  100000 /* a damaged reply, a failing leader */

bool follow_is_throttled(const struct shard *shard, const struct follow *follow)
{
    int32_t self = shard->broker->broker_id;
    return throttle_holds(shard->image, image_topic_by_name(shard->image, partition_topic(follow->partition)),
                          THROTTLE_FOLLOWER_REPLICAS, partition_index(follow->partition), self, self);
}

static void take_records(struct follow *follow, const struct kafka_fetch_response_partition *in,
                         struct iobuf *owner)
{
    struct shard *shard = follow->to->fetchers->shard;
    enum err err =
        partition_follower_append(follow->partition, follow->reading_epoch, in->records.p,
                                  MAX(in->records.len, 0), owner, in->high_watermark, in->log_start_offset);

    if (atomic_load(&shard->broker->replication_in.rate) > 0 && follow_is_throttled(shard, follow))
        throttle_charge(&shard->broker->replication_in, env_now_us(shard->env), in->records.len);
    if (err == OK)
        return;
    LOG(shard->broker->log, WARN, "replica.append_failed",
        F_VIEW("topic", partition_topic(follow->partition)),
        F_I64("partition", partition_index(follow->partition)), F_ERR("error", err));
    follow_back_off(follow, WAIT_FAILURE_US);
}

static void take_partition(struct follow *follow, const struct kafka_fetch_response_partition *in,
                           struct iobuf *owner)
{
    struct partition *p = follow->partition;

    switch (in->error_code) {
    case KAFKA_NONE:
        if (in->diverging_epoch.end_offset < 0)
            take_records(follow, in, owner);
        else if (!partition_follower_diverged(p, follow->reading_epoch, in->diverging_epoch.epoch,
                                              in->diverging_epoch.end_offset))
            follow_back_off(follow, WAIT_MANIFEST_US);
        return;
    case KAFKA_OFFSET_OUT_OF_RANGE:
        /* Positions beyond the leader's end are answered as divergence: this one lies before its start. */
        if (!partition_follower_out_of_range(p, follow->reading_epoch, in->log_start_offset,
                                             MAX(in->high_watermark, in->log_start_offset)))
            follow_back_off(follow, WAIT_MANIFEST_US);
        return;
    case KAFKA_NOT_LEADER_OR_FOLLOWER:
    case KAFKA_FENCED_LEADER_EPOCH:
    case KAFKA_UNKNOWN_LEADER_EPOCH:
    case KAFKA_UNKNOWN_TOPIC_ID:
    case KAFKA_UNKNOWN_TOPIC_OR_PARTITION: follow_back_off(follow, WAIT_METADATA_US); return;
    default: follow_back_off(follow, WAIT_FAILURE_US); return;
    }
}

static struct follow *follow_of(struct leader_link *link, struct uuid topic_id, int32_t index)
{
    struct partition *p = shard_partition(link->fetchers->shard, topic_id, index);
    struct follow *follow = p ? fetchers_follow(link->fetchers, p) : NULL;

    return follow && follow->to == link ? follow : NULL;
}

static void take_reply(struct leader_link *link, const struct kafka_fetch_response *reply,
                       struct iobuf *owner)
{
    for (int32_t t = 0; t < reply->topics_count; t++) {
        const struct kafka_fetch_response_topic *topic = &reply->topics[t];
        for (int32_t i = 0; i < topic->partitions_count; i++) {
            const struct kafka_fetch_response_partition *in = &topic->partitions[i];
            struct follow *follow = follow_of(link, topic->topic_id, in->partition_index);
            if (follow && follow->reading)
                take_partition(follow, in, owner);
        }
    }
}

static void end_reading(struct leader_link *link)
{
    link->reading = false;
    link->left_out = link->hurried = false;
    list_for_each (it, &link->follows)
        CONTAINER_OF(it, struct follow, link)->reading = false;
}

/* A whole-fetch error: everybody waits a little. */
static void back_off_all(struct leader_link *link)
{
    list_for_each (it, &link->follows)
        follow_back_off(CONTAINER_OF(it, struct follow, link), WAIT_FAILURE_US);
}

bool link_reply(struct leader_link *link, const uint8_t *p, uint32_t len, struct iobuf *owner)
{
    struct reader r = reader_over(p, len);
    struct kafka_response_header header;
    struct kafka_fetch_response reply;
    struct inflight sent = link->inflight[link->inflight_first];

    arena_reset(&link->arena);
    if (link->inflight_count == 0 ||
        kafka_response_header_decode(&r, kafka_response_header_version(KAFKA_API_FETCH, FETCH_VERSION),
                                     &header) != OK ||
        header.correlation_id != sent.correlation_id ||
        kafka_fetch_response_decode(&r, &link->arena, FETCH_VERSION, &reply) != OK)
        return false;
    link->inflight_first = (link->inflight_first + 1) % LINK_INFLIGHT_MAX;
    link->inflight_count--;
    link_await_answer(link);
    if (reply.error_code != KAFKA_NONE)
        back_off_all(link);
    else if (!sent.report) /* to a report nothing is said */
        take_reply(link, &reply, owner);
    if (!sent.report)
        end_reading(link);
    link_send_soon(link);
    return true;
}
