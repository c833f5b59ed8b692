/* SPDX-License-Identifier: Apache-2.0 */
/* What scripts break: lives, disks, the network; and what they make the cluster do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "broker/core/replica.h"
#include "broker/shard/partition_internal.h"
#include "common/base/assert.h"
#include "tests/sim/counted.h"
#include "tests/sim/nodes.h"
#include "tests/sim/run_int.h"
#include "tests/sim/script_int.h"

#define AWAIT_US        (30 * SCRIPT_SECOND_US)
#define SCRIPT_PATH_MAX 256
#define MARK_US         2000 /* wall clocks count milliseconds */

/* -- lives -- */

static void end_node(struct script *s, enum world_death death)
{
    struct node *node = script_node(s, script_word(s, 1));
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
    struct node *node = script_node(s, script_word(s, 1));
    if (node != NULL)
        node_start(node, 0);
}

static bool is_down(void *ctx)
{
    return !process_alive(ctx);
}

static void do_stop(struct script *s)
{
    struct node *node = script_node(s, script_word(s, 1));
    if (node == NULL)
        return;
    node_stop(node, UINT64_MAX);
    if (!world_run_until(s->world, AWAIT_US, is_down, node->process))
        script_say(s, "%s does not end", script_word(s, 1));
}

static void do_replace_disk(struct script *s)
{
    struct node *node = script_node(s, script_word(s, 1));
    if (node == NULL || process_alive(node->process)) {
        script_say(s, "it runs");
        return;
    }
    disk_replace(node->process);
    if (node->role == ROLE_BROKER)
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
    struct chop chop = {.node = script_node(s, script_word(s, 1)),
                        .bytes = strtoull(script_word(s, 3), NULL, 10)};
    snprintf(dir, sizeof(dir), "/data/t0-%d", atoi(script_word(s, 2)));
    if (chop.node != NULL)
        disk_walk(chop.node->process, dir, chop_file, &chop);
    if (!chop.done)
        script_say(s, "there is not so much");
}

/* mislay NODE: what its disk held of the topic is there under a name that no metadata knows. */
static void do_mislay(struct script *s)
{
    struct node *node = script_node(s, script_word(s, 1));
    if (node == NULL || process_alive(node->process) ||
        !disk_rename(node->process, "/data/t0-0", "/data/t9-0")) {
        script_say(s, "it cannot be mislaid");
        return;
    }
    counted_lost(s->cluster->counted, node); /* as far as the cluster can know */
}

static bool find_quarantined(void *ctx, const char *path, uint64_t size)
{
    char *found = ctx;
    const char *end = strstr(path, ".quarantined");
    if (end == NULL)
        return true;
    end += strcspn(end, "/");
    snprintf(found, SCRIPT_PATH_MAX, "%.*s", (int)(end - path), path);
    return false;
}

/* put-back NODE: a human gives what was set aside its right name again, in place of what is there now. */
static void do_put_back(struct script *s)
{
    char path[SCRIPT_PATH_MAX] = "";
    struct node *node = script_node(s, script_word(s, 1));
    if (node == NULL || process_alive(node->process)) {
        script_say(s, "it runs");
        return;
    }
    disk_walk(node->process, "/data", find_quarantined, path);
    disk_rename(node->process, "/data/t0-0", "/data/replaced");
    if (path[0] == '\0' || !disk_rename(node->process, path, "/data/t0-0"))
        script_say(s, "nothing was set aside");
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
    struct node *node = script_node(s, script_word(s, 1));
    if (node == NULL)
        return;
    disk_walk(node->process, "/data", see_quarantined, &bytes);
    script_say(s, bytes > 0 ? "its records were set aside" : "its records are gone");
    cluster_unhealthy(s->cluster, node, bytes == 0, 0);
}

/* die-at NODE N before|after kill|power: at the N-th change of its disk from now on. */
static void do_die_at(struct script *s)
{
    struct node *node = script_node(s, script_word(s, 1));
    if (node == NULL)
        return;
    node->wanted = false;
    disk_die_at(node->process, (uint32_t)atoi(script_word(s, 2)), strcmp(script_word(s, 3), "after") == 0,
                strcmp(script_word(s, 4), "power") == 0 ? DEATH_POWER : DEATH_KILL);
}

static void do_cut(struct script *s)
{
    struct node *a = script_node(s, script_word(s, 1)), *b = script_node(s, script_word(s, 2));
    if (a == NULL || b == NULL)
        return;
    world_cut(s->world, a->process, b->process, true);
    if (strcmp(script_word(s, 0), "cut") == 0)
        world_cut(s->world, b->process, a->process, true);
}

/* isolate NODE [brokers|controllers|servers|clients]; rejoin takes the same cuts away */
static void do_isolate(struct script *s)
{
    bool cut = strcmp(script_word(s, 0), "isolate") == 0;
    struct node *node = script_node(s, script_word(s, 1));
    for (int i = 0; node != NULL && i < s->cluster->node_count; i++) {
        struct node *other = &s->cluster->nodes[i];
        bool hit =
            other != node && (strcmp(script_word(s, 2), "brokers") == 0       ? other->role == ROLE_BROKER
                              : strcmp(script_word(s, 2), "controllers") == 0 ? other->role == ROLE_CONTROLLER
                              : strcmp(script_word(s, 2), "servers") == 0     ? other->role <= ROLE_BROKER
                              : strcmp(script_word(s, 2), "clients") == 0     ? other->role > ROLE_BROKER
                                                                              : true);
        if (!hit)
            continue;
        world_cut(s->world, node->process, other->process, cut);
        world_cut(s->world, other->process, node->process, cut);
    }
}

void script_heal(struct script *s)
{
    world_heal(s->world);
    for (int i = 0; i < s->cluster->node_count; i++)
        disk_mend(s->cluster->nodes[i].process);
}

static void do_pause(struct script *s)
{
    struct node *node = script_node(s, script_word(s, 1));
    if (node != NULL)
        process_pause(node->process, script_time(script_word(s, 2)));
}

/* fail NODE read|write|sync N */
static void do_fail(struct script *s)
{
    struct node *node = script_node(s, script_word(s, 1));
    enum disk_act act = strcmp(script_word(s, 2), "read") == 0    ? DISK_READ
                        : strcmp(script_word(s, 2), "write") == 0 ? DISK_WRITE
                                                                  : DISK_SYNC;
    if (node != NULL)
        disk_fail(node->process, act, (uint32_t)MAX(atoi(script_word(s, 3)), 1), 1, ERR_IO, NULL);
}

/* slow A B 300ms: what A sends to B takes so long. */
static void do_slow(struct script *s)
{
    struct node *a = script_node(s, script_word(s, 1)), *b = script_node(s, script_word(s, 2));
    if (a != NULL && b != NULL)
        world_slow(s->world, a->process, b->process, (uint32_t)script_time(script_word(s, 3)), 1000);
}

/* rot NODE PARTITION OFFSET: a bit flips in the batch that holds the record. */
static void do_rot(struct script *s)
{
    struct node *node = script_node(s, script_word(s, 1));
    if (node == NULL)
        return;
    if (replicas_rot(node->process, 0, atoi(script_word(s, 2)), atoll(script_word(s, 3))))
        s->cluster->rotten = node;
    else
        script_say(s, "it does not hold that record");
}

/* work-takes NODE 300ms: what its workers do takes so much longer, from now on. */
static void do_work_takes(struct script *s)
{
    struct node *node = script_node(s, script_word(s, 1));
    if (node != NULL)
        process_delay_work(node->process, script_time(script_word(s, 2)));
}

/* mark: records sent before are older than this moment, and later ones are not. */
static void do_mark(struct script *s)
{
    world_run(s->world, world_now_us(s->world) + MARK_US);
    s->mark_ms = node_wall_ms(cluster_node(s->cluster, ROLE_PRODUCER, 0));
}

/* seek PARTITION OFFSET: the consumer goes to what was sent since the mark; the record at OFFSET is the first
 * that it may not miss. */
static void do_seek(struct script *s)
{
    consumer_seek(cluster_node(s->cluster, ROLE_CONSUMER, 0), atoi(script_word(s, 1)), s->mark_ms,
                  atoll(script_word(s, 2)));
}

/* trim PARTITION OFFSET: an admin deletes the records below OFFSET. */
static void do_trim(struct script *s)
{
    admin_trim(cluster_node(s->cluster, ROLE_ADMIN, 0), atoi(script_word(s, 1)), atoll(script_word(s, 2)));
}

/* elect PARTITION: an admin asks for its preferred leader. */
static void do_elect(struct script *s)
{
    admin_elect(cluster_node(s->cluster, ROLE_ADMIN, 0), atoi(script_word(s, 1)));
}

/* add-voter CONTROLLER, remove-voter CONTROLLER: an admin asks for it, the answer may come later. */
static void do_voter(struct script *s)
{
    const struct node *node = script_node(s, script_word(s, 1));
    bool adds = strcmp(script_word(s, 0), "add-voter") == 0;
    if (node != NULL && !admin_quorum(cluster_node(s->cluster, ROLE_ADMIN, 0), node, adds))
        script_say(s, "it cannot be asked for now");
}

/* propose-without CONTROLLER CONTROLLER: the first one proposes a quorum without the second one. */
static void do_propose(struct script *s)
{
    struct node *node = script_node(s, script_word(s, 1));
    const struct node *gone = script_node(s, script_word(s, 2));
    if (node != NULL && gone != NULL)
        controller_propose_without(node, gone->id);
}

/* -- looking inside -- */

struct proposal {
    int partition;
    bool sent;
};

static void look_for_proposal(void *ctx, struct partition *partition)
{
    struct proposal *look = ctx;
    bool ours = str_eq_z(partition_topic(partition), "t0");
    if (ours && partition->index == look->partition && partition->core.role == REPLICA_LEADER)
        look->sent |= partition->core.alter == ALTER_SENT;
}

bool script_proposes(struct node *node, int partition)
{
    struct proposal look = {.partition = partition};
    if (node_broker(node) != NULL)
        broker_each_replica(node_broker(node), look_for_proposal, &look);
    return look.sent;
}

static const struct command {
    const char *name;
    void (*run)(struct script *s);
} commands[] = {
    {"kill", do_kill},
    {"power", do_power},
    {"start", do_start},
    {"stop", do_stop},
    {"die-at", do_die_at},
    {"cut", do_cut},
    {"cut-one-way", do_cut},
    {"isolate", do_isolate},
    {"rejoin", do_isolate},
    {"heal", script_heal},
    {"slow", do_slow},
    {"pause", do_pause},
    {"fail", do_fail},
    {"chop", do_chop},
    {"rot", do_rot},
    {"mislay", do_mislay},
    {"put-back", do_put_back},
    {"kept", do_kept},
    {"replace-disk", do_replace_disk},
    {"work-takes", do_work_takes},
    {"mark", do_mark},
    {"seek", do_seek},
    {"trim", do_trim},
    {"elect", do_elect},
    {"add-voter", do_voter},
    {"remove-voter", do_voter},
    {"propose-without", do_propose},
};

bool script_fault(struct script *s)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, s->words[0]) != 0)
            continue;
        commands[i].run(s);
        return true;
    }
    return false;
}
