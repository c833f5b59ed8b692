/* SPDX-License-Identifier: Apache-2.0 */
/* One TLS connection of a loop: shared by stream*.c and loop.c only. */
#ifndef SLUICE_TLS_STREAM_H
#define SLUICE_TLS_STREAM_H

#include "common/env/env_ops.h"
#include "common/tls/internal.h"

#define TLS_RECORD_BYTES   16384u       /* plain bytes of one record (RFC 8446, 5.1) */
#define TLS_DIRECT_BYTES   8192u        /* pieces from here on are not gathered with others */
#define TLS_CIPHER_MAX     (256u << 10) /* made ahead of what the stream below has sent */
#define TLS_CIPHER_MARK    (128u << 10) /* its high mark */
#define TLS_SHAKE_IN_BYTES 4096u        /* read at once during a handshake */
#define TLS_READ_BYTES     (64u << 10)  /* and after it */

enum tls_state {
    TLS_FRESH,   /* accepted, not started; or the stream below is connecting */
    TLS_SHAKING, /* handshake */
    TLS_OPEN,
    TLS_ENDED, /* the stream below is closing */
};

/* A piece of plain output. */
struct tls_piece {
    struct tls_piece *next;
    struct iobuf *owner;   /* memory */
    struct env_file *file; /* or a range of a file */
    union {
        const uint8_t *p;
        uint64_t offset;
    };
    size_t len;
};

struct tls_stream {
    struct env_conn base; /* first: what the owner holds */
    struct tls_loop *loop;
    struct env_conn *raw; /* NULL once it is closed */
    const struct env_conn_handler *handler;
    void *ctx;
    struct tls_session *session;
    struct iobuf *in; /* received, not consumed; NULL: nothing */
    struct env_addr addr;
    struct env_timer timer; /* of the handshake */
    struct env_task pump;   /* end of the turn: what waits in either direction moves */
    struct env_work work;   /* a step of the handshake */
    struct list link;       /* in loop->shaking */
    struct list work_link;  /* in loop->waiting: wants a worker */
    struct tls_piece *head, *tail;
    size_t plain_bytes; /* in pieces */
    size_t high_bytes;
    int shake_result;
    int32_t node_id; /* expected, TLS_NODE_ANY */
    enum err why;    /* our reason to end, when not the owner's wish */
    uint8_t use, role, state;
    bool client;
    bool working;  /* session and in belong to a worker */
    bool wished;   /* the owner closed it */
    bool paused;   /* by the owner */
    bool raw_held; /* the stream below was told to wait */
    bool above_high;
    bool released; /* closed() was called: memory goes when the worker lets go */
};

struct tls_loop {
    struct env *env;
    struct tls *tls;
    struct list shaking; /* of struct tls_stream, oldest first */
    struct list waiting; /* of struct tls_stream, for a worker */
    uint32_t shaking_count, working_count;
    uint32_t refs; /* streams, and the owner */
    struct tls_piece *free_pieces;
    uint32_t free_count;
    struct iobuf *staging; /* gathers small pieces into records */
    struct log_limit limit;
};

/* -- loop.c -- */
void tls_loop_unref(struct tls_loop *loop);
struct tls_piece *tls_piece_take(struct tls_loop *loop); /* asserts memory */
void tls_piece_give(struct tls_loop *loop, struct tls_piece *piece);
/* Gets the stream a worker, now or later; tls_stream_worked() follows. */
void tls_work_ask(struct tls_stream *s);
void tls_work_forget(struct tls_stream *s); /* it does not want one any more */

/* -- stream.c -- */
extern const struct env_conn_ops tls_stream_ops;
void tls_stream_fail(struct tls_stream *s, enum err why);
void tls_stream_work(struct env_work *work);
void tls_stream_worked(struct tls_stream *s); /* on the loop */
void tls_stream_release(struct tls_stream *s);

/* -- stream_out.c -- */
void tls_out_add(struct tls_stream *s, struct iobuf *owner, const void *p, size_t len);
void tls_out_add_file(struct tls_stream *s, struct env_file *file, uint64_t offset, size_t len);
/* Makes records of what waits, as far as the stream below has room. */
void tls_out_run(struct tls_stream *s);
void tls_out_clear(struct tls_stream *s);
/* Hands what the session made to the stream below. */
void tls_out_send(struct tls_stream *s);
/* drained(), when it is time. */
void tls_out_tell(struct tls_stream *s);
size_t tls_out_queued(const struct tls_stream *s);

#endif
