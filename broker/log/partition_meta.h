/* SPDX-License-Identifier: Apache-2.0 */
/* partition.metadata of a partition directory. */
#ifndef SLUICE_BROKER_LOG_META_TEXT_H
#define SLUICE_BROKER_LOG_META_TEXT_H

#include "common/base/types.h"
#include "common/env/env.h"

/* Topic id of the directory at path. ERR_NOT_FOUND, ERR_CORRUPT, or errors of the disk. */
enum err partition_meta_read(struct env *env, const char *path, struct uuid *ret_topic_id);

#endif
