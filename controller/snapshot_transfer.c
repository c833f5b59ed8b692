/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/snapshot_transfer.h"

#include "common/base/assert.h"

/* -- sending -- */

bool snapshot_sender_want(struct snapshot_sender *sender, struct snapshot *snapshot, uint64_t now_us)
{
    if (sender->snapshot == snapshot && now_us - sender->sent_us < TRANSFER_RESEND_US)
        return false;
    if (sender->snapshot != snapshot) {
        snapshot_sender_stop(sender);
        sender->snapshot = snapshot_ref(snapshot);
        sender->offset = 0;
    }
    return true;
}

bool snapshot_sender_result(struct snapshot_sender *sender, const struct quorum_message *result)
{
    const struct snapshot *snapshot = sender->snapshot;
    if (snapshot == NULL || snapshot->id.index != result->piece_result.index ||
        snapshot->id.term != result->piece_result.index_term)
        return false;
    if (result->piece_result.wanted >= snapshot_raw_size(snapshot)) {
        snapshot_sender_stop(sender);
        return false;
    }
    sender->offset = result->piece_result.wanted;
    return true;
}

enum err snapshot_sender_piece(struct snapshot_sender *sender, struct env *env,
                               struct quorum_message *message, struct iobuf **ret_buf)
{
    const struct snapshot *snapshot = sender->snapshot;
    struct iobuf *buf = iobuf_get(env->pool, QUORUM_PIECE_BYTES);
    size_t len = 0;
    if (buf == NULL)
        return ERR_NOMEM;
    enum err err = snapshot_read_raw(snapshot, sender->offset, buf->data, QUORUM_PIECE_BYTES, &len);
    if (err != OK) {
        iobuf_unref(buf);
        return err;
    }
    message->type = QUORUM_PIECE;
    message->piece.index = snapshot->id.index;
    message->piece.index_term = snapshot->id.term;
    message->piece.offset = sender->offset;
    message->piece.data = (struct bytes){buf->data, (int32_t)len};
    message->piece.last = sender->offset + len == snapshot_raw_size(snapshot);
    sender->sent_us = env_now_us(env);
    *ret_buf = buf;
    return OK;
}

void snapshot_sender_stop(struct snapshot_sender *sender)
{
    snapshot_unref(sender->snapshot);
    sender->snapshot = NULL;
}

/* -- receiving -- */

void snapshot_receiver_init(struct snapshot_receiver *receiver, struct snapshot_store *store,
                            void (*done)(void *ctx, struct snapshot *snapshot, int32_t from, enum err err),
                            void *ctx)
{
    *receiver = (struct snapshot_receiver){.store = store, .done = done, .ctx = ctx};
}

static bool same_id(struct snapshot_id id, const struct quorum_message *piece)
{
    return id.index == piece->piece.index && id.term == piece->piece.index_term;
}

static void receiver_finished(void *ctx, struct snapshot *snapshot, enum err err)
{
    struct snapshot_receiver *receiver = ctx;
    receiver->finishing = false;
    receiver->done(receiver->ctx, snapshot, receiver->from, err);
}

static void abort_transfer(struct snapshot_receiver *receiver)
{
    if (receiver->writer != NULL)
        snapshot_write_abort(receiver->writer);
    receiver->writer = NULL;
}

/* A transfer starts with the piece at 0; another snapshot than the present one replaces it. */
static bool ensure_writer(struct snapshot_receiver *receiver, const struct quorum_message *piece)
{
    if (receiver->writer != NULL && same_id(receiver->id, piece))
        return true;
    abort_transfer(receiver);
    struct snapshot_id id = {.index = piece->piece.index, .term = piece->piece.index_term};
    if (snapshot_receive_begin(receiver->store, id, &receiver->writer) != OK) {
        receiver->writer = NULL; /* busy writing one of our own, or out of space: the leader asks again */
        return false;
    }
    receiver->id = id;
    return true;
}

static enum err take_piece(struct snapshot_receiver *receiver, const struct quorum_message *piece)
{
    if (piece->piece.offset != snapshot_receive_offset(receiver->writer))
        return OK; /* repeated, or out of order: the result says what is wanted */
    enum err err = snapshot_receive_put(receiver->writer, piece->piece.data.p, (size_t)piece->piece.data.len);
    if (err != OK || !piece->piece.last)
        return err;
    struct snapshot_writer *writer = receiver->writer;
    receiver->writer = NULL;
    receiver->finishing = true;
    snapshot_write_finish(writer, receiver_finished, receiver);
    return OK;
}

bool snapshot_receiver_piece(struct snapshot_receiver *receiver, const struct quorum_message *piece,
                             struct quorum_message *ret_result)
{
    if (receiver->finishing || !ensure_writer(receiver, piece))
        return false;
    receiver->from = piece->from;
    enum err err = take_piece(receiver, piece);
    if (err != OK) {
        abort_transfer(receiver);
        receiver->done(receiver->ctx, NULL, piece->from, err);
        return false;
    }
    ret_result->type = QUORUM_PIECE_RESULT;
    ret_result->piece_result.index = piece->piece.index;
    ret_result->piece_result.index_term = piece->piece.index_term;
    ret_result->piece_result.wanted =
        receiver->finishing ? UINT64_MAX : snapshot_receive_offset(receiver->writer);
    return true;
}

bool snapshot_receiver_busy(struct snapshot_receiver *receiver, uint64_t applied)
{
    if (receiver->writer != NULL && receiver->id.index <= applied)
        abort_transfer(receiver);
    return receiver->writer != NULL || receiver->finishing;
}

void snapshot_receiver_stop(struct snapshot_receiver *receiver)
{
    abort_transfer(receiver);
}
