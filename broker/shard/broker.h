/* SPDX-License-Identifier: Apache-2.0 */
/* What all shards of one broker share: set up before the first shard starts and constant after, but for the
 * atomic budget and counters. */
#ifndef SLUICE_BROKER_SHARD_BROKER_H
#define SLUICE_BROKER_SHARD_BROKER_H

#include "broker/log/disk_guard.h"
#include "broker/shard/peer_loss.h"
#include "broker/shard/throttle.h"
#include "common/base/budget.h"
#include "common/env/env.h"

struct broker_config;
struct config;
struct control;
struct logger;
struct manifest;
struct metrics;
struct shard;
struct tls;

#define BROKER_SHARDS_MAX    64
#define BROKER_LISTENERS_MAX 8
#define BROKER_NEWS_US       (5 * 1000000ull) /* what was decided while the controllers were away is known then */

/* One address that clients or other brokers connect to; every shard listens on it. */
struct listener_info {
    const char *name;   /* PLAINTEXT, ... as in listeners */
    bool internal;      /* the replication listener: replica fetches are accepted here and nowhere else */
    bool tls;           /* SSL, with the broker's certificate */
    bool authenticated; /* connections need no SASL exchange first (plain text for now) */
    struct env_addr bind;
    struct env_addr advertised;
};

struct broker_shared {
    int32_t broker_id;
    const struct broker_config *config;
    const struct config *settings; /* what config was read with; NULL: from nowhere */
    struct logger *log;
    bool record; /* threads dump their last events when an assertion fails */
    struct metrics *metrics;
    struct tls *tls;     /* NULL: plain text everywhere */
    bool controller_tls; /* to the controllers */
    bool replica_tls;    /* to other brokers */
    struct budget budget;
    struct manifest *manifest;
    _Atomic bool manifest_failed; /* its file; a new one is being tried */
    _Atomic uint64_t manifest_failures;
    bool power_lost;          /* unclean stop, and the page cache did not survive (another boot id) */
    uint32_t log_files_max;   /* descriptors that partition logs may hold (log.open.files) */
    uint32_t connections_max; /* what descriptors are left for; 0: max.connections alone counts */
    struct disk_guard guard;
    struct control *control; /* the control loop: controllers, metadata, admin forwarding */
    struct shard *shards[BROKER_SHARDS_MAX];
    unsigned shard_count;
    struct listener_info listeners[BROKER_LISTENERS_MAX];
    unsigned listener_count;
    _Atomic uint32_t connection_count;
    struct peer_loss losses; /* see peer_loss.h */
    struct throttle replication_in, replication_out;
    /* Until then (env_now_us) nothing is appended: the broker is about to hand its leaders over, and what it
     * acknowledged on its own word (acks=1) must be with its followers first. 0: no. */
    _Atomic uint64_t handover_until_us;
    /* Past it (env_now_us) no controller has confirmed that this broker is alive: another leader may exist,
     * and nothing is acknowledged on this broker's word alone (acks 0 and 1). What the in-sync replicas hold
     * goes on: reads below the high watermark, acks=all (fault catalogue C2, N3). */
    _Atomic uint64_t session_end_us;
    /* When (env_now_us) the controllers confirmed it again after a session had ended; 0: none has. */
    _Atomic uint64_t session_again_us;
};

/* Whether the broker takes no records just now because it hands its leaders over. */
static inline bool broker_hands_over(const struct broker_shared *broker, uint64_t now_us)
{
    return now_us < atomic_load_explicit(&broker->handover_until_us, memory_order_relaxed);
}

/* Whether the controllers confirmed recently that this broker is alive: only then its word alone is worth
 * anything. */
static inline bool broker_session_lives(const struct broker_shared *broker, uint64_t now_us)
{
    return now_us < atomic_load_explicit(&broker->session_end_us, memory_order_acquire);
}

/* Whether a leader here may be one of the past and not know it: no controller has confirmed this broker for a
 * session, or only a moment ago, and who leads since is still on its way to us. */
static inline bool broker_may_lead_no_more(const struct broker_shared *broker, uint64_t now_us)
{
    if (!broker_session_lives(broker, now_us))
        return true;
    uint64_t again_us = atomic_load_explicit(&broker->session_again_us, memory_order_acquire);
    return again_us > 0 && now_us < again_us + BROKER_NEWS_US;
}

#endif
