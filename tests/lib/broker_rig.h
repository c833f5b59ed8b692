/* SPDX-License-Identifier: Apache-2.0 */
/* The data plane of one broker on real sockets, without controllers: shards on the test's own loop, a
 * metadata image that the test makes, clients that see every byte. A test waits for conditions, never for
 * time. */
#ifndef SLUICE_TESTS_LIB_BROKER_RIG_H
#define SLUICE_TESTS_LIB_BROKER_RIG_H

#include "broker/config.h"
#include "broker/shard/shard.h"
#include "common/batch/builder.h"
#include "common/config/config.h"
#include "proto/kafka/api.h"

#define RIG_SHARDS_MAX  2
#define RIG_CLIENTS_MAX 8
#define RIG_INPUT_MAX   (64u << 20)

struct rig;

struct rig_client {
    struct rig *rig;
    struct env_conn *conn;
    uint8_t *in;          /* RIG_INPUT_MAX bytes of room */
    size_t in_at, in_len; /* what has come and was not dropped */
    bool closed;
    bool deaf; /* does not read */
};

struct rig {
    struct env *env;
    struct config *settings;
    struct broker_config config;
    struct logger log;
    struct broker_shared shared;
    struct shard shards[RIG_SHARDS_MAX];
    struct rig_client clients[RIG_CLIENTS_MAX];
    struct image *image;
    char dir[64];
    struct env_timer deadline;
    bool late;
    bool turning; /* the loop runs, not the test: for counting what the broker does */
    struct env_msg gone;
    bool control_gone;
    uint32_t idle_count;
};

/* Starts shard_count shards; sets: NULL-terminated "key=value" over the defaults. Every client connection
 * goes to shard 0. */
void rig_start(struct rig *rig, unsigned shard_count, const char *const *sets);

/* Ends everything, in a broker's order, and checks that nothing is left of connections, budget and files. */
void rig_stop(struct rig *rig);

/* A topic with that many partitions (spread over the shards in turn) that this broker leads alone. */
void rig_topic(struct rig *rig, const char *name, int32_t partitions);

/* Another broker leads all partitions of the topic from this epoch on; the topic (of so many partitions) is
 * removed. Both are applied by every shard. */
void rig_topic_led_by(struct rig *rig, const char *name, int32_t partitions, int32_t leader, int32_t epoch);
void rig_topic_removed(struct rig *rig, const char *name, int32_t partitions);

/* This broker's replica. */
struct partition *rig_partition(struct rig *rig, const char *name, int32_t index);

/* Turns the loop until done(ctx); fails the test after 20 s. */
void rig_until(struct rig *rig, bool (*done)(void *ctx), void *ctx);
void rig_until_input(struct rig_client *client, size_t len);
void rig_until_closed(struct rig_client *client);

/* Turns the loop a few times: what was sent has been looked at. */
void rig_settle(struct rig *rig);

/* A client of the PLAINTEXT listener; it is closed by rig_stop(). */
struct rig_client *rig_connect(struct rig *rig);

/* Sends a copy of the bytes. */
void rig_send(struct rig_client *client, const void *p, size_t len);

/* Begins a request in w: size (patched by rig_request_end) and header. */
void rig_request_begin(struct writer *w, int16_t key, int16_t version, int32_t correlation);
void rig_request_end(struct writer *w);
void rig_send_writer(struct rig_client *client, const struct writer *w);

/* The first complete reply in the client's input: correlation id and a reader over what follows it (behind
 * the response header of key and version). False: none yet. */
bool rig_reply(struct rig_client *client, int16_t key, int16_t version, int32_t *ret_correlation,
               struct reader *ret_body);
/* Takes that reply off the input. */
void rig_reply_drop(struct rig_client *client);

/* Waits for the next reply and fails the test unless it has this correlation id. */
struct reader rig_expect(struct rig_client *client, int16_t key, int16_t version, int32_t correlation);

/* A produce request (correlation 1) of a batch of that record alone to a partition of topic "t". The writer
 * is begun here, and freed by the caller. */
void rig_encode_produce(struct writer *w, int32_t partition, const struct record_in *record, int16_t acks);

/* Waits for the answer to one: its error. */
int16_t rig_produced(struct rig_client *client);

/* Both, with acks=1. */
int16_t rig_produce(struct rig_client *client, int32_t partition, const struct record_in *record);

/* Sums a counter over the shards. */
uint64_t rig_mallocs(const struct rig *rig);

#endif
