/* SPDX-License-Identifier: Apache-2.0 */
/* What readers saw, in the order in which they saw it: I5 to I8, I19. */
#include "common/base/assert.h"
#include "tests/sim/judge/check_int.h"

/* Where a process stands in a key. */
struct reader {
    bool placed; /* it has read since its last assignment */
    uint32_t op_id;
    int64_t offset;
    uint32_t rank;
};

static struct reader *reader_of(struct check *check, struct map *readers, const struct history_record *record)
{
    uint64_t id = ((uint64_t)record->process << 32 | check_key(check, record->key)->index) + 1;
    struct reader *reader = map_get(readers, id);
    if (reader == NULL) {
        reader = check_alloc(check, sizeof(*reader));
        bool ok = map_put(readers, id, reader);
        ASSERT(ok);
    }
    return reader;
}

static void poll_order(struct check *check, struct reader *reader, const struct history_record *record,
                       const struct cell *cell)
{
    bool inside = reader->op_id == record->op_id;
    bool back = record->offset <= reader->offset;
    bool skip = !back && cell->rank > reader->rank + 1 &&
                reader->offset + 1 >= check_key(check, record->key)->log_start;
    if (reader->placed && back)
        check_violates(check, inside ? VIOLATION_INT_NONMONOTONIC_POLL : VIOLATION_NONMONOTONIC_POLL, record,
                       "after offset %lld", (long long)reader->offset);
    else if (reader->placed && skip)
        check_violates(check, inside ? VIOLATION_INT_POLL_SKIP : VIOLATION_POLL_SKIP, record,
                       "after offset %lld: %u left out", (long long)reader->offset,
                       cell->rank - reader->rank - 1);
    *reader =
        (struct reader){.placed = true, .op_id = record->op_id, .offset = record->offset, .rank = cell->rank};
}

static void poll_rights(struct check *check, const struct history_record *record, const struct send *send)
{
    if (send == NULL)
        return;
    bool transactional = send->invoke->txn != 0;
    if (send_is_refused(check, send) && (!transactional || (record->flags & HIST_F_COMMITTED)))
        check_violates(check, VIOLATION_ABORTED_READ, record, "its send was refused");
    if (!transactional || !(record->flags & HIST_F_COMMITTED))
        return;
    struct txn *txn = check_txn(check, send->invoke->txn);
    txn->seen = true;
    if (record->txn == txn->id && (txn->invoke == NULL || record->time_us < txn->invoke->time_us))
        check_violates(check, VIOLATION_PRECOMMITTED_READ, record, "transaction %llx",
                       (unsigned long long)txn->id);
}

/* A reader at the end of what it was given: how long had the first record that it misses been acknowledged?
 */
static void poll_staleness(struct check *check, const struct history_record *record)
{
    const struct key_state *key = check_key(check, record->key);
    uint32_t low = 0, high = key->cell_count;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (key->cells[mid]->offset < record->offset)
            low = mid + 1;
        else
            high = mid;
    }
    const struct send *send = low < key->cell_count ? key->cells[low]->send : NULL;
    if (send == NULL || !send_is_acked(send) || send->invoke->txn != 0 ||
        send->end->time_us >= record->time_us)
        return;
    uint64_t age_us = record->time_us - send->end->time_us;
    check->report->staleness_us = MAX(check->report->staleness_us, age_us);
    if (check->options.staleness_max_us > 0 && age_us > check->options.staleness_max_us)
        check_violates(check, VIOLATION_STALE_READ, record, "missed for %llu ms",
                       (unsigned long long)(age_us / 1000));
}

void check_polls(struct check *check)
{
    struct map readers;
    map_init(&readers);
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_record *record = &check->history->records[i];
        if (record->op == HIST_ASSIGN)
            reader_of(check, &readers, record)->placed = false;
        if (record->op != HIST_POLL || record->type != HIST_OK)
            continue;
        if (record->flags & HIST_F_EMPTY) {
            poll_staleness(check, record);
            continue;
        }
        const struct cell *cell = check_cell(check, record->key, record->offset);
        poll_order(check, reader_of(check, &readers, record), record, cell);
        poll_rights(check, record, check_send(check, record->value));
    }
    map_free(&readers);
}
