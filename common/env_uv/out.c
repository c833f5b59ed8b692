/* SPDX-License-Identifier: Apache-2.0 */
/* The queue of pending output of a connection; its entries come from a free list of the loop, so that a
 * steady connection allocates nothing. */
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/env_uv/euv.h"

#define OUT_CHUNK_ENTRIES 64

struct euv_out_chunk {
    struct euv_out_chunk *next;
    struct euv_out entries[OUT_CHUNK_ENTRIES];
};

static void out_grow(struct euv_loop *loop)
{
    struct euv_out_chunk *chunk = malloc(sizeof(*chunk));
    ASSERT(chunk != NULL);
    chunk->next = loop->out_chunks;
    loop->out_chunks = chunk;
    for (int i = 0; i < OUT_CHUNK_ENTRIES; i++) {
        chunk->entries[i].next = loop->out_free;
        loop->out_free = &chunk->entries[i];
    }
}

static struct euv_out *out_take(struct euv_loop *loop)
{
    if (loop->out_free == NULL)
        out_grow(loop);
    struct euv_out *out = loop->out_free;
    loop->out_free = out->next;
    return out;
}

static void out_give(struct euv_loop *loop, struct euv_out *out)
{
    if (out->file != NULL)
        env_file_close(out->file);
    iobuf_unref(out->owner);
    out->next = loop->out_free;
    loop->out_free = out;
}

void euv_out_free_all(struct euv_loop *loop)
{
    while (loop->out_chunks != NULL) {
        struct euv_out_chunk *chunk = loop->out_chunks;
        loop->out_chunks = chunk->next;
        free(chunk);
    }
    loop->out_free = NULL;
}

static void outq_append(struct euv_outq *q, struct euv_out *out)
{
    out->next = NULL;
    if (q->tail != NULL)
        q->tail->next = out;
    else
        q->head = out;
    q->tail = out;
    q->bytes += out->len;
}

void euv_outq_add(struct euv_loop *loop, struct euv_outq *q, struct iobuf *owner, const uint8_t *p,
                  size_t len)
{
    struct euv_out *tail = q->tail;
    if (tail != NULL && tail->owner == owner && tail->p + tail->len == p) {
        tail->len += len;
        q->bytes += len;
        return;
    }
    struct euv_out *out = out_take(loop);
    out->owner = iobuf_ref(owner);
    out->file = NULL;
    out->p = p;
    out->len = len;
    outq_append(q, out);
}

void euv_outq_add_file(struct euv_loop *loop, struct euv_outq *q, struct env_file *file, uint64_t offset,
                       size_t len)
{
    struct euv_out *out = out_take(loop);
    out->owner = NULL;
    out->file = euv_file_ref(file);
    out->offset = offset;
    out->len = len;
    outq_append(q, out);
}

static void outq_pop(struct euv_loop *loop, struct euv_outq *q)
{
    struct euv_out *out = q->head;
    q->head = out->next;
    if (q->head == NULL)
        q->tail = NULL;
    out_give(loop, out);
}

void euv_outq_consume(struct euv_loop *loop, struct euv_outq *q, size_t len)
{
    ASSERT(len <= q->bytes);
    q->bytes -= len;
    while (len > 0) {
        struct euv_out *out = q->head;
        if (len < out->len) {
            out->len -= len;
            if (out->file != NULL)
                out->offset += len;
            else
                out->p += len;
            return;
        }
        len -= out->len;
        outq_pop(loop, q);
    }
}

void euv_outq_clear(struct euv_loop *loop, struct euv_outq *q)
{
    while (q->head != NULL)
        outq_pop(loop, q);
    q->bytes = 0;
}

int euv_outq_gather(const struct euv_outq *q, struct iovec *iov, int iov_max, size_t *ret_len, bool *ret_more)
{
    int count = 0;
    size_t len = 0;
    const struct euv_out *out = q->head;
    for (; out != NULL && out->file == NULL && count < iov_max; out = out->next) {
        iov[count++] = (struct iovec){.iov_base = (void *)(uintptr_t)out->p, .iov_len = out->len};
        len += out->len;
    }
    *ret_len = len;
    *ret_more = out != NULL;
    return count;
}
