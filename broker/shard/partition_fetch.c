/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "broker/log/plog_txnindex.h"
#include "broker/shard/partition_internal.h"
#include "broker/shard/partition_repair.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/batch/batch.h"
#include "proto/kafka/error.h"

/* Readers see: followers all, consumers what is below the high watermark, or what is decided. */
static int64_t bound_of(struct partition *p, const struct partition_read *request)
{
    bool all = request->replica_id != -1 || MUTANT(SERVE_PAST_HIGH_WATERMARK);
    if (all)
        return p->core.log_end;
    return request->read_committed ? partition_last_stable(p) : p->core.high_watermark;
}

static int16_t check_read(struct partition *p, const struct partition_read *request)
{
    bool any_role = request->replica_id == PARTITION_READER_REPAIR && !p->core.failed;
    int16_t error = any_role ? replica_check_epoch(&p->core, request->current_leader_epoch)
                             : partition_check_leader(p, request->current_leader_epoch);
    if (error != KAFKA_NONE)
        return error;
    return request->fetch_offset < p->core.log_start ? KAFKA_OFFSET_OUT_OF_RANGE : KAFKA_NONE;
}

int64_t partition_available(struct partition *p, const struct partition_read *request)
{
    int32_t epoch;
    int64_t end_offset;
    if (check_read(p, request) != KAFKA_NONE ||
        partition_diverges(p, request->fetch_offset, request->last_fetched_epoch, &epoch, &end_offset))
        return 0;
    return plog_estimate(p->log, request->fetch_offset, bound_of(p, request));
}

static int16_t read_error(struct partition *p, int64_t offset, enum err err)
{
    if (err == ERR_CORRUPT) {
        if (partition_damage_found(p, offset) == ERR_NOT_FOUND && !p->core.failed)
            PARTITION_LOG(p, ERROR, "partition.corrupt_batch", F_I64("offset", offset));
        return p->core.failed ? KAFKA_KAFKA_STORAGE_ERROR : KAFKA_CORRUPT_MESSAGE;
    }
    if (err == ERR_NOMEM || err == ERR_FD_LIMIT || err == ERR_BUSY) /* the log is whole, or mended soon */
        return KAFKA_UNKNOWN_SERVER_ERROR;
    partition_fail(p, err);
    return KAFKA_KAFKA_STORAGE_ERROR;
}

/* One more piece. ERR_NOT_FOUND: there is no more, for this read. */
static enum err read_piece(struct partition *p, const struct partition_read *request, int64_t *offset,
                           struct partition_read_result *ret)
{
    struct plog_piece piece;
    bool first = ret->pieces_count == 0;
    struct plog_fetch ask = {.offset = *offset,
                             .end_offset = MAX(bound_of(p, request), *offset),
                             .file_end_offset =
                                 ret->pieces_count < request->ranges_max ? p->core.high_watermark : -1,
                             .max_bytes = request->max_bytes - ret->bytes,
                             .at_least_one = request->at_least_one && first,
                             .may_wait = !request->no_wait,
                             .aside = request->aside};
    enum err err = plog_fetch(p->log, &ask, &piece);
    struct partition_piece out = {.p = piece.p,
                                  .owner = piece.owner,
                                  .file = piece.file,
                                  .file_offset = piece.file_offset,
                                  .len = piece.len};
    if (err == ERR_AGAIN && first)
        ret->cold = out;
    else if (err == ERR_AGAIN)
        env_file_close(piece.file);
    ret->busy = err == ERR_BUSY && first;
    if (err)
        return err == ERR_AGAIN || err == ERR_BUSY ? ERR_NOT_FOUND : err;
    if (piece.len == 0)
        return ERR_NOT_FOUND;
    ret->pieces[ret->pieces_count++] = out;
    ret->bytes += piece.len;
    *offset = piece.next_offset;
    return OK;
}

struct aborted_take {
    struct partition_read_result *ret;
    bool no_memory;
};

static void take_aborted(void *ctx, const struct txn_entry *txn)
{
    struct aborted_take *take = ctx;
    struct partition_read_result *ret = take->ret;
    if (ret->aborted_count == ret->aborted_cap) {
        int32_t cap = ret->aborted_cap ? ret->aborted_cap * 2 : 8;
        void *grown = realloc(ret->aborted, (size_t)cap * sizeof(*ret->aborted));
        take->no_memory |= grown == NULL;
        if (grown == NULL)
            return;
        ret->aborted = grown;
        ret->aborted_cap = cap;
    }
    ret->aborted[ret->aborted_count++] = (struct partition_aborted){txn->producer_id, txn->first_offset};
}

static int by_first(const void *a, const void *b)
{
    const struct partition_aborted *x = a, *y = b;
    return (x->first_offset > y->first_offset) - (x->first_offset < y->first_offset);
}

/* Which of what was read, up to end_offset, belongs to nobody any more. */
static void read_aborted(struct partition *p, const struct partition_read *request, int64_t end_offset,
                         struct partition_read_result *ret)
{
    struct aborted_take take = {.ret = ret};
    struct plog_piece cold;
    int64_t from = request->fetch_offset;
    enum err err =
        plog_aborted_find(p->log, from, end_offset, take_aborted, &take, request->no_wait ? &cold : NULL);
    if (err == ERR_AGAIN) {
        partition_read_release(ret);
        ret->cold = (struct partition_piece){.file = cold.file, .len = cold.len};
        return;
    }
    partition_tell_remade(p);
    if (err == OK && take.no_memory)
        err = ERR_NOMEM;
    if (err != OK) {
        partition_read_release(ret);
        ret->error = read_error(p, from, err);
    } else if (MUTANT(HIDE_ABORTED) && ret->aborted_count > 0) {
        ret->aborted_count--;
    } else if (ret->aborted_count > 1) {
        qsort(ret->aborted, (size_t)ret->aborted_count, sizeof(*ret->aborted), by_first);
    }
}

static void read_data(struct partition *p, const struct partition_read *request,
                      struct partition_read_result *ret)
{
    int64_t offset = request->fetch_offset;
    enum err err = OK;
    if (MUTANT(READ_SKIPS) && request->replica_id == -1 && offset < p->core.high_watermark)
        offset++;
    while (err == OK && ret->pieces_count < PARTITION_READ_PIECES_MAX && offset <= p->core.log_end)
        err = read_piece(p, request, &offset, ret);
    if (err != OK && err != ERR_NOT_FOUND && ret->pieces_count == 0)
        ret->error = read_error(p, offset, err);
    /* Behind good batches, too: a reader whose epoch seems to diverge there does not come back to it. */
    else if (err == ERR_CORRUPT)
        partition_damage_found(p, offset);
    if (request->read_committed && ret->pieces_count > 0)
        read_aborted(p, request, offset, ret);
}

/* What the batch at the end of the reader's epoch says of it: the epoch does not end there, or compaction has
 * taken all that the reader would be led back to. ERR_NOT_FOUND: there is none. */
static enum err look_at_end(struct partition *p, const struct partition_read *request,
                            struct partition_read_result *ret, bool *ret_goes_on)
{
    struct plog_piece piece;
    struct plog_fetch ask = {.offset = ret->diverging_end_offset,
                             .end_offset = p->core.log_end,
                             .file_end_offset = -1,
                             .at_least_one = true,
                             .may_wait = !request->no_wait,
                             .aside = request->aside};
    enum err err = plog_fetch(p->log, &ask, &piece);
    if (err == ERR_AGAIN)
        ret->cold =
            (struct partition_piece){.file = piece.file, .file_offset = piece.file_offset, .len = piece.len};
    ret->busy = err == ERR_BUSY;
    if (err == OK && piece.len == 0)
        return ERR_NOT_FOUND;
    if (err == OK) {
        *ret_goes_on = batch_leader_epoch(piece.p) <= ret->diverging_epoch ||
                       batch_base_offset(piece.p) >= request->fetch_offset;
        iobuf_unref(piece.owner);
    }
    return err;
}

/* Whether the reader is answered by where its epoch ends here (or cannot be told yet). A consumer is led back
 * only where the batch there does not contradict that: epochs come from a file without a checksum, and one
 * flipped bit would lead it back to the same batch again and again. What is read instead tells more. Nor is
 * it led back over nothing but a gap: where in it an epoch began who copied the log does not know. */
static bool leads_back(struct partition *p, const struct partition_read *request,
                       struct partition_read_result *ret)
{
    bool goes_on = false;
    int64_t end = ret->diverging_end_offset;
    if (request->replica_id != -1 || end < p->core.log_start || end >= p->core.log_end)
        return true;
    enum err err = look_at_end(p, request, ret, &goes_on);
    if (err == ERR_NOT_FOUND || (err == OK && !goes_on))
        return true;
    ret->diverging_epoch = -1;
    ret->diverging_end_offset = -1;
    if (err != OK && err != ERR_AGAIN && err != ERR_BUSY)
        ret->error = read_error(p, end, err);
    return err != OK;
}

void partition_read(struct partition *p, const struct partition_read *request,
                    struct partition_read_result *ret)
{
    *ret = (struct partition_read_result){.error = check_read(p, request),
                                          .high_watermark = p->core.high_watermark,
                                          .last_stable_offset = partition_last_stable(p),
                                          .log_start = p->core.log_start,
                                          .diverging_epoch = -1,
                                          .diverging_end_offset = -1,
                                          .leader = p->core.leader,
                                          .leader_epoch = p->core.leader_epoch};
    if (ret->error != KAFKA_NONE)
        return;
    bool diverges = partition_diverges(p, request->fetch_offset, request->last_fetched_epoch,
                                       &ret->diverging_epoch, &ret->diverging_end_offset);
    if (diverges && ret->diverging_epoch < 0) { /* an epoch that we never heard of, KIP-279: no guess */
        ret->error = KAFKA_OFFSET_OUT_OF_RANGE;
        return;
    }
    if (diverges && leads_back(p, request, ret))
        return;
    ret->diverging_epoch = -1;
    ret->diverging_end_offset = -1;
    if (request->fetch_offset >
        p->core.log_end) /* after divergence: a longer log of an older epoch is told where to cut */
        ret->error = KAFKA_OFFSET_OUT_OF_RANGE;
    else
        read_data(p, request, ret);
}

void partition_read_release(struct partition_read_result *result)
{
    for (int32_t i = 0; i < result->pieces_count; i++) {
        iobuf_unref(result->pieces[i].owner);
        if (result->pieces[i].file)
            env_file_close(result->pieces[i].file);
    }
    if (result->cold.file)
        env_file_close(result->cold.file);
    free(result->aborted);
    result->aborted = NULL;
    result->aborted_count = result->aborted_cap = 0;
    result->cold = (struct partition_piece){0};
    result->pieces_count = 0;
    result->bytes = 0;
}

void partition_watch(struct partition *p, struct partition_watch *watch, bool follower)
{
    list_push_back(&p->watches[follower ? READER_FOLLOWER : READER_CONSUMER], &watch->link);
}

void partition_watch_cancel(struct partition_watch *watch)
{
    list_remove(&watch->link);
}
