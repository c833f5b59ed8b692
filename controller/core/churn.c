/* SPDX-License-Identifier: Apache-2.0 */
/* In-sync replicas that come and go cost an entry of the metadata log each time, and each time a change at
 * every broker (catalogue R1). The first return is free; the n-th one within a minute of the former has to
 * wait 2^(n-2) seconds, at most 30. Leaves within a second of each other count once: a broker that stalls
 * leaves many partitions at the same time. Soft state, of brokers and not of partitions: it is bounded. */
#include "controller/core/internal.h"

#define BURST_US     1000000
#define MEMORY_US    60000000
#define WAIT_STEP_US 1000000
#define WAIT_MAX_US  30000000
#define LEAVES_MAX   16 /* more change nothing */

STATIC_ASSERT(((uint64_t)WAIT_STEP_US << (LEAVES_MAX - 2)) > WAIT_MAX_US, "the longest wait can be reached");

void churn_left(struct core *core, int32_t broker_id)
{
    struct session *session = session_find(core, broker_id);
    if (!session)
        return;
    uint64_t quiet_us = core->now_us - session->left_us;
    ASSERT(session->leaves <= LEAVES_MAX && core->now_us >= session->left_us);
    if (session->leaves == 0 || quiet_us > MEMORY_US)
        session->leaves = 1;
    else if (quiet_us > BURST_US)
        session->leaves = MIN(session->leaves + 1, LEAVES_MAX);
    session->left_us = core->now_us;
}

bool churn_may_join(const struct core *core, int32_t broker_id)
{
    const struct session *session = session_find(core, broker_id);
    if (!session || session->leaves < 2)
        return true;
    uint64_t wait_us = MIN((uint64_t)WAIT_STEP_US << (session->leaves - 2), (uint64_t)WAIT_MAX_US);
    return core->now_us - session->left_us >= wait_us;
}
