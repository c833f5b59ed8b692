/* SPDX-License-Identifier: Apache-2.0 */
/* Questions of the kind "is the process behind this address gone?" (DESIGN, Metadata: a closed connection is
 * suspicion). */
#ifndef SLUICE_CONTROLLER_PROBES_H
#define SLUICE_CONTROLLER_PROBES_H

#include "common/base/list.h"
#include "common/env/env.h"

/* The answer to one question, from the loop, once. refused: nobody listens there any more, so the process is
 * gone. False: somebody took the connection and kept it, or nothing could be found out within
 * PROBE_TIMEOUT_US. */
typedef void probe_fn(void *ctx, uint64_t token, bool refused);

#define PROBE_TIMEOUT_US 500000
#define PROBE_RETRY_US   5000

/* All open questions of one owner. */
struct probes {
    struct env *env;
    struct list list; /* of struct probe */
    probe_fn *fn;
    void *ctx;
};

/* No question yet. fn is told the answers. */
void probes_init(struct probes *probes, struct env *env, probe_fn *fn, void *ctx);

/* Asks about addr. Without memory there is no answer: no evidence is given then. */
void probes_ask(struct probes *probes, const struct env_addr *addr, uint64_t token);

/* Drops all questions without an answer. Connections end on the loop, later. */
void probes_cancel(struct probes *probes);

#endif
