/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/script.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "broker/shard/partition.h"
#include "common/base/assert.h"
#include "tests/sim/counted.h"
#include "tests/sim/nodes.h"
#include "tests/sim/observe.h"
#include "tests/sim/run_int.h"

#define SECOND_US    1000000u
#define STEP_US      10000u
#define AWAIT_US     (30 * SECOND_US)
#define RECOVER_US   (90 * SECOND_US)
#define LINE_MAX_LEN 512
#define WORDS_MAX    12
#define ALIASES_MAX  8

struct script {
    const struct run_options *options;
    FILE *transcript;
    struct world *world; /* NULL before `cluster` */
    struct cluster *cluster;
    struct observer observer;
    struct alias {
        char name[16];
        struct node *node;
    } aliases[ALIASES_MAX];
    int alias_count;
    uint64_t acked, refused, unknown; /* told by the last `settle` */
    struct run_result *result;
    char *words[WORDS_MAX];
    int word_count;
};

static void say(struct script *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct script *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("> ", s->transcript);
    vfprintf(s->transcript, format, args);
    fputc('\n', s->transcript);
    va_end(args);
}

/* -- words -- */

static const char *word(const struct script *s, int i)
{
    return i < s->word_count ? s->words[i] : "";
}

static bool has(const struct script *s, const char *text)
{
    for (int i = 1; i < s->word_count; i++)
        if (strcmp(s->words[i], text) == 0)
            return true;
    return false;
}

/* The number of a word "name=number". */
static int number_of(const struct script *s, const char *name, int otherwise)
{
    size_t len = strlen(name);
    for (int i = 1; i < s->word_count; i++)
        if (strncmp(s->words[i], name, len) == 0 && s->words[i][len] == '=')
            return atoi(s->words[i] + len + 1);
    return otherwise;
}

/* "300ms", "2s". */
static uint64_t time_of(const char *text)
{
    char *unit;
    uint64_t value = strtoull(text, &unit, 10);
    return strcmp(unit, "s") == 0 ? value * SECOND_US : value * 1000;
}

static struct node *node_of(struct script *s, const char *name)
{
    for (int i = 0; i < s->alias_count; i++)
        if (strcmp(s->aliases[i].name, name) == 0)
            return s->aliases[i].node;
    for (int i = 0; i < s->cluster->node_count; i++)
        if (strcmp(process_name(s->cluster->nodes[i].process), name) == 0)
            return &s->cluster->nodes[i];
    say(s, "no node is called '%s'", name);
    return NULL;
}

static const char *name_of(const struct script *s, const struct node *node)
{
    for (int i = 0; i < s->alias_count; i++)
        if (s->aliases[i].node == node)
            return s->aliases[i].name;
    return node != NULL ? process_name(node->process) : "nobody";
}

static struct node *broker_of(struct script *s, int id)
{
    return id >= 0 ? cluster_node(s->cluster, ROLE_BROKER, id - CLUSTER_BROKER_BASE) : NULL;
}

/* -- the cluster -- */

static void do_cluster(struct script *s)
{
    const struct world_options world = {.seed = (uint64_t)number_of(s, "seed", (int)s->result->seed),
                                        .latency_us = 150,
                                        .jitter_us = 100,
                                        .disk_sync_us = (uint32_t)number_of(s, "sync-us", 300),
                                        .disk_read_us = 50,
                                        .bad_luck = has(s, "bad-luck"),
                                        .trace = s->options->trace};
    const struct cluster_options shape = {.seed = world.seed,
                                          .controllers = number_of(s, "controllers", 3),
                                          .brokers = number_of(s, "brokers", 3),
                                          .shards = 1,
                                          .topics = 1,
                                          .partitions = number_of(s, "partitions", 1),
                                          .replicas = number_of(s, "replicas", number_of(s, "brokers", 3)),
                                          .min_isr = number_of(s, "min-isr", 2),
                                          .producers = 2,
                                          .weak_producers = 1u << 1,
                                          .admins = 1,
                                          .consumers = number_of(s, "consumers", 1),
                                          .topics_by_admin = true,
                                          .trim_topic = -1,
                                          .scripted = true,
                                          .unclean_elections = has(s, "unclean"),
                                          .record_bytes_max = 100,
                                          .session_us = 3 * SECOND_US,
                                          .segment_bytes = (uint32_t)number_of(s, "segment-bytes", 1 << 20),
                                          .snapshot_entries = 1000,
                                          .report_only = s->options->report_only};
    s->world = world_new(&world);
    s->cluster = calloc(1, sizeof(*s->cluster));
    ASSERT(s->cluster != NULL);
    cluster_init(s->cluster, s->world, &shape);
    for (int i = 0; i < s->cluster->node_count; i++)
        node_start(&s->cluster->nodes[i], (uint64_t)i * 1000);
    observer_start(&s->observer, s->cluster);
}

static void run_for(struct script *s, uint64_t us)
{
    world_run(s->world, world_now_us(s->world) + us);
}

static void do_run(struct script *s)
{
    run_for(s, time_of(word(s, 1)));
}

static struct cluster_part part_of(struct script *s, const char *text)
{
    struct cluster_part part;
    cluster_look(s->cluster, 0, atoi(text), &part);
    return part;
}

/* The n-th (from 1) replica that is not the leader. */
static struct node *follower_of(struct script *s, int n)
{
    struct cluster_part part = part_of(s, "0");
    for (int i = 0; i < s->cluster->options.brokers; i++) {
        struct node *node = cluster_node(s->cluster, ROLE_BROKER, i);
        if ((part.replicas & 1ull << i) && node->id != part.leader && --n == 0)
            return node;
    }
    return NULL;
}

static struct node *controller_of(struct script *s, bool active, int n)
{
    for (int i = 0; i < s->cluster->options.controllers; i++) {
        struct node *node = cluster_node(s->cluster, ROLE_CONTROLLER, i);
        if (node_controller(node) != NULL && controller_status(node_controller(node)).leads == active &&
            --n == 0)
            return node;
    }
    return NULL;
}

static void do_name(struct script *s)
{
    struct node *node = NULL;
    int n = MAX(atoi(word(s, 3)), 1);
    if (strcmp(word(s, 2), "leader") == 0)
        node = broker_of(s, part_of(s, "0").leader);
    else if (strcmp(word(s, 2), "follower") == 0)
        node = follower_of(s, n);
    else
        node = controller_of(s, strcmp(word(s, 2), "active") == 0, n);
    if (node == NULL || s->alias_count == ALIASES_MAX) {
        say(s, "nobody is that");
        return;
    }
    struct alias *alias = &s->aliases[s->alias_count++];
    snprintf(alias->name, sizeof(alias->name), "%.15s", word(s, 1));
    alias->node = node;
}

/* -- records -- */

/* send PARTITION COUNT [weak] */
static void do_send(struct script *s)
{
    struct node *producer = cluster_node(s->cluster, ROLE_PRODUCER, has(s, "weak") ? 1 : 0);
    uint64_t until_us = world_now_us(s->world) + AWAIT_US;
    producer_send(producer, atoi(word(s, 1)), atoi(word(s, 2)));
    run_for(s, STEP_US);
    while (producer->send_count > 0 &&
           world_now_us(s->world) < until_us) { /* it has not heard of the topic yet */
        producer_send(producer, atoi(word(s, 1)), producer->send_count);
        run_for(s, STEP_US);
    }
    if (producer->send_count > 0)
        say(s, "nothing was sent");
}

static bool all_told(void *ctx)
{
    const struct cluster *cluster = ctx;
    for (int i = 0; i < cluster->node_count; i++)
        if (cluster->nodes[i].role == ROLE_PRODUCER && cluster->nodes[i].pending > 0)
            return false;
    return true;
}

static void do_settle(struct script *s)
{
    const struct cluster *c = s->cluster;
    if (!world_run_until(s->world, AWAIT_US, all_told, s->cluster))
        say(s, "some records have no answer");
    say(s, "%llu acknowledged, %llu refused, %llu unknown", (unsigned long long)(c->sends_acked - s->acked),
        (unsigned long long)(c->sends_refused - s->refused),
        (unsigned long long)(c->sends_ended - c->sends_acked - c->sends_refused - s->unknown));
    s->acked = c->sends_acked;
    s->refused = c->sends_refused;
    s->unknown = c->sends_ended - c->sends_acked - c->sends_refused;
}

/* -- faults -- */

static void end_node(struct script *s, enum world_death death)
{
    struct node *node = node_of(s, word(s, 1));
    if (node == NULL)
        return;
    node->wanted = false; /* until it is started again */
    node_kill(node, death, 0);
    world_cancel(s->world, &node->restart);
}

static void do_kill(struct script *s)
{
    end_node(s, DEATH_KILL);
}

static void do_power(struct script *s)
{
    end_node(s, DEATH_POWER);
}

static void do_start(struct script *s)
{
    struct node *node = node_of(s, word(s, 1));
    if (node != NULL)
        node_start(node, 0);
}

static bool is_down(void *ctx)
{
    return !process_alive(ctx);
}

static void do_stop(struct script *s)
{
    struct node *node = node_of(s, word(s, 1));
    if (node == NULL)
        return;
    node_stop(node, UINT64_MAX);
    if (!world_run_until(s->world, AWAIT_US, is_down, node->process))
        say(s, "%s does not end", word(s, 1));
}

static void do_replace_disk(struct script *s)
{
    struct node *node = node_of(s, word(s, 1));
    if (node == NULL || process_alive(node->process)) {
        say(s, "it runs");
        return;
    }
    disk_replace(node->process);
    counted_lost(s->cluster->counted, node);
}

struct chop {
    struct node *node;
    uint64_t bytes;
    bool done;
};

static bool chop_file(void *ctx, const char *path, uint64_t size)
{
    struct chop *chop = ctx;
    size_t len = strlen(path);
    uint64_t end =
        len > 4 && strcmp(path + len - 4, ".log") == 0 ? replicas_data_end(chop->node->process, path) : 0;
    if (end > chop->bytes && end <= size)
        chop->done = disk_chop(chop->node->process, path, end - chop->bytes);
    return !chop->done;
}

/* chop NODE PARTITION BYTES: the disk has lost the end of what was synced to it. */
static void do_chop(struct script *s)
{
    char dir[32];
    struct chop chop = {.node = node_of(s, word(s, 1)), .bytes = strtoull(word(s, 3), NULL, 10)};
    snprintf(dir, sizeof(dir), "/data/t0-%d", atoi(word(s, 2)));
    if (chop.node != NULL)
        disk_walk(chop.node->process, dir, chop_file, &chop);
    if (!chop.done)
        say(s, "there is not so much");
}

/* mislay NODE: what its disk held of the topic is there under a name that no metadata knows. */
static void do_mislay(struct script *s)
{
    struct node *node = node_of(s, word(s, 1));
    if (node == NULL || process_alive(node->process) ||
        !disk_rename(node->process, "/data/t0-0", "/data/t9-0"))
        say(s, "it cannot be mislaid");
}

static bool see_quarantined(void *ctx, const char *path, uint64_t size)
{
    uint64_t *bytes = ctx;
    if (strstr(path, ".quarantined") != NULL && strstr(path, ".log") != NULL)
        *bytes += size;
    return true;
}

/* kept NODE: data that nobody knows is set aside, not removed. */
static void do_kept(struct script *s)
{
    uint64_t bytes = 0;
    struct node *node = node_of(s, word(s, 1));
    if (node == NULL)
        return;
    disk_walk(node->process, "/data", see_quarantined, &bytes);
    say(s, bytes > 0 ? "its records were set aside" : "its records are gone");
    cluster_unhealthy(s->cluster, node, bytes == 0, 0);
}

/* die-at NODE N before|after kill|power: at the N-th change of its disk from now on. */
static void do_die_at(struct script *s)
{
    struct node *node = node_of(s, word(s, 1));
    if (node == NULL)
        return;
    node->wanted = false;
    disk_die_at(node->process, (uint32_t)atoi(word(s, 2)), strcmp(word(s, 3), "after") == 0,
                strcmp(word(s, 4), "power") == 0 ? DEATH_POWER : DEATH_KILL);
}

static void do_cut(struct script *s)
{
    struct node *a = node_of(s, word(s, 1)), *b = node_of(s, word(s, 2));
    if (a == NULL || b == NULL)
        return;
    world_cut(s->world, a->process, b->process, true);
    if (strcmp(word(s, 0), "cut") == 0)
        world_cut(s->world, b->process, a->process, true);
}

/* isolate NODE [brokers|controllers|servers] */
static void do_isolate(struct script *s)
{
    struct node *node = node_of(s, word(s, 1));
    for (int i = 0; node != NULL && i < s->cluster->node_count; i++) {
        struct node *other = &s->cluster->nodes[i];
        bool hit = other != node && (strcmp(word(s, 2), "brokers") == 0       ? other->role == ROLE_BROKER
                                     : strcmp(word(s, 2), "controllers") == 0 ? other->role == ROLE_CONTROLLER
                                     : strcmp(word(s, 2), "servers") == 0     ? other->role <= ROLE_BROKER
                                                                              : true);
        if (!hit)
            continue;
        world_cut(s->world, node->process, other->process, true);
        world_cut(s->world, other->process, node->process, true);
    }
}

static void do_heal(struct script *s)
{
    world_heal(s->world);
    for (int i = 0; i < s->cluster->node_count; i++)
        disk_mend(s->cluster->nodes[i].process);
}

static void do_pause(struct script *s)
{
    struct node *node = node_of(s, word(s, 1));
    if (node != NULL)
        process_pause(node->process, time_of(word(s, 2)));
}

/* fail NODE read|write|sync N */
static void do_fail(struct script *s)
{
    struct node *node = node_of(s, word(s, 1));
    enum disk_act act = strcmp(word(s, 2), "read") == 0    ? DISK_READ
                        : strcmp(word(s, 2), "write") == 0 ? DISK_WRITE
                                                           : DISK_SYNC;
    if (node != NULL)
        disk_fail(node->process, act, (uint32_t)MAX(atoi(word(s, 3)), 1), 1, ERR_IO, NULL);
}

/* -- waiting -- */

/* await leader PARTITION NODE | leader PARTITION none | leader PARTITION any
 *       isr PARTITION COUNT | active any | active NODE | active not NODE | whole */
static bool holds(struct script *s)
{
    char why[CLUSTER_TEXT_MAX];
    struct cluster_part part = part_of(s, word(s, 2));
    if (strcmp(word(s, 1), "whole") == 0)
        return cluster_is_whole(s->cluster, why, sizeof(why));
    if (strcmp(word(s, 1), "isr") == 0)
        return part.leader >= 0 && part.isr_count == atoi(word(s, 3));
    if (strcmp(word(s, 1), "active") == 0) {
        struct node *node = controller_of(s, true, 1);
        if (node == NULL || strcmp(word(s, 2), "any") == 0)
            return node != NULL;
        return strcmp(word(s, 2), "not") == 0 ? node != node_of(s, word(s, 3))
                                              : node == node_of(s, word(s, 2));
    }
    if (strcmp(word(s, 3), "none") == 0)
        return part.known && part.leader < 0;
    if (strcmp(word(s, 3), "any") == 0)
        return part.leader >= 0;
    return part.leader >= 0 && broker_of(s, part.leader) == node_of(s, word(s, 3));
}

static void do_await(struct script *s)
{
    uint64_t until_us = world_now_us(s->world) + AWAIT_US;
    while (!holds(s)) {
        if (world_now_us(s->world) >= until_us) {
            say(s, "in vain");
            return;
        }
        run_for(s, STEP_US);
    }
}

/* -- looking -- */

static void do_show(struct script *s)
{
    struct cluster_part part = part_of(s, word(s, 1));
    char isr[128] = "", *at = isr;
    for (int i = 0; i < s->cluster->options.brokers; i++)
        if (part.isr & 1ull << i)
            at += snprintf(at, sizeof(isr) - (size_t)(at - isr), " %s",
                           name_of(s, cluster_node(s->cluster, ROLE_BROKER, i)));
    say(s, "leader %s, in sync:%s", name_of(s, broker_of(s, part.leader)), isr);
}

/* -- the end -- */

static bool is_read(void *ctx)
{
    const struct node *reader = ctx;
    return reader->done;
}

static void read_all(struct script *s)
{
    struct cluster *cluster = s->cluster;
    struct node *reader = cluster_add(cluster, ROLE_READER, 1);
    node_start(reader, 0);
    if (!world_run_until(s->world, RECOVER_US, is_read, reader)) {
        say(s, "not everything could be read");
        return;
    }
    for (int p = 0; p < cluster->options.partitions; p++)
        replicas_dump(cluster, 0, p, cluster_replicas(cluster, 0, p));
}

static bool is_whole(void *ctx)
{
    char why[CLUSTER_TEXT_MAX];
    return cluster_is_whole(ctx, why, sizeof(why));
}

/* Heals, starts whatever is down, reads everything again, judges. */
static void do_check(struct script *s)
{
    char why[CLUSTER_TEXT_MAX];
    do_heal(s);
    for (int i = 0; i < s->cluster->node_count; i++)
        node_start(&s->cluster->nodes[i], 0);
    s->cluster->draining = true;
    if (!world_run_until(s->world, RECOVER_US, is_whole, s->cluster) &&
        !cluster_is_whole(s->cluster, why, sizeof(why)))
        say(s, "not whole: %s", why);
    read_all(s);
    run_judge(s->cluster, s->options->trace, "", s->result);
    for (int i = 0; i < CHECKER_KIND_COUNT; i++)
        if (s->result->violations[i] > 0)
            say(s, "%s", checker_kind_name((enum checker_kind)i));
    if (!s->result->bad)
        say(s, "nothing is lost, nothing is twice, all replicas are equal");
}

/* -- the file -- */

static const struct command {
    const char *name;
    void (*run)(struct script *s);
} commands[] = {
    {"cluster", do_cluster},
    {"run", do_run},
    {"name", do_name},
    {"send", do_send},
    {"settle", do_settle},
    {"kill", do_kill},
    {"power", do_power},
    {"start", do_start},
    {"stop", do_stop},
    {"die-at", do_die_at},
    {"cut", do_cut},
    {"cut-one-way", do_cut},
    {"isolate", do_isolate},
    {"heal", do_heal},
    {"pause", do_pause},
    {"fail", do_fail},
    {"await", do_await},
    {"show", do_show},
    {"check", do_check},
    {"chop", do_chop},
    {"mislay", do_mislay},
    {"kept", do_kept},
    {"replace-disk", do_replace_disk},
};

static void obey(struct script *s, char *line)
{
    char *save;
    s->word_count = 0;
    for (char *w = strtok_r(line, " ", &save); w != NULL && s->word_count < WORDS_MAX;
         w = strtok_r(NULL, " ", &save))
        s->words[s->word_count++] = w;
    if (s->word_count == 0)
        return;
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, s->words[0]) != 0)
            continue;
        if (s->world == NULL && commands[i].run != do_cluster)
            break;
        commands[i].run(s);
        return;
    }
    say(s, "what is '%s'?", s->words[0]);
}

static void play(struct script *s, FILE *file)
{
    char line[LINE_MAX_LEN];
    while (fgets(line, sizeof(line), file) != NULL) {
        if (line[0] == '>')
            continue;
        fputs(line, s->transcript);
        line[strcspn(line, "#\n")] = '\0';
        if (s->world != NULL)
            world_trace(s->world, "script: %s", line);
        obey(s, line);
    }
}

static void end(struct script *s)
{
    if (s->world == NULL)
        return;
    s->result->hash = world_hash(s->world);
    s->result->events = world_events(s->world);
    s->result->virtual_us = world_now_us(s->world);
    observer_end(&s->observer);
    for (int i = 0; i < s->cluster->node_count; i++) {
        s->cluster->nodes[i].wanted = false;
        node_kill(&s->cluster->nodes[i], DEATH_KILL, 0);
    }
    cluster_free(s->cluster);
    world_free(s->world);
    free(s->cluster);
}

/* The first line in which the transcript differs from the file; 0: in none. */
static int differs(FILE *file, const char *transcript)
{
    char line[LINE_MAX_LEN];
    int number = 0;
    rewind(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        number++;
        size_t len = strlen(line);
        if (strncmp(line, transcript, len) != 0)
            return number;
        transcript += len;
    }
    return *transcript == '\0' ? 0 : number + 1;
}

void script_run(const char *path, uint64_t seed, const struct run_options *options, FILE *out,
                struct run_result *ret_result)
{
    char *text = NULL;
    size_t size = 0;
    *ret_result = (struct run_result){.seed = seed};
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        ret_result->is_void = true;
        snprintf(ret_result->text, sizeof(ret_result->text), "%s cannot be read", path);
        return;
    }
    struct script script = {
        .options = options, .result = ret_result, .transcript = open_memstream(&text, &size)};
    ASSERT(script.transcript != NULL);
    play(&script, file);
    end(&script);
    fclose(script.transcript);
    int line = differs(file, text);
    fclose(file);
    if (out != NULL)
        fputs(text, out);
    if (line > 0 && !ret_result->bad) {
        ret_result->is_void = true;
        snprintf(ret_result->text, sizeof(ret_result->text), "%s:%d: it printed something else", path, line);
    }
    free(text);
}
