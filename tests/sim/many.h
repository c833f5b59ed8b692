/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster with many partitions: three controllers and three brokers, a replica of every partition on each
 * broker. Nobody writes records: what is looked at is what metadata cost. */
#ifndef SLUICE_SIM_MANY_H
#define SLUICE_SIM_MANY_H

#include "proto/cluster/image.h"
#include "tests/sim/cluster.h"

#define MANY_NODES  3 /* controllers, and brokers */
#define MANY_SECOND 1000000u

struct many_options {
    uint64_t seed;
    int32_t partitions, per_topic;
    bool charged; /* a turn takes as long as its processor time */
    FILE *trace;  /* NULL: none */
};

enum many_order_kind {
    MANY_CREATE,  /* topics topic .. topic + count - 1 of `partitions` partitions each */
    MANY_SETTING, /* another value of a setting of a topic */
    MANY_METADATA /* of one topic */
};

/* One request of the client; of the answer: what went wrong. */
struct many_order {
    enum many_order_kind kind;
    int topic, count;
    int32_t partitions;
    bool under_way;
    enum err err;
    int16_t error;
};

struct many {
    struct many_options options;
    struct world *world;
    struct cluster cluster;
    struct many_order order;
    int topics;         /* made so far */
    int32_t partitions; /* of them all */
    uint32_t changes;   /* of settings */
};

/* Log entries between two snapshots: as long as there are few entries, and of the product's settings. */
#define MANY_SNAPSHOTS_SOON 20
#define MANY_SNAPSHOTS      20000

/* A cluster that is up, but for the controller of index `late`, which was never started. Never NULL. */
struct many *many_new(const struct many_options *options, int late);
void many_free(struct many *many);

/* Runs the world until holds(many, arg), looking every step_us. Returns the time that took; UINT64_MAX: it
 * did not come to hold within limit_us. */
uint64_t many_await(struct many *many, uint64_t step_us, uint64_t limit_us,
                    bool (*holds)(struct many *many, int arg), int arg);

/* Sends an order to the first broker and runs the world until it is answered. Stops the program when it
 * fails. */
void many_order(struct many *many, struct many_order order);

/* Topics of per_topic partitions until there are `partitions`. */
void many_make(struct many *many, int32_t partitions);

/* -- looking; for many_await() -- */

/* The controller whose core is active, NULL: none. */
struct node *many_active(struct many *many);
const struct image *many_image(struct many *many); /* of it; NULL: none */

bool many_is_led(struct many *many, int none); /* somebody is active, other than the controller of id none */
bool many_is_up(struct many *many, int none);  /* all brokers are registered and unfenced */
bool many_is_complete(struct many *many, int none); /* every replica of all partitions is in sync */
bool many_is_left(struct many *many, int id); /* no partition is led by the broker of that id, all are led */
/* All brokers that run have a replica of every partition, which leads or follows whom the image says. */
bool many_is_heard(struct many *many, int none);
bool many_has_all(struct many *many, int index); /* that controller has applied what the active one has */

#endif
