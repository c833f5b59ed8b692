/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/plan.h"

#include <string.h>

#include "common/base/assert.h"

#define SPARE_ONE_IN       3
#define SIX_ONE_IN         4 /* seeds with six brokers; the others have three to five */
#define GROUP_ONE_IN       2 /* seeds with a consumer group */
#define FOCUS_ONE_IN       4
#define TXN_ONE_IN         2  /* seeds with transactions */
#define REPLAYER_ONE_IN    3  /* seeds with transactions in which their requests come again */
#define GROUP_AGAIN_ONE_IN 3  /* seeds with a consumer group in which its members' requests come again */
#define TXN_V1_ONE_IN      4  /* transactional ids with version 1 of the protocol */
#define QUIET_ONE_IN       20 /* seeds without any fault: a healthy cluster must be right, too */

static const char *const names[FAULT_COUNT] = {
#define X(id, name) name,
    FAULT_TABLE(X)
#undef X
};

const char *fault_name(enum fault_kind kind)
{
    return names[kind];
}

enum fault_kind fault_by_name(const char *name)
{
    int kind = 0;
    while (kind < FAULT_COUNT && strcmp(names[kind], name) != 0)
        kind++;
    return (enum fault_kind)kind;
}

static uint64_t between(struct prng *prng, uint64_t low, uint64_t high)
{
    return low + prng_below(prng, high - low + 1);
}

static uint64_t one_of(struct prng *prng, const uint64_t *values, size_t count)
{
    return values[prng_below(prng, count)];
}

/* What clients do. Weak promises never are all that a seed has: a record must be lost to be missed. */
static void plan_workload(struct cluster_options *o, struct prng *prng)
{
    o->topics_by_admin = prng_below(prng, 2) == 0;
    o->admins = o->topics_by_admin || prng_below(prng, 3) == 0 ? 1 : 0;
    o->admins += o->admins > 0 && prng_below(prng, 3) == 0;
    o->trim_topic = prng_below(prng, 3) == 0 ? o->topics - 1 : -1;
    o->weak_producers = prng_below(prng, 3) == 0 ? 1u << 1 : 0; /* the second; the first is always strict */
    o->loose_producers = prng_below(prng, 6) == 0 ? 1u << 2 : 0;
    o->codecs = prng_below(prng, 2) == 0;
    o->large_one_in = prng_below(prng, 10) == 0 ? 500 : 0;
    o->seek_interval_us = prng_below(prng, 2) == 0 ? between(prng, 200000, 4000000) : 0;
}

/* From a generator of its own: other seeds stay what they were. */
static void plan_compaction(struct cluster_options *o, uint64_t seed)
{
    static const char *const codecs[] = {"uncompressed", "gzip", "snappy", "lz4", "zstd"};
    struct prng prng;
    prng_seed(&prng, seed ^ 0x636f6d70616374);
    o->compact_topic = o->topics_by_admin && prng_below(&prng, 3) > 0 ? 0 : -1;
    if (o->compact_topic == o->trim_topic)
        o->trim_topic = -1;
    o->compact_delete = prng_below(&prng, 3) == 0;
    o->compact_slowly = prng_below(&prng, 3) == 0;
    if (o->topics_by_admin && prng_below(&prng, 2) == 0)
        o->codec = codecs[prng_below(&prng, ARRAY_LEN(codecs))];
}

static void plan_cluster(struct plan *plan, struct prng *prng)
{
    static const uint64_t segments[] = {65536, 262144, 1 << 20, 1 << 20};
    static const uint64_t snapshots[] = {10, 50, 200, 1000};
    /* between ticks of all producers together (a tick sends 2.4 records on average): faults per second of a
     * real processor find more than operations do, so most seeds are just busy enough to count */
    static const uint64_t ticks[] = {8000, 25000, 40000, 40000, 40000};
    struct cluster_options *o = &plan->cluster;
    o->controllers = prng_below(prng, 4) == 0 ? 5 : 3;
    o->brokers = (int)between(prng, 3, 5);
    o->shards = (int)between(prng, 1, 3);
    o->topics = (int)between(prng, 1, 3);
    o->partitions = (int)between(prng, 1, 4);
    o->replicas = 3;
    o->min_isr = 2;
    o->producers = (int)between(prng, 1, 3);
    o->consumers = (int)between(prng, 1, 2);
    plan_workload(o, prng);
    plan_compaction(o, plan->seed);
    o->send_interval_us = (uint32_t)(one_of(prng, ticks, ARRAY_LEN(ticks)) * (uint64_t)o->producers);
    o->record_bytes_max = (uint32_t)(prng_below(prng, 4) == 0 ? 4000 : 150);
    o->session_us = 3000000;
    o->segment_bytes = (uint32_t)one_of(prng, segments, ARRAY_LEN(segments));
    o->snapshot_entries = (uint32_t)one_of(prng, snapshots, ARRAY_LEN(snapshots));
}

static void plan_world(struct plan *plan, struct prng *prng)
{
    static const uint64_t latencies[] = {30, 150, 150, 1000, 5000};
    static const uint64_t syncs[] = {60, 300, 1000, 5000};
    struct world_options *o = &plan->world;
    o->seed = prng_next(prng);
    o->latency_us = (uint32_t)one_of(prng, latencies, ARRAY_LEN(latencies));
    o->jitter_us = (uint32_t)prng_below(prng, 2ull * o->latency_us + 1);
    o->disk_sync_us = (uint32_t)one_of(prng, syncs, ARRAY_LEN(syncs));
    o->disk_read_us = (uint32_t)between(prng, 20, 300);
    o->window_bytes = (uint32_t)(prng_below(prng, 3) == 0 && o->latency_us <= 1000 ? 16384 : 256 << 10);
    o->bad_luck = prng_below(prng, 4) != 0;
}

/* A few kinds and nothing else: what needs the same fault again and again drowns in a broad mixture. */
static void plan_focus(struct plan *plan, struct prng *prng)
{
    uint64_t kinds = 1ull << prng_below(prng, FAULT_COUNT) | 1ull << prng_below(prng, FAULT_COUNT);
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        plan->weights[kind] = kinds & 1ull << kind ? 10 : 0;
}

static void plan_faults(struct plan *plan, struct prng *prng)
{
    static const uint64_t intervals[] = {300000, 1000000, 2000000, 4000000};
    static const uint64_t downs[] = {200000, 2000000, 8000000};
    bool quiet = prng_below(prng, QUIET_ONE_IN) == 0;
    plan->fault_interval_us = quiet ? 0 : one_of(prng, intervals, ARRAY_LEN(intervals));
    plan->down_max_us = one_of(prng, downs, ARRAY_LEN(downs));
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        plan->weights[kind] = prng_below(prng, 3) == 0 ? (uint32_t)between(prng, 1, 10) : 0;
    plan->weights[prng_below(prng, FAULT_COUNT)] += 5;
    if (prng_below(prng, FOCUS_ONE_IN) == 0)
        plan_focus(plan, prng);
    plan->weights[FAULT_KILL_BROKER] += 1; /* never only pinpricks */
    plan->weights[FAULT_POWER_ALL] = MIN(plan->weights[FAULT_POWER_ALL], 1u);
}

/* From a generator of its own, too. A short lag lets in-sync sets shrink while their leader lives. */
static void plan_lag(struct cluster_options *o, uint64_t seed)
{
    static const uint64_t lags_ms[] = {0, 0, 0, 700, 2000};
    struct prng prng;
    prng_seed(&prng, seed ^ 0x6c6167);
    o->lag_ms = (uint32_t)one_of(&prng, lags_ms, ARRAY_LEN(lags_ms));
}

/* From a generator of its own, too. */
static void plan_spares(struct cluster_options *o, uint64_t seed)
{
    struct prng prng;
    prng_seed(&prng, seed ^ 0x71756f72756d);
    o->spare_controllers = prng_below(&prng, SPARE_ONE_IN) == 0 ? 1 : 0;
}

/* From a generator of its own, too. */
static void plan_six_brokers(struct cluster_options *o, uint64_t seed)
{
    struct prng prng;
    prng_seed(&prng, seed ^ 0x736978);
    if (prng_below(&prng, SIX_ONE_IN) == 0)
        o->brokers = CLUSTER_BROKERS_MAX;
}

bool plan_cuts_power(const struct plan *plan)
{
    static const enum fault_kind kinds[] = {FAULT_POWER_BROKER,  FAULT_REPLACE_DISK, FAULT_POWER_ALL,
                                            FAULT_DIE_AT_BROKER, FAULT_SYNC_ERROR,   FAULT_WRITE_ERROR,
                                            FAULT_READ_ERROR,    FAULT_DISK_FULL};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (plan->weights[kinds[i]] > 0)
            return true;
    return false;
}

/* From a generator of its own: the rest stays what it was. */
static void plan_transactions(struct cluster_options *o, uint64_t seed)
{
    struct prng prng;
    prng_seed(&prng, seed ^ 0x74786e73);
    o->transactors = prng_below(&prng, TXN_ONE_IN) == 0 ? (int)between(&prng, 1, 3) : 0;
    o->txn_rivals = o->transactors == 3 || (o->transactors == 2 && prng_below(&prng, 2) == 0);
    for (uint32_t id = 0; id < TXN_IDENTITIES; id++)
        o->txn_v1 |= prng_below(&prng, TXN_V1_ONE_IN) == 0 ? 1u << id : 0;
    o->txn_replayer = o->transactors > 0 && prng_below(&prng, REPLAYER_ONE_IN) == 0;
}

/* From a generator of its own, too. */
static void plan_members(struct cluster_options *o, uint64_t seed)
{
    static const enum member_kinds kinds[] = {MEMBERS_CLASSIC, MEMBERS_CONSUMER, MEMBERS_MIXED};
    struct prng prng;
    prng_seed(&prng, seed ^ 0x6d656d62657273);
    o->member_kinds = kinds[prng_below(&prng, ARRAY_LEN(kinds))];
    o->static_members = prng_below(&prng, 3) == 0 ? 1u << 0 : 0;
    o->sleepy_members = prng_below(&prng, 2) == 0;
}

/* From a generator of its own, too. */
static void plan_group_replayer(struct cluster_options *o, uint64_t seed)
{
    struct prng prng;
    prng_seed(&prng, seed ^ 0x616761696e);
    o->group_replayer = o->members > 0 && prng_below(&prng, GROUP_AGAIN_ONE_IN) == 0;
}

struct plan plan_of(uint64_t seed, uint32_t seconds)
{
    struct plan plan = {.seed = seed, .run_us = (uint64_t)seconds * 1000000};
    struct prng prng;
    prng_seed(&prng, seed);
    plan.cluster.seed = seed;
    plan_cluster(&plan, &prng);
    plan_lag(&plan.cluster, seed);
    plan_spares(&plan.cluster, seed);
    plan_six_brokers(&plan.cluster, seed);
    plan_world(&plan, &prng);
    plan_faults(&plan, &prng);
    plan.cluster.members = prng_below(&prng, GROUP_ONE_IN) == 0 ? (int)between(&prng, 2, 3) : 0;
    plan_members(&plan.cluster, seed);
    plan_transactions(&plan.cluster, seed);
    plan_group_replayer(&plan.cluster, seed);
    return plan;
}

static const char *members_text(const struct cluster_options *o)
{
    static const char *const texts[] = {" of the classic protocol", " of the consumer protocol",
                                        " of both protocols"};
    static const char *const sleepy[] = {" of the classic protocol that sleep",
                                         " of the consumer protocol that sleep",
                                         " of both protocols that sleep"};
    return o->members == 0 ? "" : o->sleepy_members ? sleepy[o->member_kinds] : texts[o->member_kinds];
}

void plan_print(const struct plan *plan, FILE *out)
{
    const struct cluster_options *o = &plan->cluster;
    fprintf(
        out,
        "seed %llu: %d controllers, %d brokers of %d shards, %d topics of %d partitions, %d producers each "
        "%u us, %d consumers, segments of %u, snapshots every %u, "
        "%d admins, %d members%s%s%s, %d transactors%s%s (version 1: %x)%s%s%s%s%s%s%s%s%s%s\n",
        (unsigned long long)plan->seed, o->controllers, o->brokers, o->shards, o->topics, o->partitions,
        o->producers, o->send_interval_us, o->consumers, o->segment_bytes, o->snapshot_entries, o->admins,
        o->members, members_text(o), o->members > 0 && o->static_members ? " (one static)" : "",
        o->group_replayer ? " and a replayer" : "", o->transactors, o->txn_rivals ? " with rivals" : "",
        o->txn_replayer ? " and a replayer" : "", o->txn_v1,
        o->topics_by_admin ? ", topics with settings" : "",
        o->compact_topic < 0 ? ""
        : o->compact_delete  ? ", t0 compacted and retained"
                             : ", t0 compacted",
        o->trim_topic >= 0 ? ", records deleted" : "", o->weak_producers ? ", acks=1" : "",
        o->loose_producers ? ", not idempotent" : "", o->codecs ? ", codecs" : "",
        o->codec ? ", stored as " : "", o->codec ? o->codec : "", o->large_one_in ? ", 1 MiB records" : "",
        o->spare_controllers ? ", a spare controller" : "");
    fprintf(out,
            "latency %u+%u us, sync %u us, window %u, %s; a fault every %llu us:", plan->world.latency_us,
            plan->world.jitter_us, plan->world.disk_sync_us, plan->world.window_bytes,
            plan->world.bad_luck ? "bad luck" : "no bad luck", (unsigned long long)plan->fault_interval_us);
    for (int kind = 0; kind < FAULT_COUNT; kind++)
        if (plan->weights[kind] > 0)
            fprintf(out, " %s*%u", names[kind], plan->weights[kind]);
    fputc('\n', out);
}
