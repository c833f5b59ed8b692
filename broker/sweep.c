/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/sweep.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/map.h"

#define SEEN_FIRST 64

static uint64_t fingerprint(const char *name, struct uuid topic_id)
{
    return hash_bytes(name, strlen(name), hash_bytes(topic_id.b, sizeof(topic_id.b), 0));
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Leaves everything where it is. */
static bool remember(void *ctx, const char *name, struct uuid topic_id, int32_t index)
{
    struct directory_sweep *sweep = ctx;

    if (sweep->seen_count == sweep->seen_cap) {
        uint32_t cap = sweep->seen_cap ? 2 * sweep->seen_cap : SEEN_FIRST;
        uint64_t *grown = realloc(sweep->seen, cap * sizeof(*grown));
        if (!grown)
            return true; /* not remembered, so not judged */
        sweep->seen = grown;
        sweep->seen_cap = cap;
    }
    sweep->seen[sweep->seen_count++] = fingerprint(name, topic_id);
    return true;
}

enum err sweep_look(struct directory_sweep *sweep, struct data_dir *dir)
{
    uint32_t none;
    enum err err = data_dir_sweep(dir, remember, sweep, &none);

    if (sweep->seen_count > 0)
        qsort(sweep->seen, sweep->seen_count, sizeof(*sweep->seen), compare);
    return err;
}

struct judging {
    struct directory_sweep *sweep;
    const struct image *image;
    int32_t broker_id;
    struct logger *log;
};

static bool placed_here(const struct judging *judging, const struct image_topic *topic, int32_t index)
{
    const struct image_partition *state = topic ? image_partition(judging->image, topic, index) : NULL;

    for (int32_t i = 0; state && i < state->replicas_count; i++)
        if (state->replicas[i] == judging->broker_id)
            return true;
    return false;
}

/* The topic that both the name and the id stand for. A directory without a readable id may be one that is
 * being made just now: its name alone speaks for it. */
static const struct image_topic *topic_of(const struct judging *judging, const char *name,
                                          struct uuid topic_id)
{
    const char *dash = strrchr(name, '-');
    const struct image_topic *topic =
        dash ? image_topic_by_name(judging->image, (struct str){name, (int32_t)(dash - name)}) : NULL;

    return topic && (uuid_is_zero(topic_id) || uuid_eq(topic->id, topic_id)) ? topic : NULL;
}

static bool is_known(void *ctx, const char *name, struct uuid topic_id, int32_t index)
{
    struct judging *judging = ctx;
    struct directory_sweep *sweep = judging->sweep;
    uint64_t mark = fingerprint(name, topic_id);

    if (sweep->seen_count == 0 || !bsearch(&mark, sweep->seen, sweep->seen_count, sizeof(mark), compare) ||
        placed_here(judging, topic_of(judging, name, topic_id), index))
        return true;
    LOG(judging->log, WARN, "data_dir.unknown_partition", F_STR("directory", name),
        F_STR("action", "set aside as .quarantined-..."));
    return false;
}

void sweep_finish(struct directory_sweep *sweep, struct data_dir *dir, const struct image *image,
                  int32_t broker_id, struct logger *log)
{
    struct judging judging = {sweep, image, broker_id, log};
    uint32_t quarantined = 0;
    enum err err = data_dir_sweep(dir, is_known, &judging, &quarantined);

    if (err != OK)
        LOG(log, ERROR, "data_dir.sweep_failed", F_ERR("error", err));
    else if (quarantined > 0)
        LOG(log, WARN, "data_dir.quarantined", F_I64("directories", quarantined));
}

void sweep_free(struct directory_sweep *sweep)
{
    free(sweep->seen);
    *sweep = (struct directory_sweep){0};
}
