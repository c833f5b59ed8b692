/* SPDX-License-Identifier: Apache-2.0 */
#include "proto/cluster/topic_config.h"

#include <string.h>

#include "common/base/assert.h"

#define I32 INT32_MAX
#define I64 INT64_MAX

/* clang-format off */
const struct topic_config topic_configs[] = {
    {"cleanup.policy", CONFIG_LIST, "delete", "log.cleanup.policy", 0, 0, "delete,compact",
     "What happens to old records: delete by time, size or count; compact to the last value of each key; or both."},
    {"compression.gzip.level", CONFIG_INT, "-1", "compression.gzip.level", -1, 9, NULL,
     "Level when the broker compresses with gzip; -1 is the library's default."},
    {"compression.lz4.level", CONFIG_INT, "9", "compression.lz4.level", 1, 17, NULL,
     "Level when the broker compresses with lz4."},
    {"compression.type", CONFIG_STRING, "producer", "compression.type", 0, 0, "uncompressed,zstd,lz4,snappy,gzip,producer",
     "Codec on disk; producer keeps what the producer sent."},
    {"compression.zstd.level", CONFIG_INT, "3", "compression.zstd.level", -131072, 22, NULL,
     "Level when the broker compresses with zstd."},
    {"delete.retention.ms", CONFIG_LONG, "86400000", "log.cleaner.delete.retention.ms", 0, I64, NULL,
     "How long a tombstone stays readable in a compacted topic."},
    {"file.delete.delay.ms", CONFIG_LONG, "60000", "log.segment.delete.delay.ms", 0, I64, NULL,
     "Time between taking a segment out of the log and unlinking its files."},
    {"flush.messages", CONFIG_LONG, "1", "log.flush.interval.messages", 1, I64, NULL,
     "1: records are synced to disk before they are acknowledged. Any other value: acknowledgment follows the append, and a sync begins when so many records wait for one."},
    {"flush.ms", CONFIG_LONG, "9223372036854775807", "log.flush.interval.ms", 0, I64, NULL,
     "Longest time that an appended record waits for a sync to begin, where flush.messages is not 1."},
    {"follower.replication.throttled.replicas", CONFIG_LIST, "", NULL, 0, 0, NULL,
     "Replicas whose incoming replication is throttled: partition:broker pairs, or *."},
    {"index.interval.bytes", CONFIG_INT, "4096", "log.index.interval.bytes", 0, I32, NULL,
     "Bytes of log between two entries of the offset index."},
    {"leader.replication.throttled.replicas", CONFIG_LIST, "", NULL, 0, 0, NULL,
     "Replicas whose outgoing replication is throttled: partition:broker pairs, or *."},
    {"local.retention.bytes", CONFIG_LONG, "-2", "log.local.retention.bytes", -2, I64, NULL,
     "Bytes kept on local disk when a remote tier is used; -2 is retention.bytes."},
    {"local.retention.ms", CONFIG_LONG, "-2", "log.local.retention.ms", -2, I64, NULL,
     "Time kept on local disk when a remote tier is used; -2 is retention.ms."},
    {"max.compaction.lag.ms", CONFIG_LONG, "9223372036854775807", "log.cleaner.max.compaction.lag.ms", 1, I64, NULL,
     "Longest time a record may stay without being considered for compaction."},
    {"max.message.bytes", CONFIG_INT, "1048588", "message.max.bytes", 0, I32, NULL,
     "Largest record batch accepted, after compression."},
    {"message.timestamp.after.max.ms", CONFIG_LONG, "3600000", "log.message.timestamp.after.max.ms", 0, I64, NULL,
     "How far a record's timestamp may lie in the broker's future."},
    {"message.timestamp.before.max.ms", CONFIG_LONG, "9223372036854775807", "log.message.timestamp.before.max.ms", 0, I64, NULL,
     "How far a record's timestamp may lie in the broker's past."},
    {"message.timestamp.type", CONFIG_STRING, "CreateTime", "log.message.timestamp.type", 0, 0, "CreateTime,LogAppendTime",
     "Whether a record's timestamp is the producer's or that of the append."},
    {"min.cleanable.dirty.ratio", CONFIG_DOUBLE, "0.5", "log.cleaner.min.cleanable.ratio", 0, 1, NULL,
     "Share of a log that must be uncompacted before compaction starts."},
    {"min.compaction.lag.ms", CONFIG_LONG, "0", "log.cleaner.min.compaction.lag.ms", 0, I64, NULL,
     "Least time a record stays uncompacted."},
    {"min.insync.replicas", CONFIG_INT, "1", "min.insync.replicas", 1, I32, NULL,
     "In-sync replicas that must exist for a write with acks=all, and for the high watermark to advance."},
    {"preallocate", CONFIG_BOOLEAN, "false", "log.preallocate", 0, 0, NULL,
     "Whether a new segment's file is allocated at its full size."},
    {"remote.log.copy.disable", CONFIG_BOOLEAN, "false", NULL, 0, 0, NULL,
     "Stops copying to the remote tier."},
    {"remote.log.delete.on.disable", CONFIG_BOOLEAN, "false", NULL, 0, 0, NULL,
     "Deletes remote data when the remote tier is switched off for the topic."},
    {"remote.storage.enable", CONFIG_BOOLEAN, "false", NULL, 0, 0, NULL,
     "Keeps old segments in a remote tier."},
    {"retention.bytes", CONFIG_LONG, "-1", "log.retention.bytes", -1, I64, NULL,
     "Size of a partition above which old segments are deleted; -1 no limit."},
    {"retention.messages", CONFIG_LONG, "-1", "log.retention.messages", -1, I64, NULL,
     "Newest offsets of a partition that are kept; -1 no limit. Not in Kafka."},
    {"retention.ms", CONFIG_LONG, "604800000", "log.retention.ms", -1, I64, NULL,
     "Age above which records are deleted; -1 no limit."},
    {"segment.bytes", CONFIG_INT, "1073741824", "log.segment.bytes", 14, I32, NULL,
     "Size at which a segment is closed and a new one started."},
    {"segment.index.bytes", CONFIG_INT, "10485760", "log.index.size.max.bytes", 4, I32, NULL,
     "Size of the offset index at which a segment is closed."},
    {"segment.jitter.ms", CONFIG_LONG, "0", "log.roll.jitter.ms", 0, I64, NULL,
     "Most that is randomly taken off segment.ms, so that segments do not all roll at once."},
    {"segment.ms", CONFIG_LONG, "604800000", "log.roll.ms", 1, I64, NULL,
     "Age at which a segment is closed."},
    {"unclean.leader.election.enable", CONFIG_BOOLEAN, "false", "unclean.leader.election.enable", 0, 0, NULL,
     "Whether a replica that may lack acknowledged records may lead when no other can."},
};
/* clang-format on */
const size_t topic_configs_count = ARRAY_LEN(topic_configs);

const struct topic_config *topic_config_find(struct str name)
{
    size_t low = 0, high = ARRAY_LEN(topic_configs);
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = str_cmp(str_from(topic_configs[mid].name), name);
        if (order == 0)
            return &topic_configs[mid];
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const struct topic_config *topic_config_by_broker_name(struct str broker_name)
{
    for (size_t i = 0; i < ARRAY_LEN(topic_configs); i++) {
        const char *name = topic_configs[i].broker_name;
        if (name && str_eq_z(broker_name, name))
            return &topic_configs[i];
    }
    return NULL;
}

/* --- parsing --- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static struct str trim(struct str s)
{
    while (s.len > 0 && is_blank(s.p[0])) {
        s.p++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.p[s.len - 1]))
        s.len--;
    return s;
}

/* The digits at the front of *s as a negative number (its range holds INT64_MIN). */
static bool take_digits(struct str *s, int64_t *ret_negative)
{
    int64_t value = 0;
    int32_t count = 0;
    for (; count < s->len && s->p[count] >= '0' && s->p[count] <= '9'; count++) {
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, s->p[count] - '0', &value))
            return false;
    }
    s->p += count;
    s->len -= count;
    *ret_negative = value;
    return count > 0;
}

static bool take_sign(struct str *s)
{
    bool negative = s->len > 0 && s->p[0] == '-';
    if (s->len > 0 && (s->p[0] == '-' || s->p[0] == '+')) {
        s->p++;
        s->len--;
    }
    return negative;
}

bool config_parse_int(struct str text, int64_t *ret_value)
{
    struct str s = trim(text);
    bool negative = take_sign(&s);
    int64_t value;
    if (!take_digits(&s, &value) || s.len > 0 || (!negative && value == INT64_MIN))
        return false;
    *ret_value = negative ? value : -value;
    return true;
}

static bool equals_ignoring_case(struct str s, const char *lower)
{
    size_t len = strlen(lower);
    if (s.len < 0 || (size_t)s.len != len)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] - 'A' + 'a') : s.p[i];
        if (c != lower[i])
            return false;
    }
    return true;
}

bool config_parse_bool(struct str text, bool *ret_value)
{
    struct str s = trim(text);
    bool yes = equals_ignoring_case(s, "true");
    if (!yes && !equals_ignoring_case(s, "false"))
        return false;
    *ret_value = yes;
    return true;
}

/* "e-3" and the like at the end of a double. */
static bool take_exponent(struct str *s, double *value)
{
    if (s->len == 0)
        return true;
    if (s->p[0] != 'e' && s->p[0] != 'E')
        return false;
    s->p++;
    s->len--;
    bool negative = take_sign(s);
    int64_t exponent;
    if (!take_digits(s, &exponent) || s->len > 0 || exponent < -300)
        return false;
    for (; exponent < 0; exponent++)
        *value = negative ? *value / 10 : *value * 10;
    return true;
}

bool config_parse_double(struct str text, double *ret_value)
{
    struct str s = trim(text);
    bool negative = take_sign(&s), digits = false;
    double value = 0, unit = 1;
    for (bool point = false; s.len > 0 && ((s.p[0] >= '0' && s.p[0] <= '9') || (s.p[0] == '.' && !point));
         s.p++, s.len--) {
        if (s.p[0] == '.') {
            point = true;
            continue;
        }
        digits = true;
        unit = point ? unit / 10 : unit;
        value = point ? value + (s.p[0] - '0') * unit : value * 10 + (s.p[0] - '0');
    }
    if (!digits || !take_exponent(&s, &value))
        return false;
    *ret_value = negative ? -value : value;
    return true;
}

/* --- validation --- */

struct str config_next_item(struct str *list)
{
    int32_t len = 0;
    while (len < list->len && list->p[len] != ',')
        len++;
    struct str item = trim((struct str){list->p, len});
    int32_t used = len < list->len ? len + 1 : len;
    list->p += used;
    list->len -= used;
    return item;
}

static bool is_choice(const char *choices, struct str value)
{
    struct str list = str_from(choices);
    while (list.len > 0) {
        if (str_eq(config_next_item(&list), value))
            return true;
    }
    return false;
}

static const char *list_refusal(const struct topic_config *config, struct str value)
{
    while (config->choices && value.len > 0) {
        if (!is_choice(config->choices, config_next_item(&value)))
            return "an item of the list is not one of the allowed values";
    }
    return NULL;
}

static const char *number_refusal(const struct topic_config *config, struct str value)
{
    int64_t number;
    if (!config_parse_int(value, &number))
        return "not a number";
    if (config->type == CONFIG_INT && (number < INT32_MIN || number > INT32_MAX))
        return "not a number of 32 bits";
    return number < config->min ? "below the minimum" : number > config->max ? "above the maximum" : NULL;
}

static const char *double_refusal(struct str value)
{
    double number;
    if (!config_parse_double(value, &number))
        return "not a number";
    return number < 0 || number > 1 ? "must lie between 0 and 1" : NULL;
}

const char *topic_config_refusal(const struct topic_config *config, struct str value)
{
    bool ignored;
    ASSERT(value.len >= 0);
    value = trim(value);
    switch (config->type) {
    case CONFIG_BOOLEAN: return config_parse_bool(value, &ignored) ? NULL : "must be true or false";
    case CONFIG_STRING: return is_choice(config->choices, value) ? NULL : "not one of the allowed values";
    case CONFIG_DOUBLE: return double_refusal(value);
    case CONFIG_LIST: return list_refusal(config, value);
    default: return number_refusal(config, value);
    }
}

/* --- effective values --- */

struct str topic_config_effective(const struct image *image, struct str topic_name, const char *name,
                                  int8_t *ret_source)
{
    const struct topic_config *config = topic_config_find(str_from(name));
    ASSERT(config != NULL);
    int8_t source = CONFIG_DYNAMIC_TOPIC;
    struct str value = image_config(image, CONFIG_RESOURCE_TOPIC, topic_name, str_from(name));
    if (value.len < 0 && config->broker_name) {
        source = CONFIG_DYNAMIC_DEFAULT_BROKER;
        value = image_config(image, CONFIG_RESOURCE_BROKER, STR_LIT(""), str_from(config->broker_name));
    }
    if (value.len < 0) {
        source = CONFIG_DEFAULT;
        value = str_from(config->default_value);
    }
    if (ret_source)
        *ret_source = source;
    return value;
}

/* A stored value that does not parse (written by a newer version) counts as the default, which does. */
int64_t topic_config_int(const struct image *image, struct str topic_name, const char *name)
{
    int64_t value = 0;
    if (config_parse_int(topic_config_effective(image, topic_name, name, NULL), &value))
        return value;
    bool parsed = config_parse_int(str_from(topic_config_find(str_from(name))->default_value), &value);
    ASSERT(parsed);
    return value;
}

bool topic_config_bool(const struct image *image, struct str topic_name, const char *name)
{
    bool value = false;
    if (config_parse_bool(topic_config_effective(image, topic_name, name, NULL), &value))
        return value;
    bool parsed = config_parse_bool(str_from(topic_config_find(str_from(name))->default_value), &value);
    ASSERT(parsed);
    return value;
}

struct str broker_config_name(int32_t broker_id, char text[12])
{
    char *at = text + 11;
    *at = 0;
    do {
        *--at = (char)('0' + broker_id % 10);
        broker_id /= 10;
    } while (broker_id > 0);
    return (struct str){at, (int32_t)(text + 11 - at)};
}
