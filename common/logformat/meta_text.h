/* SPDX-License-Identifier: Apache-2.0 */
/* Kafka's partition.metadata, version 0: which topic a partition directory belongs to. */
#ifndef SLUICE_LOGFORMAT_META_TEXT_H
#define SLUICE_LOGFORMAT_META_TEXT_H

#include "common/base/err.h"
#include "common/base/types.h"

#define META_TEXT_NAME "partition.metadata"
#define META_TEXT_MAX  256 /* bytes of the file */

/* Reads the text of a file (len bytes, no zero needed). ERR_CORRUPT. */
enum err meta_text_parse(const char *text, uint32_t len, struct uuid *ret_topic_id);

/* The file's text; returns its length. */
uint32_t meta_text_format(struct uuid topic_id, char out[META_TEXT_MAX]);

#endif
