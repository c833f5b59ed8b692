/* SPDX-License-Identifier: Apache-2.0 */
/* The objects inside of nodes, and what their makers share. */
#ifndef SLUICE_SIM_NODES_H
#define SLUICE_SIM_NODES_H

#include "common/obs/log.h"
#include "controller/controller.h"
#include "tests/sim/cluster.h"

struct broker;
struct config;

/* The object, when the node has started it; for looking from outside. NULL otherwise. */
struct controller *node_controller(const struct node *node);
struct broker *node_broker(const struct node *node);

/* The epoch in which a broker believes to lead a partition; -1: it does not. */
int32_t node_leader_epoch(const struct node *node, const char *topic, int32_t partition);
/* The newest leader epoch that a broker knows of a partition, whoever leads; -1: it has no replica. */
int32_t node_known_epoch(const struct node *node, const char *topic, int32_t partition);

/* A scripted producer writes so many records to a partition of the first topic. */
void producer_send(struct node *node, int partition, int count);

/* A consumer goes to the first record of a partition of the first topic that is not before a time: that must
 * be the one at offset, or an earlier one. */
void consumer_seek(struct node *node, int partition, int64_t timestamp_ms, int64_t offset);

/* Behind the newest records that a consumer has been given of a partition; -1: of none, or it does not run.
 */
int64_t consumer_position(const struct node *node, int topic, int partition);

/* An admin of a script deletes the records below offset of a partition of the first topic. */
void admin_trim(struct node *node, int partition, int64_t offset);

/* An admin of a script asks for the preferred leader of a partition of the first topic. */
void admin_elect(struct node *node, int partition);

/* An admin of a script asks for a controller to become a voter, or to be none any more. False: that
 * controller does not run, or the admin waits for an answer. */
bool admin_quorum(struct node *admin, const struct node *controller, bool adds);

/* A controller proposes, if it leads and may, a quorum without a member, though nobody has asked for it. */
void controller_propose_without(struct node *node, int32_t id);

/* One setting, as --set would give it. */
void node_set(struct node *node, struct config *settings, const char *name, const char *value);
void node_set_number(struct node *node, struct config *settings, const char *name, uint64_t value);

/* A logger whose lines go to node_log(). */
void node_logger(struct node *node, struct logger *log);

#endif
