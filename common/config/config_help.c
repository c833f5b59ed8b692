/* SPDX-License-Identifier: Apache-2.0 */
/* --help-config: the tables as a commented YAML file that loads and changes nothing. */
#include <string.h>

#include "common/config/config_internal.h"

#define WRAP_COLUMN 100

/* Prints text as comment lines, broken at blanks. */
static void print_comment(FILE *out, const char *text)
{
    while (*text) {
        size_t len = strlen(text);
        if (len > WRAP_COLUMN) {
            const char *blank = memrchr(text, ' ', WRAP_COLUMN);
            len = blank ? (size_t)(blank - text) : len;
        }
        fprintf(out, "# %.*s\n", (int)len, text);
        text += len;
        while (*text == ' ')
            text++;
    }
}

/* Text in single quotes, where YAML asks for them. */
static void print_value(FILE *out, const struct setting *setting, const char *text)
{
    bool plain = setting->type <= SETTING_TYPE_DURATION_MS || setting->type == SETTING_TYPE_ENUM;
    if (plain) {
        fputs(text, out);
        return;
    }
    fputc('\'', out);
    for (; *text; text++) {
        if (*text == '\'')
            fputc('\'', out);
        fputc(*text, out);
    }
    fputc('\'', out);
}

static void print_setting(FILE *out, const struct setting *setting)
{
    char expected[SETTING_TEXT_MAX], env_name[SETTING_NAME_MAX + 8];
    print_comment(out, setting->doc);
    fprintf(out, "# Form: %s.%s%s\n", setting_expected(setting, expected, sizeof(expected)),
            setting->flags & SETTING_DYNAMIC ? " May change at run time." : "",
            setting->flags & SETTING_REQUIRED ? " Must be given." : "");
    fprintf(out, "# Environment: %s\n", setting_env_name(setting, env_name, sizeof(env_name)));
    if (setting->default_text) {
        fprintf(out, "%s: ", setting->name);
        print_value(out, setting, setting->default_text);
        fputs("\n\n", out);
    } else {
        fprintf(out, "# %s:\n\n", setting->name);
    }
}

/* A name that several tables share is printed with the first of them. */
static bool is_printed_before(const struct config *config, uint32_t part, const char *name)
{
    for (uint32_t i = 0; i < part; i++)
        if (setting_find(config->parts[i].table, name))
            return true;
    return false;
}

void config_print_help(const struct config *config, FILE *out)
{
    for (uint32_t i = 0; i < config->part_count; i++) {
        const struct setting_table *table = config->parts[i].table;
        for (uint32_t j = 0; j < table->count; j++)
            if (!is_printed_before(config, i, table->items[j].name))
                print_setting(out, &table->items[j]);
    }
}
