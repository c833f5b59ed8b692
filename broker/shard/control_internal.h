/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the control loop. Private to broker/shard/control*.c; all of it on the control loop's thread
 * unless a comment says otherwise. */
#ifndef SLUICE_BROKER_SHARD_CONTROL_INTERNAL_H
#define SLUICE_BROKER_SHARD_CONTROL_INTERNAL_H

#include "broker/shard/control.h"
#include "broker/shard/route.h"
#include "common/base/arena.h"
#include "common/base/wire.h"
#include "common/obs/flight.h"
#include "common/rpc/rpc.h"
#include "proto/cluster/image.h"

#define CONTROL_LINKS_MAX 16
#define CONTROL_RETRY_US  20000 /* before asking again after "not the leader" or a lost connection */
#define CONTROL_CALL_US                                                                                      \
    1000000 /* an active controller that does not answer for this long is not waited for */
#define CONTROL_ARENA_BYTES (64u * 1024 * 1024)
#define CONFIG_TOPICS_MAX   1024

/* A connection to one controller. */
struct control_link {
    struct control *control;
    struct rpc_client *client;
    struct env_addr addr;
    int32_t node_id; /* -1 until its hello has come */
    bool up;
};

/* A request of the control loop's own; at most one of a kind is under way. */
struct control_ask {
    struct rpc_call call;
    struct control *control;
    bool under_way;
    unsigned link;
};

/* What a shard has applied; written by the shard, read here after its mail. */
struct applied_note {
    struct env_msg msg;
    struct control *control;
    _Atomic uint64_t index;
    _Atomic uint32_t failed_partitions;
    atomic_bool posted;
};

/* A snapshot being read. */
struct snapshot_read {
    bool wanted;
    uint64_t index, offset;
    struct image_edit *edit;
    struct writer rest; /* bytes of a record that the next piece completes */
};

struct control {
    struct flight_deck deck; /* of the control thread */
    struct broker_shared *broker;
    struct control_options options;
    struct env *env, *parent;
    struct env_msg spawn_msg, start_msg, stop_msg, shutdown_msg;
    struct env_msg *stopped_msg;
    struct rpc_peer_info self;
    struct tls_loop *tls; /* NULL: plain text */
    struct uuid incarnation_id;

    struct control_link links[CONTROL_LINKS_MAX];
    unsigned link_count;
    int active; /* link of the controller taken for active, -1: none */
    struct env_timer retry;

    bool registered;
    int64_t broker_epoch;
    bool fenced;
    uint32_t register_failures;
    struct control_ask register_ask, heartbeat_ask, tail_ask;
    struct env_timer heartbeat_timer, shutdown_timer;
    uint64_t heartbeat_sent_us;
    bool heartbeat_again; /* something to tell came up while one was under way */

    /* Notes to the broker object's loop (control_register.c). */
    struct env_msg ready_msg, cluster_msg, rejected_msg, may_stop_msg;
    atomic_bool ready_value, ready_posted;
    bool may_stop_posted;
    struct uuid known_cluster_id;
    int16_t rejected_error;

    struct image *image;     /* the newest */
    struct image *published; /* what the shards were mailed last */
    /* Between the two: topics whose settings changed, and whether others did, or those of more topics. */
    struct uuid config_topics[CONFIG_TOPICS_MAX];
    uint32_t config_topics_count;
    bool defaults_changed;
    struct snapshot_read snapshot;
    struct route_table placement;
    struct route_table left; /* shards that may still give directories up, by the directory's name, */
    uint64_t left_index;     /* until all have applied the metadata of this index */
    uint32_t partitions_of[BROKER_SHARDS_MAX];
    struct applied_note applied[BROKER_SHARDS_MAX];

    struct list calls; /* of struct control_call: waiting to be sent, or sent */
    bool shutting_down;
    bool stopping;
    struct arena arena; /* of one message */
};

/* -- links (control.c) -- */

/* The active controller's link when it is up, else NULL (and the retry timer runs). */
struct control_link *control_active(struct control *control);

/* What a reply said about who leads: follows the hint, else tries the next controller. from: the link that
 * answered. */
void control_not_leader(struct control *control, unsigned from, int32_t leader_id);

/* Does whatever is due: registration, heartbeat, tail, waiting calls. */
void control_drive(struct control *control);
void control_retry_soon(struct control *control);

/* Encodes with fn into an iobuf (one reference); NULL when memory is out. */
#define control_encode(control, name, message)                                                               \
    ({                                                                                                       \
        struct writer w_;                                                                                    \
        writer_init(&w_, (control)->env->pool, 512, RPC_PAYLOAD_MAX_BYTES);                                  \
        rpc_##name##_encode(&w_, (message));                                                                 \
        struct iobuf *payload_ = writer_take(&w_);                                                           \
        writer_free(&w_);                                                                                    \
        payload_;                                                                                            \
    })

/* Sends an ask over the active link. False when it is under way already, or there is no link up. Takes the
 * caller's reference on payload. */
bool control_ask_send(struct control *control, struct control_ask *ask, uint16_t type, struct iobuf *payload,
                      uint64_t timeout_us,
                      void (*done)(struct rpc_call *call, enum err err, uint16_t type, const uint8_t *payload,
                                   size_t len));

/* Common start of every answer: the ask is over. The link it went to. */
unsigned control_ask_over(struct control_ask *ask);

/* -- registration and heartbeats (control_register.c) -- */

/* Prepares the mail to the broker object. */
void control_notes_init(struct control *control);
/* Asks to be registered, unless that is under way. */
void control_register(struct control *control);
void control_reject(struct control *control, int16_t error); /* for good: nothing is asked any more */
void control_may_stop(struct control *control);              /* tells the broker object, once */
/* A heartbeat at once, or right after the one under way. */
void control_heartbeat_now(struct control *control);

/* The interval is over. */
void control_on_heartbeat_timer(struct env_timer *timer);

/* The index of metadata that every shard has applied. */
uint64_t control_applied_min(const struct control *control);

/* -- metadata (control_tail.c) -- */

/* Asks for what comes after our image (or for the snapshot that is due), unless that is under way. */
void control_tail(struct control *control);

/* Mails the newest image to the shards, unless it does not hold this broker's registration yet. */
void control_publish(struct control *control);

/* -- calls of shards (control_calls.c) -- */

/* The controller behind `link` just showed that it is the active one: what still waits for an answer of
 * another one (paused, or cut off) waits no longer. Its outcome is unknown, or it is asked again. */
void control_calls_superseded(struct control *control, unsigned link);

/* Sends what waits, answers what is past its deadline. */
void control_calls_drive(struct control *control);
void control_calls_fail_all(struct control *control, int16_t error);

#endif
