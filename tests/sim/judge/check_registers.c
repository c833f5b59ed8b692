/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata as registers: is there an order of the calls that explains every answer (I15)? A search with
 * memory over the calls of one key between two pauses, at most 64 of them. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/sim/judge/check_int.h"

#define CALLS_MAX 64

struct call {
    uint32_t key;
    uint8_t op, type; /* type: INFO when it never ended */
    uint64_t value;
    uint64_t begin_us, end_us;
};

struct calls {
    struct call *at;
    size_t count, cap;
};

static void calls_add(struct calls *calls, const struct call *call)
{
    if (calls->count == calls->cap) {
        calls->cap = MAX((size_t)256, calls->cap * 2);
        calls->at = realloc(calls->at, calls->cap * sizeof(calls->at[0]));
        ASSERT(calls->at != NULL);
    }
    calls->at[calls->count++] = *call;
}

static int calls_order(const void *a, const void *b)
{
    const struct call *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->begin_us < y->begin_us ? -1 : x->begin_us > y->begin_us;
}

static void call_add(struct check *check, struct calls *calls, const struct history_record *begin)
{
    const struct history_record *end = map_get(&check->calls, (uint64_t)begin->process << 32 | begin->op_id);
    struct call call = {.key = begin->key,
                        .op = begin->op,
                        .type = end != NULL ? end->type : HIST_INFO,
                        .value = begin->op == HIST_READ && end != NULL ? end->value : begin->value,
                        .begin_us = begin->time_us,
                        .end_us = end != NULL && end->type == HIST_OK ? end->time_us : UINT64_MAX};
    if (call.type == HIST_FAIL || (call.type == HIST_INFO && call.op == HIST_READ))
        return; /* says nothing */
    calls_add(calls, &call);
}

static bool is_register(const struct history_record *record)
{
    return record->op == HIST_WRITE || record->op == HIST_READ;
}

static void calls_collect(struct check *check, struct calls *calls)
{
    const struct history *history = check->history;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_record *record = &history->records[i];
        if (!is_register(record) || record->type == HIST_INVOKE)
            continue;
        bool ok = map_put(&check->calls, (uint64_t)record->process << 32 | record->op_id,
                          (void *)(uintptr_t)record);
        ASSERT(ok);
    }
    for (size_t i = 0; i < history->count; i++)
        if (is_register(&history->records[i]) && history->records[i].type == HIST_INVOKE)
            call_add(check, calls, &history->records[i]);
    if (calls->count > 0)
        qsort(calls->at, calls->count, sizeof(calls->at[0]), calls_order);
}

/* -- the search -- */

struct search {
    const struct call *calls;
    int count;
    struct map tried;               /* hash of (done, value) */
    uint64_t values[CALLS_MAX + 1]; /* that a finished order may leave */
    int value_count;
    bool found;
};

static void search_found(struct search *search, uint64_t value)
{
    search->found = true;
    for (int i = 0; i < search->value_count; i++)
        if (search->values[i] == value)
            return;
    if (search->value_count <= CALLS_MAX)
        search->values[search->value_count++] = value;
}

static bool search_first_visit(struct search *search, uint64_t done, uint64_t value)
{
    uint64_t parts[2] = {done, value}, id = hash_bytes(parts, sizeof(parts), 31);
    if (map_get(&search->tried, id) != NULL)
        return false;
    bool ok = map_put(&search->tried, id, search);
    ASSERT(ok);
    return true;
}

static void search_from(struct search *search, uint64_t done, uint64_t value)
{
    uint64_t earliest_end_us = UINT64_MAX;
    bool over = true;
    if (!search_first_visit(search, done, value))
        return;
    for (int i = 0; i < search->count; i++) {
        if (done & 1ull << i)
            continue;
        earliest_end_us = MIN(earliest_end_us, search->calls[i].end_us);
        over = over && search->calls[i].type != HIST_OK;
    }
    if (over)
        search_found(search, value); /* those of unknown outcome need not have happened */
    for (int i = 0; i < search->count; i++) {
        const struct call *call = &search->calls[i];
        if ((done & 1ull << i) || call->begin_us > earliest_end_us)
            continue;
        if (call->op == HIST_WRITE)
            search_from(search, done | 1ull << i, call->value);
        else if (call->value == value)
            search_from(search, done | 1ull << i, value);
    }
}

/* One stretch without a pause, from each value that may stand before it; leaves those that may stand after
 * it. */
static bool stretch_check(const struct call *calls, int count, uint64_t *values, int *value_count)
{
    struct search search = {.calls = calls, .count = count};
    map_init(&search.tried);
    for (int i = 0; i < *value_count; i++)
        search_from(&search, 0, values[i]);
    map_free(&search.tried);
    if (search.found) {
        memcpy(values, search.values, sizeof(search.values));
        *value_count = search.value_count;
    }
    return search.found;
}

/* How many calls from `from` on overlap without a pause. */
static size_t stretch_length(const struct calls *calls, size_t from)
{
    uint64_t end_us = calls->at[from].end_us;
    size_t i = from + 1;
    for (; i < calls->count && calls->at[i].key == calls->at[from].key && calls->at[i].begin_us <= end_us;
         i++)
        end_us = MAX(end_us, calls->at[i].end_us);
    return i - from;
}

void check_registers(struct check *check)
{
    struct calls calls = {.at = NULL};
    uint64_t values[CALLS_MAX + 1] = {0};
    int value_count = 1;
    calls_collect(check, &calls);
    for (size_t at = 0, count; at < calls.count; at += count) {
        if (at == 0 || calls.at[at].key != calls.at[at - 1].key) {
            values[0] = 0; /* registers begin as deleted */
            value_count = 1;
        }
        count = stretch_length(&calls, at);
        if (count > CALLS_MAX) {
            check->report->registers_unchecked++;
            while (at + count < calls.count && calls.at[at + count].key == calls.at[at].key)
                count++;
        } else if (!stretch_check(&calls.at[at], (int)count, values, &value_count)) {
            check_violates(check, VIOLATION_NOT_LINEARIZABLE, NULL, "key %u, %zu calls from %llu ms on",
                           calls.at[at].key, count, (unsigned long long)(calls.at[at].begin_us / 1000));
        }
    }
    free(calls.at);
}
