/* SPDX-License-Identifier: Apache-2.0 */
#include "common/config/setting.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/assert.h"
#include "common/config/setting_number.h"

#define LIST_ITEMS_MAX 1024

/* Writes value into the field; whoever calls has checked that it fits. */
static void store_int(const struct setting *setting, void *values, int64_t value)
{
    char *field = (char *)values + setting->offset;
    if (setting->size == sizeof(int32_t)) {
        int32_t narrow = (int32_t)value;
        ASSERT(narrow == value);
        memcpy(field, &narrow, sizeof(narrow));
        return;
    }
    ASSERT(setting->size == sizeof(int64_t));
    memcpy(field, &value, sizeof(value));
}

static bool is_unlimited(const struct setting *setting)
{
    return setting->min == 0 && setting->max == 0;
}

static int64_t field_max(const struct setting *setting)
{
    return setting->size == sizeof(int32_t) ? INT32_MAX : INT64_MAX;
}

static int64_t range_min(const struct setting *setting)
{
    if (!is_unlimited(setting))
        return setting->min;
    return setting->type == SETTING_TYPE_INT ? -field_max(setting) - 1 : 0;
}

static int64_t range_max(const struct setting *setting)
{
    return is_unlimited(setting) ? field_max(setting) : setting->max;
}

static enum err store_in_range(const struct setting *setting, int64_t value, void *values)
{
    if (value < range_min(setting) || value > range_max(setting))
        return ERR_OUT_OF_RANGE;
    store_int(setting, values, value);
    return OK;
}

static enum err parse_bool(const struct setting *setting, const char *text, struct arena *arena, void *values)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on", "0", "1"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *(bool *)((char *)values + setting->offset) = i % 2 == 1;
            return OK;
        }
    }
    return ERR_INVALID;
}

static enum err parse_int(const struct setting *setting, const char *text, struct arena *arena, void *values)
{
    int64_t value;
    enum err err = number_parse(text, &value);
    return err ? err : store_in_range(setting, value, values);
}

static enum err parse_size(const struct setting *setting, const char *text, struct arena *arena, void *values)
{
    int64_t value;
    enum err err = number_parse_unit(text, number_size_units, 1, &value);
    return err ? err : store_in_range(setting, value, values);
}

/* Microseconds of the unit that the end of a name states; 0: none. */
static int64_t name_unit_us(const char *name)
{
    static const struct number_unit suffixes[] = {
        {".us", 1},
        {".ms", 1000},
        {".seconds", 1000000},
        {".minutes", 60000000},
        {".hours", INT64_C(3600000000)},
    };
    size_t len = strlen(name);
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        size_t suffix_len = strlen(suffixes[i].name);
        if (len > suffix_len && strcmp(name + len - suffix_len, suffixes[i].name) == 0)
            return suffixes[i].scale;
    }
    return 0;
}

static enum err parse_duration_us(const struct setting *setting, const char *text, struct arena *arena,
                                  void *values)
{
    int64_t value;
    enum err err = number_parse_unit(text, number_duration_us_units, name_unit_us(setting->name), &value);
    return err ? err : store_in_range(setting, value, values);
}

static enum err parse_duration_ms(const struct setting *setting, const char *text, struct arena *arena,
                                  void *values)
{
    int64_t value;
    enum err err =
        number_parse_unit(text, number_duration_ms_units, name_unit_us(setting->name) / 1000, &value);
    return err ? err : store_in_range(setting, value, values);
}

static enum err parse_string(const struct setting *setting, const char *text, struct arena *arena,
                             void *values)
{
    const char *copy = arena_copy(arena, text, strlen(text) + 1);
    if (!copy)
        return ERR_NOMEM;
    *(const char **)((char *)values + setting->offset) = copy;
    return OK;
}

/* Cuts the copy at its commas and trims the pieces in place. */
static enum err split_list(char *copy, const char **items, uint32_t *ret_count)
{
    uint32_t count = 0;
    char *state = copy;
    for (char *item; (item = strsep(&state, ",")) != NULL;) {
        while (isspace((unsigned char)*item))
            item++;
        char *end = item + strlen(item);
        while (end > item && isspace((unsigned char)end[-1]))
            *--end = '\0';
        if (item == end)
            return ERR_INVALID;
        if (count == LIST_ITEMS_MAX)
            return ERR_OUT_OF_RANGE;
        items[count++] = item;
    }
    *ret_count = count;
    return OK;
}

static enum err parse_list(const struct setting *setting, const char *text, struct arena *arena, void *values)
{
    const char *items[LIST_ITEMS_MAX];
    uint32_t count = 0;
    char *copy = arena_copy(arena, text, strlen(text) + 1);
    if (!copy)
        return ERR_NOMEM;
    if (text[strspn(text, " \t")] != '\0') {
        enum err err = split_list(copy, items, &count);
        if (err)
            return err;
    }
    const char *const *kept = arena_copy(arena, items, count * sizeof(items[0]));
    if (!kept)
        return ERR_NOMEM;
    *(struct setting_list *)((char *)values + setting->offset) = (struct setting_list){kept, count};
    return OK;
}

static enum err parse_enum(const struct setting *setting, const char *text, struct arena *arena, void *values)
{
    size_t len = strlen(text);
    const char *word = setting->choices;
    for (int index = 0; word; index++) {
        const char *bar = strchr(word, '|');
        size_t word_len = bar ? (size_t)(bar - word) : strlen(word);
        if (word_len == len && strncasecmp(word, text, len) == 0) {
            *(int *)((char *)values + setting->offset) = index;
            return OK;
        }
        word = bar ? bar + 1 : NULL;
    }
    return ERR_INVALID;
}

static enum err parse_endpoints(const struct setting *setting, const char *text, struct arena *arena,
                                void *values)
{
    static const enum endpoint_form forms[SETTING_TYPE_COUNT] = {
        [SETTING_TYPE_LISTENERS] = ENDPOINT_LISTENER,
        [SETTING_TYPE_NODES] = ENDPOINT_NODE,
        [SETTING_TYPE_SERVERS] = ENDPOINT_SERVER,
    };
    struct endpoints parsed;
    enum err err = endpoints_parse(forms[setting->type], text, arena, &parsed);
    if (!err)
        *(struct endpoints *)((char *)values + setting->offset) = parsed;
    return err;
}

/* What differs between the types. units: NULL for types without a range. */
static const struct type_row {
    enum err (*parse)(const struct setting *setting, const char *text, struct arena *arena, void *values);
    const char *expected;
    bool has_range;
    const struct number_unit *units;
} types[SETTING_TYPE_COUNT] = {
    [SETTING_TYPE_BOOL] = {parse_bool, "true or false", false, NULL},
    [SETTING_TYPE_INT] = {parse_int, "a whole number", true, NULL},
    [SETTING_TYPE_SIZE] = {parse_size, "a size such as 64MiB, 1g or 4096 (bytes)", true, number_size_units},
    [SETTING_TYPE_DURATION_US] = {parse_duration_us, "a duration such as 250ms, 3s or 7d", true,
                                  number_duration_us_units},
    [SETTING_TYPE_DURATION_MS] = {parse_duration_ms, "a duration such as 250ms, 3s or 7d", true,
                                  number_duration_ms_units},
    [SETTING_TYPE_STRING] = {parse_string, "text", false, NULL},
    [SETTING_TYPE_LIST] = {parse_list, "a list of items separated by commas, none of them empty", false,
                           NULL},
    [SETTING_TYPE_ENUM] = {parse_enum, "one of", false, NULL},
    [SETTING_TYPE_LISTENERS] =
        {parse_endpoints, "listeners such as PLAINTEXT://host:9092, separated by commas, each name once",
         false, NULL},
    [SETTING_TYPE_NODES] = {parse_endpoints, "nodes such as 1@host:9093, separated by commas, each id once",
                            false, NULL},
    [SETTING_TYPE_SERVERS] = {parse_endpoints, "addresses such as host:9092, separated by commas", false,
                              NULL},
};

enum err setting_parse(const struct setting *setting, const char *text, struct arena *arena, void *values)
{
    ASSERT(setting->type < SETTING_TYPE_COUNT);
    enum err err = types[setting->type].parse(setting, text, arena, values);
    switch (err) {
    case ERR_EXISTS:
    case ERR_TOO_LARGE: return ERR_INVALID; /* of endpoints */
    default: return err;
    }
}

static const char *format_limit(const struct setting *setting, int64_t value, char *out, size_t size)
{
    const struct number_unit *units = types[setting->type].units;
    if (units)
        return number_format(value, units, out, size);
    snprintf(out, size, "%" PRId64, value);
    return out;
}

char *setting_expected(const struct setting *setting, char *out, size_t size)
{
    const struct type_row *type = &types[setting->type];
    char low[32], high[32];
    if (setting->type == SETTING_TYPE_ENUM) {
        int used = snprintf(out, size, "one of ");
        for (const char *p = setting->choices; *p && (size_t)used + 3 < size; p++)
            used += snprintf(out + used, size - (size_t)used, *p == '|' ? ", " : "%c", *p);
    } else if (!type->has_range || is_unlimited(setting)) {
        snprintf(out, size, "%s", type->expected);
    } else if (setting->max >= field_max(setting)) {
        snprintf(out, size, "%s, at least %s", type->expected,
                 format_limit(setting, setting->min, low, sizeof(low)));
    } else {
        snprintf(out, size, "%s, from %s to %s", type->expected,
                 format_limit(setting, setting->min, low, sizeof(low)),
                 format_limit(setting, setting->max, high, sizeof(high)));
    }
    return out;
}

const struct setting *setting_find(const struct setting_table *table, const char *name)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (strcmp(table->items[i].name, name) == 0)
            return &table->items[i];
    return NULL;
}

static bool name_is_sound(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= SETTING_NAME_MAX || name[0] == '.' || name[len - 1] == '.')
        return false;
    for (const char *p = name; *p; p++)
        if (!islower((unsigned char)*p) && !isdigit((unsigned char)*p) && *p != '.' && *p != '_' && *p != '-')
            return false;
    return true;
}

static bool default_is_sound(const struct setting *setting)
{
    union {
        int64_t align;
        char bytes[64];
    } field;
    struct setting alone = *setting;
    struct arena arena;
    if (!setting->default_text)
        return true;
    if (setting->flags & SETTING_REQUIRED)
        return false;
    ASSERT(setting->size <= sizeof(field));
    alone.offset = 0;
    arena_init(&arena, NULL, 0, 64 << 10);
    enum err err = setting_parse(&alone, setting->default_text, &arena, &field);
    arena_free(&arena);
    return err == OK;
}

static bool row_is_sound(const struct setting_table *table, const struct setting *setting)
{
    bool range_fits = setting->min <= setting->max && setting->max <= field_max(setting) &&
                      setting->min >= -field_max(setting) - 1;
    return name_is_sound(setting->name) && setting_find(table, setting->name) == setting && setting->doc &&
           setting->doc[0] != '\0' && (!types[setting->type].has_range || range_fits) &&
           (setting->type == SETTING_TYPE_ENUM) == (setting->choices != NULL) && default_is_sound(setting);
}

const char *setting_table_check(const struct setting_table *table)
{
    for (uint32_t i = 0; i < table->count; i++)
        if (!row_is_sound(table, &table->items[i]))
            return table->items[i].name;
    return NULL;
}

char *setting_env_name(const struct setting *setting, char *out, size_t size)
{
    snprintf(out, size, "SLUICE_%s", setting->name);
    for (char *p = out; *p; p++)
        *p = isalnum((unsigned char)*p) ? (char)toupper((unsigned char)*p) : '_';
    return out;
}
