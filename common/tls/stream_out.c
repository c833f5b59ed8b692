/* SPDX-License-Identifier: Apache-2.0 */
/* Output of a TLS stream: references to plain bytes wait, and become records when the stream below has room,
 * so that little is held twice. */
#include <string.h>

#include "common/base/assert.h"
#include "common/tls/stream.h"

size_t tls_out_queued(const struct tls_stream *s)
{
    return s->plain_bytes + (s->raw != NULL ? env_conn_queued(s->raw) : 0);
}

static void out_append(struct tls_stream *s, struct tls_piece *piece)
{
    piece->next = NULL;
    if (s->tail != NULL)
        s->tail->next = piece;
    else
        s->head = piece;
    s->tail = piece;
    s->plain_bytes += piece->len;
    if (tls_out_queued(s) > s->high_bytes)
        s->above_high = true;
    if (s->state == TLS_OPEN)
        env_defer(s->loop->env, &s->pump);
}

void tls_out_add(struct tls_stream *s, struct iobuf *owner, const void *p, size_t len)
{
    struct tls_piece *piece = tls_piece_take(s->loop);
    *piece = (struct tls_piece){.owner = iobuf_ref(owner), .p = p, .len = len};
    out_append(s, piece);
}

void tls_out_add_file(struct tls_stream *s, struct env_file *file, uint64_t offset, size_t len)
{
    struct tls_piece *piece = tls_piece_take(s->loop);
    *piece = (struct tls_piece){.file = env_file_ref(file), .offset = offset, .len = len};
    out_append(s, piece);
}

static void out_consume(struct tls_stream *s, size_t len)
{
    struct tls_piece *piece = s->head;
    ASSERT(len <= piece->len);
    s->plain_bytes -= len;
    piece->len -= len;
    if (piece->file != NULL)
        piece->offset += len;
    else
        piece->p += len;
    if (piece->len > 0)
        return;
    s->head = piece->next;
    if (s->head == NULL)
        s->tail = NULL;
    tls_piece_give(s->loop, piece);
}

void tls_out_clear(struct tls_stream *s)
{
    while (s->head != NULL)
        out_consume(s, s->head->len);
}

/* Adds from the head piece to staging. False: the stream is over. */
static bool out_gather(struct tls_stream *s)
{
    struct iobuf *staging = s->loop->staging;
    struct tls_piece *piece = s->head;
    size_t room = TLS_RECORD_BYTES - staging->len, n = MIN(piece->len, room);
    if (piece->file != NULL) {
        size_t got = 0;
        enum err err = env_file_revoked(piece->file)
                           ? ERR_TRUNCATED
                           : env_file_read(piece->file, piece->offset, staging->data + staging->len, n, &got);
        if (err != OK || got == 0) { /* the file is shorter than promised */
            tls_stream_fail(s, err != OK ? err : ERR_TRUNCATED);
            return false;
        }
        n = got;
    } else {
        memcpy(staging->data + staging->len, piece->p, n);
    }
    staging->len += (uint32_t)n;
    out_consume(s, n);
    return true;
}

static bool is_direct(const struct tls_piece *piece)
{
    return piece->file == NULL && piece->len >= TLS_DIRECT_BYTES;
}

/* One record: of a large piece without a copy of ours, else of as many small ones as go in. */
static bool out_record(struct tls_stream *s)
{
    struct iobuf *staging = s->loop->staging;
    enum err err;
    if (is_direct(s->head)) {
        size_t n = MIN(s->head->len, (size_t)TLS_RECORD_BYTES);
        err = tls_session_write(s->session, s->head->p, n);
        if (err == OK)
            out_consume(s, n);
    } else {
        staging->len = 0;
        while (s->head != NULL && staging->len < TLS_RECORD_BYTES && !is_direct(s->head))
            if (!out_gather(s))
                return false;
        err = tls_session_write(s->session, staging->data, staging->len);
    }
    if (err != OK)
        tls_stream_fail(s, err);
    return err == OK;
}

void tls_out_send(struct tls_stream *s)
{
    for (struct iobuf *buf; s->session != NULL && (buf = tls_session_take(s->session)) != NULL;) {
        if (s->raw != NULL)
            env_conn_write(s->raw, buf, 0, buf->len);
        iobuf_unref(buf);
    }
}

void tls_out_run(struct tls_stream *s)
{
    while (s->head != NULL && env_conn_queued(s->raw) + s->session->out_bytes < TLS_CIPHER_MAX)
        if (!out_record(s))
            return;
    tls_out_send(s);
}

void tls_out_tell(struct tls_stream *s)
{
    if (!s->above_high || s->state == TLS_ENDED || tls_out_queued(s) > s->high_bytes / 2)
        return;
    s->above_high = false;
    if (s->handler->drained != NULL)
        s->handler->drained(s->ctx);
}
