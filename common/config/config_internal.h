/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a config, shared by the files of this folder. */
#ifndef SLUICE_CONFIG_CONFIG_INTERNAL_H
#define SLUICE_CONFIG_CONFIG_INTERNAL_H

#include "common/config/config.h"

#define CONFIG_WARNINGS_MAX 64
#define CONFIG_ARENA_MAX    (16 << 20)

/* Where a value stands: label:line for files, label alone otherwise. */
struct config_place {
    enum config_source source;
    const char *label;
    unsigned line; /* from 1; 0: none */
};

/* What is known of one setting besides its value. */
struct config_entry {
    enum config_source source;
    const char *text;  /* as written; NULL: none */
    const char *label; /* of the place */
    unsigned line;
};

struct config_part {
    const struct setting_table *table;
    void *values;
    struct config_entry *entries; /* one for each row of table */
};

struct config {
    struct arena arena; /* everything below and all values */
    struct config_part parts[CONFIG_PARTS_MAX];
    uint32_t part_count;
    const char *warnings[CONFIG_WARNINGS_MAX];
    uint32_t warning_count;
    const char *file; /* the last file read; NULL: none */
    char error[CONFIG_ERROR_MAX];
};

/* Records "place: message" and returns err. */
enum err config_fail(struct config *config, const struct config_place *place, enum err err,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Gives the named setting its value, in every part that has it, or fails with a message for people. */
enum err config_apply(struct config *config, const struct config_place *place, const char *name,
                      const char *text);

#endif
