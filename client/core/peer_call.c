/* SPDX-License-Identifier: Apache-2.0 */
/* Requests and their answers on one connection. */
#include "client/core/internal.h"
#include "proto/kafka/api.h"
#include "proto/kafka/error.h"

void client_peer_queue(struct client *client, struct client_peer *peer, struct client_call_state *call)
{
    list_push_back(&peer->waiting, &call->link);
    client_wake(client, client->now_us);
}

int16_t client_peer_version(const struct client_peer *peer, int16_t api_key, int16_t min, int16_t max)
{
    const struct kafka_api_info *info = kafka_api_info(api_key);
    if (api_key == KAFKA_API_API_VERSIONS)
        return max;
    if (!info || api_key >= CLIENT_KEYS_MAX || peer->version_max[api_key] < 0)
        return -1;
    int16_t high = MIN(MIN(max, info->max_version), peer->version_max[api_key]);
    int16_t low = MAX(MAX(min, info->min_version), peer->version_min[api_key]);
    return high >= low ? high : -1;
}

/* -- sending -- */

static void encode(struct client *client, const struct client_call_state *call, const void *message)
{
    struct writer *w = &client->writer;
    struct kafka_request_header header = {.api_key = call->api_key,
                                          .api_version = call->version,
                                          .correlation_id = call->correlation,
                                          .client_id = str_from(client->config.client_id)};
    writer_reset(w, client->pool, 512, CLIENT_REQUEST_BYTES_MAX);
    writer_i32(w, 0);
    kafka_request_header_encode(w, kafka_request_header_version(call->api_key, call->version), &header);
    kafka_message_type(call->api_key, true)->encode(w, call->version, message);
    if (w->err == OK)
        writer_patch_i32(w, 0, (int32_t)(writer_total(w) - sizeof(int32_t)));
}

static void piece_add(struct client_piece *pieces, uint32_t *count, struct iobuf *owner, const uint8_t *p,
                      size_t len)
{
    if (len > 0)
        pieces[(*count)++] = (struct client_piece){.owner = iobuf_ref(owner), .p = p, .len = len};
}

/* The linear part and what is spliced into it, in the order of the wire. */
static bool emit(struct client *client, uint64_t conn)
{
    struct writer *w = &client->writer;
    struct client_effect *effect = client_effect(client, CLIENT_FX_SEND);
    struct client_piece *pieces =
        arena_alloc(&client->box->arena, (2 * (size_t)w->splice_count + 1) * sizeof(*pieces));
    size_t at = 0;
    if (!effect)
        return false;
    effect->send.conn = conn;
    effect->send.pieces = pieces;
    if (!pieces) {
        client->box->count--;
        return false;
    }
    for (uint32_t i = 0; i < w->splice_count; i++) {
        const struct splice *splice = &w->splices[i];
        piece_add(pieces, &effect->send.count, w->buf, w->buf->data + at, splice->at - at);
        piece_add(pieces, &effect->send.count, splice->owner, splice->p, splice->len);
        at = splice->at;
    }
    piece_add(pieces, &effect->send.count, w->buf, w->buf->data + at, w->buf->len - at);
    return true;
}

static enum err try_send(struct client *client, struct client_peer *peer, struct client_call_state *call)
{
    call->version = client_peer_version(peer, call->api_key, call->version_min, call->version_max);
    if (call->version < 0)
        return ERR_VERSION;
    arena_reset(&client->request_arena);
    const void *message = call->build(client, call, call->version, &client->request_arena);
    if (!message)
        return ERR_NOMEM;
    call->correlation = peer->next_correlation;
    encode(client, call, message);
    enum err err = client->writer.err;
    if (err == OK && !emit(client, peer->conn))
        err = ERR_NOMEM;
    writer_clear(&client->writer);
    return err;
}

bool client_peer_send(struct client *client, struct client_peer *peer, struct client_call_state *call)
{
    ASSERT(peer->conn != 0);
    struct client_answer answer = {.err = try_send(client, peer, call), .version = call->version};
    if (answer.err != OK) {
        call->done(client, call, &answer);
        return false;
    }
    peer->next_correlation = (peer->next_correlation + 1) & INT32_MAX;
    call->sent_us = client->now_us;
    client_wake(client, client->now_us + MIN(call->timeout_us, client->config.stall_us));
    if (call->no_answer) {
        call->done(client, call, &answer);
        return true;
    }
    list_push_back(&peer->sent, &call->link);
    peer->sent_count++;
    return true;
}

/* -- answers -- */

/* A broker that does not know our version of ApiVersions says so in the form of version 0 (KIP-511), or of
 * another: only the code is looked at. */
static bool is_version_refusal(const struct client_call_state *call, const struct reader *r)
{
    return call->api_key == KAFKA_API_API_VERSIONS && reader_left(r) >= 2 &&
           load_be16(r->p) == KAFKA_UNSUPPORTED_VERSION;
}

static enum err decode_refusal(void *message)
{
    struct kafka_api_versions_response *response = message;
    kafka_api_versions_response_init(response);
    response->error_code = KAFKA_UNSUPPORTED_VERSION;
    return OK;
}

static enum err decode_body(struct client *client, const struct client_call_state *call, struct reader *r,
                            void *message)
{
    if (is_version_refusal(call, r))
        return decode_refusal(message);
    enum err err =
        kafka_message_type(call->api_key, false)->decode(r, &client->reply_arena, call->version, message);
    return err == OK || err == ERR_NOMEM ? err : ERR_MALFORMED;
}

static void decode(struct client *client, const struct client_call_state *call, struct reader *r,
                   struct client_answer *answer)
{
    struct kafka_response_header header;
    kafka_response_header_decode(r, kafka_response_header_version(call->api_key, call->version), &header);
    arena_reset(&client->reply_arena);
    void *message = arena_alloc(&client->reply_arena, kafka_message_type(call->api_key, false)->size);
    answer->version = call->version;
    answer->body = r->p;
    answer->body_len = reader_left(r);
    answer->message = message;
    answer->err = message ? decode_body(client, call, r, message) : ERR_NOMEM;
}

static void take_answer(struct client *client, struct client_peer *peer, const uint8_t *p, uint32_t len,
                        struct iobuf *owner)
{
    struct reader r = reader_over(p, len);
    struct client_call_state *call = CONTAINER_OF(peer->sent.next, struct client_call_state, link);
    struct client_answer answer = {.owner = owner};
    if (list_empty(&peer->sent) || len < 4 || (int32_t)load_be32(p) != call->correlation) {
        client_peer_drop(client, peer, ERR_MALFORMED);
        return;
    }
    decode(client, call, &r, &answer);
    list_remove(&call->link);
    peer->sent_count--;
    call->done(client, call, &answer);
    if (answer.err == ERR_MALFORMED)
        client_peer_drop(client, peer, ERR_MALFORMED);
}

void client_frame(struct client *client, uint64_t now_us, uint64_t conn, const uint8_t *p, uint32_t len,
                  struct iobuf *owner)
{
    client_now(client, now_us);
    list_for_each (it, &client->peers) {
        struct client_peer *peer = CONTAINER_OF(it, struct client_peer, link);
        if (peer->conn != conn || conn == 0)
            continue;
        take_answer(client, peer, p, len, owner);
        client_wake(client, client->now_us);
        return;
    }
}
