/* SPDX-License-Identifier: Apache-2.0 */
/* Every short life of a small consumer group from each kind of beginning, and long random ones, with members
 * of both protocols: whatever comes in whatever order, no partition has two owners, every call is answered
 * exactly once, and a new coordinator knows what was committed. */
#include "tests/unit/broker_consumer_group_asks.h"

#include "common/base/prng.h"

#define EVENTS  23
#define DEPTH   3
#define WALKS   200
#define STEPS   80
#define MEMBERS 2

static const char *const ids[MEMBERS] = {"a", "b"};
static const char SUBSCRIPTION[] = "\0\1\0\0\0\1\0\1t\0\0\0\0\0\0\0\0";

struct life {
    struct world w;
    int32_t epoch[MEMBERS]; /* what each believes */
    struct tp_list owned[MEMBERS];
    struct ask *beats[MEMBERS], *join;
    char classic[WORLD_NAME_MAX];
    int32_t generation;
};

static void learn(struct life *life)
{
    for (int m = 0; m < MEMBERS; m++) {
        struct ask *ask = life->beats[m];
        if (!ask || !ask->answered)
            continue;
        life->beats[m] = NULL;
        if (ask->call.error != KAFKA_NONE)
            continue;
        life->epoch[m] = ask->out.consumer.member_epoch;
        if (ask->out.consumer.has_assignment)
            take_assigned(ask, &life->owned[m]);
    }
    struct ask *join = life->join;
    if (!join || !join->answered)
        return;
    life->join = NULL;
    if (join->call.error == KAFKA_NONE || join->call.error == KAFKA_MEMBER_ID_REQUIRED)
        str_copy(join->out.join.member_id, life->classic, sizeof(life->classic));
    else if (join->call.error == KAFKA_UNKNOWN_MEMBER_ID)
        life->classic[0] = '\0';
    if (join->call.error == KAFKA_NONE)
        life->generation = join->out.join.generation_id;
}

static void beat(struct life *life, int m, struct beat beat)
{
    beat.id = ids[m];
    life->beats[m] = beat_as(&life->w, beat);
}

static void member_step(struct life *life, int m, int event)
{
    const struct tp_list none = {.count = 0};

    switch (event) {
    case 0: beat(life, m, (struct beat){.topic = "t"}); break;
    case 1: beat(life, m, (struct beat){.epoch = life->epoch[m]}); break;
    case 2: beat(life, m, (struct beat){.epoch = life->epoch[m], .owned = &life->owned[m]}); break;
    case 3: beat(life, m, (struct beat){.epoch = life->epoch[m], .owned = &none}); break;
    case 4: exit_as(&life->w, ids[m]); break;
    case 5: commit_as_version(&life->w, 9, ids[m], life->epoch[m], (int64_t)life->w.now_us); break;
    }
}

static void step(struct life *life, int event)
{
    struct world *w = &life->w;

    if (event < 12)
        member_step(life, event & 1, event / 2);
    switch (event) {
    case 12: life->join = join_bytes(w, 5, life->classic, SUBSCRIPTION, sizeof(SUBSCRIPTION) - 1); break;
    case 13:
        sync_bytes(w, life->classic, life->generation,
                   "\0\1\0\0\0\1\0\1t\0\0\0\2\0\0\0\0\0\0\0\1\xff\xff\xff\xff", 25);
        break;
    case 14: heartbeat_as(w, life->classic, life->generation); break;
    case 15: leave_as(w, life->classic); break;
    case 16: world_decide(w, KAFKA_NONE); break;
    case 17: world_decide(w, KAFKA_NOT_ENOUGH_REPLICAS); break;
    case 18: world_pass(w, 10001); break;
    case 19: delete_group(w); break;
    case 20: world_set_topic(&w->metadata, 0, "t", 1 + (int32_t)(w->metadata.version % 4)); break;
    case 22:
        groups_topic_gone(w->g, STR_LIT("t"));
        world_settle(w);
        break;
    case 21: commit_as(w, life->classic, life->generation, (int64_t)w->now_us); break;
    }
    learn(life);
    groups_check(w->g);
}

/* Ways into the states from which all short lives are lived: nobody; one member; one that must revoke what
 * another waits for; a classic group with a member; the same one after a member of the consumer protocol has
 * come. */
#define START_MAX 8
static const int starts[][START_MAX] = {
    {-1}, {0, 16, -1}, {0, 16, 1, 16, 4, 16, -1}, {12, 12, 13, 16, -1}, {12, 12, 13, 16, 1, 16, 16, -1},
};

static void live(const int *start, const int *events, int count, bool prompt)
{
    static struct life life;

    memset(&life, 0, sizeof(life));
    world_init(&life.w);
    for (; *start >= 0; start++)
        step(&life, *start);
    for (int i = 0; i < count; i++) {
        step(&life, events[i]);
        while (prompt && life.w.pending_count > 0)
            step(&life, 16);
    }
    world_end(&life.w);
}

/* With a log that commits at once, and with one that is told to. */
START_TEST(every_short_life_ends_well)
{
    int events[DEPTH], total = 1;

    for (int i = 0; i < DEPTH; i++)
        total *= EVENTS;
    for (int n = 0; n < total; n++) {
        int rest = n;
        for (int i = 0; i < DEPTH; i++, rest /= EVENTS)
            events[i] = rest % EVENTS;
        live(starts[_i], events, DEPTH, false);
        live(starts[_i], events, DEPTH, true);
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
        live(starts[0], events, STEPS, seed & 1);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 300);
    tcase_add_loop_test(tcase, every_short_life_ends_well, 0, (int)(sizeof(starts) / sizeof(starts[0])));
    tcase_add_test(tcase, long_random_lives_end_well);
}

SLUICE_TEST_MAIN("broker_consumer_group_explore", add)
