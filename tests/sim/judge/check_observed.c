/* SPDX-License-Identifier: Apache-2.0 */
/* What observers of the cluster wrote down: leaders, watermarks, in-sync sets, images, groups, health. */
#include <stdlib.h>

#include "common/base/assert.h"
#include "tests/sim/judge/check_int.h"

/* One map for every rule; ids are hashes of the rule's op and what it is about. */
struct observed {
    struct check *check;
    struct map seen;
};

static uint64_t id_of(uint64_t op, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t parts[4] = {op, a, b, c};
    return hash_bytes(parts, sizeof(parts), 23);
}

/* The record remembered under id; the new one takes its place. */
static const struct history_record *swap_seen(struct observed *observed, uint64_t id,
                                              const struct history_record *record)
{
    const struct history_record *before = map_get(&observed->seen, id);
    bool ok = map_put(&observed->seen, id, (void *)(uintptr_t)record);
    ASSERT(ok);
    return before;
}

static void see_sample(struct observed *observed, const struct history_record *record)
{
    uint64_t id = id_of(HIST_SAMPLE, record->key, (uint64_t)(uint32_t)record->node, 0);
    const struct history_record *before = swap_seen(observed, id, record);
    if (before == NULL)
        return;
    if (record->epoch < before->epoch)
        check_violates(observed->check, VIOLATION_REGRESS, record, "leader epoch was %d", before->epoch);
    if (record->epoch != before->epoch)
        return;
    if (record->value < before->value)
        check_violates(observed->check, VIOLATION_REGRESS, record, "high watermark was %llu",
                       (unsigned long long)before->value);
    if (record->aux < before->aux)
        check_violates(observed->check, VIOLATION_REGRESS, record, "last stable offset was %llu",
                       (unsigned long long)before->aux);
    if (record->offset < before->offset)
        check_violates(observed->check, VIOLATION_REGRESS, record, "log start was %lld",
                       (long long)before->offset);
}

static void see_leader(struct observed *observed, const struct history_record *record)
{
    uint64_t id = id_of(HIST_LEADER, record->key, (uint64_t)(uint32_t)record->epoch, 0);
    const struct history_record *before = swap_seen(observed, id, record);
    if (before != NULL && before->node != record->node)
        check_violates(observed->check, VIOLATION_TWO_LEADERS, record, "and node %d", before->node);
}

static void see_term(struct observed *observed, const struct history_record *record)
{
    const struct history_record *before =
        swap_seen(observed, id_of(HIST_TERM, record->key, record->aux, 0), record);
    if (before != NULL && before->node != record->node)
        check_violates(observed->check, VIOLATION_TWO_TERM_LEADERS, record, "and node %d", before->node);
}

static void see_entry(struct observed *observed, const struct history_record *record)
{
    const struct history_record *before =
        swap_seen(observed, id_of(HIST_ENTRY, record->key, (uint64_t)record->offset, 0), record);
    if (before != NULL && (before->value != record->value || before->aux != record->aux))
        check_violates(observed->check, VIOLATION_ENTRY_DIVERGENCE, record, "node %d: term %llu, %llx",
                       before->node, (unsigned long long)before->aux, (unsigned long long)before->value);
}

static void see_image(struct observed *observed, const struct history_record *record)
{
    const struct history_record *before = swap_seen(observed, id_of(HIST_IMAGE, record->aux, 0, 0), record);
    if (before != NULL && before->value != record->value)
        check_violates(observed->check, VIOLATION_IMAGE_DIVERGENCE, record, "node %d has %llx", before->node,
                       (unsigned long long)before->value);
}

static void see_isr(struct observed *observed, const struct history_record *record)
{
    if ((record->value & ~record->aux) != 0)
        check_violates(observed->check, VIOLATION_ISR_STRANGER, record, "in sync %llx, replicas %llx",
                       (unsigned long long)record->value, (unsigned long long)record->aux);
}

static void see_isr_add(struct observed *observed, const struct history_record *record)
{
    if ((uint64_t)record->offset < record->value)
        check_violates(observed->check, VIOLATION_ISR_TOO_EARLY, record, "log end %lld, high watermark %llu",
                       (long long)record->offset, (unsigned long long)record->value);
}

static void see_held(struct observed *observed, const struct history_record *record)
{
    if ((uint64_t)record->offset < record->value)
        check_violates(observed->check, VIOLATION_NOT_DURABLE, record, "log end %lld, counted on %llu",
                       (long long)record->offset, (unsigned long long)record->value);
}

/* -- groups -- */

static void see_commit(struct observed *observed, const struct history_record *record)
{
    if (record->type != HIST_OK)
        return;
    uint64_t id = id_of(HIST_COMMIT, record->key, record->aux, 0);
    const struct history_record *before = map_get(&observed->seen, id);
    if (before == NULL || before->offset < record->offset)
        swap_seen(observed, id, record);
}

/* What had been acknowledged when the call began must be in its answer. */
static void see_fetched(struct observed *observed, const struct history_record *record)
{
    uint64_t call = id_of(HIST_FETCHED, record->process, record->op_id, 0);
    if (record->type == HIST_INVOKE) {
        const struct history_record *commit =
            map_get(&observed->seen, id_of(HIST_COMMIT, record->key, record->aux, 0));
        if (commit != NULL)
            swap_seen(observed, call, commit);
        return;
    }
    const struct history_record *commit = map_remove(&observed->seen, call);
    if (record->type == HIST_OK && commit != NULL && record->offset < commit->offset)
        check_violates(observed->check, VIOLATION_LOST_COMMIT, record, "group %llx had committed %lld",
                       (unsigned long long)record->aux, (long long)commit->offset);
}

static void see_own(struct observed *observed, const struct history_record *record)
{
    uint64_t id = id_of(HIST_OWN, record->key, record->aux, record->value);
    const struct history_record *before = map_get(&observed->seen, id);
    if (record->type != HIST_INVOKE) {
        if (before != NULL && before->process == record->process)
            map_remove(&observed->seen, id);
        return;
    }
    if (before != NULL && before->process != record->process)
        check_violates(observed->check, VIOLATION_DOUBLE_OWNER, record, "process %u owns it too",
                       before->process);
    swap_seen(observed, id, record);
}

/* -- health -- */

static void see_health(struct observed *observed, const struct history_record *record)
{
    check_violates(observed->check, VIOLATION_UNHEALTHY, record, "code %llu",
                   (unsigned long long)record->value);
}

static void see_queue(struct observed *observed, const struct history_record *record)
{
    if (record->value > record->aux)
        check_violates(observed->check, VIOLATION_QUEUE_OVER_CAP, record, "%llu of %llu",
                       (unsigned long long)record->value, (unsigned long long)record->aux);
}

static void see_leak(struct observed *observed, const struct history_record *record)
{
    if (record->value > 0)
        check_violates(observed->check, VIOLATION_LEAK, record, "%llu blocks",
                       (unsigned long long)record->value);
}

typedef void (*see_fn)(struct observed *observed, const struct history_record *record);

/* Observers are many: their records in the order of time, and of the files at one time. */
static int times_order(const void *a, const void *b)
{
    const struct history_record *x = *(const struct history_record *const *)a;
    const struct history_record *y = *(const struct history_record *const *)b;
    if (x->time_us != y->time_us)
        return x->time_us < y->time_us ? -1 : 1;
    return x < y ? -1 : x > y;
}

void check_observed(struct check *check)
{
    static const see_fn rules[HIST_OP_COUNT] = {
        [HIST_SAMPLE] = see_sample,   [HIST_LEADER] = see_leader, [HIST_TERM] = see_term,
        [HIST_ENTRY] = see_entry,     [HIST_IMAGE] = see_image,   [HIST_ISR] = see_isr,
        [HIST_ISR_ADD] = see_isr_add, [HIST_COMMIT] = see_commit, [HIST_FETCHED] = see_fetched,
        [HIST_OWN] = see_own,         [HIST_HEALTH] = see_health, [HIST_QUEUE] = see_queue,
        [HIST_LEAK] = see_leak,       [HIST_HELD] = see_held};
    struct observed observed = {.check = check};
    map_init(&observed.seen);
    const struct history *history = check->history;
    const struct history_record **order = malloc((history->count + 1) * sizeof(struct history_record *));
    ASSERT(order != NULL);
    size_t count = 0;
    for (size_t i = 0; i < history->count; i++)
        if (rules[history->records[i].op] != NULL)
            order[count++] = &history->records[i];
    qsort(order, count, sizeof(*order), times_order);
    for (size_t i = 0; i < count; i++)
        rules[order[i]->op](&observed, order[i]);
    free(order);
    map_free(&observed.seen);
}
