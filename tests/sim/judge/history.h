/* SPDX-License-Identifier: Apache-2.0 */
/* What clients and observers of a cluster saw, as fixed-size records: one file per client, judged by
 * verdict.h.
 *
 * A file is a header of one record's size (magic "SLUICEH1", record size, client) followed by records, all
 * little-endian. Times are of one clock for all files of a run. Every call of a client is an INVOKE and then
 * one of OK (it happened), FAIL (it certainly did not), INFO (nobody knows); both carry the same op_id. A
 * client that was killed goes on as a new process. */
#ifndef SLUICE_SIM_JUDGE_HISTORY_H
#define SLUICE_SIM_JUDGE_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

enum hist_type { HIST_INVOKE = 1, HIST_OK, HIST_FAIL, HIST_INFO };

/* Fields that an op does not name are zero. key: topic and partition, or another object; value: unique in the
 * run unless said otherwise. */
enum hist_op {
    HIST_SEND = 1, /* key value txn; OK: offset epoch node */
    HIST_POLL,     /* OK, one for each record that a poll (op_id) gave: key offset value epoch txn. With
                      HIST_F_EMPTY: it gave nothing at offset */
    HIST_ASSIGN,   /* OK: the process reads key from another position from now on */
    HIST_SAMPLE,   /* OK: key node epoch; offset = log start, value = high watermark, aux = last stable */
    HIST_LEADER,   /* OK: node led key in epoch */
    HIST_TERM,     /* OK: node led the quorum key in term aux */
    HIST_ISR,      /* OK: key epoch; value = in-sync replicas, aux = replicas (bit = node id modulo 64) */
    HIST_ISR_ADD,  /* OK: node joined the in-sync replicas of key, log end offset, high watermark value */
    HIST_REPLICA,  /* OK: after the end, replica node of key holds value at offset, of epoch, checksum aux */
    HIST_REPLICA_SPAN, /* OK: after the end, replica node of key holds offset up to value, not included */
    HIST_IMAGE,        /* OK: node's image at metadata offset aux has hash value */
    HIST_ENTRY,        /* OK: node applied entry offset of the quorum key, of term aux, with checksum value */
    HIST_COMMIT,       /* key aux (group) offset: commit of a group's position */
    HIST_FETCHED,      /* key aux (group); OK: offset: committed position as told */
    HIST_OWN,          /* INVOKE: the process owns key in group aux, generation value; OK: no longer */
    HIST_TXN_END,      /* txn; HIST_F_ABORT: it is an abort */
    HIST_CONSUMED,     /* OK: key offset aux (group) txn: was input of a consume-transform-produce step */
    HIST_WRITE,        /* key value (not unique): a register is set; value 0 deletes */
    HIST_READ,         /* OK: key value: a register is read */
    HIST_HEALTH,       /* OK: something that never may happen; value: a code of the writer's, node */
    HIST_QUEUE,        /* OK: key (a queue) of node held value, its cap is aux */
    HIST_LEAK,         /* OK: node ended and still held value blocks */
    HIST_FAULT,        /* OK: a fault of kind value hit node; for people */
    HIST_HELD,         /* OK: replica node of key holds all up to offset; its leader had counted on value */
    HIST_OP_COUNT
};

enum hist_flags {
    HIST_F_FINAL = 1,     /* of POLL: read after everything was healed */
    HIST_F_COMMITTED = 2, /* of POLL: read_committed */
    HIST_F_EMPTY = 4,     /* of POLL */
    HIST_F_WEAK = 8,      /* of SEND: acks 0 or 1: may be lost with its leader */
    HIST_F_REPEATS = 16,  /* of SEND: the producer is not idempotent */
    HIST_F_ABORT = 32,    /* of TXN_END */
};

struct history_record {
    uint64_t time_us;
    uint32_t process; /* of the client */
    uint32_t op_id;   /* unique within the process */
    uint32_t key;
    uint8_t type; /* enum hist_type */
    uint8_t op;   /* enum hist_op */
    uint16_t flags;
    int64_t offset;
    uint64_t value;
    uint64_t txn; /* 0: none */
    uint64_t aux;
    int32_t epoch;
    int32_t node;
};

/* The records of a run in memory, of one client after the other, each in its order. */
struct history {
    struct history_record *records;
    size_t count, cap;
};

/* An empty history takes no memory. */
void history_init(struct history *history);
void history_free(struct history *history);
void history_add(struct history *history,
                 const struct history_record *record); /* aborts when memory is out */

/* Appends the records of one file. ERR_NOT_FOUND, ERR_IO, ERR_MALFORMED (not such a file, or another
 * version), ERR_TRUNCATED. */
enum err history_load(struct history *history, const char *path);

/* Writes the records [from, to) as a file of the client. */
enum err history_save(const struct history *history, size_t from, size_t to, uint32_t client,
                      const char *path);

/* Every *.hist file of a directory, in byte order of the names. */
enum err history_load_dir(struct history *history, const char *dir);

/* One line about a record, for people, in out. Returns out. */
char *history_format(const struct history_record *record, char *out, size_t size);

#endif
