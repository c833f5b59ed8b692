/* SPDX-License-Identifier: Apache-2.0 */
/* A request from its arrival to its answer. */
#include <stdarg.h>
#include <string.h>

#include "controller/core/internal.h"

#define TEXT_MAX 400 /* bytes of an error message */

void reply_set(const struct core *core, struct core_reply *reply, int16_t error, uint64_t index)
{
    int32_t leader_id = core->active ? core->config.node_id : NODE_NONE;
    switch (reply->type) {
    case CORE_REPLY_REGISTER_BROKER:
        reply->register_broker.error = error ? error : reply->register_broker.error;
        reply->register_broker.leader_id = leader_id;
        break;
    case CORE_REPLY_HEARTBEAT:
        reply->heartbeat.error = error ? error : reply->heartbeat.error;
        reply->heartbeat.leader_id = leader_id;
        break;
    case CORE_REPLY_ALTER_PARTITION:
        reply->alter_partition.error = error ? error : reply->alter_partition.error;
        reply->alter_partition.leader_id = leader_id;
        reply->alter_partition.index = index;
        break;
    case CORE_REPLY_PRODUCER_IDS:
        reply->producer_ids.error = error ? error : reply->producer_ids.error;
        reply->producer_ids.leader_id = leader_id;
        break;
    case CORE_REPLY_ADMIN:
        reply->admin.error = error ? error : reply->admin.error;
        reply->admin.response = reply->admin.error ? NULL : reply->admin.response;
        reply->admin.index = index;
        break;
    }
}

/* An answer without a command: it needs no memory beyond the core's own. */
static struct command *refuse_at_once(struct core *core, uint64_t token, enum core_reply_type type,
                                      int16_t error)
{
    struct core_effect *effect = effect_add(core, FX_REPLY, token);
    ASSERT(effect != NULL);
    effect->reply.type = type;
    reply_set(core, &effect->reply, error, 0);
    return NULL;
}

static struct command *command_new(struct core *core)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, core->config.request_bytes_max);
    struct command *command = arena_calloc(&arena, 1, sizeof(*command));
    if (command)
        command->arena = arena;
    else
        arena_free(&arena);
    return command;
}

/* Heartbeats and registrations are let through: they seldom propose, and refusing them would cost sessions.
 */
static bool is_throttled(const struct core *core, enum core_reply_type type)
{
    if (core->waiters_count == CORE_WAITERS_MAX)
        return true;
    bool vital = type == CORE_REPLY_HEARTBEAT || type == CORE_REPLY_REGISTER_BROKER;
    return !vital && core->proposed_token - core->committed_token >= CORE_INFLIGHT_MAX;
}

struct command *command_begin(struct core *core, uint64_t now_us, uint64_t token, enum core_reply_type type)
{
    event_begin(core, now_us);
    if (!core->active)
        return refuse_at_once(core, token, type, KAFKA_NOT_CONTROLLER);
    if (is_throttled(core, type))
        return refuse_at_once(core, token, type, KAFKA_THROTTLING_QUOTA_EXCEEDED);
    struct command *command = command_new(core);
    if (!command)
        return refuse_at_once(core, token, type, KAFKA_THROTTLING_QUOTA_EXCEEDED);
    command->core = core;
    command->token = token;
    command->reply.type = type;
    list_init(&command->link);
    plan_begin(&command->plan, core);
    return command;
}

static void answer_now(struct command *command, int16_t error)
{
    struct core *core = command->core;
    ASSERT(command->plan.edit == NULL && list_empty(&command->link));
    if (error == KAFKA_NONE && command->committed)
        command->committed(command, image_index(core->committed));
    reply_set(core, &command->reply, error, image_index(core->committed));
    list_push_back(&core->done, &command->link);
    struct core_effect *effect = effect_add(core, FX_REPLY, command->token);
    ASSERT(effect != NULL);
    effect->reply = command->reply;
}

void command_refuse(struct command *command, int16_t error)
{
    ASSERT(error != KAFKA_NONE);
    plan_abort(&command->plan);
    answer_now(command, error);
}

void command_end(struct command *command)
{
    struct core *core = command->core;
    ASSERT(core->active && list_empty(&command->link));
    command->proposed = command->plan.records_count > 0;
    enum err err = plan_end(&command->plan);
    if (err != OK) {
        answer_now(command, err == ERR_TOO_LARGE ? KAFKA_INVALID_REQUEST : KAFKA_THROTTLING_QUOTA_EXCEEDED);
        return;
    }
    if (core->committed_token == core->proposed_token) {
        answer_now(command, KAFKA_NONE);
        return;
    }
    ASSERT(core->proposed_token > core->committed_token);
    command->waits_for = core->proposed_token; /* even a refusal may rest on what is still in flight */
    list_push_back(&core->waiters, &command->link);
    core->waiters_count++;
}

void *command_alloc(struct command *command, size_t count, size_t size)
{
    void *p = arena_calloc(&command->arena, count, size);
    if (!p && command->plan.err == OK)
        command->plan.err = ERR_NOMEM;
    return p;
}

struct str command_str(struct command *command, struct str s)
{
    if (s.len < 0)
        return STR_NULL;
    char *copy = command_alloc(command, (size_t)s.len + 1, 1);
    if (!copy)
        return STR_LIT("");
    if (s.len > 0)
        memcpy(copy, s.p, (size_t)s.len);
    return (struct str){copy, s.len};
}

/* --- messages --- */

struct text {
    char *p;
    int32_t len;
};

static void put(struct text *text, const char *p, int32_t len)
{
    ASSERT(text->len <= TEXT_MAX);
    for (int32_t i = 0; i < len && text->len < TEXT_MAX; i++)
        text->p[text->len++] = p[i];
}

static void put_number(struct text *text, int64_t number)
{
    char digits[20]; /* of INT64_MIN without its sign: 19 */
    int32_t at = (int32_t)sizeof(digits);
    uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    if (number < 0)
        put(text, "-", 1);
    ASSERT(at >= 0);
    put(text, digits + at, (int32_t)sizeof(digits) - at);
}

static void put_directive(struct text *text, char directive, va_list *args)
{
    if (directive == 'd') {
        put_number(text, va_arg(*args, int64_t));
    } else if (directive == 's') {
        struct str s = va_arg(*args, struct str);
        put(text, s.p, s.len);
    } else {
        ASSERT(directive == 'z');
        const char *z = va_arg(*args, const char *);
        put(text, z, (int32_t)strlen(z));
    }
}

struct str command_text(struct command *command, const char *format, ...)
{
    struct text text = {command_alloc(command, TEXT_MAX, 1), 0};
    if (!text.p)
        return STR_LIT("");
    va_list args;
    va_start(args, format);
    for (; *format; format++) {
        if (*format == '%')
            put_directive(&text, *++format, &args);
        else
            put(&text, format, 1);
    }
    va_end(args);
    return (struct str){text.p, text.len};
}
