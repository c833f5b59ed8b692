/* SPDX-License-Identifier: Apache-2.0 */
/* What must be over once everything is healed: brokers whose manifest is given up or behind, replicas that
 * are offline, in doubt or damaged. Here end the exemptions of the judges that look on while it hurts: who is
 * in doubt is not counted on, a log start is believed once it is durable. */
#include <stdio.h>

#include "broker/broker.h"
#include "broker/log/manifest.h"
#include "broker/log/plog_damage.h"
#include "broker/shard/partition_internal.h"
#include "tests/sim/nodes.h"
#include "tests/sim/observe.h"

struct sound {
    const struct node *node;
    char *why;
    size_t size;
    bool good;
};

/* What lies below the log start is owed by nobody, and peers do not have it. */
static bool is_damaged(const struct partition *p)
{
    const struct plog_damage *list;
    int32_t count = plog_damages(p->log, &list);
    for (int32_t i = 0; i < count; i++)
        if (list[i].end > p->core.log_start)
            return true;
    return false;
}

static const char *trouble_of(const struct partition *p)
{
    struct manifest *manifest = p->host->manifest;
    if (manifest != NULL && manifest_failed(manifest) != OK)
        return "its manifest is given up";
    if (manifest != NULL && !manifest_reached(manifest, manifest_mark(manifest)))
        return "a log start is not durable";
    if (p->core.failed)
        return "its log is offline";
    if (p->back.doubt)
        return "it is in doubt";
    return is_damaged(p) ? "it is damaged" : NULL;
}

static void look_at_replica(void *ctx, struct partition *partition)
{
    struct sound *sound = ctx;
    char topic[64];
    const char *trouble = sound->good ? trouble_of(partition) : NULL;
    if (trouble == NULL)
        return;
    sound->good = false;
    snprintf(sound->why, sound->size, "%s: %s-%d: %s", process_name(sound->node->process),
             str_copy(partition_topic(partition), topic, sizeof(topic)), partition_index(partition), trouble);
}

bool cluster_is_sound(struct cluster *cluster, char *why, size_t size)
{
    struct sound sound = {.why = why, .size = size, .good = true};
    for (int i = 0; i < cluster->options.brokers && sound.good; i++) {
        sound.node = cluster_node(cluster, ROLE_BROKER, i);
        if (node_broker(sound.node) != NULL)
            broker_each_replica(node_broker(sound.node), look_at_replica, &sound);
    }
    return sound.good;
}
