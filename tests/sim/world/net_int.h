/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the simulated network. A connection has two ends (struct conn: what its owner sees) and one wire
 * between them (what is in flight), which outlives the ends as long as bytes travel. Bytes of one direction
 * arrive in order; nothing else is ordered. */
#ifndef SLUICE_SIM_WORLD_NET_INT_H
#define SLUICE_SIM_WORLD_NET_INT_H

#include "tests/sim/world/world_int.h"

#define SEG_BYTES_MAX    (64u << 10)
#define READ_TURN_BYTES  (256u << 10)
#define HIGH_MARK_BYTES  (1u << 20)
#define BACKLOG_MAX      512
#define SPLIT_MIN        64 /* shorter pieces are not split further */
#define LOOPBACK_US      15
#define RETRY_MAX_US     200000u   /* until a healed way carries again what waited for it */
#define STALL_MIN_US     30000000u /* a sender gives up after this, or up to three times as long */
#define SYN_STALL_MIN_US 10000000u

enum seg_kind { SEG_DATA, SEG_FIN, SEG_RST };

struct seg {
    struct seg *next;
    uint64_t at_us;
    uint32_t len, off; /* off: taken by the reader */
    enum seg_kind kind;
    uint8_t data[];
};

struct seg_queue {
    struct seg *head, *tail;
};

/* One direction: from end `side` to the other. */
struct half {
    struct world_event arrival; /* of the head; while stalled: the sender's patience */
    struct world_event ack;     /* room in the window is known to the sender */
    struct wire *wire;
    int side;
    struct seg_queue flight;
    size_t used; /* of the window: in flight, or not yet read */
    uint64_t last_at_us;
    bool stalled, wants_room;
};

enum wire_phase { WIRE_SYN, WIRE_SYN_ACK, WIRE_REFUSED, WIRE_UP };

struct wire {
    struct list link; /* world->wires */
    struct world *world;
    struct half halves[2];
    struct conn *ends[2]; /* NULL: gone. 0 is the one that connected */
    struct process *procs[2];
    struct world_event handshake;
    enum wire_phase phase;
    bool handshake_stalled;
    struct env_addr to;
    uint16_t from_port;
};

enum conn_state { CONN_CONNECTING, CONN_ACCEPTED, CONN_OPEN, CONN_DYING };

/* A piece of queued output. */
struct out {
    struct out *next;
    struct iobuf *owner;   /* one reference; NULL for a file */
    struct env_file *file; /* one reference */
    const uint8_t *p;
    uint64_t offset;
    size_t len;
};

struct conn {
    struct env_conn base; /* first */
    struct list link;     /* process->conns */
    struct process *process;
    struct loop *loop;
    struct wire *wire;
    int side;
    enum conn_state state;
    enum err why;
    const struct env_conn_handler *handler;
    void *ctx;
    struct arrival readable; /* the connection stands, or there is something to read */
    struct arrival pending;  /* closed() or drained() is due */
    struct list dirty;
    struct list backlog;
    struct out *out_head, *out_tail;
    size_t out_bytes, high_bytes;
    struct seg_queue rx;
    bool above_high, drained_due, connected_due, paused, eof, reset;
};

struct listener {
    struct env_listener base; /* first */
    struct list link;         /* process->listeners */
    struct process *process;
    struct loop *loop;
    const struct env_listener_handler *handler;
    void *ctx;
    struct list backlog; /* of struct conn */
    uint32_t backlog_count;
    struct arrival arrival;
    uint16_t port;
    bool shared, loopback, closed;
};

/* -- queues of segments -- */
struct seg *seg_new(enum seg_kind kind, size_t len);
void segs_push(struct seg_queue *queue, struct seg *seg);
struct seg *segs_pop(struct seg_queue *queue); /* NULL when empty */
void segs_clear(struct seg_queue *queue);

/* -- wire.c -- */
struct wire *wire_new(struct process *from, struct process *to, struct conn *client,
                      const struct env_addr *addr);
/* Takes seg. depart_us: when it leaves. */
void wire_send(struct wire *wire, int side, struct seg *seg, uint64_t depart_us);
size_t wire_room(const struct wire *wire, int side);
void wire_took(struct wire *wire, int side, size_t len); /* the receiver has read len of what `side` sent */
void wire_detach(struct wire *wire,
                 int side);                  /* the end is gone; frees the wire when nothing is left of it */
void wire_lose(struct wire *wire, int side); /* what `side` has in flight is lost (power cut) */
void wire_handshake_start(struct wire *wire, uint64_t depart_us);

/* -- conn.c -- */
struct conn *conn_new(struct loop *loop, struct wire *wire, int side);
void conn_arrived(struct conn *conn, struct seg *seg); /* takes seg */
void conn_connected(struct conn *conn);
void conn_end(struct conn *conn, enum err why);
void conn_room(struct conn *conn);
void conn_abandon(struct conn *conn); /* without a word to the owner, whose process is dead */

/* -- listener.c -- */
/* Who listens on process's port; NULL: nobody. loopback: asked from the process itself. */
struct listener *listener_find(struct process *process, uint16_t port, bool loopback);
void listener_offer(struct listener *listener, struct conn *conn);
void listener_withdraw(struct listener *listener); /* closes what waits in its backlog */

/* The process that a host name or address means to `from`; NULL: nobody. */
struct process *host_find(struct process *from, const char *host, bool *ret_loopback);

/* -- file.c -- */
enum err sim_file_read(struct env_file *file, uint64_t offset, void *buf, size_t len, size_t *ret_len);
struct env_file *sim_file_ref(struct env_file *file);
bool sim_file_revoked(const struct env_file *file);

#endif
