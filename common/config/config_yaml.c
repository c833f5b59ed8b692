/* SPDX-License-Identifier: Apache-2.0 */
/* A YAML file as a stream of events, flattened to dotted names. One document; mappings, scalars, and
 * sequences of scalars. No aliases: they would make a small file a large one, and settings do not need them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "common/base/assert.h"
#include "common/config/config_internal.h"

#define LIST_TEXT_MAX 65536

/* A mapping that is open: the length of its own dotted name, to return to after each value. */
struct frame {
    size_t name_len;
};

struct walk {
    struct config *config;
    struct config_place place; /* of the current event; line follows the parser */
    unsigned key_line;         /* of the key whose value is expected */
    struct frame frames[CONFIG_DEPTH_MAX];
    unsigned depth;
    bool have_key; /* in a mapping: the next node is a value */
    bool in_list;  /* a sequence is open */
    bool seen_document;
    char name[SETTING_NAME_MAX];
    char *list; /* items joined with commas; LIST_TEXT_MAX bytes */
    size_t list_len;
};

typedef enum err walk_fn(struct walk *walk, const yaml_event_t *event);

static enum err fail(struct walk *walk, enum err err, const char *text)
{
    return config_fail(walk->config, &walk->place, err, "%s", text);
}

/* Gives the setting its value; errors name the line of the key. */
static enum err apply_value(struct walk *walk, const char *text)
{
    walk->place.line = walk->key_line;
    walk->have_key = false;
    enum err err = config_apply(walk->config, &walk->place, walk->name, text);
    walk->name[walk->frames[walk->depth - 1].name_len] = '\0';
    return err;
}

static enum err take_key(struct walk *walk, const char *key, size_t len)
{
    size_t at = walk->frames[walk->depth - 1].name_len;
    size_t dot = at > 0 ? 1 : 0;
    if (len == 0)
        return fail(walk, ERR_MALFORMED, "a name is empty");
    if (at + dot + len >= sizeof(walk->name))
        return fail(walk, ERR_NOT_FOUND, "a name is longer than any setting's");
    if (dot)
        walk->name[at] = '.';
    memcpy(walk->name + at + dot, key, len + 1);
    walk->key_line = walk->place.line;
    walk->have_key = true;
    return OK;
}

static enum err add_list_item(struct walk *walk, const char *item, size_t len)
{
    if (len == 0 || strchr(item, ','))
        return config_fail(walk->config, &walk->place, ERR_INVALID,
                           "an item of '%s' is empty or holds a comma", walk->name);
    if (walk->list_len + len + 2 > LIST_TEXT_MAX)
        return config_fail(walk->config, &walk->place, ERR_TOO_LARGE, "'%s' is too long a list", walk->name);
    if (walk->list_len > 0)
        walk->list[walk->list_len++] = ',';
    memcpy(walk->list + walk->list_len, item, len + 1);
    walk->list_len += len;
    return OK;
}

static bool is_null(const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    return event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0);
}

static enum err on_scalar(struct walk *walk, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    if (strlen(text) != len)
        return fail(walk, ERR_MALFORMED, "a text holds a zero byte");
    if (walk->depth == 0)
        return is_null(event) ? OK : fail(walk, ERR_MALFORMED, "expected lines of the form 'name: value'");
    if (!walk->have_key)
        return take_key(walk, text, len);
    if (walk->in_list)
        return add_list_item(walk, text, len);
    if (is_null(event))
        return config_fail(walk->config, &walk->place, ERR_INVALID,
                           "'%s' has no value; write '' for an empty text, or remove the line", walk->name);
    return apply_value(walk, text);
}

static enum err on_mapping_start(struct walk *walk, const yaml_event_t *event)
{
    if (walk->in_list || (walk->depth > 0 && !walk->have_key))
        return fail(walk, ERR_MALFORMED, "a mapping cannot stand here");
    if (walk->depth == CONFIG_DEPTH_MAX)
        return fail(walk, ERR_TOO_LARGE, "nested too deeply");
    walk->frames[walk->depth++] = (struct frame){strlen(walk->name)};
    walk->have_key = false;
    return OK;
}

static enum err on_mapping_end(struct walk *walk, const yaml_event_t *event)
{
    ASSERT(walk->depth > 0);
    walk->depth--;
    walk->have_key = false;
    walk->name[walk->depth > 0 ? walk->frames[walk->depth - 1].name_len : 0] = '\0';
    return OK;
}

static enum err on_sequence_start(struct walk *walk, const yaml_event_t *event)
{
    if (walk->in_list || !walk->have_key)
        return fail(walk, ERR_MALFORMED, "a list cannot stand here");
    walk->in_list = true;
    walk->list_len = 0;
    walk->list[0] = '\0';
    return OK;
}

static enum err on_sequence_end(struct walk *walk, const yaml_event_t *event)
{
    walk->in_list = false;
    return apply_value(walk, walk->list);
}

static enum err on_document_start(struct walk *walk, const yaml_event_t *event)
{
    if (walk->seen_document)
        return fail(walk, ERR_MALFORMED, "a second document; one file is one document");
    walk->seen_document = true;
    return OK;
}

static enum err on_alias(struct walk *walk, const yaml_event_t *event)
{
    return fail(walk, ERR_MALFORMED, "aliases (*name) are not supported");
}

static walk_fn *const on_event[] = {
    [YAML_STREAM_START_EVENT] = NULL,
    [YAML_STREAM_END_EVENT] = NULL,
    [YAML_DOCUMENT_START_EVENT] = on_document_start,
    [YAML_DOCUMENT_END_EVENT] = NULL,
    [YAML_ALIAS_EVENT] = on_alias,
    [YAML_SCALAR_EVENT] = on_scalar,
    [YAML_SEQUENCE_START_EVENT] = on_sequence_start,
    [YAML_SEQUENCE_END_EVENT] = on_sequence_end,
    [YAML_MAPPING_START_EVENT] = on_mapping_start,
    [YAML_MAPPING_END_EVENT] = on_mapping_end,
};

static enum err fail_yaml(struct walk *walk, const yaml_parser_t *parser)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return fail(walk, ERR_NOMEM, "out of memory");
    walk->place.line = (unsigned)parser->problem_mark.line + 1;
    return config_fail(walk->config, &walk->place, ERR_MALFORMED, "not valid YAML: %s%s%s",
                       parser->problem ? parser->problem : "unknown problem", parser->context ? " " : "",
                       parser->context ? parser->context : "");
}

/* Takes one event from the parser. */
static enum err step(struct walk *walk, yaml_parser_t *parser, bool *ret_end)
{
    yaml_event_t event;
    enum err err = OK;
    if (!yaml_parser_parse(parser, &event))
        return fail_yaml(walk, parser);
    walk->place.line = (unsigned)event.start_mark.line + 1;
    if (event.type < ARRAY_LEN(on_event) && on_event[event.type])
        err = on_event[event.type](walk, &event);
    *ret_end = event.type == YAML_STREAM_END_EVENT;
    yaml_event_delete(&event);
    return err;
}

static enum err walk_text(struct walk *walk, const char *text, size_t len)
{
    yaml_parser_t parser;
    enum err err = OK;
    if (!yaml_parser_initialize(&parser))
        return fail(walk, ERR_NOMEM, "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    for (bool end = false; !end && !err;)
        err = step(walk, &parser, &end);
    yaml_parser_delete(&parser);
    return err;
}

enum err config_apply_text(struct config *config, const char *label, const char *text, size_t len)
{
    struct walk walk = {.config = config, .place = {.source = CONFIG_FILE}};
    const char *kept = arena_copy(&config->arena, label, strlen(label) + 1);
    walk.place.label = kept ? kept : "settings file";
    walk.list = malloc(LIST_TEXT_MAX);
    if (!kept || !walk.list) {
        free(walk.list);
        return fail(&walk, ERR_NOMEM, "out of memory");
    }
    config->file = kept;
    enum err err =
        len > CONFIG_FILE_MAX ? fail(&walk, ERR_TOO_LARGE, "larger than 1 MiB") : walk_text(&walk, text, len);
    free(walk.list);
    return err;
}

/* One byte more than allowed, so that the reader of the text sees that it is too large. */
static enum err read_all(FILE *file, char **ret_text, size_t *ret_len)
{
    char *text = malloc(CONFIG_FILE_MAX + 1);
    if (!text)
        return ERR_NOMEM;
    size_t len = fread(text, 1, CONFIG_FILE_MAX + 1, file);
    if (ferror(file)) {
        enum err err = err_from_errno(errno);
        free(text);
        return err;
    }
    *ret_text = text;
    *ret_len = len;
    return OK;
}

enum err config_apply_file(struct config *config, const char *path)
{
    struct config_place place = {.source = CONFIG_FILE, .label = path};
    char *text = NULL;
    size_t len = 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return config_fail(config, &place, err_from_errno(errno), "cannot be opened: %s", strerror(errno));
    enum err err = read_all(file, &text, &len);
    if (err)
        config_fail(config, &place, err, "cannot be read: %s", err_text(err));
    fclose(file);
    if (err)
        return err;
    err = config_apply_text(config, path, text, len);
    free(text);
    return err;
}
