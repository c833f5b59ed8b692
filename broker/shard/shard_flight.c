/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/shard/shard_flight.h"

#include <stdlib.h>

#include "broker/core/replica.h"
#include "common/base/assert.h"

static const char *event_name(uint32_t code)
{
    static const char *const names[EV_COUNT] = {
        [EV_STATE] = "state",     [EV_CONFIG] = "config",       [EV_APPENDED] = "appended",
        [EV_SYNCED] = "synced",   [EV_TRUNCATED] = "truncated", [EV_LOG_START] = "log_start",
        [EV_FETCHED] = "fetched", [EV_LEADER_HW] = "leader_hw", [EV_ALTERED] = "altered",
        [EV_TICK] = "tick",       [EV_FAILED] = "failed",
    };
    return code < EV_COUNT && names[code] ? names[code] : "?";
}

struct shard_flight *shard_flight_new(struct logger *logger, bool install)
{
    struct shard_flight *recorder = calloc(1, sizeof(*recorder));
    if (!recorder)
        return NULL;
    recorder->installed = install;
    flight_init(&recorder->flight, "replicas", event_name, recorder->events, SHARD_FLIGHT_EVENTS);
    flight_deck_init(&recorder->deck, logger);
    flight_deck_add(&recorder->deck, &recorder->flight);
    if (install)
        flight_deck_install(&recorder->deck);
    return recorder;
}

void shard_flight_free(struct shard_flight *recorder)
{
    if (recorder && recorder->installed)
        assert_set_hook(NULL, NULL);
    free(recorder);
}
