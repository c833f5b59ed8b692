/* SPDX-License-Identifier: Apache-2.0 */
/* Who is a member of the quorum: pure conversions. A voter of the first configuration is known by its node id
 * (its disk is pinned when first seen, storage.h). A controller that joined later is known by node id and
 * directory id together, so that a new disk under an old node id is another server to Raft, and never votes
 * for what the old one was (KIP-853). Both live in what libraft takes for a server's id and address.
 */
#ifndef SLUICE_CONTROLLER_MEMBER_H
#define SLUICE_CONTROLLER_MEMBER_H

#include <stdbool.h>

#include "common/base/types.h"
#include "common/env/env.h"

#define MEMBER_TEXT_MAX (ENV_HOST_MAX + 64) /* a server's address, with its zero */

struct consensus_member {
    int32_t node_id;
    bool voter;               /* else an observer: it has the log and no vote */
    struct uuid directory_id; /* zero: a voter of the first configuration */
    struct env_addr addr;     /* host "": where the settings say */
};

/* libraft's id of that server, never 0. directory_id zero: of the first configuration. */
uint64_t member_raft_id(int32_t node_id, struct uuid directory_id);

/* The node id in a Raft id, -1 for 0 (nobody). */
int32_t member_node_id(uint64_t raft_id);

/* "node-<id>", or "node-<id>/<directory id>/<host>:<port>" for one that joined. */
void member_format(const struct consensus_member *member, char out[MEMBER_TEXT_MAX]);

/* Reads what member_format() wrote; voter is left alone. ERR_MALFORMED. */
enum err member_parse(const char *text, struct consensus_member *ret_member);

#endif
