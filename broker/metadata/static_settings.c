/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/metadata/static_settings.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/config/config.h"

#define NUMBER_TEXT_MAX 24

/* Kafka's ConfigDef types. */
enum { KAFKA_BOOLEAN = 1, KAFKA_STRING = 2, KAFKA_INT = 3, KAFKA_LONG = 5, KAFKA_LIST = 7 };

static int8_t kafka_type(const struct setting *setting)
{
    switch (setting->type) {
    case SETTING_TYPE_BOOL: return KAFKA_BOOLEAN;
    case SETTING_TYPE_INT:
    case SETTING_TYPE_SIZE:
    case SETTING_TYPE_DURATION_US:
    case SETTING_TYPE_DURATION_MS: return setting->size == sizeof(int64_t) ? KAFKA_LONG : KAFKA_INT;
    case SETTING_TYPE_LIST:
    case SETTING_TYPE_SERVERS:
    case SETTING_TYPE_NODES: return KAFKA_LIST;
    default: return KAFKA_STRING;
    }
}

static bool is_number(const struct setting *setting)
{
    int8_t type = kafka_type(setting);

    return type == KAFKA_INT || type == KAFKA_LONG;
}

static struct str number_text(const struct setting *setting, const void *field, struct arena *arena)
{
    char *text = arena_alloc(arena, NUMBER_TEXT_MAX);
    int64_t value = 0;
    int32_t narrow;

    if (!text)
        return STR_NULL;
    if (setting->size == sizeof(value)) {
        memcpy(&value, field, sizeof(value));
    } else {
        memcpy(&narrow, field, sizeof(narrow));
        value = narrow;
    }
    snprintf(text, NUMBER_TEXT_MAX, "%" PRId64, value);
    return str_from(text);
}

static struct str value_text(const struct broker_config *config, const struct config *loaded,
                             const struct setting *setting, struct arena *arena)
{
    const void *field = (const uint8_t *)config + setting->offset;
    const char *text = setting->default_text;

    if (setting->flags & SETTING_SENSITIVE)
        return STR_NULL;
    if (is_number(setting))
        return number_text(setting, field, arena);
    if (setting->type == SETTING_TYPE_BOOL)
        return *(const bool *)field ? STR_LIT("true") : STR_LIT("false");
    if (loaded)
        config_describe(loaded, setting->name, NULL, &text);
    return str_from(text);
}

uint32_t static_settings_count(void)
{
    return broker_settings()->count;
}

void static_setting_at(const struct broker_config *config, const struct config *loaded, uint32_t index,
                       struct arena *arena, struct static_setting *ret)
{
    const struct setting *setting = &broker_settings()->items[index];
    enum config_source source = CONFIG_DEFAULT;

    ASSERT(index < broker_settings()->count);
    if (loaded)
        config_describe(loaded, setting->name, &source, NULL);
    *ret = (struct static_setting){
        .name = setting->name,
        .doc = setting->doc,
        .value = value_text(config, loaded, setting, arena),
        .type = kafka_type(setting),
        .given = source != CONFIG_DEFAULT,
        .sensitive = setting->flags & SETTING_SENSITIVE,
    };
}

bool static_setting_find(const struct broker_config *config, const struct config *loaded, const char *name,
                         struct arena *arena, struct static_setting *ret)
{
    const struct setting *setting = setting_find(broker_settings(), name);

    if (!setting)
        return false;
    static_setting_at(config, loaded, (uint32_t)(setting - broker_settings()->items), arena, ret);
    return true;
}
