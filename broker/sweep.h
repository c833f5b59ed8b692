/* SPDX-License-Identifier: Apache-2.0 */
/* Partition directories that the cluster's metadata does not know are set aside and reported, never deleted
 * (DESIGN, Data). Decided only once per run, from metadata past the broker's own registration.
 *
 * Two looks, so that a directory which a shard makes meanwhile is not mistaken: what the first look saw was
 * made by metadata older than the image that is asked for after it; the second look judges only that. */
#ifndef SLUICE_BROKER_SWEEP_H
#define SLUICE_BROKER_SWEEP_H

#include "broker/log/data_dir.h"
#include "common/obs/log.h"
#include "proto/cluster/image.h"

struct directory_sweep {
    uint64_t *seen; /* hashes of what the first look saw, sorted */
    uint32_t seen_count, seen_cap;
};

/* The first look. ERR_NOMEM, or errors of the disk. */
enum err sweep_look(struct directory_sweep *sweep, struct data_dir *dir);

/* The second one: sets aside what the first saw and image (asked for after it) does not place on broker_id.
 */
void sweep_finish(struct directory_sweep *sweep, struct data_dir *dir, const struct image *image,
                  int32_t broker_id, struct logger *log);

/* Lets go of the memory; safe on a zeroed one. */
void sweep_free(struct directory_sweep *sweep);

#endif
