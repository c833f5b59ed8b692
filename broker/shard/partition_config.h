/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_BROKER_SHARD_PARTITION_CONFIG_H
#define SLUICE_BROKER_SHARD_PARTITION_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

/* Topic settings that matter to a partition, resolved from the image by the shard (topic, then broker
 * default, then built-in). */
struct partition_config {
    int32_t min_insync_replicas;
    int32_t max_message_bytes;
    int64_t segment_bytes;
    int64_t segment_ms, segment_jitter_ms; /* 0: no limit */
    int32_t segment_index_bytes, index_interval_bytes;
    int64_t retention_ms, retention_bytes; /* -1: unlimited */
    int64_t retention_messages;            /* newest offsets kept; -1: unlimited */
    int64_t file_delete_delay_ms;
    int64_t min_compaction_lag_ms, max_compaction_lag_ms, delete_retention_ms;
    double min_cleanable_dirty_ratio;
    /* Unless sync_before_ack: records that may wait for a sync, and for how long; 0: no limit. */
    int64_t flush_messages, flush_ms;
    bool deletes;         /* cleanup.policy has delete */
    bool sync_before_ack; /* flush.messages == 1 */
    bool log_append_time;
    bool compacted;
    bool recompress; /* compression.type is not `producer`: batches are stored with codec */
    uint8_t codec;   /* enum codec */
    int32_t codec_level;
    int64_t timestamp_before_max_ms, timestamp_after_max_ms;
};

#endif
