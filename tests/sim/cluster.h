/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster inside a world: controllers and brokers (production code down to the env seam) and clients
 * (client/core on its env driver), each a process that may die at any moment and is started again, as a
 * service manager would. Structs here are the simulator's; `object` is in the process's memory and gone with
 * it. */
#ifndef SLUICE_SIM_CLUSTER_H
#define SLUICE_SIM_CLUSTER_H

#include "common/base/map.h"
#include "common/base/types.h"
#include "tests/sim/chronicle.h"
#include "tests/sim/group_replays.h"
#include "tests/sim/reach.h"
#include "tests/sim/txn_replays.h"
#include "tests/sim/world/world.h"

#define CLUSTER_CONTROLLERS_MAX 6 /* a spare among them */
#define CLUSTER_BROKERS_MAX     6
#define CLUSTER_CLIENTS_MAX     20
#define CLUSTER_NODES_MAX       (CLUSTER_CONTROLLERS_MAX + CLUSTER_BROKERS_MAX + CLUSTER_CLIENTS_MAX)
#define CLUSTER_TOPICS_MAX      8
#define CLUSTER_PARTITIONS_MAX  16
/* Topics that are looked at beside t0, t1, ...: that of the transactions, and the coordinators' own. */
#define CLUSTER_TXN_TOPIC       CLUSTER_TOPICS_MAX
#define CLUSTER_OFFSETS_TOPIC   (CLUSTER_TOPICS_MAX + 1)
#define CLUSTER_TXN_STATE_TOPIC (CLUSTER_TOPICS_MAX + 2)
#define CLUSTER_LOOKED_AT       (CLUSTER_TOPICS_MAX + 3)
#define CLUSTER_TEXT_MAX        512
#define CLUSTER_KEYS            24 /* of each partition of the compacted topic */
#define CLUSTER_RETAINED        60 /* its retention.messages, if any */
#define CLUSTER_SPARE_TOPICS    3  /* x0, x1, ...: made and deleted, never written to */
/* Topic numbers of the history that stand for registers (partition 0): spare topic n exists; a setting of
 * topic n. */
#define CLUSTER_SETTING                                                                                      \
    "max.compaction.lag.ms" /* of topics that are not compacted: nothing depends on it                       \
                             */
#define CLUSTER_REGISTER_TOPIC   1000u
#define CLUSTER_REGISTER_SETTING 2000u
#define CLUSTER_OBSERVERS                                                                                    \
    1000000u /* processes of the history from here on look from outside, one for each node */

enum role {
    ROLE_CONTROLLER,
    ROLE_BROKER,
    ROLE_PRODUCER,
    ROLE_CONSUMER,
    ROLE_ADMIN,
    ROLE_READER,
    ROLE_MEMBER,
    ROLE_TXN,
    ROLE_TXN_READER,
    ROLE_REPLAYER,
    ROLE_GROUP_REPLAYER,
    ROLE_COUNT
};

/* UPGRADE: the last one speaks the consumer protocol, the others the classic one. */
enum member_kinds { MEMBERS_CLASSIC, MEMBERS_CONSUMER, MEMBERS_MIXED, MEMBERS_UPGRADE };

struct cluster_options {
    uint64_t seed; /* named in the history */
    int controllers, brokers, shards;
    int spare_controllers; /* that the admin adds to the quorum, and removes others from it for */
    int topics, partitions, replicas, min_isr;
    int producers, consumers, admins;
    int members; /* of one consumer group */
    enum member_kinds member_kinds;
    bool sleepy_members; /* sleep past their session now and then, and wake up in the middle of their work */
    uint32_t static_members; /* bits by member: have names of their own (KIP-345) */
    bool group_replayer;     /* somebody sends their requests again */
    int transactors; /* transactional clients with a topic of their own (node_txn.c), and one that reads it */
    bool txn_replayer;    /* somebody sends their requests again */
    bool txn_rivals;      /* the last of them has the transactional id of the first */
    uint32_t txn_v1;      /* bits by transactional id: version 1 of the protocol */
    bool topics_by_admin; /* with min.insync.replicas as a setting; else the first client's wish makes them */
    int trim_topic;       /* whose records the admin deletes now and then; -1: of none */
    int compact_topic;    /* with cleanup.policy=compact; -1: none */
    bool compact_delete;  /* and retention.messages */
    bool compact_slowly;  /* so that what stops a compaction finds one under way */
    const char *codec;    /* compression.type of the admins' topics; NULL: as produced */
    uint32_t weak_producers;   /* bits by producer: acks=1 */
    bool weak_stay;            /* no leader fails: what these were told of stays, too */
    uint32_t loose_producers;  /* bits by producer: acks=all, but not idempotent */
    bool scripted;             /* clients do nothing by themselves (script.h) */
    bool unclean_elections;    /* allowed by the settings of topics that the admin makes */
    bool codecs;               /* each life of a producer compresses in another way */
    uint32_t large_one_in;     /* records of nearly 1 MiB; 0: none */
    uint64_t seek_interval_us; /* mean, of each consumer; 0: none seeks */
    uint32_t send_interval_us; /* mean, of each producer */
    uint32_t record_bytes_max;
    uint64_t session_us;
    uint32_t lag_ms;           /* replica.lag.time.max.ms; 0: the default */
    uint32_t segment_bytes;    /* of partition logs */
    uint32_t snapshot_entries; /* of the metadata log */
    bool no_power_cuts;        /* machines keep their power: what is in a page cache stays */
    bool large; /* tens of thousands of partitions: nobody looks at what replicas hold, and settings are the
                   product's own where they are unkind otherwise */
    bool report_only; /* a failed assertion is a death like others, and no violation by itself */
};

struct cluster;
struct node;

/* How a role lives. All but look() run in the process's memory. */
struct role_ops {
    const char *name;
    /* Makes node->object and starts it. False: it cannot start, node->trouble says why. */
    bool (*begin)(struct node *node, struct env *env);
    void (*stop)(struct node *node); /* asks it to end; node_stopped() follows */
    void (*free)(struct node *node); /* after node_stopped() and the end of its other loops */
};

struct node {
    struct cluster *cluster;
    struct process *process;
    const struct role_ops *ops;
    enum role role;
    int id;       /* node id of controllers and brokers, number of a client */
    void *object; /* in the process's memory; NULL when it is dead */
    char trouble[CLUSTER_TEXT_MAX];
    uint32_t start_failures; /* since the last start that went well */
    bool wanted;             /* it is to run: started again when it dies */
    bool stopping;           /* gracefully */
    bool started;
    uint64_t sync_errors_seen; /* before the machine booted: after a further one the page cache shows what is
                                  not on disk */
    uint32_t disks;            /* that were replaced */
    uint64_t graceful_stops;
    int send_partition, send_count; /* of a producer: what a script wants from it */
    uint64_t pending;               /* of a producer: records without an answer */
    int64_t want_ms, want_offset;   /* of a consumer, an admin: what a script wants from it */
    struct {
        int32_t id;
        struct uuid directory_id;
        bool adds;
    } voter;             /* of an admin or a controller: whom a script wants in the quorum, or out of it */
    uint32_t parts_left; /* of a reader: partitions not read to their end */
    bool done;           /* of a reader */
    struct world_event restart, ending;
    int ending_step;
    uint64_t restart_delay_us;
};

#define TXN_PARTITIONS 4 /* of the topic of transactions */

struct cluster {
    struct {
        uint32_t open; /* bits by transactor: it may have something under way */
        bool judged;   /* all was read at the end */
    } txns;
    struct txn_replays replays;
    struct group_replays group_replays;
    struct world *world;
    struct cluster_options options;
    struct node nodes[CLUSTER_NODES_MAX];
    int node_count;
    struct chronicle chronicle;
    uint64_t sends_acked, sends_refused, sends_ended, polls_answered, admin_calls; /* for weighing a run */
    struct counted *counted;
    uint32_t next_client; /* process number of the next client's life */
    char first_assertion[CLUSTER_TEXT_MAX];
    uint64_t error_lines, stop_leaks;
    uint64_t reached[REACH_COUNT];
    struct node *rotten; /* the broker in whose files bits flip; NULL: none */
    bool draining;       /* producers send nothing new */
    bool group_committed[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX]; /* since then, and was told so */
    int64_t acked_ends[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX]; /* behind the last acknowledged record */
    int64_t committed[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];  /* high watermarks seen, with retention */
    int64_t retained[CLUSTER_TOPICS_MAX][CLUSTER_PARTITIONS_MAX];   /* log starts that retention may reach */
    /* t0, t1, ... and the transactions' */
    int64_t starts[CLUSTER_TXN_TOPIC + 1][CLUSTER_PARTITIONS_MAX]; /* log starts that the final reads met */
    int64_t ends[CLUSTER_TXN_TOPIC + 1]
                [CLUSTER_PARTITIONS_MAX]; /* high watermarks that the final reads met */
};

/* Makes the hosts; nothing runs. The world stays the caller's. */
void cluster_init(struct cluster *cluster, struct world *world, const struct cluster_options *options);
void cluster_free(struct cluster *cluster);

/* A further node (names follow roles); nodes by role. */
struct node *cluster_add(struct cluster *cluster, enum role role, int id);
struct node *cluster_node(struct cluster *cluster, enum role role, int index); /* NULL past the last */
int cluster_count(const struct cluster *cluster, enum role role);

/* From now on it runs, and is started again when it dies. after_us: of the first start. */
void node_start(struct node *node, uint64_t after_us);
/* Kills it; it comes back after down_us. A kill after a failed sync is a power cut: a machine whose disk
 * failed so is rebooted. */
void node_kill(struct node *node, enum world_death death, uint64_t down_us);
/* Ends it in order; it comes back after down_us (UINT64_MAX: never). What it still holds then is a leak, and
 * recorded. */
void node_stop(struct node *node, uint64_t down_us);

/* -- for roles -- */

/* The object has ended; node_free() and the end of the process follow. Any context of the process. */
void node_stopped(struct node *node);
/* It cannot go on: the process ends here and now. Does not return. */
void node_failed(struct node *node, const char *why);
/* What an observer of a node sees (0: of the cluster as a whole), about a partition (topic -1: about none);
 * the rest is unknown. */
struct history_record cluster_note(enum history_op op, int node, int topic, int partition);
/* Adds a record, whoever runs. Its time, and nothing else, is filled in. */
void cluster_record(struct cluster *cluster, struct history_record record);
/* Something that never may happen: there were `is` of it, and `limit` may be. */
void cluster_unhealthy(struct cluster *cluster, const struct node *node, int64_t is, int64_t limit);
/* Sink of the loggers: error lines are counted, all go to the trace. */
void node_log(void *ctx, const char *line, size_t len);
int64_t node_wall_ms(void *ctx);

/* "c1:9100,c2:9100,..." or with ids ("1@c1:9100,..."); brokers' addresses for clients. */
char *cluster_controllers_text(const struct cluster *cluster, bool with_ids, char *out, size_t size);

/* "t<number>" and so on. */
#define CLUSTER_TOPIC_NAME_MAX 24
/* Of topics from CLUSTER_TOPICS_MAX on. */
const char *cluster_other_topic(int topic);
void cluster_topic_name(int topic, char out[CLUSTER_TOPIC_NAME_MAX]);

/* Topic t is called "t<number>"; the history numbers topics from 1. */
static inline uint32_t cluster_topic(int topic)
{
    return (uint32_t)(topic + 1);
}

extern const struct role_ops role_controller, role_broker, role_producer, role_consumer, role_admin,
    role_reader, role_member, role_txn, role_txn_reader, role_replayer, role_group_replayer;

#define CLUSTER_BROKER_BASE 101 /* node id of the first broker */

#define CONTROLLER_PORT 9100
#define BROKER_PORT     9092
#define REPLICA_PORT    9093

#endif
