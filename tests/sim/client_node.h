/* SPDX-License-Identifier: Apache-2.0 */
/* What all clients of the workload share: a driver, its topics, a process number in the history. */
#ifndef SLUICE_SIM_CLIENT_NODE_H
#define SLUICE_SIM_CLIENT_NODE_H

#include "client/driver.h"
#include "tests/sim/cluster.h"

struct client_node {
    struct node *node;
    struct env *env;
    struct client_driver *driver;
    struct client_topic *topics[CLUSTER_TOPICS_MAX];
    bool known[CLUSTER_TOPICS_MAX];
    uint32_t process; /* in the history: one for each life */
    uint32_t next_op;
};

/* Makes the driver and takes an interest in every topic. ctx of the handler is the owner. */
void client_node_open(struct client_node *client, struct node *node, struct env *env,
                      const struct client_driver_handler *handler, void *ctx);

/* Whether it is a producer whose bit is set. */
bool client_node_is(const struct node *node, uint32_t bits);

/* Number of the topic; notes that it is known. */
int client_node_topic(struct client_node *client, const struct client_topic *topic);

/* Closes the driver; node_stopped() follows. */
void client_node_close(struct client_node *client);

/* A record of this client about a partition, for cluster_record(). */
struct history_record client_node_note(const struct client_node *client, enum history_type type,
                                       enum history_op op, int topic, int32_t partition);

#endif
