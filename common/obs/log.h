/* SPDX-License-Identifier: Apache-2.0 */
/* Structured logging: one event is one line, text or JSON, with a stable dotted event name and typed fields.
 *
 *     LOG(logger, INFO, "broker.registered", F_I64("epoch", epoch), F_STR("cluster", name));
 *
 * A logger is a value that is passed down; any thread may write to it (one write(2) for each line, so lines
 * never mix). Nothing here fails: a line that cannot be written is counted. */
#ifndef SLUICE_OBS_LOG_H
#define SLUICE_OBS_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"
#include "common/base/types.h"

#define LOG_LINE_MAX 4096 /* bytes of a line; fields that do not fit are dropped and the line says so */
#define LOG_TEXT_MAX 1024 /* bytes of one text value; the rest is cut */

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

enum log_kind { LOG_KIND_TEXT, LOG_KIND_I64, LOG_KIND_U64, LOG_KIND_F64, LOG_KIND_BOOL };

/* One key and value; made by the F_ macros, valid for the one LOG call. */
struct log_field {
    const char *key; /* plain lower-case word */
    enum log_kind kind;
    union {
        struct str text;
        int64_t i64;
        uint64_t u64;
        double f64;
        bool boolean;
    };
};

/* The values are checked by type: no formats, no varargs. Texts may hold any bytes. */
#define F_STR(key, z)        log_field_text((key), str_from(z)) /* const char *, may be NULL */
#define F_VIEW(key, str)     log_field_text((key), (str))       /* struct str */
#define F_ERR(key, err_code) log_field_text((key), str_from(err_name(err_code)))
#define F_I64(key_, v)       ((struct log_field){.key = (key_), .kind = LOG_KIND_I64, .i64 = (v)})
#define F_U64(key_, v)       ((struct log_field){.key = (key_), .kind = LOG_KIND_U64, .u64 = (v)})
#define F_F64(key_, v)       ((struct log_field){.key = (key_), .kind = LOG_KIND_F64, .f64 = (v)})
#define F_BOOL(key_, v)      ((struct log_field){.key = (key_), .kind = LOG_KIND_BOOL, .boolean = (v)})

static inline struct log_field log_field_text(const char *key, struct str text)
{
    return (struct log_field){.key = key, .kind = LOG_KIND_TEXT, .text = text};
}

struct logger {
    _Atomic int level; /* of enum log_level; may be stored at run time */
    enum log_format format;
    int fd; /* -1: lines go to sink */
    bool owns_fd;
    int64_t (*wall_ms)(void *ctx);
    void (*sink)(void *ctx, const char *line, size_t len);
    void *ctx;
    char role[16];   /* "" : not written */
    int32_t node_id; /* -1: not written */
    _Atomic uint64_t lines_lost;
};

struct logger_options {
    enum log_level level;
    enum log_format format;
    const char *file;              /* appended to; NULL or "": standard error. Ignored with sink */
    int64_t (*wall_ms)(void *ctx); /* callable from every thread that logs. NULL: the system's clock */
    void (*sink)(void *ctx, const char *line,
                 size_t len); /* gets each line with its newline instead of a file; NULL: none */
    void *ctx;                /* of wall_ms and sink */
    const char *role;         /* in every line, up to 15 characters: "broker"; NULL: none */
    int32_t node_id;          /* in every line; negative: none */
};

/* Opens the file if one is named; its error (ERR_PERMISSION, ERR_NOT_FOUND, ...) leaves the logger writing to
 * standard error. */
enum err logger_init(struct logger *logger, const struct logger_options *options);
void logger_close(struct logger *logger);

/* Opens the file anew, in place of the one that the logger writes to: it was moved away (log rotation). Lines
 * of other threads go to one or the other, none is lost. No file (NULL, ""): nothing to do. On an error the
 * former file stays. */
enum err logger_reopen(struct logger *logger, const char *file);

static inline bool logger_enabled(const struct logger *logger, enum log_level level)
{
    return (int)level >= atomic_load_explicit(&logger->level, memory_order_relaxed);
}

/* What LOG calls. fields may be NULL when count is 0. */
void logger_write(struct logger *logger, enum log_level level, const char *event,
                  const struct log_field *fields, size_t count);

/* The fields are evaluated only when the level is enabled. */
#define LOG(logger, level, event, ...)                                                                       \
    do {                                                                                                     \
        if (logger_enabled((logger), LOG_LEVEL_##level)) {                                                   \
            const struct log_field log_fields_[] = {{.key = NULL}, ##__VA_ARGS__};                           \
            logger_write((logger), LOG_LEVEL_##level, (event), log_fields_ + 1,                              \
                         sizeof(log_fields_) / sizeof(log_fields_[0]) - 1);                                  \
        }                                                                                                    \
    } while (0)

/* For lines that a stranger can provoke: one line a second for each log_limit, the next one says how many
 * were left out. Zero is a valid start; it lives with the object that is talked to (a listener, a shard), one
 * for each call site. */
struct log_limit {
    _Atomic int64_t next_ms; /* wall clock */
    _Atomic uint64_t suppressed;
};

#define LOG_LIMIT_MS 1000

/* True: write the line now; *ret_suppressed lines were left out before it. */
bool log_limit_pass(struct log_limit *limit, const struct logger *logger, uint64_t *ret_suppressed);

/* LOG, limited. The line has a last field "suppressed". */
#define LOG_LIMITED(logger, limit, level, event, ...)                                                        \
    do {                                                                                                     \
        uint64_t log_suppressed_;                                                                            \
        if (logger_enabled((logger), LOG_LEVEL_##level) &&                                                   \
            log_limit_pass((limit), (logger), &log_suppressed_))                                             \
            LOG(logger, level, event, ##__VA_ARGS__, F_U64("suppressed", log_suppressed_));                  \
    } while (0)

#endif
