/* SPDX-License-Identifier: Apache-2.0 */
/* Every short life of a small group, and long random ones: whatever comes in whatever order, the invariants
 * hold, every call is answered exactly once, and a new coordinator knows what was committed. */
#include "tests/unit/broker_group_asks.h"

#include "common/base/prng.h"

#define EVENTS 16
#define DEPTH  4
#define WALKS  400
#define STEPS  60

struct life {
    struct world w;
    char id[2][WORLD_NAME_MAX]; /* the members' ids, "" while they have none */
    int32_t generation[2];
    struct ask *joins[2];
};

/* What the last join's answer told. */
static void learn(struct life *life, int member)
{
    struct ask *ask = life->joins[member];

    if (!ask || !ask->answered)
        return;
    life->joins[member] = NULL;
    struct str id = ask->out.join.member_id;
    if (ask->call.error == KAFKA_NONE || ask->call.error == KAFKA_MEMBER_ID_REQUIRED)
        snprintf(life->id[member], WORLD_NAME_MAX, "%.*s", id.len, id.p);
    else if (ask->call.error == KAFKA_UNKNOWN_MEMBER_ID)
        life->id[member][0] = '\0';
    if (ask->call.error == KAFKA_NONE)
        life->generation[member] = ask->out.join.generation_id;
}

static void step(struct life *life, int event)
{
    struct world *w = &life->w;
    int member = event & 1;
    const char *id = life->id[member], *other = life->id[!member];
    int32_t generation = life->generation[member];

    switch (event) {
    case 0:
    case 1: life->joins[member] = join_as(w, 5, id, NULL, "m"); break;
    case 2:
    case 3: sync_as(w, id, generation, other); break;
    case 4:
    case 5: heartbeat_as(w, id, generation); break;
    case 6:
    case 7: leave_as(w, id); break;
    case 8:
    case 9: commit_as(w, id, generation, (int64_t)w->now_us); break;
    case 10: join_as(w, 5, "", "static", "m"); break;
    case 11: world_decide(w, KAFKA_NONE); break;
    case 12: world_decide(w, KAFKA_NOT_ENOUGH_REPLICAS); break;
    case 13: world_pass(w, 10001); break;
    case 14: delete_group(w); break;
    case 15:
        groups_topic_gone(w->g, STR_LIT("t"));
        world_settle(w);
        break;
    }
    for (int i = 0; i < 2; i++)
        learn(life, i);
    groups_check(w->g);
}

static void live(const int *events, int count)
{
    struct life life = {.joins = {NULL}};

    world_init(&life.w);
    for (int i = 0; i < count; i++)
        step(&life, events[i]);
    world_end(&life.w);
}

START_TEST(every_short_life_ends_well)
{
    int events[DEPTH];
    int total = 1;

    for (int i = 0; i < DEPTH; i++)
        total *= EVENTS;
    for (int n = 0; n < total; n++) {
        int rest = n;
        for (int i = 0; i < DEPTH; i++, rest /= EVENTS)
            events[i] = rest % EVENTS;
        live(events, DEPTH);
    }
}
END_TEST

START_TEST(long_random_lives_end_well)
{
    struct prng prng;
    int events[STEPS];

    for (uint64_t seed = 0; seed < WALKS; seed++) {
        prng_seed(&prng, seed);
        for (int i = 0; i < STEPS; i++)
            events[i] = (int)prng_below(&prng, EVENTS);
        live(events, STEPS);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, every_short_life_ends_well);
    tcase_add_test(tcase, long_random_lives_end_well);
}

SLUICE_TEST_MAIN("broker_group_explore", add)
