/* SPDX-License-Identifier: Apache-2.0 */
/* Who sent what, what lies where, and what is lost: I1 to I4, I9, I20. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/sim/judge/check_int.h"

static uint64_t call_id(const struct history_record *record)
{
    return (uint64_t)record->process << 32 | record->op_id;
}

static void remember(struct map *map, uint64_t key, const void *value)
{
    bool ok = map_put(map, key, (void *)(uintptr_t)value);
    ASSERT(ok);
}

/* -- sends -- */

static void send_begins(struct check *check, const struct history_record *record)
{
    if (check_send(check, record->value) != NULL) {
        check_violates(check, VIOLATION_BAD_HISTORY, record, "a value is sent twice");
        return;
    }
    struct send *send = check_alloc(check, sizeof(*send));
    *send = (struct send){.invoke = record, .value = record->value, .offset = -1};
    send->key_index = check_key(check, record->key)->index;
    remember(&check->sends, record->value, send);
    remember(&check->calls, call_id(record), record);
}

static void send_ends(struct check *check, const struct history_record *record)
{
    const struct history_record *begin = call_begin(check, record);
    struct send *send = begin != NULL ? check_send(check, begin->value) : NULL;
    if (send == NULL)
        return;
    send->end = record;
    check->report->sends_ok += record->type == HIST_OK;
    check->report->sends_fail += record->type == HIST_FAIL;
    check->report->sends_info += record->type == HIST_INFO;
}

/* -- cells -- */

static void key_add_cell(struct key_state *key, struct cell *cell)
{
    if (key->cell_count == key->cell_cap) {
        key->cell_cap = MAX(64u, key->cell_cap * 2);
        key->cells = realloc(key->cells, key->cell_cap * sizeof(key->cells[0]));
        ASSERT(key->cells != NULL);
    }
    key->cells[key->cell_count++] = cell;
}

/* Somebody says that value lies at (key, offset). */
static void value_is_at(struct check *check, struct key_state *key, int64_t offset, uint64_t value,
                        const struct history_record *record)
{
    struct cell *cell = check_cell(check, key->key, offset);
    struct send *send = check_send(check, value);
    if (cell == NULL) {
        cell = check_alloc(check, sizeof(*cell));
        *cell = (struct cell){.value = value, .offset = offset, .first = record, .send = send};
        remember(&check->cells, (uint64_t)(key->index + 1) << 40 | (uint64_t)offset, cell);
        key_add_cell(key, cell);
    } else if (cell->value != value) {
        check_violates(check, VIOLATION_INCONSISTENT_OFFSETS, record,
                       "key %u offset %lld: %llx, and earlier %llx", key->key, (long long)offset,
                       (unsigned long long)value, (unsigned long long)cell->value);
        return;
    }
    if (send == NULL) {
        check_violates(check, VIOLATION_PHANTOM, record, "key %u offset %lld", key->key, (long long)offset);
    } else if (send->offset >= 0 && (send->offset != offset || send->key_index != key->index)) {
        if (!(send->invoke->flags & HIST_F_REPEATS))
            check_violates(check, VIOLATION_DUPLICATE, record, "key %u offset %lld, and offset %lld",
                           key->key, (long long)offset, (long long)send->offset);
    } else {
        send->offset = offset;
    }
}

static void poll_gives(struct check *check, const struct history_record *record)
{
    struct key_state *key = check_key(check, record->key);
    if (record->flags & HIST_F_FINAL)
        key->has_final = true;
    if (record->flags & HIST_F_EMPTY)
        return;
    check->report->records_polled++;
    value_is_at(check, key, record->offset, record->value, record);
    struct send *send = check_send(check, record->value);
    if (send != NULL) {
        send->polled = true;
        send->polled_final |= (record->flags & HIST_F_FINAL) != 0;
    }
    key->polled_max = MAX(key->polled_max, record->offset);
    if (record->flags & HIST_F_FINAL)
        key->final_max = MAX(key->final_max, record->offset);
}

static void value_record(struct check *check, const struct history_record *record)
{
    if (record->op == HIST_SEND && record->type == HIST_INVOKE) {
        send_begins(check, record);
    } else if (record->op == HIST_SEND) {
        send_ends(check, record);
    } else if (record->op == HIST_POLL && record->type == HIST_OK) {
        /* second round: every send is known then */
    } else if (record->op == HIST_SAMPLE && record->type == HIST_OK) {
        struct key_state *key = check_key(check, record->key);
        key->log_start = MAX(key->log_start, record->offset);
    }
}

/* -- order of one producer's sends (I9) -- */

struct last_send {
    int64_t offset;
    uint64_t txn;
};

static void send_order(struct check *check, struct map *last, const struct send *send)
{
    uint64_t id = ((uint64_t)send->invoke->process << 32 | send->key_index) + 1;
    struct last_send *before = map_get(last, id);
    if (before == NULL) {
        before = check_alloc(check, sizeof(*before));
        before->offset = -1;
        remember(last, id, before);
    }
    if (send->end->offset <= before->offset) {
        bool inside = send->invoke->txn != 0 && send->invoke->txn == before->txn;
        check_violates(check, inside ? VIOLATION_INT_NONMONOTONIC_SEND : VIOLATION_NONMONOTONIC_SEND,
                       send->end, "sent after offset %lld", (long long)before->offset);
    }
    before->offset = send->end->offset;
    before->txn = send->invoke->txn;
}

void check_values(struct check *check)
{
    struct map last;
    map_init(&last);
    for (size_t i = 0; i < check->history->count; i++)
        value_record(check, &check->history->records[i]);
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_record *record = &check->history->records[i];
        struct send *send = NULL;
        if (record->op == HIST_POLL && record->type == HIST_OK)
            poll_gives(check, record);
        else if (record->op == HIST_SEND && record->type == HIST_INVOKE)
            send = check_send(check, record->value);
        if (send == NULL || send->invoke != record || !send_is_acked(send) || send->end->offset < 0)
            continue;
        value_is_at(check, check_key(check, record->key), send->end->offset, send->value, send->end);
        if (!(record->flags & HIST_F_REPEATS))
            send_order(check, &last, send);
    }
    map_free(&last);
}

/* -- version order -- */

static int cells_order(const void *a, const void *b)
{
    const struct cell *x = *(struct cell *const *)a, *y = *(struct cell *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* What no reader needs to see is not part of the order. */
static bool cell_counts(const struct check *check, const struct cell *cell)
{
    return cell->send == NULL || cell->send->polled ||
           !(send_is_refused(check, cell->send) || cell->send->invoke->txn != 0);
}

void check_versions(struct check *check)
{
    for (uint32_t i = 0; i < check->key_count; i++) {
        struct key_state *key = check->key_list[i];
        uint32_t rank = 0;
        if (key->cell_count > 0)
            qsort(key->cells, key->cell_count, sizeof(key->cells[0]), cells_order);
        for (uint32_t k = 0; k < key->cell_count; k++) {
            bool weak = key->cells[k]->send != NULL && !key->cells[k]->send->polled &&
                        (key->cells[k]->send->invoke->flags & HIST_F_WEAK);
            key->cells[k]->rank = rank;
            rank += !weak && cell_counts(check, key->cells[k]);
        }
    }
}

/* -- losses (I2, I3) -- */

static void send_loss(struct check *check, const struct key_state *key, const struct send *send)
{
    if (send->end->offset >= 0 && send->end->offset < key->log_start)
        return; /* retention took it */
    if (send->polled)
        return;
    if (send->end->offset >= 0 && send->end->offset <= key->polled_max)
        check_violates(check, VIOLATION_LOST_WRITE, send->end, "readers have got to offset %lld",
                       (long long)key->polled_max);
    else if (key->has_final)
        check_violates(check, VIOLATION_UNSEEN, send->end, "the final reads end at offset %lld",
                       (long long)key->final_max);
}

static void read_loss(struct check *check, const struct key_state *key, const struct cell *cell)
{
    if (!key->has_final || cell->send == NULL || !cell->send->polled || cell->send->polled_final)
        return;
    if (cell->offset < key->log_start || (cell->send->invoke->flags & HIST_F_WEAK))
        return;
    check_violates(check, VIOLATION_VANISHED_READ, cell->first, "key %u offset %lld, final reads end at %lld",
                   key->key, (long long)cell->offset, (long long)key->final_max);
}

void check_losses(struct check *check)
{
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_record *record = &check->history->records[i];
        if (record->op != HIST_SEND || record->type != HIST_INVOKE)
            continue;
        const struct send *send = check_send(check, record->value);
        if (send->invoke != record || !send_is_acked(send) || (record->flags & HIST_F_WEAK))
            continue;
        if (!send_is_refused(check, send) && record->txn == 0)
            send_loss(check, check_key(check, record->key), send);
    }
    for (uint32_t i = 0; i < check->key_count; i++)
        for (uint32_t k = 0; k < check->key_list[i]->cell_count; k++)
            read_loss(check, check->key_list[i], check->key_list[i]->cells[k]);
}

/* -- availability (I20) -- */

static int times_order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void key_gap(struct check *check, const struct key_state *key, uint64_t *times, size_t count)
{
    uint64_t worst_us = 0, at_us = 0;
    qsort(times, count, sizeof(*times), times_order);
    for (size_t i = 1; i < count; i++) {
        if (times[i] - times[i - 1] > worst_us) {
            worst_us = times[i] - times[i - 1];
            at_us = times[i - 1];
        }
    }
    check->report->gap_us = MAX(check->report->gap_us, worst_us);
    if (check->options.gap_max_us > 0 && worst_us > check->options.gap_max_us)
        check_violates(check, VIOLATION_GAP, NULL, "key %u: nothing acknowledged for %llu ms from %llu ms on",
                       key->key, (unsigned long long)(worst_us / 1000), (unsigned long long)(at_us / 1000));
}

void check_gaps(struct check *check)
{
    uint64_t *times = malloc((check->report->sends_ok + 1) * sizeof(*times));
    ASSERT(times != NULL);
    for (uint32_t i = 0; i < check->key_count; i++) {
        const struct key_state *key = check->key_list[i];
        size_t count = 0;
        for (uint32_t k = 0; k < key->cell_count; k++)
            if (key->cells[k]->send != NULL && send_is_acked(key->cells[k]->send))
                times[count++] = key->cells[k]->send->end->time_us;
        if (count > 1)
            key_gap(check, key, times, count);
    }
    free(times);
}
