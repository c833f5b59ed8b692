/* SPDX-License-Identifier: Apache-2.0 */
/* The next state of one partition: who is in sync, who may lead later, who leads now. A pure function of the
 * partition, the brokers and the topic's rules; every change of a partition in the controller goes through
 * it. Rules: ISR members are unfenced and not shutting down. While the ISR is below min ISR, members that
 * leave it stay eligible (ELR, KIP-966), because the high watermark does not advance without them; the ELR is
 * dropped as soon as the ISR is large enough again. A leader is kept while it may lead; else the first
 * replica in the ISR, or in the ELR if the ISR is empty, or the last known leader if both are empty (marked
 * recovering), or anybody if unclean elections are allowed (the same). A broker that is being drained leads
 * only where nobody else may. A leader that lives and is to be replaced (preferred election, drain, the end
 * of a reassignment) is asked to yield first, and replaced when it says that it has given way: by then the
 * others hold what it acknowledged on its own word (acks=1). A reassignment (KIP-455) is over as soon as the
 * ISR without the replicas that go holds all that stay. The leader epoch rises with each change of leader,
 * the partition epoch with each change at all. */
#ifndef SLUICE_CONTROLLER_CORE_PARTITION_CHANGE_H
#define SLUICE_CONTROLLER_CORE_PARTITION_CHANGE_H

#include "proto/cluster/image.h"

struct partition_rules {
    int32_t min_isr; /* min.insync.replicas of the topic; the replica count bounds it */
    bool unclean_allowed;
};

/* Reads the rules of a topic from its effective configs. min_isr is never above what a leader asks for: a
 * replica would stay eligible for records that were acknowledged without it. */
struct partition_rules partition_rules_of(const struct image *image, const struct image_topic *topic);

enum partition_election {
    ELECT_IF_NEEDED, /* keep the leader while it may lead */
    ELECT_PREFERRED, /* the first replica, if it may lead */
    ELECT_UNCLEAN,   /* as if unclean elections were allowed */
    ELECT_LONGEST,   /* longest_id: all replicas have told what they hold, and nobody holds more */
};

/* Replicas of a partition while it is being reassigned: `replicas` are the wanted ones in their order, then
 * those that go. adding and removing are parts of it. */
struct partition_move {
    int32_t replicas[META_REPLICAS_MAX], adding[META_REPLICAS_MAX], removing[META_REPLICAS_MAX];
    int32_t replicas_count, adding_count, removing_count;
};

/* The move from what a partition has (a move under way is replaced: what it was adding goes again unless it
 * is wanted) to `target`; false when that takes more than META_REPLICAS_MAX replicas at once. */
bool partition_move_to(const struct image_partition *before, const int32_t *target, int32_t target_count,
                       struct partition_move *ret);

/* The end of a move under way without its effect: the replicas it was adding go at once. */
void partition_move_cancel(const struct image_partition *before, struct partition_move *ret);

struct partition_goal {
    const int32_t *isr; /* wanted ISR; NULL: the present one */
    int32_t isr_count;
    int32_t
        lost_data_id; /* a broker that may have lost acknowledged records: it leaves the ELR too; NODE_NONE */
    bool disk_gone;   /* it has another disk now: it is not remembered as last known leader either, */
    bool told_loss;   /* nor if it says itself that its log lacks something */
    enum partition_election election;
    int32_t longest_id;                /* of ELECT_LONGEST */
    bool recovered;                    /* the leader has recovered (KIP-704) */
    const struct partition_move *move; /* other replicas; NULL: the present ones */
    bool new_epoch; /* the leader starts over: its epoch rises even if it stays, others are preferred */
    bool gave_way;  /* the leader was asked to yield and says that its successor may take over */
};

struct partition_change {
    struct meta_partition record; /* points into the arrays below and into `before` */
    int32_t isr[META_REPLICAS_MAX], elr[META_REPLICAS_MAX], last_known_elr[1];
    int32_t replicas[META_REPLICAS_MAX]; /* when a move ends */
    int32_t successor;                   /* the leader, or whom it yields to */
    bool moved;                          /* a reassignment is over with this change */
    bool unclean;                        /* the new leader was not known to have all acknowledged records */
};

/* Whether the broker is registered, unfenced and not shutting down: what a leader and an ISR member must be.
 */
bool broker_is_active(const struct image *image, int32_t broker_id);

/* Whether the broker is being emptied (broker.draining): it gets no new replicas, and leads only where nobody
 * else may. */
bool broker_is_draining(const struct image *image, int32_t broker_id);

/* Whether the first replica may lead, should (it is not being drained) and does not. */
bool partition_is_imbalanced(const struct image *image, const struct image_partition *p);

/* Fills *ret with the next state. False when it equals the present one (*ret then holds it with its epochs
 * unchanged). brokers: an image to look brokers up in. */
bool partition_change_make(const struct image *brokers, struct uuid topic_id,
                           const struct image_partition *before, const struct partition_rules *rules,
                           const struct partition_goal *goal, struct partition_change *ret);

#endif
