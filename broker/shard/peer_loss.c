/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/peer_loss.h"

#include "common/base/assert.h"
#include "proto/cluster/image.h"

#define RELAXED memory_order_relaxed

void peer_loss_note(struct peer_loss *losses, int32_t broker_id, uint64_t now_us)
{
    ASSERT(broker_id >= 0);
    uint32_t slot = (uint32_t)broker_id % PEER_LOSS_SLOTS;
    atomic_store_explicit(&losses->slots[slot].id, broker_id, RELAXED);
    atomic_store_explicit(&losses->slots[slot].lost_us, now_us, RELAXED);
    atomic_store_explicit(&losses->newest_us, now_us, RELAXED);
}

void peer_loss_clear(struct peer_loss *losses, int32_t broker_id)
{
    ASSERT(broker_id >= 0);
    uint32_t slot = (uint32_t)broker_id % PEER_LOSS_SLOTS;
    if (atomic_load_explicit(&losses->slots[slot].id, RELAXED) == broker_id)
        atomic_store_explicit(&losses->slots[slot].lost_us, 0, RELAXED);
}

uint64_t peer_loss_until(const struct peer_loss *losses, const struct image *image, uint64_t now_us)
{
    uint64_t until_us = 0, newest_us = atomic_load_explicit(&losses->newest_us, RELAXED);
    if (newest_us == 0 || newest_us + PEER_LOSS_US <= now_us)
        return 0;
    for (uint32_t i = 0; i < PEER_LOSS_SLOTS; i++) {
        uint64_t lost_us = atomic_load_explicit(&losses->slots[i].lost_us, RELAXED);
        if (lost_us == 0 || lost_us + PEER_LOSS_US <= now_us)
            continue;
        const struct image_broker *broker =
            image_broker(image, atomic_load_explicit(&losses->slots[i].id, RELAXED));
        if (broker && !broker->fenced && lost_us + PEER_LOSS_US > until_us)
            until_us = lost_us + PEER_LOSS_US;
    }
    return until_us;
}
