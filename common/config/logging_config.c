/* SPDX-License-Identifier: Apache-2.0 */
#include "common/config/logging_config.h"

#include "common/base/assert.h"

static const struct setting items[] = {
    SETTING_ENUM("logging.level", struct logging_config, level, "info", "debug|info|warn|error", 0,
                 "Lines below this level are not written."),
    SETTING_ENUM("logging.format", struct logging_config, format, "text", "text|json", 0,
                 "Form of a log line. Event names and fields are the same in both."),
    SETTING_STRING("logging.file", struct logging_config, file, "", 0,
                   "File to append log lines to; empty means standard error."),
};

static const struct setting_table table = {items, ARRAY_LEN(items)};

const struct setting_table *logging_settings(void)
{
    return &table;
}
