/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of the consumer protocol (KIP-848): every state against every event, by a table; what is refused
 * changes nothing. */
#include "tests/unit/broker_consumer_group_asks.h"

#define NONE_YET 1000 /* no answer */

enum state { ABSENT, EMPTY, ASSIGNING, RECONCILING, STABLE, CLASSIC, STATE_COUNT };

static const char *const state_names[STATE_COUNT] = {"Dead",        "Empty",  "Assigning",
                                                     "Reconciling", "Stable", "classic"};

enum event {
    BEAT,          /* a, with its epoch */
    BEAT_AHEAD,    /* an epoch that a never had */
    BEAT_BEHIND,   /* the epoch before, and owning what it may not */
    BEAT_STRANGER, /* nobody knows it */
    ENTER,         /* a new member */
    ENTER_AGAIN,   /* a, from its beginning */
    EXIT,
    EXIT_STRANGER,
    EXIT_FOR_A_WHILE, /* a is no static member */
    JOIN,             /* of the classic protocol */
    JOIN_MALFORMED,   /* its metadata is none */
    CLASSIC_BEAT,     /* in a's name */
    CLASSIC_SYNC,
    CLASSIC_LEAVE,
    COMMIT,
    COMMIT_STALE,
    COMMIT_STRANGER,
    COMMIT_SIMPLE, /* an administrator's */
    DELETE,
    EVENT_COUNT,
};

struct row {
    int16_t error;
    enum state next; /* once what was written is committed */
};

#define UNKNOWN  KAFKA_UNKNOWN_MEMBER_ID
#define FENCED   KAFKA_FENCED_MEMBER_EPOCH
#define NO_GROUP KAFKA_GROUP_ID_NOT_FOUND
#define BAD      KAFKA_INVALID_REQUEST
#define MISFIT   KAFKA_INCONSISTENT_GROUP_PROTOCOL
#define STALE    KAFKA_STALE_MEMBER_EPOCH
#define TAKEN    KAFKA_NON_EMPTY_GROUP

static const struct row table[CLASSIC][EVENT_COUNT] = {
    [ABSENT] = {[BEAT] = {NO_GROUP, ABSENT},
                [BEAT_AHEAD] = {NO_GROUP, ABSENT},
                [BEAT_BEHIND] = {NO_GROUP, ABSENT},
                [BEAT_STRANGER] = {NO_GROUP, ABSENT},
                [ENTER] = {0, STABLE},
                [ENTER_AGAIN] = {0, STABLE},
                [EXIT] = {NO_GROUP, ABSENT},
                [EXIT_STRANGER] = {NO_GROUP, ABSENT},
                [EXIT_FOR_A_WHILE] = {BAD, ABSENT},
                [JOIN] = {0, CLASSIC},
                [JOIN_MALFORMED] = {0, CLASSIC},
                [CLASSIC_BEAT] = {UNKNOWN, ABSENT},
                [CLASSIC_SYNC] = {UNKNOWN, ABSENT},
                [CLASSIC_LEAVE] = {UNKNOWN, ABSENT},
                [COMMIT] = {NO_GROUP, ABSENT},
                [COMMIT_STALE] = {NO_GROUP, ABSENT},
                [COMMIT_STRANGER] = {NO_GROUP, ABSENT},
                [COMMIT_SIMPLE] = {0, CLASSIC},
                [DELETE] = {NO_GROUP, ABSENT}},
    [EMPTY] = {[BEAT] = {UNKNOWN, EMPTY},
               [BEAT_AHEAD] = {UNKNOWN, EMPTY},
               [BEAT_BEHIND] = {UNKNOWN, EMPTY},
               [BEAT_STRANGER] = {UNKNOWN, EMPTY},
               [ENTER] = {0, STABLE},
               [ENTER_AGAIN] = {0, STABLE},
               [EXIT] = {UNKNOWN, EMPTY},
               [EXIT_STRANGER] = {UNKNOWN, EMPTY},
               [EXIT_FOR_A_WHILE] = {BAD, EMPTY},
               [JOIN] = {0, CLASSIC},
               [JOIN_MALFORMED] = {0, CLASSIC},
               [CLASSIC_BEAT] = {UNKNOWN, EMPTY},
               [CLASSIC_SYNC] = {UNKNOWN, EMPTY},
               [CLASSIC_LEAVE] = {UNKNOWN, EMPTY},
               [COMMIT] = {UNKNOWN, EMPTY},
               [COMMIT_STALE] = {UNKNOWN, EMPTY},
               [COMMIT_STRANGER] = {UNKNOWN, EMPTY},
               [COMMIT_SIMPLE] = {0, EMPTY},
               [DELETE] = {0, ABSENT}},
    [ASSIGNING] = {[BEAT] = {0, STABLE},
                   [BEAT_AHEAD] = {FENCED, ASSIGNING},
                   [BEAT_BEHIND] = {FENCED, ASSIGNING},
                   [BEAT_STRANGER] = {UNKNOWN, ASSIGNING},
                   [ENTER] = {0, RECONCILING},
                   [ENTER_AGAIN] = {0, STABLE},
                   [EXIT] = {0, EMPTY},
                   [EXIT_STRANGER] = {UNKNOWN, ASSIGNING},
                   [EXIT_FOR_A_WHILE] = {BAD, ASSIGNING},
                   [JOIN] = {0, RECONCILING},
                   [JOIN_MALFORMED] = {MISFIT, ASSIGNING},
                   [CLASSIC_BEAT] = {UNKNOWN, ASSIGNING},
                   [CLASSIC_SYNC] = {UNKNOWN, ASSIGNING},
                   [CLASSIC_LEAVE] = {0, EMPTY},
                   [COMMIT] = {0, ASSIGNING},
                   [COMMIT_STALE] = {STALE, ASSIGNING},
                   [COMMIT_STRANGER] = {UNKNOWN, ASSIGNING},
                   [COMMIT_SIMPLE] = {UNKNOWN, ASSIGNING},
                   [DELETE] = {TAKEN, ASSIGNING}},
    [RECONCILING] = {[BEAT] = {0, RECONCILING},
                     [BEAT_AHEAD] = {FENCED, RECONCILING},
                     [BEAT_BEHIND] = {FENCED, RECONCILING},
                     [BEAT_STRANGER] = {UNKNOWN, RECONCILING},
                     [ENTER] = {0, RECONCILING},
                     [ENTER_AGAIN] = {0, RECONCILING},
                     [EXIT] = {0, ASSIGNING},
                     [EXIT_STRANGER] = {UNKNOWN, RECONCILING},
                     [EXIT_FOR_A_WHILE] = {BAD, RECONCILING},
                     [JOIN] = {0, RECONCILING},
                     [JOIN_MALFORMED] = {MISFIT, RECONCILING},
                     [CLASSIC_BEAT] = {UNKNOWN, RECONCILING},
                     [CLASSIC_SYNC] = {UNKNOWN, RECONCILING},
                     [CLASSIC_LEAVE] = {0, ASSIGNING},
                     [COMMIT] = {0, RECONCILING},
                     [COMMIT_STALE] = {STALE, RECONCILING},
                     [COMMIT_STRANGER] = {UNKNOWN, RECONCILING},
                     [COMMIT_SIMPLE] = {UNKNOWN, RECONCILING},
                     [DELETE] = {TAKEN, RECONCILING}},
    [STABLE] = {[BEAT] = {0, STABLE},
                [BEAT_AHEAD] = {FENCED, STABLE},
                [BEAT_BEHIND] = {FENCED, STABLE},
                [BEAT_STRANGER] = {UNKNOWN, STABLE},
                [ENTER] = {0, RECONCILING},
                [ENTER_AGAIN] = {0, STABLE},
                [EXIT] = {0, ASSIGNING},
                [EXIT_STRANGER] = {UNKNOWN, STABLE},
                [EXIT_FOR_A_WHILE] = {BAD, STABLE},
                [JOIN] = {0, RECONCILING},
                [JOIN_MALFORMED] = {MISFIT, STABLE},
                [CLASSIC_BEAT] = {UNKNOWN, STABLE},
                [CLASSIC_SYNC] = {UNKNOWN, STABLE},
                [CLASSIC_LEAVE] = {0, ASSIGNING},
                [COMMIT] = {0, STABLE},
                [COMMIT_STALE] = {STALE, STABLE},
                [COMMIT_STRANGER] = {UNKNOWN, STABLE},
                [COMMIT_SIMPLE] = {UNKNOWN, STABLE},
                [DELETE] = {TAKEN, STABLE}},
};

static const char SUBSCRIPTION[] = "\0\1\0\0\0\1\0\1t\0\0\0\0\0\0\0\0";

static struct world w;
static int32_t epoch; /* of a */
static struct tp_list owned;

static struct ask *done(struct ask *ask)
{
    world_commit_all(&w);
    ck_assert(ask->answered && ask->call.error == KAFKA_NONE);
    return ask;
}

/* Members a and b share "t", or are on their way there. */
static void bring_to(enum state state)
{
    world_init(&w);
    epoch = 2;
    if (state == ABSENT)
        return;
    done(enter_as(&w, "a", "other")); /* so that there is an epoch before */
    take_assigned(done(beat_as(&w, (struct beat){.id = "a", .epoch = 1, .topic = "t"})), &owned);
    done(enter_as(&w, "b", "t"));
    struct ask *ask = done(beat_as(&w, (struct beat){.id = "a", .epoch = 2, .owned = &owned}));
    if (state == RECONCILING)
        return; /* a has been asked to give up half */
    take_assigned(ask, &owned);
    ask = done(beat_as(&w, (struct beat){.id = "a", .epoch = 2, .owned = &owned}));
    epoch = ask->out.consumer.member_epoch;
    done(beat_as(&w, (struct beat){.id = "b", .epoch = 3}));
    if (state == STABLE)
        return;
    done(exit_as(&w, "b"));
    if (state == EMPTY)
        done(exit_as(&w, "a"));
}

static enum state state_now(void)
{
    struct ask *ask = describe_consumer_group(&w);

    if (ask->call.error == KAFKA_NONE)
        for (int s = EMPTY; s <= STABLE; s++)
            if (str_eq_z(ask->out.consumer_describe.group_state, state_names[s]))
                return (enum state)s;
    return str_eq_z(describe_group(&w)->out.describe.group_state, "Dead") ? ABSENT : CLASSIC;
}

static struct ask *do_event(enum event event)
{
    static const struct tp_list all = {4, {0, 0, 0, 0}, {0, 1, 2, 3}};

    switch (event) {
    case BEAT: return beat_as(&w, (struct beat){.id = "a", .epoch = epoch});
    case BEAT_AHEAD: return beat_as(&w, (struct beat){.id = "a", .epoch = epoch + 7});
    case BEAT_BEHIND:
        return beat_as(&w, (struct beat){.id = "a", .epoch = epoch - 1, .topic = "t", .owned = &all});
    case BEAT_STRANGER: return beat_as(&w, (struct beat){.id = "x", .epoch = epoch});
    case ENTER: return enter_as(&w, "c", "t");
    case ENTER_AGAIN: return enter_as(&w, "a", "t");
    case EXIT: return exit_as(&w, "a");
    case EXIT_STRANGER: return exit_as(&w, "x");
    case EXIT_FOR_A_WHILE: return beat_as(&w, (struct beat){.id = "a", .epoch = -2});
    case JOIN: return join_bytes(&w, 3, "", SUBSCRIPTION, sizeof(SUBSCRIPTION) - 1);
    case JOIN_MALFORMED: return join_bytes(&w, 3, "", "\0\1\x7f", 3);
    case CLASSIC_BEAT: return heartbeat_as(&w, "a", epoch);
    case CLASSIC_SYNC: return sync_as(&w, "a", epoch, NULL);
    case CLASSIC_LEAVE: return leave_as(&w, "a");
    case COMMIT: return commit_as_version(&w, 9, "a", epoch, 5);
    case COMMIT_STALE: return commit_as_version(&w, 9, "a", epoch - 1, 5);
    case COMMIT_STRANGER: return commit_as_version(&w, 9, "x", epoch, 5);
    case COMMIT_SIMPLE: return commit_as_version(&w, 9, "", -1, 5);
    case DELETE: return delete_group(&w);
    default: return NULL;
    }
}

START_TEST(every_state_meets_every_event)
{
    enum state state = (enum state)(_i / EVENT_COUNT);
    enum event event = (enum event)(_i % EVENT_COUNT);
    const struct row *row = &table[state][event];

    bring_to(state);
    ck_assert_int_eq(state_now(), state);
    uint64_t before = groups_check(w.g);
    struct ask *ask = do_event(event);
    world_commit_all(&w);
    int16_t error = ask->answered ? ask->call.error : NONE_YET;
    enum state next = state_now();
    ck_assert_msg(error == row->error, "%s, event %d: %d instead of %d", state_names[state], event, error,
                  row->error);
    ck_assert_msg(next == row->next, "%s, event %d: to %s instead of %s", state_names[state], event,
                  state_names[next], state_names[row->next]);
    if (error != KAFKA_NONE)
        ck_assert_uint_eq(groups_check(w.g), before);
    world_end(&w);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, every_state_meets_every_event, 0, CLASSIC * EVENT_COUNT);
}

SLUICE_TEST_MAIN("broker_consumer_group_states", add)
