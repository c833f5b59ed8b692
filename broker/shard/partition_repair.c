/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/partition_repair.h"

#include <stdlib.h>
#include <string.h>

#include "broker/log/plog_aside.h"
#include "broker/log/plog_damage.h"
#include "broker/log/plog_scrub.h"
#include "broker/log/plog_txnindex.h"
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "common/base/mutant.h"
#include "common/batch/batch.h"

bool partition_repair_next(const struct partition *p, int64_t from, struct partition_repair *ret_repair)
{
    const struct plog_damage *list;
    int32_t i = 0, count = p->log && !p->core.failed ? plog_damages(p->log, &list) : 0;
    if (count == 0)
        return false;
    while (i < count && list[i].offset < from)
        i++;
    i = i < count ? i : 0;
    *ret_repair = (struct partition_repair){.offset = list[i].offset,
                                            .end = list[i].end,
                                            .ask_from = MAX(list[i].offset, p->core.log_start),
                                            .leader_epoch = p->core.leader_epoch,
                                            .leader = p->core.role == REPLICA_FOLLOWER ? p->core.leader : -1};
    return true;
}

void partition_repair_give_up(struct partition *p, int64_t offset, bool others_lead)
{
    if (p->core.failed || p->core.role != REPLICA_LEADER || offset < p->core.high_watermark ||
        plog_damage_at(p->log, offset, false) == NULL)
        return;
    if (!others_lead && !replica_holds_alone(&p->core, offset))
        return;
    PARTITION_LOG(p, ERROR, "partition.tail_given_up", F_I64("offset", offset),
                  F_I64("high_watermark", p->core.high_watermark),
                  F_STR("why", "damaged, not committed, and no other replica has it"));
    if (!others_lead)
        p->back.keep_end = offset;
    partition_fail(p, ERR_CORRUPT);
}

int32_t partition_damages(const struct partition *p)
{
    const struct plog_damage *list;
    return p->log ? plog_damages(p->log, &list) : 0;
}

/* What may have failed for want of something, and will be asked for again. */
static bool passes(enum err err)
{
    return err == OK || err == ERR_BUSY || err == ERR_NOT_FOUND || err == ERR_NOMEM || err == ERR_FD_LIMIT ||
           err == ERR_STALE || err == ERR_NO_SPACE;
}

void partition_tell_damage(struct partition *p)
{
    if (partition_damages(p) > 0 && p->host->damaged)
        p->host->damaged(p->host->ctx, p);
}

void partition_tell_remade(struct partition *p)
{
    uint32_t remade = plog_aborted_remade(p->log);
    if (remade > p->remade_told)
        PARTITION_LOG(p, WARN, "partition.txnindex_remade", F_I64("log_end", p->core.log_end));
    p->remade_told = remade;
    partition_tell_damage(p); /* reading the batches may have met some */
}

void partition_check_index(struct partition *p)
{
    enum err err = plog_aborted_check(p->log);
    if (!passes(err))
        partition_fail(p, err);
    else
        partition_tell_remade(p);
}

void partition_damaged(void *ctx, const struct plog_damage *damage)
{
    struct partition *p = ctx;
    PARTITION_LOG(p, ERROR, "partition.damaged", F_I64("segment", damage->segment),
                  F_I64("position", damage->position), F_I64("bytes", damage->size),
                  F_I64("offset", damage->offset), F_I64("end", damage->end));
    partition_tell_damage(p);
}

/* Work aside has ended: who waits for it asks again. An index that is bad has been made anew, a bad segment
 * has become a damaged range: other errors are the disk's. */
void partition_learned(void *ctx, enum err err)
{
    struct partition *p = ctx;
    if (!passes(err))
        partition_fail(p, err);
    else if (!p->core.failed)
        partition_maintain_learned(p, err);
}

enum err partition_damage_found(struct partition *p, int64_t offset)
{
    if (p->core.failed || offset < p->core.log_start || offset >= p->core.log_end)
        return ERR_NOT_FOUND;
    enum err err = plog_damage_seek(p->log, offset);
    if (!passes(err))
        partition_fail(p, err);
    else if (err == OK) /* who found it may have been unable to tell */
        partition_tell_damage(p);
    return err;
}

enum err partition_scrub_next(struct partition *p, struct plog_scrub *scrub, uint64_t *ret_offset,
                              uint32_t *ret_len)
{
    if (p->log == NULL || p->core.failed)
        return ERR_NOT_FOUND;
    return plog_scrub_next(p->log, scrub, ret_offset, ret_len);
}

enum err partition_scrub_take(struct partition *p, struct plog_scrub *scrub, const uint8_t *bytes,
                              uint32_t len, int64_t *ret_offset)
{
    if (p->log && !p->core.failed)
        return plog_scrub_take(p->log, scrub, bytes, len, ret_offset);
    plog_scrub_end(scrub);
    return OK;
}

/* Which of a reply's bytes are taken. */
struct taken {
    int32_t len;
    int64_t end; /* of the range that they are all of */
};

/* Whole batches that end within limit. A log with gaps ends the range where the peer has nothing more of it.
 */
static struct taken select_batches(const struct partition *p, const struct partition_repair_reply *reply,
                                   int64_t range_end, int64_t limit)
{
    struct taken taken = {0, reply->offset};
    size_t size;
    while (reply->len - taken.len >= BATCH_HEADER_BYTES) {
        const uint8_t *batch = reply->records + taken.len;
        if (batch_peek(batch, BATCH_HEADER_BYTES, &size) != OK)
            break;
        if (p->gaps && batch_base_offset(batch) >= range_end && range_end <= limit) {
            taken.end = range_end;
            break;
        }
        if (size > (size_t)(reply->len - taken.len) || batch_next_offset(batch) > limit)
            break;
        taken.end = batch_next_offset(batch);
        taken.len += (int32_t)size;
    }
    return taken;
}

static void mended(struct partition *p, const struct partition_repair_reply *reply, const struct taken *taken)
{
    PARTITION_LOG(p, WARN, "partition.refetched", F_I64("offset", reply->offset), F_I64("end", taken->end),
                  F_I64("bytes", taken->len));
    p->want_sync = true;
    p->wake[READER_CONSUMER] = p->wake[READER_FOLLOWER] = true;
    partition_settle_soon(p);
}

/* A peer may have nothing below the log start: a batch without records stands for what nobody can read any
 * more, so that offsets go on without a gap. Its epoch is that of the batch behind it. */
static void write_filler(uint8_t *p, const uint8_t *behind, int64_t offset)
{
    memcpy(p, behind, BATCH_HEADER_BYTES);
    batch_set_base_offset(p, offset);
    store_be32(p + BATCH_AT_LENGTH, BATCH_HEADER_BYTES - BATCH_PREFIX_BYTES);
    store_be16(p + BATCH_AT_ATTRIBUTES, 0);
    store_be32(p + BATCH_AT_LAST_OFFSET_DELTA, (uint32_t)(batch_base_offset(behind) - 1 - offset));
    store_be32(p + BATCH_AT_RECORD_COUNT, 0);
    batch_set_producer(p, BATCH_NO_PRODUCER_ID, BATCH_NO_EPOCH, BATCH_NO_SEQUENCE);
    store_be32(p + BATCH_AT_CRC, batch_compute_crc(p));
    ASSERT(batch_verify(p, BATCH_HEADER_BYTES) == OK);
}

static enum err replace(struct partition *p, const struct partition_repair_reply *reply,
                        const struct taken *taken)
{
    int64_t base = taken->len > 0 ? batch_base_offset(reply->records) : reply->offset;
    bool fill = base > reply->offset && base <= p->core.log_start && base - reply->offset <= INT32_MAX;
    if (!fill || p->gaps)
        return plog_replace_range(p->log, reply->offset, taken->end, reply->records, (uint32_t)taken->len);
    size_t size = BATCH_HEADER_BYTES + (size_t)taken->len;
    uint8_t *filled = malloc(size);
    if (filled == NULL)
        return ERR_NOMEM;
    write_filler(filled, reply->records, reply->offset);
    memcpy(filled + BATCH_HEADER_BYTES, reply->records, (size_t)taken->len);
    enum err err = plog_replace_range(p->log, reply->offset, taken->end, filled, (uint32_t)size);
    free(filled);
    return err;
}

/* The range that begins at offset, unless its records were deleted since it was asked for. */
static const struct plog_damage *wanted(const struct partition *p, int64_t offset)
{
    const struct plog_damage *damage = p->core.failed ? NULL : plog_damage_at(p->log, offset, false);
    return damage != NULL && damage->end > p->core.log_start ? damage : NULL;
}

static void prepared(void *ctx, const struct plog_aside_result *result)
{
    struct partition_mend *mend = ctx;
    list_remove(&mend->link);
    mend->done(mend);
}

bool partition_repair_prepare(struct partition *p, const struct partition_repair_reply *reply,
                              struct partition_mend *mend)
{
    const struct plog_damage *damage = wanted(p, reply->offset);
    list_init(&mend->link);
    if (damage == NULL)
        return false;
    struct taken taken = select_batches(p, reply, damage->end, damage->end);
    uint32_t len = (uint32_t)taken.len;
    bool in_place = taken.end == damage->end ? len == damage->size : len <= damage->size; /* else a copy */
    enum plog_aside_task task = in_place ? PLOG_ASIDE_MEND : PLOG_ASIDE_MEND_COPY;
    if (plog_aside_start(p->log, task, reply->offset, prepared, mend, &mend->aside) != OK)
        return false;
    list_push_back(&p->mends, &mend->link);
    return true;
}

void partition_mend_cancel(struct partition_mend *mend)
{
    if (list_empty(&mend->link))
        return;
    plog_aside_cancel(mend->aside);
    list_remove(&mend->link);
}

void partition_mends_end(struct partition *p)
{
    while (!list_empty(&p->mends)) {
        struct partition_mend *mend = CONTAINER_OF(p->mends.next, struct partition_mend, link);
        partition_mend_cancel(mend);
        mend->done(mend);
    }
}

enum err partition_repair_take(struct partition *p, const struct partition_repair_reply *reply,
                               int64_t *ret_end)
{
    const struct plog_damage *damage = wanted(p, reply->offset);
    if (damage == NULL || damage->offset != reply->offset || reply->leader_epoch != p->core.leader_epoch)
        return ERR_STALE;
    bool whole = reply->from_leader && p->core.role == REPLICA_FOLLOWER;
    int64_t limit =
        whole || MUTANT(REFETCH_UNCHECKED) ? damage->end : MIN(damage->end, reply->high_watermark);
    struct taken taken = select_batches(p, reply, damage->end, limit);
    if (taken.end == reply->offset)
        return ERR_NOT_FOUND;
    enum err err = replace(p, reply, &taken);
    if (err == OK) {
        *ret_end = taken.end;
        mended(p, reply, &taken);
    } else if (plog_failed(p->log)) {
        partition_fail(p, err);
    }
    return err;
}
