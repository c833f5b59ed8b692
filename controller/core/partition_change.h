/* SPDX-License-Identifier: Apache-2.0 */
/* The next state of one partition: who is in sync, who may lead later, who leads now. A pure function of the
 * partition, the brokers and the topic's rules; every change of a partition in the controller goes through
 * it. Rules: ISR members are unfenced and not shutting down. While the ISR is below min ISR, members that
 * leave it stay eligible (ELR, KIP-966), because the high watermark does not advance without them; the ELR is
 * dropped as soon as the ISR is large enough again. A leader is kept while it may lead; else the first
 * replica in the ISR, or in the ELR if the ISR is empty, or the last known leader if both are empty (marked
 * recovering), or anybody if unclean elections are allowed (the same). The leader epoch rises with each
 * change of leader, the partition epoch with each change at all. */
#ifndef SLUICE_CONTROLLER_CORE_PARTITION_CHANGE_H
#define SLUICE_CONTROLLER_CORE_PARTITION_CHANGE_H

#include "proto/cluster/image.h"

struct partition_rules {
    int32_t min_isr; /* min.insync.replicas of the topic; the replica count bounds it */
    bool unclean_allowed;
};

/* Reads the rules of a topic from its effective configs. */
struct partition_rules partition_rules_of(const struct image *image, const struct image_topic *topic);

enum partition_election {
    ELECT_IF_NEEDED, /* keep the leader while it may lead */
    ELECT_PREFERRED, /* the first replica, if it may lead */
    ELECT_UNCLEAN,   /* as if unclean elections were allowed */
};

struct partition_goal {
    const int32_t *isr; /* wanted ISR; NULL: the present one */
    int32_t isr_count;
    int32_t
        lost_data_id; /* a broker that may have lost acknowledged records: it leaves the ELR too; NODE_NONE */
    enum partition_election election;
    bool recovered; /* the leader has recovered (KIP-704) */
};

struct partition_change {
    struct meta_partition record; /* points into the arrays below and into `before` */
    int32_t isr[META_REPLICAS_MAX], elr[META_REPLICAS_MAX], last_known_elr[1];
    bool unclean; /* the new leader was not known to have all acknowledged records */
};

/* Whether the broker is registered, unfenced and not shutting down: what a leader and an ISR member must be.
 */
bool broker_is_active(const struct image *image, int32_t broker_id);

/* Fills *ret with the next state. False when it equals the present one (*ret then holds it with its epochs
 * unchanged). brokers: an image to look brokers up in. */
bool partition_change_make(const struct image *brokers, struct uuid topic_id,
                           const struct image_partition *before, const struct partition_rules *rules,
                           const struct partition_goal *goal, struct partition_change *ret);

#endif
