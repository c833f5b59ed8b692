/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/assert.h"
#include "tests/sim/faults.h"
#include "tests/sim/nodes.h"
#include "tests/sim/observe.h"
#include "tests/sim/run_int.h"
#include "tests/sim/txn_client.h"

#define WARM_UP_US             30000000u /* until every partition has taken a record */
#define RECOVER_US             90000000u /* until everything is whole again */
#define BITE_US                40000000u /* that the last faults have to meet somebody */
#define READ_US                60000000u /* of the final reading */
#define STOP_US                40000000u
#define STEP_US                50000u
#define UNHEALTHY_NOT_WHOLE    3
#define UNHEALTHY_NOT_READ     4
#define UNHEALTHY_NOT_ENDED    5
#define UNHEALTHY_NOT_SERVED   6
#define COORDINATOR_PARTITIONS 2 /* as node_broker.c sets them */

struct run {
    const struct run_options *options;
    struct plan plan;
    struct world *world;
    struct cluster *cluster;
    struct faults faults;
    struct observer observer;
    char why[CLUSTER_TEXT_MAX], first_why[CLUSTER_TEXT_MAX];
};

static void unhealthy(struct run *run, uint64_t code)
{
    if (run->first_why[0] == '\0')
        memcpy(run->first_why, run->why, sizeof(run->why));
    cluster_unhealthy(run->cluster, NULL, 1, 0);
    observer_trace(&run->observer);
    world_trace(run->world, "unhealthy %llu: %s", (unsigned long long)code, run->why);
}

/* Looks every STEP_US until it holds; false after limit_us. */
static bool wait_for(struct run *run, uint64_t limit_us, bool (*holds)(struct run *run))
{
    uint64_t until_us = world_now_us(run->world) + limit_us;
    while (!holds(run)) {
        if (world_now_us(run->world) >= until_us)
            return false;
        world_run(run->world, world_now_us(run->world) + STEP_US);
    }
    return true;
}

static bool is_warm(struct run *run)
{
    return run->cluster->sends_acked > 0;
}

static bool is_whole(struct run *run)
{
    return cluster_is_whole(run->cluster, run->why, sizeof(run->why));
}

static bool is_read(struct run *run)
{
    const struct node *reader = cluster_node(run->cluster, ROLE_READER, 0);
    snprintf(run->why, sizeof(run->why), "%u partitions not read to their end", reader->parts_left);
    if (reader->done && run->cluster->options.transactors > 0 && !run->cluster->txns.judged)
        snprintf(run->why, sizeof(run->why), "the transactions do not come to an end");
    return reader->done && (run->cluster->options.transactors == 0 || run->cluster->txns.judged);
}

static bool is_in_sync(struct run *run)
{
    snprintf(run->why, sizeof(run->why), "not all replicas are in sync");
    return cluster_is_in_sync(run->cluster);
}

/* Those who were there all the time, not only the reader of the end: consumers have come to the ends, and the
 * group has committed in all partitions. */
static bool is_served(struct run *run)
{
    struct cluster *cluster = run->cluster;
    for (int t = 0; t < cluster->options.topics; t++)
        for (int p = 0; p < cluster->options.partitions; p++) {
            snprintf(run->why, sizeof(run->why), "the group has not committed in t%d-%d since all was healed",
                     t, p);
            if (cluster->options.members > 0 && !cluster->group_committed[t][p])
                return false;
            for (int i = 0; i < cluster->options.consumers; i++) {
                const struct node *node = cluster_node(cluster, ROLE_CONSUMER, i);
                snprintf(run->why, sizeof(run->why), "%s has not read t%d-%d up to %lld",
                         process_name(node->process), t, p, (long long)cluster->ends[t][p]);
                if (consumer_position(node, t, p) < cluster->ends[t][p])
                    return false;
            }
        }
    return true;
}

static bool has_ended(struct run *run)
{
    for (int i = 0; i < run->cluster->node_count; i++) {
        if (!process_alive(run->cluster->nodes[i].process))
            continue;
        snprintf(run->why, sizeof(run->why), "%s does not end", process_name(run->cluster->nodes[i].process));
        return false;
    }
    return true;
}

static bool all_bit(struct run *run)
{
    return faults_have_bitten(&run->faults);
}

/* -- phases -- */

static void phase_load(struct run *run)
{
    struct cluster *cluster = run->cluster;
    for (int i = 0; i < cluster->node_count; i++)
        node_start(&cluster->nodes[i], prng_below(world_prng(run->world), 20000));
    observer_start(&run->observer, cluster);
    if (!wait_for(run, WARM_UP_US, is_warm))
        unhealthy(run, UNHEALTHY_NOT_WHOLE);
    faults_start(&run->faults, cluster, &run->plan, 500000);
    world_run(run->world, world_now_us(run->world) + run->plan.run_us);
    faults_stop(&run->faults);
    if (!wait_for(run, BITE_US, all_bit)) /* what has met nobody makes the run void */
        faults_trace(&run->faults);
    faults_end(&run->faults);
}

static bool phase_recover(struct run *run)
{
    world_trace(run->world, "healed: all must be whole again");
    world_run(run->world, world_now_us(run->world) + 1000000); /* the load goes on for a moment */
    run->cluster->draining = true;
    if (wait_for(run, RECOVER_US, is_whole))
        return true;
    unhealthy(run, UNHEALTHY_NOT_WHOLE);
    return false;
}

static bool is_comparable(struct run *run)
{
    return cluster_is_registered(run->cluster, run->why, sizeof(run->why)) && is_in_sync(run) &&
           replicas_settled(run->cluster);
}

static void phase_read(struct run *run)
{
    struct cluster *cluster = run->cluster;
    node_start(cluster_add(cluster, ROLE_READER, 1), 0);
    if (!wait_for(run, READ_US, is_read)) {
        unhealthy(run, UNHEALTHY_NOT_READ);
        return;
    }
    if (!wait_for(run, RECOVER_US,
                  is_comparable)) { /* transactions came to their end later than all the rest */
        unhealthy(run, UNHEALTHY_NOT_WHOLE);
        return;
    }
    observe_registers(cluster);
    for (int t = 0; t < cluster->options.topics; t++)
        for (int p = 0; p < cluster->options.partitions; p++)
            replicas_dump(cluster, t, p, cluster_replicas(cluster, t, p));
    for (int p = 0; cluster->options.transactors > 0 && p < TXN_PARTITIONS; p++)
        replicas_dump(cluster, CLUSTER_TXN_TOPIC, p, cluster_replicas(cluster, CLUSTER_TXN_TOPIC, p));
    for (int t = CLUSTER_OFFSETS_TOPIC; t <= CLUSTER_TXN_STATE_TOPIC; t++)
        for (int p = 0; p < COORDINATOR_PARTITIONS; p++) /* 0 replicas: there is no such topic */
            replicas_dump(cluster, t, p, cluster_replicas(cluster, t, p));
    if (!wait_for(run, RECOVER_US, is_served))
        unhealthy(run, UNHEALTHY_NOT_SERVED);
}

static void stop_all(struct run *run, enum role role)
{
    struct node *node;
    for (int i = 0; (node = cluster_node(run->cluster, role, i)) != NULL; i++)
        node_stop(node, UINT64_MAX);
}

static void phase_end(struct run *run)
{
    observer_end(&run->observer);
    static const enum role order[] = {ROLE_REPLAYER, ROLE_TXN,       ROLE_TXN_READER, ROLE_READER,
                                      ROLE_MEMBER,   ROLE_ADMIN,     ROLE_CONSUMER,   ROLE_PRODUCER,
                                      ROLE_BROKER,   ROLE_CONTROLLER};
    stop_all(run, ROLE_GROUP_REPLAYER);
    for (size_t r = 0; r < ARRAY_LEN(order); r++) {
        stop_all(run, order[r]);
        world_run(run->world, world_now_us(run->world) + 500000);
    }
    if (!wait_for(run, STOP_US, has_ended))
        unhealthy(run, UNHEALTHY_NOT_ENDED);
}

/* -- verdict -- */

static uint64_t cpu_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* The first violation in one line, and why the run is unhealthy if it is. */
static void describe(const struct cluster *cluster, const struct checker *checker, const char *why, char *out,
                     size_t size)
{
    char line[RUN_TEXT_MAX] = "";
    FILE *text = fmemopen(line, sizeof(line), "w");
    ASSERT(text != NULL);
    checker_print(checker, text, false);
    fclose(text);
    bool unhealthy = checker_count(checker, CHECKER_HEALTH) > 0;
    snprintf(out, size, "%.*s%s%s%s", (int)strcspn(line, "\n"), line, unhealthy ? " (" : "",
             !unhealthy                            ? ""
             : cluster->first_assertion[0] != '\0' ? cluster->first_assertion
                                                   : why,
             unhealthy ? ")" : "");
}

static void take_verdict(const struct checker *checker, struct run_result *result)
{
    const struct checker_stats *stats = checker_stats(checker);
    for (int i = 0; i < CHECKER_KIND_COUNT; i++)
        result->violations[i] = checker_count(checker, (enum checker_kind)i);
    result->records = stats->records;
    result->gap_us = (uint64_t)stats->gap_max_us;
    result->lag_us = (uint64_t)stats->lag_max_us;
    result->bad = stats->violations > 0;
}

void run_judge(struct cluster *cluster, FILE *trace, const char *why, struct run_result *result)
{
    const struct checker_options options = {.partial = false};
    const struct history_writer *history = &cluster->chronicle.writer;
    result->run_cpu_us = cpu_us();
    struct checker *checker = checker_new(&options);
    ASSERT(checker != NULL);
    enum err err = checker_add(checker, "seed", history->bytes, history->used, NULL);
    ASSERT(err == OK);
    err = checker_run(checker);
    ASSERT(err == OK);
    take_verdict(checker, result);
    if (result->bad)
        describe(cluster, checker, why, result->text, sizeof(result->text));
    if (trace != NULL) {
        checker_print(checker, trace, true);
        checker_print_summary(checker, trace);
    }
    checker_free(checker);
    result->judge_cpu_us = cpu_us() - result->run_cpu_us;
}

void run_save(const struct run_options *options, const struct cluster *cluster,
              const struct run_result *result)
{
    char path[1024];
    if (options->keep_dir == NULL || (options->keep_bad && !result->bad))
        return;
    snprintf(path, sizeof(path), "%s/seed-%llu.history", options->keep_dir, (unsigned long long)result->seed);
    enum err err = chronicle_save(&cluster->chronicle, path);
    if (err != OK)
        fprintf(stderr, "%s: %s\n", path, err_text(err));
}

void run_weigh(const struct plan *plan, uint64_t asked, uint64_t bitten, struct run_result *result)
{
    if (result->operations * 60 < 2000 * (plan->run_us / 1000000)) {
        result->is_void = true;
        snprintf(result->text, sizeof(result->text), "only %llu operations",
                 (unsigned long long)result->operations);
    } else if (plan->fault_interval_us > 0 && bitten < MAX(asked, 1u)) {
        result->is_void = true;
        snprintf(result->text, sizeof(result->text), "of %llu faults only %llu bit",
                 (unsigned long long)asked, (unsigned long long)bitten);
    }
}

static void collect(struct run *run, struct run_result *result)
{
    static const enum fault_kind cuts[] = {FAULT_CUT, FAULT_CUT_ONE_WAY, FAULT_ISOLATE, FAULT_SPLIT,
                                           FAULT_BRIDGE};
    result->seed = run->plan.seed;
    result->operations = run->cluster->sends_ended + run->cluster->polls_answered + run->cluster->admin_calls;
    result->hash = world_hash(run->world);
    result->events = world_events(run->world);
    result->virtual_us = world_now_us(run->world);
    result->bites = *world_bites(run->world);
    result->error_lines = run->cluster->error_lines;
    for (int i = 0; i < FAULT_COUNT; i++) {
        result->asked[i] = run->faults.asked[i];
        result->bitten[i] = run->faults.bitten[i];
    }
    for (size_t i = 0; i < ARRAY_LEN(cuts); i++)
        result->partitions_cut += run->faults.bitten[cuts[i]];
    for (int i = 0; i < REACH_COUNT; i++)
        result->reached[i] = run->cluster->reached[i];
    reach_add_probes(result->reached);
}

static void plan_restrict(struct plan *plan, uint64_t only)
{
    for (int kind = 0; only != 0 && kind < FAULT_COUNT; kind++)
        plan->weights[kind] = only & 1ull << kind ? MAX(1u, plan->weights[kind]) : 0;
}

void run_seed(uint64_t seed, const struct run_options *options, struct run_result *ret_result)
{
    struct run *run = calloc(1, sizeof(*run));
    ASSERT(run != NULL);
    *ret_result = (struct run_result){.seed = seed};
    run->options = options;
    run->plan = plan_of(seed, options->seconds);
    run->plan.world.trace = options->trace;
    run->plan.cluster.report_only = options->report_only;
    plan_restrict(&run->plan, options->only_faults);
    run->plan.cluster.no_power_cuts = !plan_cuts_power(&run->plan);
    if (options->trace != NULL)
        plan_print(&run->plan, options->trace);
    run->world = world_new(&run->plan.world);
    run->cluster = calloc(1, sizeof(*run->cluster));
    ASSERT(run->cluster != NULL);
    cluster_init(run->cluster, run->world, &run->plan.cluster);
    phase_load(run);
    if (phase_recover(run))
        phase_read(run);
    phase_end(run);
    collect(run, ret_result);
    run_judge(run->cluster, options->trace, run->first_why, ret_result);
    if (!ret_result->bad)
        run_weigh(&run->plan, faults_asked(&run->faults), faults_bitten(&run->faults), ret_result);
    run_save(options, run->cluster, ret_result);
    cluster_free(run->cluster);
    world_free(run->world);
    free(run->cluster);
    free(run);
}
