/* SPDX-License-Identifier: Apache-2.0 */
/* sluice-many: what a cluster with many partitions costs its controllers, in virtual time (what waits for
 * disks, networks and time-outs) and in real processor time of the code of one node. Prints a line per
 * figure, with the bound it must keep; exit status 1 when one does not. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/assert.h"
#include "common/base/probe.h"
#include "tests/sim/many.h"
#include "tests/sim/world/sim_heap.h"

#define SMALL         1000 /* partitions with which the same is measured before the rest is made */
#define CHANGES       20
#define LOOKS         400
#define TIMES_MAX     LOOKS
#define CHANGE_US     20000
#define MAKE_LIMIT_US (600u * MANY_SECOND)
#define STEP_US       1000
#define FAR_STEP_US   20000
#define LIMIT_US      (120u * MANY_SECOND)
#define MIB           (1024.0 * 1024.0)
#define NO_BOUND      1e18

enum option_key { KEY_PARTITIONS = 256, KEY_PER_TOPIC, KEY_CHARGED, KEY_LENIENT, KEY_TRACE };

/* What one change, or one look at one topic, costs: bytes to a broker or to the client, processor time of
 * that broker or of the one that answers. */
struct cost {
    uint64_t bytes, ns;
};

struct costs {
    struct cost topic, setting, answer;
};

struct bench {
    struct many_options options;
    bool lenient; /* processor time is told, and not judged */
    struct many *many;
    struct costs small, large;
    uint64_t began_ns, cpu_ns[MANY_NODES * 2];
    int failures;
};

static uint64_t now_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* -- figures -- */

static void figure(struct bench *b, const char *what, double value, double max, const char *unit)
{
    bool good = value <= max;
    if (max < NO_BOUND)
        printf("%-66s %10.2f %s (at most %.0f)%s\n", what, value, unit, max, good ? "" : "  TOO MUCH");
    else
        printf("%-66s %10.2f %s\n", what, value, unit);
    fflush(stdout);
    b->failures += !good;
}

/* Of the processor, or of a world in which turns take as long as on this machine. */
static double machine_bound(const struct bench *b, double max)
{
    return b->lenient ? NO_BOUND : max;
}

static void took(struct bench *b, const char *what, uint64_t us, double max_ms)
{
    if (us == UINT64_MAX)
        us = (uint64_t)LIMIT_US * 1000; /* never, but a number */
    figure(b, what, (double)us / 1e3, b->options.charged ? machine_bound(b, max_ms) : max_ms, "ms");
}

static struct node *controller_at(struct bench *b, int index)
{
    return cluster_node(&b->many->cluster, ROLE_CONTROLLER, index);
}

static struct node *broker_at(struct bench *b, int index)
{
    return cluster_node(&b->many->cluster, ROLE_BROKER, index);
}

static void begin_cpu(struct bench *b)
{
    for (int i = 0; i < MANY_NODES; i++) {
        b->cpu_ns[i] = process_cpu_ns(controller_at(b, i)->process);
        b->cpu_ns[MANY_NODES + i] = process_cpu_ns(broker_at(b, i)->process);
        process_turns_forget(controller_at(b, i)->process);
        process_turns_forget(broker_at(b, i)->process);
    }
}

/* Since begin_cpu(). */
static void used_cpu(struct bench *b, const char *what, const struct node *node, double max_ms)
{
    char text[96];
    int at = node->role == ROLE_CONTROLLER ? node->id - 1 : MANY_NODES + node->id - CLUSTER_BROKER_BASE;
    double ms = (double)(process_cpu_ns(node->process) - b->cpu_ns[at]) / 1e6;
    snprintf(text, sizeof(text), "- processor time of %s (longest turn %.1f ms)", what,
             (double)process_turn_max_ns(node->process) / 1e6);
    figure(b, text, ms, machine_bound(b, max_ms), "ms");
}

static void holds_memory(struct bench *b, const char *what, const struct node *node, double max_mib)
{
    char text[96];
    int slot = process_heap_slot(node->process);
    snprintf(text, sizeof(text), "memory of %s (at its peak %.1f MiB)", what,
             (double)sim_heap_peak(slot) / MIB);
    figure(b, text, (double)sim_heap_bytes(slot) / MIB, max_mib, "MiB");
}

/* -- small changes -- */

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t median(uint64_t *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), by_value);
    return values[count / 2];
}

/* Sends the order `times` times; the medians of what goes from one node to another within after_us of its
 * answer, and of the processor time of `who`. */
static struct cost cost_of(struct bench *b, struct many_order order, int times, uint64_t after_us,
                           const struct process *from, const struct process *to, const struct process *who)
{
    struct many *many = b->many;
    uint64_t bytes[TIMES_MAX], ns[TIMES_MAX];
    ASSERT(times <= TIMES_MAX);
    for (int i = 0; i < times; i++) {
        uint64_t bytes_before = world_sent_bytes(many->world, from, to), ns_before = process_cpu_ns(who);
        many_order(many, order);
        world_run(many->world, world_now_us(many->world) + after_us);
        bytes[i] = world_sent_bytes(many->world, from, to) - bytes_before;
        ns[i] = process_cpu_ns(who) - ns_before;
        if (order.kind != MANY_CREATE)
            continue;
        order.topic++;
        many->topics++;
        many->partitions++;
    }
    return (struct cost){median(bytes, times), median(ns, times)};
}

/* Orders go to the first broker; what the others are told is told for the change alone. */
static void measure_costs(struct bench *b, struct costs *costs)
{
    struct many *many = b->many;
    const struct process *active = many_active(many)->process, *other = broker_at(b, 2)->process;
    const struct process *asked = broker_at(b, 0)->process;
    const struct process *client = cluster_node(&many->cluster, ROLE_ADMIN, 0)->process;
    const struct many_order look = {.kind = MANY_METADATA}, change = {.kind = MANY_SETTING};
    const struct many_order create = {
        .kind = MANY_CREATE, .topic = many->topics, .count = 1, .partitions = 1};
    costs->answer = cost_of(b, look, LOOKS, 0, asked, client, asked);
    costs->topic = cost_of(b, create, CHANGES, CHANGE_US, active, other, other);
    costs->setting = cost_of(b, change, CHANGES, CHANGE_US, active, other, other);
}

static void compare(struct bench *b, const char *what, const struct cost *few, const struct cost *all,
                    double more_bytes, double more_times)
{
    char text[96];
    snprintf(text, sizeof(text), "- %s: bytes, few", what);
    figure(b, text, (double)few->bytes, NO_BOUND, "bytes");
    snprintf(text, sizeof(text), "- %s: bytes, all", what);
    figure(b, text, (double)all->bytes, (double)few->bytes + more_bytes, "bytes");
    snprintf(text, sizeof(text), "- %s: processor time, few", what);
    figure(b, text, (double)few->ns / 1e3, NO_BOUND, "us");
    snprintf(text, sizeof(text), "- %s: processor time, all", what);
    double max_us = b->options.charged ? NO_BOUND : more_times * (double)few->ns / 1e3;
    figure(b, text, (double)all->ns / 1e3, machine_bound(b, max_us), "us");
}

/* Numbers of topics and entries grow by a byte or two. In a charged world fetches are under way all the time,
 * and counted with the rest. A broker that follows a new partition asks its leader
 * for all again (known gap 6). */
static void compare_costs(struct bench *b)
{
    printf("with %d partitions, and with all:\n", SMALL);
    compare(b, "one new topic, to a broker", &b->small.topic, &b->large.topic, 8, NO_BOUND);
    compare(b, "one setting of a topic, to a broker", &b->small.setting, &b->large.setting, 8, 5);
    compare(b, "Metadata of one topic", &b->small.answer, &b->large.answer, 0, 5);
}

/* -- days -- */

static void make_all(struct bench *b)
{
    struct many *many = b->many;
    many_make(many, SMALL);
    many_await(many, FAR_STEP_US, MAKE_LIMIT_US, many_is_heard, 0);
    measure_costs(b, &b->small);
    begin_cpu(b);
    uint64_t began_us = world_now_us(many->world);
    many_make(many, b->options.partitions);
    took(b, "all topics made", world_now_us(many->world) - began_us, NO_BOUND);
    uint64_t us = many_await(many, FAR_STEP_US, MAKE_LIMIT_US, many_is_heard, 0);
    took(b, "- and every replica on its broker after further", us, MAKE_LIMIT_US / 1e3);
    us = many_await(many, FAR_STEP_US, MAKE_LIMIT_US, many_is_complete, 0);
    took(b, "- and all in sync after further", us, MAKE_LIMIT_US / 1e3);
    used_cpu(b, "the active controller", many_active(many), NO_BOUND);
    used_cpu(b, "a broker", broker_at(b, 0), NO_BOUND);
    measure_costs(b, &b->large);
    compare_costs(b);
}

/* What goes on when nothing happens. */
static void rest(struct bench *b)
{
    begin_cpu(b);
    world_run(b->many->world, world_now_us(b->many->world) + 10 * MANY_SECOND);
    printf("ten seconds in which nothing happens:\n");
    used_cpu(b, "the active controller", many_active(b->many), machine_bound(b, 1000));
    used_cpu(b, "a broker", broker_at(b, 0), NO_BOUND);
}

static void look_at_memory(struct bench *b)
{
    struct node *active = many_active(b->many);
    holds_memory(b, "the active controller", active, 300);
    holds_memory(b, "the other controller", controller_at(b, active->id == 1 ? 1 : 0), 300);
    holds_memory(b, "a broker", broker_at(b, 0), NO_BOUND);
}

static void start_late_one(struct bench *b, int late)
{
    b->many->cluster.options.snapshot_entries = MANY_SNAPSHOTS; /* of those that start from now on */
    begin_cpu(b);
    node_start(controller_at(b, late), 0);
    took(b, "a controller with an empty log has all",
         many_await(b->many, STEP_US, LIMIT_US, many_has_all, late), 2000);
    used_cpu(b, "that controller", controller_at(b, late), 2000);
    used_cpu(b, "the active controller", many_active(b->many), 1000);
    uint64_t reached[REACH_COUNT] = {0};
    reach_add_probes(reached);
    ASSERT(reached[REACH_LOGGED_COUNT + PROBE_RAFT_SNAPSHOT_INSTALLED] > 0);
    holds_memory(b, "that controller", controller_at(b, late), 300);
}

/* kill -9, until node_start(). */
static void lose(struct node *node)
{
    node->wanted = false;
    node_kill(node, DEATH_KILL, 0);
}

static void lose_a_broker(struct bench *b)
{
    struct many *many = b->many;
    struct node *dead = broker_at(b, 1);
    begin_cpu(b);
    lose(dead);
    took(b, "kill -9 of a broker that leads a third: all is led by others",
         many_await(many, STEP_US, LIMIT_US, many_is_left, dead->id), 1000);
    used_cpu(b, "the active controller", many_active(many), 1000);
    took(b, "- and the other brokers have taken over, after further",
         many_await(many, STEP_US, LIMIT_US, many_is_heard, 0), 2000);
    used_cpu(b, "one of these", broker_at(b, 0), NO_BOUND);
    begin_cpu(b);
    node_start(dead, 0);
    took(b, "it is back: all replicas in sync, after its start",
         many_await(many, FAR_STEP_US, MAKE_LIMIT_US, many_is_complete, 0), NO_BOUND);
    used_cpu(b, "the active controller", many_active(many), NO_BOUND);
    used_cpu(b, "that broker", dead, NO_BOUND);
}

static void lose_the_controller(struct bench *b)
{
    struct many *many = b->many;
    struct node *dead = many_active(many);
    begin_cpu(b);
    lose(dead);
    took(b, "kill -9 of the active controller: another one is active",
         many_await(many, STEP_US, LIMIT_US, many_is_led, dead->id), 1000);
    used_cpu(b, "the new one", many_active(many), 1000);
    begin_cpu(b);
    uint64_t began_us = world_now_us(many->world);
    many_order(many, (struct many_order){.kind = MANY_SETTING, .topic = 0});
    took(b, "- and it has answered a request after further", world_now_us(many->world) - began_us, 1000);
    begin_cpu(b);
    node_start(dead, 0);
    took(b, "a controller starts with its own snapshot and log: it has all",
         many_await(many, STEP_US, LIMIT_US, many_has_all, dead->id - 1), 2000);
    used_cpu(b, "that controller", dead, 2000);
    holds_memory(b, "the new active controller", many_active(many), 300);
}

/* -- the command -- */

static const struct argp_option options_table[] = {
    {"partitions", KEY_PARTITIONS, "N", 0, "So many in all (100000)", 0},
    {"per-topic", KEY_PER_TOPIC, "N", 0, "In topics of so many (100)", 0},
    {"seed", 's', "N", 0, "Of the world (1)", 0},
    {"charged", KEY_CHARGED, 0, 0, "What the processor takes counts in virtual time, too", 0},
    {"lenient", KEY_LENIENT, 0, 0, "Tell processor times, and do not judge them: the machine may be slow", 0},
    {"trace", KEY_TRACE, 0, 0, "Print what happens to stderr", 0},
    {0}};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct bench *b = state->input;
    switch (key) {
    case KEY_PARTITIONS: b->options.partitions = atoi(arg); break;
    case KEY_PER_TOPIC: b->options.per_topic = atoi(arg); break;
    case 's': b->options.seed = strtoull(arg, NULL, 10); break;
    case KEY_CHARGED: b->options.charged = true; break;
    case KEY_LENIENT: b->lenient = true; break;
    case KEY_TRACE: b->options.trace = stderr; break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct argp argp = {.options = options_table,
                              .parser = parse,
                              .doc = "What many partitions cost, in a simulated cluster."};
    static struct bench b = {.options = {.seed = 1, .partitions = 100000, .per_topic = 100}};
    if (argp_parse(&argp, argc, argv, 0, NULL, &b) != 0)
        return 2;
    b.began_ns = now_ns(CLOCK_MONOTONIC);
    b.many = many_new(&b.options, MANY_NODES - 1);
    make_all(&b);
    rest(&b);
    look_at_memory(&b);
    start_late_one(&b, MANY_NODES - 1);
    lose_the_controller(&b);
    lose_the_controller(&b);
    lose_a_broker(&b);
    printf("%d partitions with %d replicas each, %.0f virtual seconds in %.0f s\n", b.many->partitions,
           MANY_NODES, (double)world_now_us(b.many->world) / 1e6,
           (double)(now_ns(CLOCK_MONOTONIC) - b.began_ns) / 1e9);
    many_free(b.many);
    return b.failures > 0;
}
