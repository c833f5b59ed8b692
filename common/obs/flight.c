/* SPDX-License-Identifier: Apache-2.0 */
#include "common/obs/flight.h"

#include "common/base/assert.h"

void flight_init(struct flight *flight, const char *name, const char *(*code_name)(uint32_t code),
                 struct flight_event *events, uint32_t cap)
{
    ASSERT(cap > 0 && (cap & (cap - 1)) == 0);
    *flight = (struct flight){.name = name, .code_name = code_name, .events = events, .mask = cap - 1};
    list_init(&flight->link);
}

static void dump_event(const struct flight *flight, const struct flight_event *event, struct logger *logger)
{
    const int64_t *args = event->args;
    const struct log_field code =
        flight->code_name ? F_STR("code", flight->code_name(event->code)) : F_U64("code", event->code);
    LOG(logger, ERROR, "flight.event", F_U64("us", event->time_us), code, F_I64("a", args[0]),
        F_I64("b", args[1]), F_I64("c", args[2]), F_I64("d", args[3]));
}

void flight_dump(const struct flight *flight, struct logger *logger)
{
    uint64_t cap = (uint64_t)flight->mask + 1;
    uint64_t first = flight->next > cap ? flight->next - cap : 0;
    LOG(logger, ERROR, "flight.begin", F_STR("core", flight->name), F_U64("recorded", flight->next),
        F_U64("kept", flight->next - first));
    for (uint64_t i = first; i < flight->next; i++)
        dump_event(flight, &flight->events[i & flight->mask], logger);
}

void flight_deck_init(struct flight_deck *deck, struct logger *logger)
{
    deck->logger = logger;
    list_init(&deck->flights);
}

void flight_deck_add(struct flight_deck *deck, struct flight *flight)
{
    ASSERT(list_empty(&flight->link));
    list_push_back(&deck->flights, &flight->link);
}

void flight_deck_remove(struct flight *flight)
{
    list_remove(&flight->link);
}

/* An assertion that fails while dumping must not come back here. */
static void on_assert(void *ctx, const char *file, int line, const char *expr)
{
    struct flight_deck *deck = ctx;
    assert_set_hook(NULL, NULL);
    LOG(deck->logger, ERROR, "assert.failed", F_STR("file", file), F_I64("line", line), F_STR("expr", expr));
    list_for_each (it, &deck->flights)
        flight_dump(CONTAINER_OF(it, struct flight, link), deck->logger);
}

void flight_deck_install(struct flight_deck *deck)
{
    assert_set_hook(on_assert, deck);
}
