/* SPDX-License-Identifier: Apache-2.0 */
#include "common/config/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/config/config_internal.h"
#include "common/config/suggest.h"

#define ENV_PREFIX     "SLUICE_"
#define ENV_PREFIX_LEN (sizeof(ENV_PREFIX) - 1)
#define ENV_NAME_MAX   (SETTING_NAME_MAX + 8)

struct config *config_new(void)
{
    struct config *config = calloc(1, sizeof(*config));
    if (config)
        arena_init(&config->arena, NULL, 0, CONFIG_ARENA_MAX);
    return config;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    arena_free(&config->arena);
    free(config);
}

const char *config_error(const struct config *config)
{
    return config->error;
}

const char *config_warning(const struct config *config, uint32_t index)
{
    return index < config->warning_count ? config->warnings[index] : NULL;
}

enum err config_fail(struct config *config, const struct config_place *place, enum err err,
                     const char *format, ...)
{
    va_list args;
    size_t size = sizeof(config->error);
    int used = place->line ? snprintf(config->error, size, "%s:%u: ", place->label, place->line)
                           : snprintf(config->error, size, "%s: ", place->label);
    va_start(args, format);
    if (used >= 0 && (size_t)used < size)
        vsnprintf(config->error + used, size - (size_t)used, format, args);
    va_end(args);
    for (char *p = config->error; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = '?'; /* one line, whatever the value holds */
    return err;
}

void config_add(struct config *config, const struct setting_table *table, void *values)
{
    ASSERT(config->part_count < CONFIG_PARTS_MAX);
    ASSERT(setting_table_check(table) == NULL);
    struct config_part *part = &config->parts[config->part_count++];
    *part = (struct config_part){.table = table, .values = values};
    part->entries = arena_calloc(&config->arena, table->count, sizeof(*part->entries));
    ASSERT(part->entries);
    for (uint32_t i = 0; i < table->count; i++) {
        const struct setting *setting = &table->items[i];
        if (!setting->default_text)
            continue;
        enum err err = setting_parse(setting, setting->default_text, &config->arena, values);
        ASSERT(err == OK);
        part->entries[i] = (struct config_entry){.text = setting->default_text, .label = "default"};
    }
}

static enum err fail_value(struct config *config, const struct config_place *place,
                           const struct setting *setting, const char *text, enum err err)
{
    char expected[SETTING_TEXT_MAX];
    const char *shown = setting->flags & SETTING_SENSITIVE ? "(hidden)" : text;
    if (err == ERR_NOMEM)
        return config_fail(config, place, err, "'%s': out of memory", setting->name);
    return config_fail(config, place, err, "'%s' is '%.200s'%s, expected %s", setting->name, shown,
                       err == ERR_OUT_OF_RANGE ? ", which is out of range" : "",
                       setting_expected(setting, expected, sizeof(expected)));
}

static enum err apply_to_part(struct config *config, struct config_part *part, uint32_t index,
                              const struct config_place *place, const char *text)
{
    const struct setting *setting = &part->table->items[index];
    struct config_entry *entry = &part->entries[index];
    if (place->source == CONFIG_FILE && entry->source == CONFIG_FILE)
        return config_fail(config, place, ERR_EXISTS, "'%s' is given twice, first in %s:%u", setting->name,
                           entry->label, entry->line);
    enum err err = setting_parse(setting, text, &config->arena, part->values);
    if (err)
        return fail_value(config, place, setting, text, err);
    const char *copy = arena_copy(&config->arena, text, strlen(text) + 1);
    if (!copy)
        return fail_value(config, place, setting, text, ERR_NOMEM);
    *entry = (struct config_entry){place->source, copy, place->label, place->line};
    return OK;
}

static enum err fail_unknown(struct config *config, const struct config_place *place, const char *name)
{
    struct suggest suggest;
    suggest_init(&suggest, name);
    for (uint32_t i = 0; i < config->part_count; i++)
        for (uint32_t j = 0; j < config->parts[i].table->count; j++)
            suggest_offer(&suggest, config->parts[i].table->items[j].name);
    if (!suggest.best)
        return config_fail(config, place, ERR_NOT_FOUND,
                           "unknown setting '%.200s' (--help-config lists all of them)", name);
    return config_fail(config, place, ERR_NOT_FOUND, "unknown setting '%.200s', did you mean '%s'?", name,
                       suggest.best);
}

enum err config_apply(struct config *config, const struct config_place *place, const char *name,
                      const char *text)
{
    bool found = false;
    for (uint32_t i = 0; i < config->part_count; i++) {
        struct config_part *part = &config->parts[i];
        const struct setting *setting = setting_find(part->table, name);
        if (!setting)
            continue;
        found = true;
        enum err err = apply_to_part(config, part, (uint32_t)(setting - part->table->items), place, text);
        if (err)
            return err;
    }
    return found ? OK : fail_unknown(config, place, name);
}

/* -- environment
 * ---------------------------------------------------------------------------------------------------------------
 */

/* The setting's name for an environment name, or NULL; offers every known name to suggest. */
static const char *find_env_name(const struct config *config, const char *env_name, struct suggest *suggest,
                                 char (*best)[ENV_NAME_MAX])
{
    char known[ENV_NAME_MAX];
    for (uint32_t i = 0; i < config->part_count; i++) {
        const struct setting_table *table = config->parts[i].table;
        for (uint32_t j = 0; j < table->count; j++) {
            setting_env_name(&table->items[j], known, sizeof(known));
            if (strcmp(known, env_name) == 0)
                return table->items[j].name;
            unsigned before = suggest->best_distance;
            suggest_offer(suggest, known);
            if (suggest->best_distance < before)
                memcpy(*best, known, sizeof(known));
        }
    }
    return NULL;
}

static void warn_unknown_env(struct config *config, const char *env_name, const char *best)
{
    char line[CONFIG_ERROR_MAX];
    if (config->warning_count == CONFIG_WARNINGS_MAX)
        return;
    int used = snprintf(line, sizeof(line), "environment: %.200s is no setting", env_name);
    if (best)
        snprintf(line + used, sizeof(line) - (size_t)used, ", did you mean %s?", best);
    const char *copy = arena_copy(&config->arena, line, strlen(line) + 1);
    if (copy)
        config->warnings[config->warning_count++] = copy;
}

/* name and value are the two sides of one variable that starts with our prefix. */
static enum err apply_env_one(struct config *config, const char *env_name, const char *value)
{
    char best[ENV_NAME_MAX] = "";
    char label[ENV_NAME_MAX + 16];
    struct suggest suggest;
    suggest_init(&suggest, env_name);
    const char *name = find_env_name(config, env_name, &suggest, &best);
    if (!name) {
        warn_unknown_env(config, env_name, suggest.best ? best : NULL);
        return OK;
    }
    snprintf(label, sizeof(label), "environment %s", env_name);
    struct config_place place = {.source = CONFIG_ENV,
                                 .label = arena_copy(&config->arena, label, strlen(label) + 1)};
    if (!place.label)
        place.label = "environment";
    return config_apply(config, &place, name, value);
}

enum err config_apply_env(struct config *config, char *const *environ_text)
{
    for (; *environ_text; environ_text++) {
        const char *equals = strchr(*environ_text, '=');
        char env_name[ENV_NAME_MAX];
        if (!equals || strncmp(*environ_text, ENV_PREFIX, ENV_PREFIX_LEN) != 0 ||
            (size_t)(equals - *environ_text) >= sizeof(env_name))
            continue;
        memcpy(env_name, *environ_text, (size_t)(equals - *environ_text));
        env_name[equals - *environ_text] = '\0';
        enum err err = apply_env_one(config, env_name, equals + 1);
        if (err)
            return err;
    }
    return OK;
}

/* -- --set, end, questions
 * ----------------------------------------------------------------------------------------------------- */

enum err config_apply_set(struct config *config, const char *assignment)
{
    struct config_place place = {.source = CONFIG_SET, .label = "--set"};
    char name[SETTING_NAME_MAX];
    const char *equals = strchr(assignment, '=');
    if (!equals)
        return config_fail(config, &place, ERR_INVALID, "'%.200s' is not of the form key=value", assignment);
    if ((size_t)(equals - assignment) >= sizeof(name))
        return config_fail(config, &place, ERR_NOT_FOUND, "unknown setting '%.200s'", assignment);
    memcpy(name, assignment, (size_t)(equals - assignment));
    name[equals - assignment] = '\0';
    return config_apply(config, &place, name, equals + 1);
}

enum err config_finish(struct config *config)
{
    struct config_place place = {.label = config->file ? config->file : "settings"};
    for (uint32_t i = 0; i < config->part_count; i++) {
        const struct config_part *part = &config->parts[i];
        for (uint32_t j = 0; j < part->table->count; j++) {
            const struct setting *setting = &part->table->items[j];
            char env_name[ENV_NAME_MAX];
            if (!(setting->flags & SETTING_REQUIRED) || part->entries[j].text)
                continue;
            return config_fail(config, &place, ERR_INVALID,
                               "'%s' must be given: in the file, as %s, or with --set %s=...", setting->name,
                               setting_env_name(setting, env_name, sizeof(env_name)), setting->name);
        }
    }
    return OK;
}

enum err config_describe(const struct config *config, const char *name, enum config_source *ret_source,
                         const char **ret_text)
{
    for (uint32_t i = 0; i < config->part_count; i++) {
        const struct config_part *part = &config->parts[i];
        const struct setting *setting = setting_find(part->table, name);
        if (!setting)
            continue;
        const struct config_entry *entry = &part->entries[setting - part->table->items];
        if (ret_source)
            *ret_source = entry->source;
        if (ret_text)
            *ret_text = entry->text;
        return OK;
    }
    return ERR_NOT_FOUND;
}
