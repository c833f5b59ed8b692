/* SPDX-License-Identifier: Apache-2.0 */
/* Names of partition directories and their partition.metadata (Kafka's format, version 0). */
#ifndef SLUICE_BROKER_LOG_PARTITION_META_H
#define SLUICE_BROKER_LOG_PARTITION_META_H

#include "common/base/types.h"
#include "common/env/env.h"

#define PARTITION_META_NAME "partition.metadata"
#define PARTITION_META_MAX  256 /* bytes of the file */

/* True when name is "<topic>-<n>" with a valid topic name. */
bool partition_meta_parse_name(const char *name, int32_t *ret_index);

/* Topic id of the directory at path. ERR_NOT_FOUND, ERR_CORRUPT, or errors of the disk. */
enum err partition_meta_read(struct env *env, const char *path, struct uuid *ret_topic_id);

/* The file's text; out holds PARTITION_META_MAX bytes. Returns its length. */
uint32_t partition_meta_format(struct uuid topic_id, char *out);

#endif
