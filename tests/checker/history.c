/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/checker/history.h"

#include <string.h>

#include "common/base/assert.h"

STATIC_ASSERT(sizeof(HISTORY_MAGIC) - 1 == 8, "the header starts with eight bytes of magic");

/* A place that moves on with each field. */
struct at {
    uint8_t *p;
};

struct from {
    const uint8_t *p;
};

static void put(struct at *at, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *at->p++ = (uint8_t)(v >> (8 * i));
}

static uint64_t get(struct from *from, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++)
        v |= (uint64_t)*from->p++ << (8 * i);
    return v;
}

struct history_record history_record(enum history_type type, enum history_op op, uint32_t process,
                                     int64_t time_us)
{
    return (struct history_record){.type = (uint8_t)type,
                                   .op = (uint8_t)op,
                                   .process = process,
                                   .time_us = time_us,
                                   .node = -1,
                                   .epoch = -1,
                                   .partition = -1,
                                   .offset = -1};
}

void history_writer_init(struct history_writer *w, void *bytes, size_t size,
                         const struct history_header *header)
{
    ASSERT(size >= HISTORY_HEADER_BYTES);
    *w = (struct history_writer){.bytes = bytes, .size = size, .used = HISTORY_HEADER_BYTES};
    memcpy(w->bytes, HISTORY_MAGIC, 8);
    struct at at = {w->bytes + 8};
    put(&at, HISTORY_VERSION, 2);
    put(&at, HISTORY_RECORD_BYTES, 2);
    put(&at, header->client, 4);
    put(&at, header->seed, 8);
    put(&at, 0, 8);
    ASSERT(at.p == w->bytes + HISTORY_HEADER_BYTES);
}

bool history_put(struct history_writer *w, const struct history_record *r)
{
    if (w->size - w->used < HISTORY_RECORD_BYTES)
        return false;
    struct at at = {w->bytes + w->used};
    put(&at, r->type, 1);
    put(&at, r->op, 1);
    put(&at, r->what, 1);
    put(&at, r->flags, 1);
    put(&at, (uint32_t)r->error, 4);
    put(&at, (uint64_t)r->time_us, 8);
    put(&at, r->process, 4);
    put(&at, (uint32_t)r->node, 4);
    put(&at, r->call, 4);
    put(&at, (uint32_t)r->epoch, 4);
    put(&at, r->topic, 4);
    put(&at, (uint32_t)r->partition, 4);
    put(&at, r->value, 8);
    put(&at, (uint64_t)r->offset, 8);
    put(&at, r->txn, 8);
    put(&at, r->group, 4);
    put(&at, 0, 4);
    put(&at, (uint64_t)r->arg, 8);
    put(&at, (uint64_t)r->arg2, 8);
    w->used += HISTORY_RECORD_BYTES;
    ASSERT(at.p == w->bytes + w->used);
    return true;
}

enum err history_open(const void *bytes, size_t len, struct history_header *ret_header)
{
    if (len < HISTORY_HEADER_BYTES)
        return ERR_TRUNCATED;
    if (memcmp(bytes, HISTORY_MAGIC, 8) != 0)
        return ERR_MALFORMED;
    struct from at = {(const uint8_t *)bytes + 8};
    if (get(&at, 2) != HISTORY_VERSION || get(&at, 2) != HISTORY_RECORD_BYTES)
        return ERR_VERSION;
    ret_header->client = (uint32_t)get(&at, 4);
    ret_header->seed = get(&at, 8);
    return OK;
}

size_t history_count(size_t len)
{
    return len < HISTORY_HEADER_BYTES ? 0 : (len - HISTORY_HEADER_BYTES) / HISTORY_RECORD_BYTES;
}

/* Whether the enumerations of a record are within their tables. */
static bool known(const struct history_record *r)
{
    return r->type > HISTORY_TYPE_NONE && r->type < HISTORY_TYPE_COUNT && r->op > HISTORY_OP_NONE &&
           r->op < HISTORY_OP_COUNT && r->what < HISTORY_WHAT_COUNT;
}

enum err history_get(const void *bytes, size_t i, struct history_record *ret_record)
{
    struct from at = {(const uint8_t *)bytes + HISTORY_HEADER_BYTES + i * HISTORY_RECORD_BYTES};
    struct history_record r;
    r.type = (uint8_t)get(&at, 1);
    r.op = (uint8_t)get(&at, 1);
    r.what = (uint8_t)get(&at, 1);
    r.flags = (uint8_t)get(&at, 1);
    r.error = (int32_t)get(&at, 4);
    r.time_us = (int64_t)get(&at, 8);
    r.process = (uint32_t)get(&at, 4);
    r.node = (int32_t)get(&at, 4);
    r.call = (uint32_t)get(&at, 4);
    r.epoch = (int32_t)get(&at, 4);
    r.topic = (uint32_t)get(&at, 4);
    r.partition = (int32_t)get(&at, 4);
    r.value = get(&at, 8);
    r.offset = (int64_t)get(&at, 8);
    r.txn = get(&at, 8);
    r.group = (uint32_t)get(&at, 4);
    get(&at, 4);
    r.arg = (int64_t)get(&at, 8);
    r.arg2 = (int64_t)get(&at, 8);
    if (!known(&r))
        return ERR_MALFORMED;
    *ret_record = r;
    return OK;
}

static const char *const type_names[] = {"?",
#define X(name, text) text,
                                         HISTORY_TYPES(X)
#undef X
};

static const char *const op_names[] = {"?",
#define X(name, text, call) text,
                                       HISTORY_OPS(X)
#undef X
};

static const bool op_calls[] = {false,
#define X(name, text, call) call,
                                HISTORY_OPS(X)
#undef X
};

static const char *const what_names[] = {"?",
#define X(name, text) text,
                                         HISTORY_WHATS(X)
#undef X
};

const char *history_type_name(unsigned type)
{
    return type_names[type < HISTORY_TYPE_COUNT ? type : 0];
}

const char *history_op_name(unsigned op)
{
    return op_names[op < HISTORY_OP_COUNT ? op : 0];
}

const char *history_what_name(unsigned what)
{
    return what_names[what < HISTORY_WHAT_COUNT ? what : 0];
}

bool history_op_is_call(unsigned op)
{
    return op_calls[op < HISTORY_OP_COUNT ? op : 0];
}
