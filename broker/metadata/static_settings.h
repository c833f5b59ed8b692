/* SPDX-License-Identifier: Apache-2.0 */
/* This broker's own settings as Kafka clients are shown them: plain numbers without units, Kafka's type
 * numbers. (Apart from topic settings, because common/config and proto/cluster both name "sources".) */
#ifndef SLUICE_BROKER_METADATA_STATIC_SETTINGS_H
#define SLUICE_BROKER_METADATA_STATIC_SETTINGS_H

#include "broker/config.h"
#include "common/base/arena.h"

struct config;

struct static_setting {
    const char *name, *doc;
    struct str value; /* null: none, or not to be shown */
    int8_t type;      /* Kafka's number */
    bool given;       /* by file, environment or --set; false: the default */
    bool sensitive;
};

/* How many there are. */
uint32_t static_settings_count(void);

/* The index-th one; its value is formatted in arena. loaded: what config was read with, NULL when nothing was
 * read (everything counts as default then). */
void static_setting_at(const struct broker_config *config, const struct config *loaded, uint32_t index,
                       struct arena *arena, struct static_setting *ret);

/* The one of that name. False: there is none. */
bool static_setting_find(const struct broker_config *config, const struct config *loaded, const char *name,
                         struct arena *arena, struct static_setting *ret);

#endif
