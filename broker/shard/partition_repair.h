/* SPDX-License-Identifier: Apache-2.0 */
/* Damaged ranges of a partition's log, and their mending with a peer's bytes. Part of partition.h's contract;
 * used by repair.c and scrub.c. */
#ifndef SLUICE_BROKER_SHARD_PARTITION_REPAIR_H
#define SLUICE_BROKER_SHARD_PARTITION_REPAIR_H

#include "broker/shard/partition.h"

/* What is to be asked of a peer next: its bytes from ask_from on, at most to end. */
struct partition_repair {
    int64_t offset, end;
    int64_t ask_from; /* offset, or the log start when that lies inside: peers may have nothing below it */
    int32_t leader_epoch;
    int32_t leader; /* whom p follows; -1: nobody */
};

/* The first damaged range that begins at or behind from, else the first of all. False: nothing is damaged, or
 * the log is offline. */
bool partition_repair_next(const struct partition *p, int64_t from, struct partition_repair *ret_repair);

/* No peer that answered has anything of the damaged range at offset. Where p leads and the range is not
 * committed, its followers stand before it for ever: p gives its log up, so that one of them leads, and cuts
 * it when it is back. Where nobody else may lead (others_lead is false) it is opened again without its tail,
 * if that cannot have been acknowledged, and has lost something (partition_back.c). Else no-op. */
void partition_repair_give_up(struct partition *p, int64_t offset, bool others_lead);

/* Damaged ranges known now. */
int32_t partition_damages(const struct partition *p);

/* Somebody met bad bytes at offset. OK: it is known as damaged. ERR_BUSY: the range is being measured, aside;
 * host->damaged follows if there is one: ask again. ERR_NOT_FOUND: there is none; others: nobody knows. */
enum err partition_damage_found(struct partition *p, int64_t offset);

/* Scrubbing: as plog_scrub_next() and plog_scrub_take(); ERR_NOT_FOUND, OK when the log is offline. */
struct plog_scrub;
enum err partition_scrub_next(struct partition *p, struct plog_scrub *scrub, uint64_t *ret_offset,
                              uint32_t *ret_len);
enum err partition_scrub_take(struct partition *p, struct plog_scrub *scrub, const uint8_t *bytes,
                              uint32_t len, int64_t *ret_offset);

/* What a peer answered. */
struct partition_repair_reply {
    int64_t offset;       /* where the range that was asked for begins */
    int32_t leader_epoch; /* with which it was asked, and which the peer agreed to */
    bool from_leader; /* the peer leads in that epoch, and p follows it: its whole log is what ours must be */
    int64_t high_watermark; /* the peer's: below it all replicas must hold the same */
    const uint8_t *records;
    int32_t len;
};

/* Before partition_repair_take(): what it reads of the disk is read aside. Caller's memory until done or
 * cancelled. */
struct plog_aside;
struct partition_mend {
    void (*done)(struct partition_mend *mend); /* later (E2); also when p fails or goes */
    /* private */
    struct list link; /* partition->mends; empty: it does not wait */
    struct plog_aside *aside;
};

/* False: nothing to be read, or it could not begin; done does not follow. */
bool partition_repair_prepare(struct partition *p, const struct partition_repair_reply *reply,
                              struct partition_mend *mend);
void partition_mend_cancel(struct partition_mend *mend); /* no-op when it does not wait */

/* Puts the reply's batches where they belong; *ret_end is where the good part goes on now. They are checked:
 * checksum, offsets, epochs, neighbours, and that they can be no others (from the leader, or committed).
 * ERR_STALE: the range is not there any more, or the epoch has moved: ask afresh. ERR_NOT_FOUND: nothing that
 * can be believed. ERR_CORRUPT, ERR_MISMATCH: the peer's bytes do not fit. Else the log failed. */
enum err partition_repair_take(struct partition *p, const struct partition_repair_reply *reply,
                               int64_t *ret_end);

#endif
