/* SPDX-License-Identifier: Apache-2.0 */
/* What the TLS streams of one loop share: bounds on handshakes, turns at the workers, spare memory. */
#include <stdlib.h>

#include "common/base/assert.h"
#include "common/tls/stream.h"

#define FREE_PIECES_MAX 1024

struct tls_loop *tls_loop_new(struct env *env, struct tls *tls)
{
    if (tls == NULL)
        return NULL;
    struct tls_loop *loop = calloc(1, sizeof(*loop));
    ASSERT(loop != NULL);
    loop->env = env;
    loop->tls = tls;
    loop->refs = 1;
    list_init(&loop->shaking);
    list_init(&loop->waiting);
    loop->staging = iobuf_get(NULL, TLS_RECORD_BYTES);
    ASSERT(loop->staging != NULL);
    return loop;
}

void tls_loop_unref(struct tls_loop *loop)
{
    ASSERT(loop->refs > 0);
    if (--loop->refs > 0)
        return;
    while (loop->free_pieces != NULL) {
        struct tls_piece *piece = loop->free_pieces;
        loop->free_pieces = piece->next;
        free(piece);
    }
    iobuf_unref(loop->staging);
    free(loop);
}

void tls_loop_drop(struct tls_loop *loop)
{
    if (loop != NULL)
        tls_loop_unref(loop);
}

/* -- pieces -- */

struct tls_piece *tls_piece_take(struct tls_loop *loop)
{
    struct tls_piece *piece = loop->free_pieces;
    if (piece == NULL) {
        piece = malloc(sizeof(*piece));
        ASSERT(piece != NULL);
        return piece;
    }
    loop->free_pieces = piece->next;
    loop->free_count--;
    return piece;
}

void tls_piece_give(struct tls_loop *loop, struct tls_piece *piece)
{
    if (piece->file != NULL)
        env_file_close(piece->file);
    iobuf_unref(piece->owner);
    if (loop->free_count >= FREE_PIECES_MAX) {
        free(piece);
        return;
    }
    piece->next = loop->free_pieces;
    loop->free_pieces = piece;
    loop->free_count++;
}

/* -- workers -- */

static void work_next(struct tls_loop *loop)
{
    while (!list_empty(&loop->waiting) && loop->working_count < TLS_WORKING_MAX) {
        struct tls_stream *s = CONTAINER_OF(loop->waiting.next, struct tls_stream, work_link);
        list_remove(&s->work_link);
        loop->working_count++;
        s->working = true;
        env_work_submit(loop->env, &s->work);
    }
}

static void work_done(struct env_work *work)
{
    struct tls_stream *s = CONTAINER_OF(work, struct tls_stream, work);
    struct tls_loop *loop = s->loop;
    loop->refs++; /* the stream may be the last that holds it */
    loop->working_count--;
    s->working = false;
    tls_stream_worked(s);
    work_next(loop);
    tls_loop_unref(loop);
}

void tls_work_ask(struct tls_stream *s)
{
    if (s->working || !list_empty(&s->work_link))
        return;
    s->work.work = tls_stream_work;
    s->work.done = work_done;
    list_push_back(&s->loop->waiting, &s->work_link);
    work_next(s->loop);
}

void tls_work_forget(struct tls_stream *s)
{
    list_remove(&s->work_link);
}
