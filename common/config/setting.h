/* SPDX-License-Identifier: Apache-2.0 */
/* One row of a process's table of settings. The table is the single truth for parsing, defaults, ranges,
 * --help-config and the names that errors suggest. Rows are written with the macros below, which check the
 * type of the field they fill. */
#ifndef SLUICE_CONFIG_SETTING_H
#define SLUICE_CONFIG_SETTING_H

#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/config/endpoint.h"

#define SETTING_NAME_MAX 128 /* bytes of a name with its zero */
#define SETTING_TEXT_MAX 512 /* room for setting_expected() and setting_format() */

/* The form of the text, and what it becomes in the process's struct. */
enum setting_type {
    SETTING_TYPE_BOOL,        /* bool: true, false (also yes/no, on/off, 1/0) */
    SETTING_TYPE_INT,         /* int32_t or int64_t */
    SETTING_TYPE_SIZE,        /* int32_t or int64_t bytes: 1048576, 64MiB, 1g (binary), 5MB (decimal) */
    SETTING_TYPE_DURATION_US, /* int64_t microseconds: 250ms, 3s, 7d; plain number: see setting_parse() */
    SETTING_TYPE_DURATION_MS, /* int32_t or int64_t milliseconds, the same forms */
    SETTING_TYPE_STRING,      /* const char * */
    SETTING_TYPE_LIST,        /* struct setting_list */
    SETTING_TYPE_ENUM,        /* int: index of the word in choices */
    SETTING_TYPE_LISTENERS,   /* struct endpoints: NAME://host:port,... */
    SETTING_TYPE_NODES,       /* struct endpoints: id@host:port,... */
    SETTING_TYPE_SERVERS,     /* struct endpoints: host:port,... */
    SETTING_TYPE_COUNT
};

enum setting_flags {
    SETTING_DYNAMIC = 1,   /* may change at run time */
    SETTING_SENSITIVE = 2, /* its value is never shown: not in errors, not in logs, not to clients */
    SETTING_REQUIRED = 4,  /* has no default; config_finish() fails when nobody gave it */
};

/* The items of a comma-separated text or of a YAML sequence, without the blanks around them. Memory: the
 * config's arena. */
struct setting_list {
    const char *const *items;
    uint32_t count;
};

struct setting {
    const char *name; /* dotted, lower case; Kafka's name where Kafka has one */
    enum setting_type type;
    unsigned flags;           /* of enum setting_flags */
    size_t offset, size;      /* of the field in the process's struct */
    const char *default_text; /* parsed like any other text; NULL: the field stays zero */
    int64_t min, max; /* of numbers, in the stored unit; both 0: no limit but the field's (sizes, durations:
                         not negative) */
    const char *choices; /* of ENUM: "text|json" */
    const char *doc;     /* one or two sentences */
};

struct setting_table {
    const struct setting *items;
    uint32_t count;
};

/* Size of the field when its type is one of the two given, else a compile error. */
#define SETTING_FIELD_SIZE(owner, field, type1, type2)                                                       \
    (sizeof(((owner *)0)->field) +                                                                           \
     0 * sizeof(char[__builtin_types_compatible_p(__typeof__(((owner *)0)->field), type1) ||                 \
                             __builtin_types_compatible_p(__typeof__(((owner *)0)->field), type2)            \
                         ? 1                                                                                 \
                         : -1]))

#define SETTING_ROW(type_, t1, t2, name_, owner, field, default_, min_, max_, choices_, flags_, doc_)        \
    {                                                                                                        \
        .name = (name_), .type = SETTING_TYPE_##type_, .flags = (flags_), .offset = offsetof(owner, field),  \
        .size = SETTING_FIELD_SIZE(owner, field, t1, t2), .default_text = (default_), .min = (min_),         \
        .max = (max_), .choices = (choices_), .doc = (doc_)                                                  \
    }

/* owner is the process's struct type, field the member. default_ is text, as an operator would write it. */
#define SETTING_BOOL(name, owner, field, default_, flags, doc)                                               \
    SETTING_ROW(BOOL, _Bool, _Bool, name, owner, field, default_, 0, 0, NULL, flags, doc)
#define SETTING_INT(name, owner, field, default_, min, max, flags, doc)                                      \
    SETTING_ROW(INT, int32_t, int64_t, name, owner, field, default_, min, max, NULL, flags, doc)
#define SETTING_SIZE(name, owner, field, default_, min, max, flags, doc)                                     \
    SETTING_ROW(SIZE, int32_t, int64_t, name, owner, field, default_, min, max, NULL, flags, doc)
#define SETTING_DURATION_US(name, owner, field, default_, min, max, flags, doc)                              \
    SETTING_ROW(DURATION_US, int64_t, int64_t, name, owner, field, default_, min, max, NULL, flags, doc)
#define SETTING_DURATION_MS(name, owner, field, default_, min, max, flags, doc)                              \
    SETTING_ROW(DURATION_MS, int32_t, int64_t, name, owner, field, default_, min, max, NULL, flags, doc)
#define SETTING_STRING(name, owner, field, default_, flags, doc)                                             \
    SETTING_ROW(STRING, const char *, const char *, name, owner, field, default_, 0, 0, NULL, flags, doc)
#define SETTING_LIST(name, owner, field, default_, flags, doc)                                               \
    SETTING_ROW(LIST, struct setting_list, struct setting_list, name, owner, field, default_, 0, 0, NULL,    \
                flags, doc)
#define SETTING_ENUM(name, owner, field, default_, choices, flags, doc)                                      \
    SETTING_ROW(ENUM, int, int, name, owner, field, default_, 0, 0, choices, flags, doc)
#define SETTING_LISTENERS(name, owner, field, default_, flags, doc)                                          \
    SETTING_ROW(LISTENERS, struct endpoints, struct endpoints, name, owner, field, default_, 0, 0, NULL,     \
                flags, doc)
#define SETTING_NODES(name, owner, field, default_, flags, doc)                                              \
    SETTING_ROW(NODES, struct endpoints, struct endpoints, name, owner, field, default_, 0, 0, NULL, flags,  \
                doc)
#define SETTING_SERVERS(name, owner, field, default_, flags, doc)                                            \
    SETTING_ROW(SERVERS, struct endpoints, struct endpoints, name, owner, field, default_, 0, 0, NULL,       \
                flags, doc)

/* Parses text into the field of values (the process's struct). A duration without a unit is allowed when the
 * name says the unit
 * (.ms, .us, .seconds, .minutes, .hours, as Kafka's names do), and 0 and -1 always are. Strings and lists are
 * copied into arena. ERR_INVALID: wrong form; ERR_OUT_OF_RANGE: right form, value not allowed; ERR_NOMEM. The
 * field is untouched on failure. */
enum err setting_parse(const struct setting *setting, const char *text, struct arena *arena, void *values);

/* What the text must look like, with the allowed range: "a whole number from 1 to 10000". out: size bytes.
 * Returns out. */
char *setting_expected(const struct setting *setting, char *out, size_t size);

/* The row of that exact name, or NULL. */
const struct setting *setting_find(const struct setting_table *table, const char *name);

/* Checks a table for a programmer's mistakes: names, order of duplicates, defaults that do not parse, missing
 * docs, ranges that the field cannot hold. NULL when it is sound, else the name of the first bad row. For
 * each process's unit test. */
const char *setting_table_check(const struct setting_table *table);

/* SLUICE_LOG_DIRS for log.dirs. out: size bytes, at least SETTING_NAME_MAX + 8. Returns out. */
char *setting_env_name(const struct setting *setting, char *out, size_t size);

#endif
