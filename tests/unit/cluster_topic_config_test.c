/* SPDX-License-Identifier: Apache-2.0 */
/* The table of topic configs: it is sorted, its defaults are valid, values are accepted and refused by type
 * and range, and effective values come from the right place. */
#include "tests/lib/unit.h"

#include "common/base/assert.h"
#include "proto/cluster/topic_config.h"

START_TEST(the_table_is_sorted_and_its_defaults_are_valid)
{
    for (size_t i = 0; i < topic_configs_count; i++) {
        const struct topic_config *config = &topic_configs[i];
        if (i > 0)
            ck_assert_int_lt(str_cmp(str_from(topic_configs[i - 1].name), str_from(config->name)), 0);
        ck_assert_ptr_eq(topic_config_find(str_from(config->name)), config);
        const char *refusal = topic_config_refusal(config, str_from(config->default_value));
        ck_assert_msg(refusal == NULL, "%s: %s", config->name, refusal);
        if (config->broker_name)
            ck_assert_ptr_eq(topic_config_by_broker_name(str_from(config->broker_name)), config);
    }
    ck_assert_ptr_null(topic_config_find(STR_LIT("message.format.version")));
    ck_assert_ptr_null(topic_config_by_broker_name(STR_LIT("num.io.threads")));
}
END_TEST

static const struct {
    const char *name, *value;
    bool valid;
} values[] = {
    {"retention.ms", "-1", true},
    {"retention.ms", "-2", false},
    {"retention.ms", " 5 ", true},
    {"retention.ms", "9223372036854775807", true},
    {"retention.ms", "9223372036854775808", false},
    {"retention.ms", "", false},
    {"retention.ms", "1h", false},
    {"retention.ms", "0x10", false},
    {"retention.messages", "100", true},
    {"segment.bytes", "2147483647", true},
    {"segment.bytes", "2147483648", false},
    {"segment.bytes", "13", false},
    {"flush.messages", "0", false},
    {"min.insync.replicas", "0", false},
    {"min.insync.replicas", "2", true},
    {"cleanup.policy", "compact,delete", true},
    {"cleanup.policy", "compact, delete", true},
    {"cleanup.policy", "", true},
    {"cleanup.policy", "compress", false},
    {"compression.type", "zstd", true},
    {"compression.type", "zip", false},
    {"compression.type", "", false},
    {"preallocate", "TRUE", true},
    {"preallocate", "yes", false},
    {"min.cleanable.dirty.ratio", "0.75", true},
    {"min.cleanable.dirty.ratio", "5e-1", true},
    {"min.cleanable.dirty.ratio", "1.1", false},
    {"min.cleanable.dirty.ratio", ".", false},
    {"min.cleanable.dirty.ratio", "-0.1", false},
    {"message.timestamp.type", "LogAppendTime", true},
    {"message.timestamp.type", "logappendtime", false},
};

START_TEST(values_are_judged_by_type_and_range)
{
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        const struct topic_config *config = topic_config_find(str_from(values[i].name));
        bool valid = topic_config_refusal(config, str_from(values[i].value)) == NULL;
        ck_assert_msg(valid == values[i].valid, "%s=%s", values[i].name, values[i].value);
    }
}
END_TEST

static struct image *with_config(struct image *base, int8_t type, const char *resource, const char *key,
                                 const char *value)
{
    struct image_edit *edit = image_edit_begin(base);
    struct meta_record record = {.type = META_CONFIG,
                                 .config = {type, str_from(resource), str_from(key), str_from(value)}};
    ck_assert_int_eq(image_edit_apply(edit, &record), OK);
    image_unref(base);
    return image_edit_commit(edit, 1, 1);
}

START_TEST(effective_values_come_from_topic_then_cluster_then_default)
{
    int8_t source;
    struct str topic = STR_LIT("t");
    struct image *image = image_new();
    ck_assert(str_eq_z(topic_config_effective(image, topic, "retention.ms", &source), "604800000"));
    ck_assert_int_eq(source, CONFIG_DEFAULT);
    image = with_config(image, CONFIG_RESOURCE_BROKER, "", "log.retention.ms", "1000");
    ck_assert_int_eq(topic_config_int(image, topic, "retention.ms"), 1000);
    topic_config_effective(image, topic, "retention.ms", &source);
    ck_assert_int_eq(source, CONFIG_DYNAMIC_DEFAULT_BROKER);
    image = with_config(image, CONFIG_RESOURCE_TOPIC, "t", "retention.ms", "7");
    ck_assert_int_eq(topic_config_int(image, topic, "retention.ms"), 7);
    topic_config_effective(image, topic, "retention.ms", &source);
    ck_assert_int_eq(source, CONFIG_DYNAMIC_TOPIC);
    ck_assert_int_eq(topic_config_int(image, STR_LIT("other"), "retention.ms"), 1000);
    image = with_config(image, CONFIG_RESOURCE_TOPIC, "t", "unclean.leader.election.enable", "true");
    ck_assert(topic_config_bool(image, topic, "unclean.leader.election.enable"));
    ck_assert(!topic_config_bool(image, STR_LIT("other"), "unclean.leader.election.enable"));
    image_unref(image);
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, the_table_is_sorted_and_its_defaults_are_valid);
    tcase_add_test(tc, values_are_judged_by_type_and_range);
    tcase_add_test(tc, effective_values_come_from_topic_then_cluster_then_default);
}

SLUICE_TEST_MAIN("cluster_topic_config", add)
