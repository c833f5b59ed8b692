/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of one run. */
#ifndef SLUICE_SIM_RUN_INT_H
#define SLUICE_SIM_RUN_INT_H

#include "tests/sim/run.h"

/* Writes down what the brokers of the bit set hold of a partition below cluster->ends. */
void replicas_dump(struct cluster *cluster, int topic, int partition, uint64_t brokers);

/* Judges what was seen; why: what made the run unhealthy, or "". trace (may be NULL) gets all that is wrong.
 */
void run_judge(struct cluster *cluster, FILE *trace, const char *why, struct run_result *result);

/* Writes the history to options->keep_dir, if that is wanted. */
void run_save(const struct run_options *options, const struct cluster *cluster,
              const struct run_result *result);

/* Void is a run with too few operations for its length, or one in which a fault that was asked for has not
 * bitten (a plan with faults asks for one at least). */
void run_weigh(const struct plan *plan, uint64_t asked, uint64_t bitten, struct run_result *result);

/* Where the batches of a log file end: room may be made behind them. */
uint64_t replicas_data_end(struct process *process, const char *path);

/* Whether a bit of this file may flip: not in what lies outside of every checksum or on no other disk, nor in
 * a log's newest batch. */
bool replicas_may_flip(void *node, const char *path, uint64_t offset);

/* Whether the broker whose disk rots holds a bad batch of the workload's topics, or a checkpoint of epochs
 * that speaks against one: a flipped bit that is not mended, or that nobody knows of. */
bool replicas_are_damaged(struct cluster *cluster);

/* Whether the segments of all logs can be read as they are: no compacted one is about to take the place of
 * others, some of which are gone already. */
bool replicas_settled(struct cluster *cluster);

/* Flips a bit of the batch of t<topic>-<partition> that holds the offset. False: there is none. */
bool replicas_rot(struct process *process, int topic, int partition, int64_t offset);

#endif
