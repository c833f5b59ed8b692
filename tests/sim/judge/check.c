/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/judge/verdict.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/sim/judge/check_int.h"

static const struct {
    const char *name, *invariant, *text;
} violations[VIOLATION_COUNT] = {
#define X(id, name, invariant, text) {name, invariant, text},
    VIOLATION_TABLE(X)
#undef X
};

const char *violation_name(enum violation violation)
{
    return violations[violation].name;
}

void check_violates(struct check *check, enum violation violation, const struct history_record *record,
                    const char *format, ...)
{
    struct check_report *report = check->report;
    report->violations++;
    if (report->counts[violation]++ > 0)
        return;
    char *out = report->examples[violation], line[CHECK_EXAMPLE_MAX / 2];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(out, CHECK_EXAMPLE_MAX, format, args);
    va_end(args);
    if (record != NULL && len >= 0 && len < CHECK_EXAMPLE_MAX)
        snprintf(out + len, (size_t)(CHECK_EXAMPLE_MAX - len), " [%s]",
                 history_format(record, line, sizeof(line)));
}

void *check_alloc(struct check *check, size_t size)
{
    struct list_of *list = &check->garbage;
    if (list->count == list->cap) {
        list->cap = MAX((size_t)1024, list->cap * 2);
        list->at = realloc(list->at, list->cap * sizeof(list->at[0]));
        ASSERT(list->at != NULL);
    }
    void *p = calloc(1, size);
    ASSERT(p != NULL);
    list->at[list->count++] = p;
    return p;
}

static void put(struct map *map, uint64_t key, void *value)
{
    bool ok = map_put(map, key, value);
    ASSERT(ok);
}

struct key_state *check_key(struct check *check, uint32_t key)
{
    struct key_state *state = map_get(&check->keys, (uint64_t)key + 1);
    if (state != NULL)
        return state;
    state = check_alloc(check, sizeof(*state));
    *state = (struct key_state){.key = key, .index = check->key_count, .final_max = -1, .polled_max = -1};
    put(&check->keys, (uint64_t)key + 1, state);
    if (check->key_count == check->key_cap) {
        check->key_cap = MAX(16u, check->key_cap * 2);
        check->key_list = realloc(check->key_list, check->key_cap * sizeof(check->key_list[0]));
        ASSERT(check->key_list != NULL);
    }
    check->key_list[check->key_count++] = state;
    return state;
}

static uint64_t cell_id(const struct key_state *key, int64_t offset)
{
    return (uint64_t)(key->index + 1) << 40 | (uint64_t)offset;
}

struct cell *check_cell(struct check *check, uint32_t key, int64_t offset)
{
    return map_get(&check->cells, cell_id(check_key(check, key), offset));
}

struct send *check_send(struct check *check, uint64_t value)
{
    return map_get(&check->sends, value);
}

struct txn *check_txn(struct check *check, uint64_t id)
{
    struct txn *txn = map_get(&check->txns, id);
    if (txn != NULL)
        return txn;
    txn = check_alloc(check, sizeof(*txn));
    txn->id = id;
    txn->index = check->txns.count;
    put(&check->txns, id, txn);
    return txn;
}

bool send_is_acked(const struct send *send)
{
    return send->end != NULL && send->end->type == HIST_OK;
}

static bool txn_is_aborted(const struct txn *txn)
{
    return txn != NULL && txn->end != NULL && txn->end->type == HIST_OK && (txn->end->flags & HIST_F_ABORT);
}

bool send_is_refused(const struct check *check, const struct send *send)
{
    if (send->end != NULL && send->end->type == HIST_FAIL)
        return true;
    return send->invoke->txn != 0 && txn_is_aborted(map_get(&check->txns, send->invoke->txn));
}

static uint64_t call_id(const struct history_record *record)
{
    return (uint64_t)record->process << 32 | record->op_id;
}

/* The start of the call that `end` ends. NULL (and a violation) when there is none. */
const struct history_record *call_begin(struct check *check, const struct history_record *end)
{
    const struct history_record *begin = map_remove(&check->calls, call_id(end));
    if (begin == NULL || begin->op != end->op) {
        check_violates(check, VIOLATION_BAD_HISTORY, end, "a call ends that never began");
        return NULL;
    }
    return begin;
}

/* Calls of the ops that have a begin and an end: remembered once for all passes. */
static void collect_txns(struct check *check)
{
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_record *record = &check->history->records[i];
        if (record->op != HIST_TXN_END)
            continue;
        struct txn *txn = check_txn(check, record->txn);
        if (record->type == HIST_INVOKE)
            txn->invoke = record;
        else
            txn->end = record;
    }
}

static void check_free(struct check *check)
{
    for (size_t i = 0; i < check->garbage.count; i++)
        free(check->garbage.at[i]);
    free(check->garbage.at);
    free(check->key_list);
    map_free(&check->sends);
    map_free(&check->keys);
    map_free(&check->cells);
    map_free(&check->txns);
    map_free(&check->calls);
}

bool check_history(const struct history *history, const struct check_options *options,
                   struct check_report *ret_report)
{
    struct check check = {.history = history, .options = *options, .report = ret_report};
    *ret_report = (struct check_report){.violations = 0};
    map_init(&check.sends);
    map_init(&check.keys);
    map_init(&check.cells);
    map_init(&check.txns);
    map_init(&check.calls);
    collect_txns(&check);
    check_values(&check);
    check_versions(&check);
    check_losses(&check);
    check_polls(&check);
    check_txns(&check);
    check_observed(&check);
    check_replicas(&check);
    check_registers(&check);
    check_gaps(&check);
    ret_report->keys = check.key_count;
    for (uint32_t i = 0; i < check.key_count; i++) /* before the keys go */
        free(check.key_list[i]->cells);
    check_free(&check);
    return ret_report->violations == 0;
}

void check_report_print(const struct check_report *report, FILE *out)
{
    for (int i = 0; i < VIOLATION_COUNT; i++)
        if (report->counts[i] > 0)
            fprintf(out, "%s (%s): %llu, %s; first: %s\n", violations[i].name, violations[i].invariant,
                    (unsigned long long)report->counts[i], violations[i].text, report->examples[i]);
    fprintf(out,
            "keys=%llu acknowledged=%llu failed=%llu unknown=%llu polled=%llu staleness_ms=%llu gap_ms=%llu "
            "violations=%llu\n",
            (unsigned long long)report->keys, (unsigned long long)report->sends_ok,
            (unsigned long long)report->sends_fail, (unsigned long long)report->sends_info,
            (unsigned long long)report->records_polled, (unsigned long long)(report->staleness_us / 1000),
            (unsigned long long)(report->gap_us / 1000), (unsigned long long)report->violations);
}
