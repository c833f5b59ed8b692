/* SPDX-License-Identifier: Apache-2.0 */
#include "common/obs/log.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/obs/text.h"

#define LINE_END_ROOM 32 /* for the mark of a cut line and its end */

static const char *const level_texts[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
static const char *const level_jsons[] = {"debug", "info", "warn", "error"};

/* Logging is no part of the simulation's loops: the one other place that asks the system's clock. */
static int64_t system_wall_ms(void *ctx)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int open_file(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
}

enum err logger_init(struct logger *logger, const struct logger_options *options)
{
    enum err err = OK;
    *logger =
        (struct logger){.level = (int)options->level, .format = options->format, .node_id = options->node_id};
    logger->wall_ms = options->wall_ms ? options->wall_ms : system_wall_ms;
    logger->sink = options->sink;
    logger->ctx = options->ctx;
    logger->fd = options->sink ? -1 : STDERR_FILENO;
    if (options->role)
        snprintf(logger->role, sizeof(logger->role), "%s", options->role);
    if (!options->sink && options->file && options->file[0] != '\0') {
        int fd = open_file(options->file);
        if (fd < 0)
            err = err_from_errno(errno);
        else
            logger->fd = fd;
        logger->owns_fd = fd >= 0;
    }
    return err;
}

enum err logger_reopen(struct logger *logger, const char *file)
{
    if (!logger->owns_fd || !file || file[0] == '\0')
        return OK;
    int fd = open_file(file);
    if (fd < 0)
        return err_from_errno(errno);
    int rv = dup3(fd, logger->fd, O_CLOEXEC); /* the number stays: writers on other threads need not know */
    enum err err = rv < 0 ? err_from_errno(errno) : OK;
    close(fd);
    return err;
}

void logger_close(struct logger *logger)
{
    if (logger->owns_fd)
        close(logger->fd);
    logger->owns_fd = false;
    logger->fd = logger->sink ? -1 : STDERR_FILENO;
}

static void add_time(struct text *line, int64_t wall_ms)
{
    char out[48];
    struct tm tm;
    time_t seconds = (time_t)(wall_ms / 1000);
    if (!gmtime_r(&seconds, &tm))
        memset(&tm, 0, sizeof(tm));
    size_t len = strftime(out, sizeof(out), "%Y-%m-%dT%H:%M:%S", &tm);
    len += (size_t)snprintf(out + len, sizeof(out) - len, ".%03dZ", (int)(wall_ms % 1000));
    text_add(line, out, len);
}

static bool is_bare(struct str text)
{
    for (int32_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (!isalnum(c) && !strchr("._:/@+-,[]()*%#<>", c))
            return false;
    }
    return text.len > 0 && text.len <= LOG_TEXT_MAX;
}

static void add_text(struct text *line, enum log_format format, struct str text)
{
    if (text.len < 0) {
        text_add_z(line, format == LOG_FORMAT_JSON ? "null" : "-");
        return;
    }
    if (format == LOG_FORMAT_TEXT && is_bare(text)) {
        text_add(line, text.p, (size_t)text.len);
        return;
    }
    text_add_z(line, "\"");
    text_add_escaped(line, text.p, (size_t)text.len, LOG_TEXT_MAX);
    text_add_z(line, "\"");
}

static void add_value(struct text *line, enum log_format format, const struct log_field *field)
{
    char out[40] = "";
    switch (field->kind) {
    case LOG_KIND_TEXT: add_text(line, format, field->text); return;
    case LOG_KIND_I64: snprintf(out, sizeof(out), "%" PRId64, field->i64); break;
    case LOG_KIND_U64: snprintf(out, sizeof(out), "%" PRIu64, field->u64); break;
    case LOG_KIND_BOOL: snprintf(out, sizeof(out), "%s", field->boolean ? "true" : "false"); break;
    case LOG_KIND_F64:
        if (isfinite(field->f64))
            snprintf(out, sizeof(out), "%.9g", field->f64);
        else
            snprintf(out, sizeof(out), "null"); /* JSON has no other word */
        break;
    }
    text_add_z(line, out);
}

/* Adds the whole field, or nothing and marks the line as cut. */
static void add_field(struct text *line, enum log_format format, const struct log_field *field)
{
    size_t before = line->len;
    if (line->cut)
        return;
    text_add_z(line, format == LOG_FORMAT_JSON ? ",\"" : " ");
    text_add_z(line, field->key);
    text_add_z(line, format == LOG_FORMAT_JSON ? "\":" : "=");
    add_value(line, format, field);
    if (line->cut)
        line->len = before;
}

static void add_head(struct text *line, const struct logger *logger, enum log_level level, const char *event)
{
    if (logger->format == LOG_FORMAT_JSON) {
        text_add_z(line, "{\"ts\":\"");
        add_time(line, logger->wall_ms(logger->ctx));
        text_add_z(line, "\",\"level\":\"");
        text_add_z(line, level_jsons[level]);
        text_add_z(line, "\",\"event\":\"");
        text_add_z(line, event);
        text_add_z(line, "\"");
    } else {
        add_time(line, logger->wall_ms(logger->ctx));
        text_add_z(line, " ");
        text_add_z(line, level_texts[level]);
        text_add_z(line, " ");
        text_add_z(line, event);
    }
    const struct log_field role = F_STR("role", logger->role);
    if (logger->role[0] != '\0')
        add_field(line, logger->format, &role);
    if (logger->node_id >= 0)
        add_field(line, logger->format, &F_I64("node", logger->node_id));
}

static void add_end(struct text *line, enum log_format format)
{
    line->size += LINE_END_ROOM;
    if (line->cut)
        text_add_z(line, format == LOG_FORMAT_JSON ? ",\"truncated\":true" : " truncated=true");
    text_add_z(line, format == LOG_FORMAT_JSON ? "}\n" : "\n");
}

/* One call of write(2) for the line; a full disk or a closed pipe must not stop the process. */
static void emit(struct logger *logger, const struct text *line)
{
    ssize_t written;
    if (logger->sink) {
        logger->sink(logger->ctx, line->p, line->len);
        return;
    }
    do
        written = write(logger->fd, line->p, line->len);
    while (written < 0 && errno == EINTR);
    if (written != (ssize_t)line->len)
        atomic_fetch_add_explicit(&logger->lines_lost, 1, memory_order_relaxed);
}

void logger_write(struct logger *logger, enum log_level level, const char *event,
                  const struct log_field *fields, size_t count)
{
    char buf[LOG_LINE_MAX];
    struct text line = {.p = buf, .size = sizeof(buf) - LINE_END_ROOM};
    int saved_errno = errno;
    ASSERT(level <= LOG_LEVEL_ERROR);
    add_head(&line, logger, level, event);
    for (size_t i = 0; i < count; i++)
        add_field(&line, logger->format, &fields[i]);
    add_end(&line, logger->format);
    emit(logger, &line);
    errno = saved_errno;
}

bool log_limit_pass(struct log_limit *limit, const struct logger *logger, uint64_t *ret_suppressed)
{
    int64_t now_ms = logger->wall_ms(logger->ctx);
    int64_t next_ms = atomic_load_explicit(&limit->next_ms, memory_order_relaxed);
    bool due = now_ms >= next_ms || now_ms < next_ms - LOG_LIMIT_MS; /* or the clock was set back */
    if (!due || !atomic_compare_exchange_strong_explicit(&limit->next_ms, &next_ms, now_ms + LOG_LIMIT_MS,
                                                         memory_order_relaxed, memory_order_relaxed)) {
        atomic_fetch_add_explicit(&limit->suppressed, 1, memory_order_relaxed);
        return false;
    }
    *ret_suppressed = atomic_exchange_explicit(&limit->suppressed, 0, memory_order_relaxed);
    return true;
}
