/* SPDX-License-Identifier: Apache-2.0 */
/* Names in a data directory: partition directories and the files in them (Kafka's LogFileUtils, UnifiedLog).
 */
#ifndef SLUICE_LOGFORMAT_FILE_NAME_H
#define SLUICE_LOGFORMAT_FILE_NAME_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_FILE_DIGITS   20
#define LOG_FILE_NAME_MAX 40 /* the digits, the longest suffix and a zero */
#define LOG_TOPIC_MAX     249

#define LOG_SUFFIX_LOG       ".log"
#define LOG_SUFFIX_INDEX     ".index"
#define LOG_SUFFIX_TIMEINDEX ".timeindex"
#define LOG_SUFFIX_TXNINDEX  ".txnindex"
#define LOG_SUFFIX_SNAPSHOT  ".snapshot"

/* True when name is 20 digits (an offset) followed by exactly suffix. */
bool log_file_name_parse(const char *name, const char *suffix, int64_t *ret_offset);

/* "<20 digits><suffix>"; suffix is one of the above or as long. offset >= 0. */
void log_file_name_format(int64_t offset, const char *suffix, char out[LOG_FILE_NAME_MAX]);

/* True when name is "<topic>-<n>" with a valid topic name. */
bool log_dir_name_parse(const char *name, int32_t *ret_index);

#endif
