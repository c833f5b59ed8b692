/* SPDX-License-Identifier: Apache-2.0 */
/* Checks one partition directory: everything that can be known from its files alone. Nothing is changed. */
#ifndef SLUICE_CLIENT_CLI_LOG_CHECK_H
#define SLUICE_CLIENT_CLI_LOG_CHECK_H

#include "client/cli/log_paths.h"
#include "common/batch/record.h"

/* What was found. position (bytes) and offset are -1 where they say nothing. */
struct log_finding {
    const char *file; /* path */
    int64_t position, offset;
    const char *reason;
    bool note; /* worth knowing, and no damage */
};

struct log_totals {
    int64_t segments, batches, records, bytes, problems, notes;
    int64_t first_offset, next_offset; /* -1: no batch */
};

struct log_check {
    struct env *env;
    struct batch_scratch *scratch;
    bool allow_gaps; /* compacted: offsets may be missing */
    bool shallow;    /* checksums and headers only: records are neither decompressed nor counted */
    void (*found)(void *ctx, const struct log_finding *finding);
    void *ctx;
};

/* Segments (frames, checksums, offsets, epochs, records), indexes against the segments, snapshots, epoch
 * checkpoint, partition.metadata. OK: everything was read, findings were told. Else the disk's error,
 * ERR_NOMEM; the path is in ret_path (LOG_PATHS_MAX). */
enum err log_check_partition(const struct log_check *check, const char *path, struct log_totals *ret_totals,
                             char *ret_path);

#endif
