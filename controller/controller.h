/* SPDX-License-Identifier: Apache-2.0 */
/* One controller: a member of the quorum that keeps the cluster's metadata. A value on one loop; several may
 * live in one process (standalone, tests, the simulator). Raft, disk, peers, the front end for brokers and
 * tools, and the core that plans changes while this node leads.
 *
 * Life: controller_new (opens the disk, listens), controller_start (joins the quorum), controller_stop,
 * controller_free.
 */
#ifndef SLUICE_CONTROLLER_CONTROLLER_H
#define SLUICE_CONTROLLER_CONTROLLER_H

#include "common/env/env.h"
#include "common/obs/log.h"
#include "common/obs/metrics.h"
#include "controller/consensus.h"

#define CONTROLLER_TEXT_MAX STORAGE_TEXT_MAX

struct controller;

struct controller_voter {
    int32_t node_id;
    struct env_addr addr;
};

struct controller_options {
    int32_t node_id;
    struct env_addr listen; /* port 0: the kernel chooses */
    struct controller_voter
        voters[CONSENSUS_VOTERS_MAX]; /* of the first configuration; a node that is not among them joins */
    int voters_count;
    const char *metadata_dir; /* copied */
    uint32_t election_timeout_ms, heartbeat_ms;
    uint64_t session_us;                                /* of brokers */
    int32_t num_partitions, default_replication_factor; /* of topics whose request leaves them open */
    bool auto_rebalance; /* leaders go back to first replicas, see core_config */
    uint64_t rebalance_us;
    int32_t imbalance_percent;
    uint64_t snapshot_entries, snapshot_bytes; /* of the log since the newest snapshot */
    uint64_t segment_bytes;                    /* of the log */
    struct logger *logger;                     /* outlives the controller */
    struct tls *tls;                           /* NULL: plain text; outlives the loop */
    struct metrics *metrics;                   /* NULL: none; outlives the controller */
    struct flight_deck
        *deck; /* where the core's last events are kept for a failed assertion; NULL: nowhere */
    /* The controller has stopped for good (disk failed, wrong cluster): the process should end. what: one
     * line. May be NULL. */
    void (*failed)(void *ctx, const char *what);
    void *failed_ctx;
};

/* Defaults of everything but node_id, listen, voters, metadata_dir and logger. */
struct controller_options controller_options_defaults(void);

/* Opens the disk and listens. On failure text holds one line for people. */
enum err controller_new(struct env *env, const struct controller_options *options,
                        struct controller **ret_controller, char text[CONTROLLER_TEXT_MAX]);

/* Where it listens, with the real port. */
const struct env_addr *controller_address(const struct controller *c);

/* Another address of a voter than options said; before controller_start. For tests, where the kernel chooses
 * all ports. */
void controller_set_voter(struct controller *c, int32_t node_id, const struct env_addr *addr);

/* Joins the quorum. */
enum err controller_start(struct controller *c);

/* Hands leadership over if this node leads (for at most half a second), then closes everything; stopped is
 * called from the loop. Only controller_free() may follow. */
void controller_stop(struct controller *c, void (*stopped)(void *ctx), void *ctx);

/* Lets go of the memory. Without controller_stop() before it, it is a crash: nothing is written any more.
 * NULL is allowed. */
void controller_free(struct controller *c);

/* Whether a leader is known and this node is not far behind it; else why, in one line. For /readyz. */
bool controller_ready(struct controller *c, char *reason, size_t size);

/* How it stands in the quorum. */
struct consensus_status controller_status(const struct controller *c);

/* The committed metadata as this node has applied it (borrowed, until the next turn). */
struct image *controller_image(const struct controller *c);

#endif
