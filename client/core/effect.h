/* SPDX-License-Identifier: Apache-2.0 */
/* What a client wants done, and what it has to tell: plain data, in order. */
#ifndef SLUICE_CLIENT_CORE_EFFECT_H
#define SLUICE_CLIENT_CORE_EFFECT_H

#include "client/core/config.h"
#include "common/base/err.h"
#include "common/base/iobuf.h"
#include "proto/kafka/messages.h"

struct client_topic;

enum client_effect_type {
    CLIENT_FX_NONE,           /* was overtaken by a later call; nothing to do */
    CLIENT_FX_CONNECT,        /* open a connection; report with client_opened() or client_closed() */
    CLIENT_FX_SEND,           /* write the pieces on it */
    CLIENT_FX_CLOSE,          /* close it; nothing more is to be reported for it */
    CLIENT_FX_TOPIC,          /* a topic became known, or is given up */
    CLIENT_FX_DELIVERED,      /* the fate of one produced batch */
    CLIENT_FX_ROOM,           /* after ERR_FULL: records are accepted again */
    CLIENT_FX_RECORDS,        /* an answer about one consumed partition, with or without records */
    CLIENT_FX_CONSUME_FAILED, /* a partition is given up; it is not consumed any more */
    CLIENT_FX_REPLY,          /* the answer to a client_call() */
};

/* Why something failed. err is ERR_REJECTED when a broker said so: then kafka_error is its code. */
struct client_failure {
    enum err err;
    int16_t kafka_error;
};

/* Memory to send: len bytes at p, inside of owner. */
struct client_piece {
    struct iobuf *owner;
    const uint8_t *p;
    size_t len;
};

/* Records with the tags[0..count) stand at base_offset and the offsets that follow (base_offset -1: not
 * known, as with acks 0), or failed. ERR_UNKNOWN_OUTCOME: they may have been written. */
struct client_delivery {
    struct client_topic *topic;
    int32_t partition;
    struct client_failure failure; /* err OK: acknowledged */
    int64_t base_offset;
    int32_t count;
    const uint64_t *tags;
    uint32_t bytes; /* of keys, values and headers */
};

/* A transaction that was aborted: what its producer wrote from there to its marker is not to be seen. */
struct client_aborted {
    int64_t producer_id, first_offset;
};

/* What a Fetch brought for one partition. The batches at p are whole and verified; the first may begin before
 * `from`, so walk them with client_records_begin(). */
struct client_records {
    struct client_topic *topic;
    int32_t partition;
    const uint8_t *p;
    size_t len; /* 0: nothing new */
    struct iobuf *owner;
    int64_t from, position;               /* asked for, and the next offset to be asked for */
    int64_t high_watermark, log_start;    /* high_watermark: with read_committed the last stable offset */
    const struct client_aborted *aborted; /* with read_committed; the batches hold their markers */
    int32_t aborted_count;
    int64_t moved_from; /* >= 0: the offset we stood at was out of range or truncated away; we are at `from`
                           now */
};

/* The answer to a call. message is decoded and lives until the next client_turn(). */
struct client_reply {
    uint64_t tag;
    struct client_failure failure; /* of the call as a whole; errors inside the message are the caller's */
    int16_t api_key, version;
    const void *message; /* the generated response struct; NULL on failure */
    struct iobuf *owner; /* of the bytes that message points to */
};

struct client_effect {
    enum client_effect_type type;
    union {
        struct {
            uint64_t conn;
            const struct client_address *address;
        } connect;
        struct {
            uint64_t conn;
            const struct client_piece *pieces;
            uint32_t count;
        } send;
        struct {
            uint64_t conn;
        } close;
        struct {
            struct client_topic *topic;
            struct client_failure failure; /* err OK: partitions are known */
        } topic;
        struct client_delivery delivery;
        struct client_records records;
        struct {
            struct client_topic *topic;
            int32_t partition;
            struct client_failure failure;
        } consume_failed;
        struct client_reply reply;
    };
};

/* In the order in which they are to be carried out. */
struct client_effects {
    const struct client_effect *items;
    uint32_t count;
};

#endif
