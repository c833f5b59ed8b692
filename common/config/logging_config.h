/* SPDX-License-Identifier: Apache-2.0 */
/* The logging settings, the same in every process: one table to add beside the process's own. */
#ifndef SLUICE_CONFIG_LOGGING_CONFIG_H
#define SLUICE_CONFIG_LOGGING_CONFIG_H

#include "common/config/setting.h"

struct logging_config {
    int level;        /* 0 debug, 1 info, 2 warn, 3 error: as enum log_level */
    int format;       /* 0 text, 1 json: as enum log_format */
    const char *file; /* "": standard error */
};

/* logging.level, logging.format, logging.file ("log." is Kafka's word for data). */
const struct setting_table *logging_settings(void);

#endif
