/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/script.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "tests/sim/nodes.h"
#include "tests/sim/observe.h"
#include "tests/sim/run_int.h"
#include "tests/sim/script_int.h"

#define STEP_US      10000u
#define MOMENT_US    1000u
#define AWAIT_US     (30 * SCRIPT_SECOND_US)
#define RECOVER_US   (90 * SCRIPT_SECOND_US)
#define LINE_MAX_LEN 512

void script_say(struct script *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("> ", s->transcript);
    vfprintf(s->transcript, format, args);
    fputc('\n', s->transcript);
    va_end(args);
}

/* -- words -- */

const char *script_word(const struct script *s, int i)
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
uint64_t script_time(const char *text)
{
    char *unit;
    uint64_t value = strtoull(text, &unit, 10);
    return strcmp(unit, "s") == 0 ? value * SCRIPT_SECOND_US : value * 1000;
}

struct node *script_node(struct script *s, const char *name)
{
    for (int i = 0; i < s->alias_count; i++)
        if (strcmp(s->aliases[i].name, name) == 0)
            return s->aliases[i].node;
    for (int i = 0; i < s->cluster->node_count; i++)
        if (strcmp(process_name(s->cluster->nodes[i].process), name) == 0)
            return &s->cluster->nodes[i];
    script_say(s, "no node is called '%s'", name);
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
                                          .spare_controllers = number_of(s, "spare", 0),
                                          .consumers = number_of(s, "consumers", 1),
                                          .members = number_of(s, "members", 0),
                                          .member_kinds =
                                              has(s, "upgrade") ? MEMBERS_UPGRADE : MEMBERS_CONSUMER,
                                          .transactors = number_of(s, "transactors", 0),
                                          .txn_replayer = has(s, "replayer"),
                                          .topics_by_admin = true,
                                          .trim_topic = -1,
                                          .compact_topic = has(s, "compact") || has(s, "retained") ? 0 : -1,
                                          .compact_delete = has(s, "retained"),
                                          .lag_ms = (uint32_t)number_of(s, "lag-ms", 0),
                                          .scripted = true,
                                          .weak_stay = has(s, "weak-stays"),
                                          .unclean_elections = has(s, "unclean"),
                                          .record_bytes_max = 100,
                                          .session_us = 3 * SCRIPT_SECOND_US,
                                          .segment_bytes = (uint32_t)number_of(s, "segment-bytes", 1 << 20),
                                          .snapshot_entries = (uint32_t)number_of(s, "snapshots", 1000),
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
    run_for(s, script_time(script_word(s, 1)));
}

/* "2" is partition 2 of topic 0. */
static struct cluster_part part_of(struct script *s, const char *text)
{
    static const struct {
        const char *prefix;
        int topic;
    } topics[] = {
        {"tx/", CLUSTER_TXN_TOPIC}, {"groups/", CLUSTER_OFFSETS_TOPIC}, {"txns/", CLUSTER_TXN_STATE_TOPIC}};
    struct cluster_part part;
    int topic = 0;
    for (size_t i = 0; i < ARRAY_LEN(topics); i++) {
        size_t len = strlen(topics[i].prefix);
        if (strncmp(text, topics[i].prefix, len) != 0)
            continue;
        topic = topics[i].topic;
        text += len;
    }
    cluster_look(s->cluster, topic, atoi(text), &part);
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

static struct node *unnamed_replica(struct script *s)
{
    struct cluster_part part = part_of(s, "0");
    for (int i = 0; i < s->cluster->options.brokers; i++) {
        struct node *node = cluster_node(s->cluster, ROLE_BROKER, i);
        int k = 0;
        while (k < s->alias_count && s->aliases[k].node != node)
            k++;
        if ((part.replicas & 1ull << i) && k == s->alias_count)
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
    int n = MAX(atoi(script_word(s, 3)), 1);
    if (strcmp(script_word(s, 2), "leader") == 0)
        node = broker_of(s, part_of(s, s->word_count > 3 ? script_word(s, 3) : "0").leader);
    else if (strcmp(script_word(s, 2), "follower") == 0)
        node = follower_of(s, n);
    else if (strcmp(script_word(s, 2), "other") == 0)
        node = unnamed_replica(s);
    else
        node = controller_of(s, strcmp(script_word(s, 2), "active") == 0, n);
    if (node == NULL || s->alias_count == SCRIPT_ALIASES_MAX) {
        script_say(s, "nobody is that");
        return;
    }
    struct alias *alias = &s->aliases[s->alias_count++];
    snprintf(alias->name, sizeof(alias->name), "%.15s", script_word(s, 1));
    alias->node = node;
}

/* -- records -- */

/* send PARTITION COUNT [weak] */
static void do_send(struct script *s)
{
    struct node *producer = cluster_node(s->cluster, ROLE_PRODUCER, has(s, "weak") ? 1 : 0);
    uint64_t until_us = world_now_us(s->world) + AWAIT_US;
    producer_send(producer, atoi(script_word(s, 1)), atoi(script_word(s, 2)));
    run_for(s, STEP_US);
    while (producer->send_count > 0 &&
           world_now_us(s->world) < until_us) { /* it has not heard of the topic yet */
        producer_send(producer, atoi(script_word(s, 1)), producer->send_count);
        run_for(s, STEP_US);
    }
    if (producer->send_count > 0)
        script_say(s, "nothing was sent");
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
        script_say(s, "some records have no answer");
    script_say(s, "%llu acknowledged, %llu refused, %llu unknown",
               (unsigned long long)(c->sends_acked - s->acked),
               (unsigned long long)(c->sends_refused - s->refused),
               (unsigned long long)(c->sends_ended - c->sends_acked - c->sends_refused - s->unknown));
    s->acked = c->sends_acked;
    s->refused = c->sends_refused;
    s->unknown = c->sends_ended - c->sends_acked - c->sends_refused;
}

/* -- waiting -- */

/* The quorum's leader by its own word, active or not yet. */
static bool is_elected(const struct node *node)
{
    const struct controller *controller = node != NULL ? node_controller(node) : NULL;
    return controller != NULL && controller_status(controller).leader == node->id;
}

/* await leader PARTITION NODE | leader PARTITION none | leader PARTITION any
 *       isr PARTITION COUNT | proposal PARTITION NODE | elected NODE | active any | active NODE | active not
 * NODE | whole */
static bool holds(struct script *s)
{
    char why[CLUSTER_TEXT_MAX];
    struct cluster_part part = part_of(s, script_word(s, 2));
    if (strcmp(script_word(s, 1), "whole") == 0)
        return cluster_is_whole(s->cluster, why, sizeof(why));
    if (strcmp(script_word(s, 1), "isr") == 0)
        return part.leader >= 0 && part.isr_count == atoi(script_word(s, 3));
    if (strcmp(script_word(s, 1), "active") == 0) {
        struct node *node = controller_of(s, true, 1);
        if (node == NULL || strcmp(script_word(s, 2), "any") == 0)
            return node != NULL;
        return strcmp(script_word(s, 2), "not") == 0 ? node != script_node(s, script_word(s, 3))
                                                     : node == script_node(s, script_word(s, 2));
    }
    if (strcmp(script_word(s, 1), "elected") == 0)
        return is_elected(script_node(s, script_word(s, 2)));
    if (strcmp(script_word(s, 1), "proposal") == 0) {
        struct node *node = script_node(s, script_word(s, 3));
        return node == NULL || script_proposes(node, atoi(script_word(s, 2)));
    }
    if (strcmp(script_word(s, 3), "none") == 0)
        return part.known && part.leader < 0;
    if (strcmp(script_word(s, 3), "any") == 0)
        return part.leader >= 0;
    return part.leader >= 0 && broker_of(s, part.leader) == script_node(s, script_word(s, 3));
}

/* strike PARTITION COUNT 500ms: kills its leader, so often, so long after each other; each is started again.
 */
static void do_strike(struct script *s)
{
    uint64_t us = script_time(script_word(s, 3));
    for (int i = atoi(script_word(s, 2)); i > 0; i--) {
        struct node *node = broker_of(s, part_of(s, script_word(s, 1)).leader);
        if (node != NULL)
            node_kill(node, DEATH_KILL, us / 2);
        run_for(s, us);
    }
}

static void do_await(struct script *s)
{
    uint64_t until_us = world_now_us(s->world) + AWAIT_US;
    bool soon = strcmp(script_word(s, 1), "elected") == 0; /* what follows must not miss the moment */
    while (!holds(s)) {
        if (world_now_us(s->world) >= until_us) {
            script_say(s, "in vain");
            return;
        }
        run_for(s, soon ? MOMENT_US : STEP_US);
    }
}

/* -- looking -- */

static void do_show(struct script *s)
{
    struct cluster_part part = part_of(s, script_word(s, 1));
    char isr[128] = "", *at = isr;
    for (int i = 0; i < s->cluster->options.brokers; i++)
        if (part.isr & 1ull << i)
            at += snprintf(at, sizeof(isr) - (size_t)(at - isr), " %s",
                           name_of(s, cluster_node(s->cluster, ROLE_BROKER, i)));
    script_say(s, "leader %s, in sync:%s", name_of(s, broker_of(s, part.leader)), isr);
}

/* -- the end -- */

static bool is_read(void *ctx)
{
    const struct node *reader = ctx;
    const struct cluster *cluster = reader->cluster;
    return reader->done && (cluster->options.transactors == 0 || cluster->txns.judged);
}

static void read_all(struct script *s)
{
    struct cluster *cluster = s->cluster;
    struct node *reader = cluster_add(cluster, ROLE_READER, 1);
    node_start(reader, 0);
    if (!world_run_until(s->world, RECOVER_US, is_read, reader)) {
        script_say(s, "not everything could be read");
        return;
    }
    for (int p = 0; p < cluster->options.partitions; p++)
        replicas_dump(cluster, 0, p, cluster_replicas(cluster, 0, p));
    for (int p = 0; cluster->options.transactors > 0 && p < TXN_PARTITIONS; p++)
        replicas_dump(cluster, CLUSTER_TXN_TOPIC, p, cluster_replicas(cluster, CLUSTER_TXN_TOPIC, p));
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
    script_heal(s);
    for (int i = 0; i < s->cluster->node_count; i++)
        node_start(&s->cluster->nodes[i], 0);
    s->cluster->draining = true;
    if (!world_run_until(s->world, RECOVER_US, is_whole, s->cluster) &&
        !cluster_is_whole(s->cluster, why, sizeof(why)))
        script_say(s, "not whole: %s", why);
    read_all(s);
    run_judge(s->cluster, s->options->trace, "", s->result);
    for (int i = 0; i < CHECKER_KIND_COUNT; i++)
        if (s->result->violations[i] > 0)
            script_say(s, "%s", checker_kind_name((enum checker_kind)i));
    if (!s->result->bad)
        script_say(s, "nothing is lost, nothing is twice, all replicas are equal");
}

/* -- the file -- */

static const struct command {
    const char *name;
    void (*run)(struct script *s);
} commands[] = {
    {"cluster", do_cluster}, {"run", do_run},       {"name", do_name},
    {"send", do_send},       {"strike", do_strike}, {"settle", do_settle},
    {"await", do_await},     {"show", do_show},     {"check", do_check},
};

static void obey(struct script *s, char *line)
{
    char *save;
    s->word_count = 0;
    for (char *w = strtok_r(line, " ", &save); w != NULL && s->word_count < SCRIPT_WORDS_MAX;
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
    if (s->world == NULL || !script_fault(s))
        script_say(s, "what is '%s'?", s->words[0]);
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
    run_save(s->options, s->cluster, s->result);
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
