/* SPDX-License-Identifier: Apache-2.0 */
/* The beginning of a quorum, and what a start needs of its configurations. */
#ifndef SLUICE_CONTROLLER_BOOTSTRAP_H
#define SLUICE_CONTROLLER_BOOTSTRAP_H

#include "common/base/arena.h"
#include "controller/consensus.h"

/* The node is among the voters, and the times make sense. */
bool bootstrap_options_good(const struct consensus_options *options);

/* Writes the first entry of a new storage: the configuration with the options' voters, the same bytes on
 * every node. Blocks. */
enum err bootstrap_wait(struct env *env, struct storage *storage, const struct consensus_options *options);

/* The configuration that entry index of the log holds, copied to arena. ERR_CORRUPT when it is none. */
enum err bootstrap_load_config(struct storage *storage, uint64_t index, struct arena *arena,
                               struct bytes *ret_config);

#endif
