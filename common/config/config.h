/* SPDX-License-Identifier: Apache-2.0 */
/* A process's settings: defaults, then the YAML file, then the environment, then --set. The first mistake
 * stops, and the message names the place (file and line, variable, option), the value, what was expected, and
 * the nearest known name.
 *
 * Start-up only, one thread; uses stdio and malloc directly, and is no part of the simulation. */
#ifndef SLUICE_CONFIG_CONFIG_H
#define SLUICE_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stdio.h>

#include "common/config/setting.h"

#define CONFIG_FILE_MAX  (1 << 20) /* bytes of a file */
#define CONFIG_DEPTH_MAX 16        /* nested mappings */
#define CONFIG_PARTS_MAX 4         /* tables of one process (standalone: logging, broker, controller) */
#define CONFIG_ERROR_MAX 1024

struct config;

/* Who gave a value; a later one overrides. */
enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENV, CONFIG_SET };

/* NULL when memory is out. */
struct config *config_new(void);

/* Frees every string and list that the values point to, too. NULL is allowed. */
void config_free(struct config *config);

/* Adds a table and the struct it fills (zeroed by the caller), and sets the defaults. Table and values
 * outlive the config. A name that occurs in several tables is given to each of them. A table that
 * setting_table_check() refuses asserts. */
void config_add(struct config *config, const struct setting_table *table, void *values);

/* Reads a YAML file. ERR_NOT_FOUND, ERR_PERMISSION, ERR_IO, ERR_TOO_LARGE, ERR_MALFORMED (YAML),
 * ERR_NOT_FOUND (unknown setting), ERR_EXISTS (given twice), ERR_INVALID, ERR_OUT_OF_RANGE; config_error()
 * has the line for people, here and below. */
enum err config_apply_file(struct config *config, const char *path);

/* The same for text in memory; label stands for the path in messages. */
enum err config_apply_text(struct config *config, const char *label, const char *text, size_t len);

/* Takes SLUICE_* from environ (NULL-terminated "NAME=value"). An unknown SLUICE_ name is only a warning:
 * scripts have variables of their own. */
enum err config_apply_env(struct config *config, char *const *environ_text);

/* One "key=value", as in --set. */
enum err config_apply_set(struct config *config, const char *assignment);

/* Checks that every required setting was given. */
enum err config_finish(struct config *config);

/* The message of the last failure, one line without a newline; "" when there was none. */
const char *config_error(const struct config *config);

/* Warnings collected so far, for the log once it is open. NULL past the end. */
const char *config_warning(const struct config *config, uint32_t index);

/* Who gave the setting its present value, and the text as it was written (NULL: no value). ERR_NOT_FOUND for
 * an unknown name. Either pointer may be NULL. */
enum err config_describe(const struct config *config, const char *name, enum config_source *ret_source,
                         const char **ret_text);

/* Writes every setting with its doc, form, range and default as a commented YAML file that loads. */
void config_print_help(const struct config *config, FILE *out);

#endif
