/* SPDX-License-Identifier: Apache-2.0 */
/* A settings file of any bytes, and the same bytes as the value of every setting. Either it loads, or there
 * is one printable line that says why. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/config/config.h"
#include "common/config/logging_config.h"

struct values {
    bool flag;
    int32_t number;
    int64_t size, time_us, time_ms;
    const char *text, *secret;
    struct setting_list list;
    struct endpoints listeners, nodes, servers;
};

static const struct setting items[] = {
    SETTING_BOOL("flag", struct values, flag, "false", 0, "A flag."),
    SETTING_INT("num.partitions", struct values, number, "3", -1, 100, 0, "A number."),
    SETTING_SIZE("log.size", struct values, size, "64MiB", 0, 0, 0, "A size."),
    SETTING_DURATION_US("time", struct values, time_us, "250ms", 0, 0, 0, "A time."),
    SETTING_DURATION_MS("log.retention.ms", struct values, time_ms, "7d", -1, INT64_MAX, 0, "A Kafka time."),
    SETTING_STRING("broker.rack", struct values, text, "none", 0, "A text."),
    SETTING_STRING("secret", struct values, secret, NULL, SETTING_SENSITIVE, "A secret."),
    SETTING_LIST("log.dirs", struct values, list, "", 0, "A list."),
    SETTING_LISTENERS("listeners", struct values, listeners, NULL, 0, "Listeners."),
    SETTING_NODES("nodes", struct values, nodes, NULL, 0, "Nodes."),
    SETTING_SERVERS("servers", struct values, servers, NULL, 0, "Servers."),
};
static const struct setting_table table = {items, ARRAY_LEN(items)};

static void check_error(const struct config *config)
{
    const char *error = config_error(config);
    ASSERT(error[0] != '\0' && strlen(error) < CONFIG_ERROR_MAX);
    for (; *error; error++)
        ASSERT((unsigned char)*error >= ' ' && *error != 0x7f);
}

/* The bytes up to the first zero as the value of each setting; what was accepted must be accepted again. */
static void try_values(struct config *config, const char *text)
{
    struct values values = {0};
    struct arena arena;
    arena_init(&arena, NULL, 0, 4 << 20);
    for (size_t i = 0; i < ARRAY_LEN(items); i++)
        if (setting_parse(&items[i], text, &arena, &values) == OK)
            ASSERT(setting_parse(&items[i], text, &arena, &values) == OK);
    ASSERT(values.number >= -1 && values.number <= 100 && values.size >= 0 && values.time_us >= 0);
    if (config_apply_set(config, text) != OK)
        check_error(config);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct values values = {0};
    struct logging_config logging;
    struct config *config = config_new();
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    config_add(config, &table, &values);
    config_add(config, logging_settings(), &logging);
    if (config_apply_text(config, "f.yaml", text, size) != OK)
        check_error(config);
    try_values(config, text);
    config_free(config);
    free(text);
    return 0;
}
