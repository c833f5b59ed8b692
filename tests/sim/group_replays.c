/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/group_replays.h"

#include <string.h>

#include "common/base/map.h"
#include "common/base/wire.h"
#include "proto/kafka/messages.h"

static const int16_t apis[GROUP_REPLAY_KINDS] = {
#define X(name, api) [GROUP_REPLAY_##name] = (api),
    GROUP_REPLAY_TABLE(X)
#undef X
};

static enum group_replay_kind kind_of(int16_t api)
{
    int kind = 0;
    while (kind < GROUP_REPLAY_KINDS && apis[kind] != api)
        kind++;
    return (enum group_replay_kind)kind;
}

uint32_t group_member_number(struct str id)
{
    return id.len > 0 ? (uint32_t)(hash_bytes(id.p, (uint64_t)id.len, 0) % INT32_MAX) + 1 : 0;
}

void group_replays_keep(struct group_replays *replays, int32_t static_number, const uint8_t *p, size_t len)
{
    bool whole =
        len > 2 * sizeof(int32_t) && len <= GROUP_REPLAY_BYTES && load_be32(p) == len - sizeof(int32_t);
    enum group_replay_kind kind =
        whole ? kind_of((int16_t)load_be16(p + sizeof(int32_t))) : GROUP_REPLAY_KINDS;
    if (kind == GROUP_REPLAY_KINDS)
        return;
    uint32_t place = replays->count[kind] < GROUP_REPLAYS_KEPT
                         ? replays->count[kind]++
                         : (uint32_t)prng_below(&replays->prng, GROUP_REPLAYS_KEPT);
    struct group_replay *kept = &replays->list[kind][place];
    replays->newest[kind] = place;
    kept->kind = kind;
    kept->static_number = static_number;
    kept->len = (uint32_t)len;
    memcpy(kept->frame, p, len);
}

const struct group_replay *group_replays_find(const struct group_replays *replays,
                                              enum group_replay_kind kind, int32_t place)
{
    if (replays->count[kind] == 0)
        return NULL;
    return &replays->list[kind][place < 0 ? replays->newest[kind] : (uint32_t)place];
}
