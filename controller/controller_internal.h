/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of one controller share. */
#ifndef SLUICE_CONTROLLER_CONTROLLER_INTERNAL_H
#define SLUICE_CONTROLLER_CONTROLLER_INTERNAL_H

#include "common/base/map.h"
#include "common/obs/flight.h"
#include "common/rpc/rpc.h"
#include "controller/controller.h"
#include "controller/core/core.h"
#include "controller/membership.h"
#include "controller/probes.h"

#define REQUEST_ARENA_FIRST      16384
#define REQUEST_ARENA_MAX        (64u << 20)
#define REPLY_BYTES_MAX          (15u << 20)
#define CONTROLLER_FLIGHT_EVENTS 256 /* power of two */
#define PEERS_MAX                24  /* other controllers: of the settings, members, and who wants to join */

/* An outgoing connection to another controller. */
struct peer {
    struct controller *controller;
    int32_t node_id;
    struct env_addr addr;
    struct rpc_client *client;
};

/* An accepted connection of a broker, a tool or a controller. */
struct session {
    struct controller *controller;
    struct rpc_conn *conn;
    uint64_t id;
    struct list tails; /* struct tail_wait */
    bool introduced;   /* it is a controller that joined, or wants to: */
    struct consensus_member guest;
};

/* A request that the core answers later. */
struct pending {
    uint64_t token, session_id;
    uint32_t correlation;
    uint16_t type;
};

struct controller {
    struct env *env;
    struct flight flight; /* of the core: its effects */
    struct flight_event flight_events[CONTROLLER_FLIGHT_EVENTS];
    struct controller_options options;
    char metadata_dir[LOG_PATH_MAX];
    struct storage *storage;
    struct consensus *consensus;
    struct rpc_peer_info self;
    struct tls_loop *tls;
    struct rpc_server *server;
    struct env_addr bound;
    struct peer *peers[PEERS_MAX];
    int peers_count;
    struct env_task members_task;                /* the quorum's members changed */
    struct meta_controller endpoints[PEERS_MAX]; /* what the core publishes */
    struct membership membership;

    struct image *image; /* as of the newest applied entry */
    struct core core;
    bool has_core, started, failed, stopping;
    struct env_timer core_timer;
    struct env_timer resign_timer; /* this node leads with a core at rest: somebody else should lead */
    struct probes probes;

    struct map sessions; /* by id */
    struct map pendings; /* by token */
    uint64_t next_session, next_token;

    struct env_task publish_task; /* answers tails that wait, looks whether a snapshot is due */
    struct image_cursor *snapshot_cursor;
    uint64_t entries_since_snapshot, bytes_since_snapshot;

    struct env_timer stop_timer;
    void (*stopped)(void *ctx);
    void *stopped_ctx;
    struct env_task stopped_task;
    struct log_limit refused_limit, rejected_limit, unclean_limit;
    struct controller_metrics *metrics;
};

/* -- state.c: Raft's entries become the image -- */

extern const struct consensus_handler controller_consensus_handler;

/* Ends this controller for good: says so and tells the owner. */
void controller_fail(struct controller *c, enum err err, const char *what);

/* state.c. The cluster's id is known once its first record is committed, or, to a controller that wants to
 * join, from the first member that it reaches: the disk remembers it. Zero, or known already: nothing. */
void controller_learn_cluster(struct controller *c, struct uuid id);

/* -- drive.c: the core -- */

void drive_prepare(struct controller *c); /* timers and lists; before everything else */
void drive_init(struct controller *c);    /* the core */
void drive_free(struct controller *c);    /* the core and everything that waits for it */

/* Carries out what an event function of the core asked for, in order. */
void drive_run(struct controller *c, const struct core_effects *effects);

/* The core was put to rest while Raft still leads: gives leadership away, for as long as that lasts. */
void drive_resign(struct controller *c);

/* Remembers who asked; the token goes with the request into the core. 0 when memory is out. */
uint64_t drive_expect(struct controller *c, const struct session *session, uint16_t type,
                      uint32_t correlation);

/* -- peers.c: the other controllers -- */

extern const struct consensus_transport controller_transport;

/* Starts a lasting connection to every other voter of the settings; closes them all. */
enum err peers_connect(struct controller *c);
void peers_close(struct controller *c);

/* The members changed: connects to new ones, and publishes where they are while this node leads. */
void peers_members_changed(struct controller *c);

/* Fills in c->endpoints: what is known of where controllers are. Returns how many. */
int32_t peers_endpoints(struct controller *c);

/* Tells a broker where the controllers are. */
void peers_tell_broker(struct controller *c, struct rpc_conn *conn);

/* Where a controller is, NULL: unknown. */
const struct env_addr *peers_address(const struct controller *c, int32_t node_id);

/* A controller that joined, or wants to, says which disk it has and where it is. */
void peers_introduced(struct controller *c, struct session *session, struct reader *r);

/* -- requests.c: the front end -- */

extern const struct rpc_server_handler controller_server_handler;

/* Encodes with one of proto/cluster's encoders and answers. */
void requests_reply(struct rpc_conn *conn, uint16_t type, uint32_t correlation, struct writer *w);
void requests_init_writer(struct controller *c, struct writer *w);

/* Answers what drive_expect() gave the token for. */
void drive_reply(struct controller *c, uint64_t token, const struct core_reply *reply);

/* DescribeQuorum, answered from Raft's state; the request was forwarded by a broker. */
void describe_quorum(struct controller *c, struct session *session, uint32_t correlation, int16_t version,
                     struct arena *arena, const void *request);

/* Answers with an error, in the form that type's reply has; NOT_CONTROLLER tells who leads. */
void requests_refuse(struct controller *c, struct rpc_conn *conn, uint16_t type, uint32_t correlation,
                     int16_t error);

/* Frees all sessions (their connections are gone). */
void requests_free(struct controller *c);

/* -- tail.c: committed entries and snapshots for those who follow -- */

/* Answers at once, or keeps the request until something commits. */
void tail_request(struct controller *c, struct session *session, uint32_t correlation,
                  const struct rpc_tail_request *request);
/* Answers with a piece of the newest snapshot, or of the one that was begun. */
void tail_snapshot(struct controller *c, struct session *session, uint32_t correlation,
                   const struct rpc_snapshot_request *request);

/* Something was committed, or leadership was lost: answers who waits. */
void tail_publish(struct controller *c);
void tail_drop_session(struct session *session);

/* -- metrics.c -- */

/* Registers this controller's metrics, if it has a registry; NULL is allowed in the others. */
struct controller_metrics *controller_metrics_new(struct controller *c);
void controller_metrics_free(struct controller_metrics *metrics);
void controller_metrics_commit(struct controller_metrics *metrics,
                               uint64_t entry_bytes); /* one entry applied */

#endif
