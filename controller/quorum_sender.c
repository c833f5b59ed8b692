/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/quorum_sender.h"

#include "common/base/assert.h"

#define ENTRIES_AT_ONCE 64 /* in one message; libraft asks for thousands */

void quorum_sender_init(struct quorum_sender *s, struct env *env, struct storage *storage, int32_t node_id,
                        const struct consensus_transport *transport, void *ctx)
{
    *s = (struct quorum_sender){
        .env = env, .storage = storage, .node_id = node_id, .transport = transport, .ctx = ctx};
}

static bool is_member(const struct quorum_peer *peer, const struct consensus_member *members, int count)
{
    for (int i = 0; i < count; i++) {
        if (members[i].node_id == peer->node_id &&
            (uuid_is_zero(members[i].directory_id) || uuid_is_zero(peer->directory_id) ||
             uuid_eq(members[i].directory_id, peer->directory_id)))
            return true;
    }
    return false;
}

void quorum_sender_members(struct quorum_sender *s, const struct consensus_member *members, int count)
{
    int kept = 0;
    for (int i = 0; i < s->peers_count; i++) {
        if (is_member(&s->peers[i], members, count))
            s->peers[kept++] = s->peers[i];
        else
            snapshot_sender_stop(&s->peers[i].snapshot);
    }
    s->peers_count = kept;
    for (int i = 0; i < count; i++) {
        if (members[i].node_id != s->node_id && quorum_sender_peer(s, members[i].node_id) == NULL)
            s->peers[s->peers_count++] = (struct quorum_peer){.node_id = members[i].node_id};
    }
}

struct quorum_peer *quorum_sender_peer(struct quorum_sender *s, int32_t node_id)
{
    for (int i = 0; i < s->peers_count; i++) {
        if (s->peers[i].node_id == node_id)
            return &s->peers[i];
    }
    return NULL;
}

static void send_sized(struct quorum_sender *s, struct quorum_message *message, size_t data_size)
{
    struct writer w;
    message->from = s->node_id;
    message->directory_id = storage_directory_id(s->storage);
    writer_init(&w, s->env->pool, data_size + 256, QUORUM_MESSAGE_MAX);
    quorum_message_encode(&w, message);
    struct iobuf *buf = writer_take(&w);
    if (buf != NULL)
        s->transport->send(s->ctx, message->to, buf);
    iobuf_unref(buf);
    writer_free(&w);
}

void quorum_sender_heard(struct quorum_sender *s, const struct quorum_message *message)
{
    struct quorum_peer *peer = quorum_sender_peer(s, message->from);
    if (peer == NULL)
        return; /* no member as far as we know */
    peer->heard_us = env_now_us(s->env);
    peer->directory_id = message->directory_id;
}

enum err quorum_sender_describe(struct quorum_sender *s, struct consensus_voter *voter)
{
    const struct quorum_peer *peer = quorum_sender_peer(s, voter->node_id);
    bool self = voter->node_id == s->node_id;
    if (peer == NULL && !self)
        return ERR_NOT_FOUND;
    voter->directory_id = self ? storage_directory_id(s->storage) : peer->directory_id;
    voter->heard_us = self ? env_now_us(s->env) : peer->heard_us;
    return OK;
}

void quorum_send(struct quorum_sender *s, struct quorum_message *message)
{
    send_sized(s, message, 0);
}

enum err quorum_send_entries(struct quorum_sender *s, struct quorum_message *message, uint32_t count)
{
    struct raft_log_entry entries[ENTRIES_AT_ONCE];
    struct quorum_entry out[ENTRIES_AT_ONCE];
    struct quorum_message m = *message;
    while (count > 0) {
        struct iobuf *buf;
        uint32_t n;
        enum err err = raft_log_read(storage_log(s->storage), m.append.prev_index + 1,
                                     MIN(count, ENTRIES_AT_ONCE), QUORUM_APPEND_BYTES, entries, &n, &buf);
        if (err != OK)
            return err;
        for (uint32_t i = 0; i < n; i++)
            out[i] = (struct quorum_entry){.term = entries[i].term,
                                           .type = entries[i].type,
                                           .data = {entries[i].data, (int32_t)entries[i].len}};
        m.append.entries = out;
        m.append.count = n;
        send_sized(s, &m, buf->len);
        iobuf_unref(buf);
        m.append.prev_index += n;
        m.append.prev_term = entries[n - 1].term;
        count -= n;
    }
    return OK;
}

static void send_piece(struct quorum_sender *s, struct quorum_peer *peer, uint64_t term)
{
    struct quorum_message m = {.type = QUORUM_PIECE, .to = peer->node_id, .term = term};
    struct iobuf *buf;
    enum err err = snapshot_sender_piece(&peer->snapshot, s->env, &m, &buf);
    if (err != OK) {
        snapshot_sender_stop(&peer->snapshot); /* Raft asks again at the next heartbeat */
        return;
    }
    send_sized(s, &m, buf->len);
    iobuf_unref(buf);
}

/* libraft asks at each heartbeat while the follower lacks the snapshot: the transfer goes at its own pace. */
void quorum_send_snapshot(struct quorum_sender *s, int32_t to, uint64_t term)
{
    struct quorum_peer *peer = quorum_sender_peer(s, to);
    struct snapshot *newest = snapshot_newest(storage_snapshots(s->storage));
    if (peer != NULL && newest != NULL && snapshot_sender_want(&peer->snapshot, newest, env_now_us(s->env)))
        send_piece(s, peer, term);
}

void quorum_sent_piece(struct quorum_sender *s, const struct quorum_message *result, uint64_t term)
{
    struct quorum_peer *peer = quorum_sender_peer(s, result->from);
    if (peer != NULL && snapshot_sender_result(&peer->snapshot, result))
        send_piece(s, peer, term);
}

void quorum_sender_stop(struct quorum_sender *s)
{
    for (int i = 0; i < s->peers_count; i++)
        snapshot_sender_stop(&s->peers[i].snapshot);
}
