/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/metadata/topic_settings.h"

#include <stdlib.h>

#include "broker/handlers/topic_lookup.h"
#include "common/base/assert.h"
#include "common/compress/compress.h"
#include "proto/cluster/topic_config.h"

#define RESOURCE_TOPIC  2
#define RESOURCE_BROKER 4
#define NUMBER_TEXT_MAX 32

/* The text set for the topic, for this broker, or for the whole cluster; null when none is. */
static struct str setting_text(const struct image *image, int32_t broker_id, struct str topic,
                               const char *topic_key, const char *broker_key)
{
    struct str text = image_config(image, RESOURCE_TOPIC, topic, str_from(topic_key));
    char id[12];

    if (text.len < 0)
        text = image_config(image, RESOURCE_BROKER, broker_config_name(broker_id, id), str_from(broker_key));
    return text.len >= 0 ? text : image_config(image, RESOURCE_BROKER, STR_LIT(""), str_from(broker_key));
}

static int64_t setting_i64(const struct image *image, int32_t broker_id, struct str topic,
                           const char *topic_key, const char *broker_key, int64_t otherwise)
{
    struct str text = setting_text(image, broker_id, topic, topic_key, broker_key);
    char digits[NUMBER_TEXT_MAX], *end;

    if (text.len <= 0 || text.len >= NUMBER_TEXT_MAX)
        return otherwise;
    str_copy(text, digits, sizeof(digits));
    long long value = strtoll(digits, &end, 10);
    return *end == '\0' ? value : otherwise;
}

static double setting_double(const struct image *image, int32_t broker_id, struct str topic,
                             const char *topic_key, const char *broker_key, double otherwise)
{
    double value = otherwise;
    struct str text = setting_text(image, broker_id, topic, topic_key, broker_key);

    return text.len > 0 && config_parse_double(text, &value) ? value : otherwise;
}

/* Whether a comma-separated list holds the word. */
static bool list_has(struct str list, struct str word)
{
    int32_t start = 0;

    for (int32_t i = 0; i <= list.len; i++) {
        if (i < list.len && list.p[i] != ',')
            continue;
        struct str item = {list.p + start, i - start};
        while (item.len > 0 && item.p[0] == ' ')
            item = (struct str){item.p + 1, item.len - 1};
        if (str_eq(item, word))
            return true;
        start = i + 1;
    }
    return false;
}

/* compression.type and the level that belongs to it. */
static void resolve_codec(const struct image *image, const struct broker_config *config, struct str topic,
                          struct partition_config *ret)
{
    static const struct {
        enum codec codec;
        const char *setting;
        int64_t fallback;
    } levels[] = {{CODEC_GZIP, "compression.gzip.level", -1},
                  {CODEC_LZ4, "compression.lz4.level", 9},
                  {CODEC_ZSTD, "compression.zstd.level", 3}};
    struct str type = setting_text(image, config->node_id, topic, "compression.type", "compression.type");
    enum codec codec = CODEC_NONE;
    ret->recompress = str_eq_z(type, "uncompressed") || codec_from_name(type, &codec) == OK;
    ret->codec = (uint8_t)codec;
    ret->codec_level = COMPRESS_LEVEL_DEFAULT;
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        if (levels[i].codec != codec)
            continue;
        int64_t level = setting_i64(image, config->node_id, topic, levels[i].setting, levels[i].setting,
                                    levels[i].fallback);
        ret->codec_level = codec == CODEC_GZIP && level == -1 ? COMPRESS_LEVEL_DEFAULT : (int32_t)level;
    }
}

void topic_settings_resolve(const struct image *image, const struct broker_config *config, struct str topic,
                            struct partition_config *ret)
{
    struct str cleanup = setting_text(image, config->node_id, topic, "cleanup.policy", "log.cleanup.policy");
    struct str time_type =
        setting_text(image, config->node_id, topic, "message.timestamp.type", "log.message.timestamp.type");

    int64_t flush_messages = setting_i64(image, config->node_id, topic, "flush.messages",
                                         "log.flush.interval.messages", config->log_flush_interval_messages);
    bool compacts = cleanup.len > 0 && list_has(cleanup, STR_LIT("compact"));
    *ret = (struct partition_config){
        .min_insync_replicas = (int32_t)setting_i64(image, config->node_id, topic, "min.insync.replicas",
                                                    "min.insync.replicas", config->min_insync_replicas),
        .max_message_bytes = (int32_t)setting_i64(image, config->node_id, topic, "max.message.bytes",
                                                  "message.max.bytes", config->message_max_bytes),
        .segment_bytes = setting_i64(image, config->node_id, topic, "segment.bytes", "log.segment.bytes",
                                     config->log_segment_bytes),
        .retention_ms = setting_i64(image, config->node_id, topic, "retention.ms", "log.retention.ms",
                                    config->log_retention_ms),
        .retention_bytes = setting_i64(image, config->node_id, topic, "retention.bytes",
                                       "log.retention.bytes", config->log_retention_bytes),
        .sync_before_ack = topic_is_internal(topic) || flush_messages == 1,
        .flush_messages = flush_messages,
        .flush_ms = MAX(setting_i64(image, config->node_id, topic, "flush.ms", "log.flush.interval.ms",
                                    config->log_flush_interval_ms),
                        1), /* 0: at once, which is a timer, too */
        .log_append_time = str_eq_z(time_type, "LogAppendTime"),
        .compacted = compacts,
        .deletes = cleanup.len < 0 || list_has(cleanup, STR_LIT("delete")),
        .segment_ms = setting_i64(image, config->node_id, topic, "segment.ms", "log.roll.ms", 604800000),
        .segment_jitter_ms =
            setting_i64(image, config->node_id, topic, "segment.jitter.ms", "log.roll.jitter.ms", 0),
        .segment_index_bytes = (int32_t)setting_i64(image, config->node_id, topic, "segment.index.bytes",
                                                    "log.index.size.max.bytes", 10485760),
        .index_interval_bytes = (int32_t)setting_i64(image, config->node_id, topic, "index.interval.bytes",
                                                     "log.index.interval.bytes", 4096),
        .retention_messages =
            setting_i64(image, config->node_id, topic, "retention.messages", "log.retention.messages", -1),
        .file_delete_delay_ms = setting_i64(image, config->node_id, topic, "file.delete.delay.ms",
                                            "log.segment.delete.delay.ms", 60000),
        .min_compaction_lag_ms = setting_i64(image, config->node_id, topic, "min.compaction.lag.ms",
                                             "log.cleaner.min.compaction.lag.ms", 0),
        .max_compaction_lag_ms = setting_i64(image, config->node_id, topic, "max.compaction.lag.ms",
                                             "log.cleaner.max.compaction.lag.ms", INT64_MAX),
        .delete_retention_ms = setting_i64(image, config->node_id, topic, "delete.retention.ms",
                                           "log.cleaner.delete.retention.ms", 86400000),
        .min_cleanable_dirty_ratio =
            setting_double(image, config->node_id, topic, "min.cleanable.dirty.ratio",
                           "log.cleaner.min.cleanable.ratio", 0.5),
        .timestamp_before_max_ms =
            setting_i64(image, config->node_id, topic, "message.timestamp.before.max.ms",
                        "log.message.timestamp.before.max.ms", INT64_MAX),
        .timestamp_after_max_ms = setting_i64(image, config->node_id, topic, "message.timestamp.after.max.ms",
                                              "log.message.timestamp.after.max.ms", 3600000),
    };
    resolve_codec(image, config, topic, ret);
}
