/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions as compaction sees them: data of aborted ones goes, a marker goes when no data of its
 * transaction is left before it (Kafka's CleanedTransactionMetadata). */
#include <stdlib.h>

#include "broker/log/plog_compact_int.h"
#include "common/base/assert.h"

#define MARKER_ABORT  0
#define MARKER_COMMIT 1

static enum err grow(void **array, uint32_t *cap, uint32_t count, size_t size)
{
    if (count < *cap)
        return OK;
    uint32_t next = *cap ? *cap * 2 : 16;
    void *grown = realloc(*array, next * size);
    if (grown == NULL)
        return ERR_NOMEM;
    *array = grown;
    *cap = next;
    return OK;
}

static bool add_aborted(void *ctx, const struct txn_entry *txn)
{
    struct compact_txns *txns = ctx;
    txns->err = grow((void **)&txns->list, &txns->list_cap, txns->list_count, sizeof(*txns->list));
    if (txns->err == OK)
        txns->list[txns->list_count++] = *txn;
    return txns->err == OK;
}

static int by_first(const void *a, const void *b)
{
    const struct txn_entry *x = a, *y = b;
    return (x->first_offset > y->first_offset) - (x->first_offset < y->first_offset);
}

enum err compact_txns_load(struct plog_compaction *job)
{
    struct compact_txns *txns = &job->txns;
    char path[PLOG_PATH_MAX];
    for (int32_t i = 0; i < job->index_bases_count; i++) {
        plog_path(&job->shadow, job->index_bases[i], ".txnindex", path);
        enum err err = plog_aborted_load(job->env, path, add_aborted, txns);
        if (err || txns->err)
            return err ? err : txns->err;
    }
    if (txns->list_count > 1)
        qsort(txns->list, txns->list_count, sizeof(*txns->list), by_first);
    return OK;
}

void compact_txns_restart(struct compact_txns *txns)
{
    txns->next = 0;
    txns->open_count = 0;
}

void compact_txns_free(struct compact_txns *txns)
{
    free(txns->list);
    free(txns->open);
}

static struct compact_txn *find_open(struct compact_txns *txns, int64_t producer_id)
{
    for (uint32_t i = 0; i < txns->open_count; i++)
        if (txns->open[i].producer_id == producer_id)
            return &txns->open[i];
    return NULL;
}

static struct compact_txn *open_txn(struct plog_compaction *job, int64_t producer_id)
{
    struct compact_txns *txns = &job->txns;
    struct compact_txn *found = find_open(txns, producer_id);
    if (found)
        return found;
    job->err = grow((void **)&txns->open, &txns->open_cap, txns->open_count, sizeof(*txns->open));
    if (job->err)
        return NULL;
    txns->open[txns->open_count] = (struct compact_txn){.producer_id = producer_id};
    return &txns->open[txns->open_count++];
}

static void note_aborted(struct plog_compaction *job, int64_t up_to)
{
    struct compact_txns *txns = &job->txns;
    for (; txns->next < txns->list_count && txns->list[txns->next].first_offset <= up_to; txns->next++) {
        struct compact_txn *txn = open_txn(job, txns->list[txns->next].producer_id);
        if (txn == NULL)
            return;
        txn->aborted = txns->list[txns->next];
        txn->is_aborted = true;
        txn->has_data = txn->in_log = false;
    }
}

/* ABORT or COMMIT; -1: another control record. */
static int marker_type(const uint8_t *batch)
{
    struct batch_iter it;
    struct record record;
    if (batch_iter_init(&it, batch, NULL) != OK || !batch_iter_next(&it, &record) || record.key.len < 4)
        return -1;
    return load_be16(record.key.p + 2);
}

static void keep_aborted(struct plog_compaction *job, const struct txn_entry *txn)
{
    size_t size = (job->kept_aborted_count + 1) * sizeof(*job->kept_aborted);
    struct txn_entry *grown = job->stage == COMPACT_COPY ? realloc(job->kept_aborted, size) : NULL;
    if (job->stage != COMPACT_COPY)
        return;
    if (grown == NULL) {
        job->err = ERR_NOMEM;
        return;
    }
    job->kept_aborted = grown;
    grown[job->kept_aborted_count++] = *txn;
}

/* True: nothing of its transaction was met, the marker may go. ERR_CORRUPT: the index contradicts it. */
static bool marker_done(struct plog_compaction *job, const uint8_t *batch)
{
    struct compact_txns *txns = &job->txns;
    struct compact_txn *txn = find_open(txns, batch_producer_id(batch));
    int type = batch_codec(batch) == CODEC_NONE ? marker_type(batch) : -1;
    if (type != MARKER_ABORT && type != MARKER_COMMIT)
        return batch_record_count(batch) == 0;
    bool data = txn && txn->has_data;
    if (data && txn->in_log && txn->is_aborted != (type == MARKER_ABORT)) { /* what must stay might go */
        job->err = ERR_CORRUPT;
        return false;
    }
    if (data && txn->is_aborted && type == MARKER_ABORT)
        keep_aborted(job, &txn->aborted);
    if (txn)
        *txn = txns->open[--txns->open_count];
    return !data;
}

bool compact_txns_batch(struct plog_compaction *job, const uint8_t *batch)
{
    if (!batch_is_transactional(batch))
        return false;
    note_aborted(job, batch_last_offset(batch));
    if (job->err)
        return false;
    if (batch_is_control(batch))
        return marker_done(job, batch);
    struct compact_txn *txn = open_txn(job, batch_producer_id(batch));
    if (txn == NULL)
        return false;
    txn->has_data = true;
    txn->in_log |= batch_last_offset(batch) >= job->txns.log_start;
    return txn->is_aborted;
}
