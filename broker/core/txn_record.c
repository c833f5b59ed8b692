/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka's records of __transaction_state: made, and applied. */
#include <string.h>

#include "broker/core/txn_internal.h"
#include "common/base/mutant.h"
#include "proto/kafka/gen/transaction_log_record.h"

#define KEY_TYPE        0
#define VALUE_VERSION   1
#define WRITE_BYTES_MAX INT32_MAX

/* -- making -- */

static size_t part_begin(struct txns *t)
{
    size_t at = writer_pos(&t->out);

    writer_i32(&t->out, -1);
    return at;
}

static void part_end(struct txns *t, size_t at)
{
    if (t->out.err == OK)
        writer_patch_i32(&t->out, at, (int32_t)(writer_pos(&t->out) - at - 4));
}

static void put_key(struct txns *t, const struct txn *txn)
{
    struct kafka_transaction_log_record_key key = {.transactional_id = txn->id};

    writer_reset(&t->out, NULL, 256, WRITE_BYTES_MAX);
    size_t at = part_begin(t);
    writer_i16(&t->out, KEY_TYPE);
    kafka_transaction_log_record_key_encode(&t->out, KEY_TYPE, &key);
    part_end(t, at);
}

static struct txn_write *write_end(struct txns *t, struct txn *txn, struct txn_call *call,
                                   enum txn_state state)
{
    size_t len = writer_pos(&t->out);

    ASSERT(t->out.err == OK && !txn->pending);
    ASSERT(txn_may_follow(txn->image.state, state) || (!txn->known && state == TXN_EMPTY));
    struct txn_write *write = txn_alloc(t, sizeof(*write) + len);
    memcpy(write->bytes, t->out.buf->data, len);
    write->txn = txn;
    write->call = call;
    write->state = state;
    write->last_epoch = txn->last_epoch;
    write->out =
        (struct coordinator_write){.seq = ++t->last_seq, .p = write->bytes, .len = (int32_t)len, .count = 1};
    txn->pending = write;
    list_push_back(&t->writes_new, &write->link);
    return write;
}

/* Partitions by topic; the arrays live in the arena. */
static void group_partitions(struct txns *t, const struct txn_image *image,
                             struct kafka_transaction_log_record_value *value)
{
    size_t count = (size_t)image->partitions_count;
    struct txn_partition *sorted = arena_calloc(&t->replaying, count, sizeof(*sorted));
    int32_t *indexes = arena_calloc(&t->replaying, count, sizeof(*indexes));

    value->transaction_partitions =
        arena_calloc(&t->replaying, count, sizeof(*value->transaction_partitions));
    ASSERT(sorted && indexes && value->transaction_partitions);
    value->transaction_partitions_count = 0;
    if (count > 0)
        memcpy(sorted, image->partitions, count * sizeof(*sorted));
    txn_sort_partitions(sorted, image->partitions_count);
    for (size_t i = 0; i < count; i++) {
        struct kafka_transaction_log_record_value_partition *topic =
            &value->transaction_partitions[value->transaction_partitions_count];
        bool same = i > 0 && str_eq(sorted[i].topic, sorted[i - 1].topic);
        indexes[i] = sorted[i].index;
        if (!same) {
            topic->topic = sorted[i].topic;
            topic->partition_ids = &indexes[i];
            value->transaction_partitions_count++;
        }
        value->transaction_partitions[value->transaction_partitions_count - 1].partition_ids_count++;
    }
}

struct txn_write *txn_write(struct txns *t, struct txn *txn, const struct txn_image *next,
                            struct txn_call *call)
{
    struct kafka_transaction_log_record_value value;

    arena_reset(&t->replaying);
    put_key(t, txn);
    kafka_transaction_log_record_value_init(&value);
    value.producer_id = next->producer_id;
    value.previous_producer_id = next->previous_id;
    value.next_producer_id = next->next_id;
    value.producer_epoch = next->epoch;
    value.transaction_timeout_ms = next->timeout_ms;
    value.transaction_status = (int8_t)next->state;
    value.last_update_timestamp_ms = t->wall_ms;
    value.start_timestamp_ms = next->start_ms;
    value.client_transaction_version = next->client_version;
    if (next->state == TXN_EMPTY)
        value.transaction_partitions_count = -1; /* as Kafka writes it */
    else
        group_partitions(t, next, &value);
    size_t at = part_begin(t);
    writer_i16(&t->out, VALUE_VERSION);
    kafka_transaction_log_record_value_encode(&t->out, VALUE_VERSION, &value);
    part_end(t, at);
    return write_end(t, txn, call, next->state);
}

struct txn_write *txn_write_gone(struct txns *t, struct txn *txn)
{
    put_key(t, txn);
    writer_i32(&t->out, -1);
    return write_end(t, txn, NULL, TXN_DEAD);
}

/* -- applying -- */

static bool collect_partitions(struct txns *t, const struct kafka_transaction_log_record_value *value,
                               struct txn_partition **ret_partitions, int32_t *ret_count)
{
    size_t count = 0;

    for (int32_t i = 0; i < value->transaction_partitions_count; i++)
        count += (size_t)MAX(value->transaction_partitions[i].partition_ids_count, 0);
    *ret_partitions = arena_calloc(&t->replaying, count, sizeof(**ret_partitions));
    *ret_count = 0;
    for (int32_t i = 0; *ret_partitions && i < value->transaction_partitions_count; i++)
        for (int32_t k = 0; k < value->transaction_partitions[i].partition_ids_count; k++)
            (*ret_partitions)[(*ret_count)++] = (struct txn_partition){
                value->transaction_partitions[i].topic, value->transaction_partitions[i].partition_ids[k]};
    return *ret_partitions != NULL;
}

static void take_value(struct txns *t, struct txn *txn, const struct kafka_transaction_log_record_value *v,
                       const struct txn_partition *partitions, int32_t count)
{
    txn_set_partitions(t, txn, partitions, count);
    struct txn_image *image = &txn->image;
    image->producer_id = v->producer_id;
    image->previous_id = v->previous_producer_id;
    image->next_id = v->next_producer_id;
    image->epoch = MUTANT(REUSE_EPOCH) && t->loading ? 0 : v->producer_epoch;
    image->state = (enum txn_state)v->transaction_status;
    if (MUTANT(FORGET_PREPARED) && t->loading && image->state == TXN_PREPARE_COMMIT)
        image->state = TXN_PREPARE_ABORT;
    image->timeout_ms = v->transaction_timeout_ms;
    image->start_ms = v->start_timestamp_ms;
    image->update_ms = v->last_update_timestamp_ms;
    image->client_version = v->client_transaction_version;
    txn->known = true;
}

static enum err replay_value(struct txns *t, struct str id, struct bytes value)
{
    struct kafka_transaction_log_record_value v;
    struct txn_partition *partitions;
    int32_t count;
    struct reader r = reader_over(value.p, (size_t)value.len);
    enum err err = kafka_transaction_log_record_value_decode(&r, &t->replaying, reader_i16(&r), &v);

    if (err != OK)
        return err == ERR_VERSION ? err : ERR_MALFORMED;
    if (v.transaction_status < 0 || v.transaction_status >= TXN_DEAD || v.producer_id < 0 ||
        v.producer_epoch < 0)
        return ERR_MALFORMED;
    if (!collect_partitions(t, &v, &partitions, &count))
        return ERR_NOMEM;
    take_value(t, txn_find_or_make(t, id), &v, partitions, count);
    return OK;
}

enum err txns_replay(struct txns *t, struct bytes key, struct bytes value)
{
    struct kafka_transaction_log_record_key k;
    struct reader r = reader_over(key.p, (size_t)MAX(key.len, 0));
    int16_t type = reader_i16(&r);

    arena_reset(&t->replaying);
    if (r.err != OK)
        return ERR_MALFORMED;
    if (type != KEY_TYPE)
        return ERR_VERSION;
    if (kafka_transaction_log_record_key_decode(&r, &t->replaying, KEY_TYPE, &k) != OK)
        return ERR_MALFORMED;
    if (value.len >= 0)
        return replay_value(t, k.transactional_id, value);
    struct txn *txn = txn_find(t, k.transactional_id);
    if (txn && t->loading)
        txn_drop(t, txn);
    return OK;
}

static struct bytes next_part(struct reader *r)
{
    int32_t len = reader_i32(r);

    return len < 0 ? BYTES_NULL : (struct bytes){reader_raw(r, (size_t)len), len};
}

void txn_write_apply(struct txns *t, const struct txn_write *write)
{
    struct reader r = reader_over(write->out.p, (size_t)write->out.len);
    struct bytes key = next_part(&r), value = next_part(&r);
    enum err err = txns_replay(t, key, value);

    ASSERT(err == OK && r.err == OK); /* we made it ourselves */
}
