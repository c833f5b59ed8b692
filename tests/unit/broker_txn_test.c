/* SPDX-License-Identifier: Apache-2.0 */
/* The transaction coordinator's core: every state against every event, by its table; then every short life.
 */
#include "tests/unit/broker_txn_fixture.h"

#include "common/base/prng.h"

#define WAITS INT16_MAX /* not answered yet */
#define ID    100       /* the first producer id of a world */
#define DEPTH 4
#define STEPS 80
#define WALKS 400

/* The coordinator dies and another one loads its log: calls that waited are told. */
static void world_fail_over(struct world *w)
{
    w->pending_count = 0;
    w->markers.token = 0;
    txns_end(w->t);
    struct txn_call *call;
    while ((call = txns_take_settled(w->t)) != NULL) {
        struct ask *ask = CONTAINER_OF(call, struct ask, call);
        ask->answered = true;
        w->answered++;
    }
    txns_free(w->t);
    w->t = world_load(w);
    txns_loaded(w->t);
    world_settle(w);
}

/* -- the calls -- */

static struct ask *init_as(struct world *w, int64_t producer_id, int16_t epoch)
{
    struct ask *ask = world_ask(w, TXN_CALL_INIT);

    ask->call.producer_id = producer_id;
    ask->call.producer_epoch = epoch;
    world_call(w, ask);
    return ask;
}

static struct ask *add_as(struct world *w, int64_t producer_id, int16_t epoch, bool v2, int from, int count)
{
    struct ask *ask = world_ask(w, TXN_CALL_ADD);

    ask->call.producer_id = producer_id;
    ask->call.producer_epoch = epoch;
    ask->call.v2 = v2;
    ask->call.partitions = world_partitions + from;
    ask->call.partitions_count = count;
    world_call(w, ask);
    return ask;
}

static struct ask *verify_as(struct world *w, int64_t producer_id, int16_t epoch, int from)
{
    struct ask *ask = world_ask(w, TXN_CALL_VERIFY);

    ask->call.producer_id = producer_id;
    ask->call.producer_epoch = epoch;
    ask->call.v2 = true;
    ask->call.partitions = world_partitions + from;
    ask->call.partitions_count = 1;
    ask->call.errors = ask->errors;
    world_call(w, ask);
    return ask;
}

static struct ask *end_as(struct world *w, int64_t producer_id, int16_t epoch, bool v2, bool commit)
{
    struct ask *ask = world_ask(w, TXN_CALL_END);

    ask->call.producer_id = producer_id;
    ask->call.producer_epoch = epoch;
    ask->call.v2 = v2;
    ask->call.commit = commit;
    world_call(w, ask);
    return ask;
}

static int16_t outcome(const struct ask *ask)
{
    if (!ask->answered)
        return WAITS;
    return ask->call.error != KAFKA_NONE ? ask->call.error : ask->errors[0];
}

/* -- the table: state x event -- */

enum event {
    INIT,          /* a new producer */
    INIT_SAME,     /* the producer itself (KIP-360) */
    INIT_STRANGER, /* under another id */
    ADD,           /* a partition that is part of it already when it is ongoing */
    ADD_MORE,
    ADD_STALE, /* with an older epoch */
    ADD_STRANGER,
    VERIFY_PART,
    VERIFY_OTHER,
    COMMIT,
    ABORT,
    END_STALE,
    TIME_OUT,
    MARKED,
    EVENT_COUNT,
};

struct row {
    int16_t error;
    enum txn_state next; /* once what was written is committed */
};

#define FENCED   KAFKA_PRODUCER_FENCED
#define MAPPING  KAFKA_INVALID_PRODUCER_ID_MAPPING
#define BAD      KAFKA_INVALID_TXN_STATE
#define NOT_PART KAFKA_TRANSACTION_ABORTABLE

/* Version 1. TIME_OUT and MARKED have no answer. */
static const struct row table_v1[TXN_DEAD][EVENT_COUNT] = {
    [TXN_EMPTY] = {[INIT] = {0, TXN_EMPTY},
                   [INIT_SAME] = {0, TXN_EMPTY},
                   [INIT_STRANGER] = {FENCED, TXN_EMPTY},
                   [ADD] = {0, TXN_ONGOING},
                   [ADD_MORE] = {0, TXN_ONGOING},
                   [ADD_STALE] = {FENCED, TXN_EMPTY},
                   [ADD_STRANGER] = {MAPPING, TXN_EMPTY},
                   [VERIFY_PART] = {NOT_PART, TXN_EMPTY},
                   [VERIFY_OTHER] = {NOT_PART, TXN_EMPTY},
                   [COMMIT] = {BAD, TXN_EMPTY},
                   [ABORT] = {BAD, TXN_EMPTY},
                   [END_STALE] = {FENCED, TXN_EMPTY},
                   [TIME_OUT] = {0, TXN_EMPTY},
                   [MARKED] = {0, TXN_EMPTY}},
    [TXN_ONGOING] = {[INIT] = {WAITS, TXN_PREPARE_ABORT},
                     [INIT_SAME] = {WAITS, TXN_PREPARE_ABORT},
                     [INIT_STRANGER] = {FENCED, TXN_ONGOING},
                     [ADD] = {0, TXN_ONGOING},
                     [ADD_MORE] = {0, TXN_ONGOING},
                     [ADD_STALE] = {FENCED, TXN_ONGOING},
                     [ADD_STRANGER] = {MAPPING, TXN_ONGOING},
                     [VERIFY_PART] = {0, TXN_ONGOING},
                     [VERIFY_OTHER] = {NOT_PART, TXN_ONGOING},
                     [COMMIT] = {0, TXN_PREPARE_COMMIT},
                     [ABORT] = {0, TXN_PREPARE_ABORT},
                     [END_STALE] = {FENCED, TXN_ONGOING},
                     [TIME_OUT] = {0, TXN_PREPARE_ABORT},
                     [MARKED] = {0, TXN_ONGOING}},
    [TXN_PREPARE_COMMIT] = {[INIT] = {WAITS, TXN_PREPARE_COMMIT},
                            [INIT_SAME] = {WAITS, TXN_PREPARE_COMMIT},
                            [INIT_STRANGER] = {WAITS, TXN_PREPARE_COMMIT},
                            [ADD] = {WAITS, TXN_PREPARE_COMMIT},
                            [ADD_MORE] = {WAITS, TXN_PREPARE_COMMIT},
                            [ADD_STALE] = {FENCED, TXN_PREPARE_COMMIT},
                            [ADD_STRANGER] = {MAPPING, TXN_PREPARE_COMMIT},
                            [VERIFY_PART] = {WAITS, TXN_PREPARE_COMMIT},
                            [VERIFY_OTHER] = {WAITS, TXN_PREPARE_COMMIT},
                            [COMMIT] = {WAITS, TXN_PREPARE_COMMIT},
                            [ABORT] = {BAD, TXN_PREPARE_COMMIT},
                            [END_STALE] = {FENCED, TXN_PREPARE_COMMIT},
                            [TIME_OUT] = {0, TXN_PREPARE_COMMIT},
                            [MARKED] = {0, TXN_COMPLETE_COMMIT}},
    [TXN_PREPARE_ABORT] = {[INIT] = {WAITS, TXN_PREPARE_ABORT},
                           [INIT_SAME] = {WAITS, TXN_PREPARE_ABORT},
                           [INIT_STRANGER] = {WAITS, TXN_PREPARE_ABORT},
                           [ADD] = {WAITS, TXN_PREPARE_ABORT},
                           [ADD_MORE] = {WAITS, TXN_PREPARE_ABORT},
                           [ADD_STALE] = {FENCED, TXN_PREPARE_ABORT},
                           [ADD_STRANGER] = {MAPPING, TXN_PREPARE_ABORT},
                           [VERIFY_PART] = {WAITS, TXN_PREPARE_ABORT},
                           [VERIFY_OTHER] = {WAITS, TXN_PREPARE_ABORT},
                           [COMMIT] = {BAD, TXN_PREPARE_ABORT},
                           [ABORT] = {WAITS, TXN_PREPARE_ABORT},
                           [END_STALE] = {FENCED, TXN_PREPARE_ABORT},
                           [TIME_OUT] = {0, TXN_PREPARE_ABORT},
                           [MARKED] = {0, TXN_COMPLETE_ABORT}},
    [TXN_COMPLETE_COMMIT] = {[INIT] = {0, TXN_EMPTY},
                             [INIT_SAME] = {0, TXN_EMPTY},
                             [INIT_STRANGER] = {FENCED, TXN_COMPLETE_COMMIT},
                             [ADD] = {0, TXN_ONGOING},
                             [ADD_MORE] = {0, TXN_ONGOING},
                             [ADD_STALE] = {FENCED, TXN_COMPLETE_COMMIT},
                             [ADD_STRANGER] = {MAPPING, TXN_COMPLETE_COMMIT},
                             [VERIFY_PART] = {NOT_PART, TXN_COMPLETE_COMMIT},
                             [VERIFY_OTHER] = {NOT_PART, TXN_COMPLETE_COMMIT},
                             [COMMIT] = {0, TXN_COMPLETE_COMMIT},
                             [ABORT] = {BAD, TXN_COMPLETE_COMMIT},
                             [END_STALE] = {FENCED, TXN_COMPLETE_COMMIT},
                             [TIME_OUT] = {0, TXN_COMPLETE_COMMIT},
                             [MARKED] = {0, TXN_COMPLETE_COMMIT}},
    [TXN_COMPLETE_ABORT] = {[INIT] = {0, TXN_EMPTY},
                            [INIT_SAME] = {0, TXN_EMPTY},
                            [INIT_STRANGER] = {FENCED, TXN_COMPLETE_ABORT},
                            [ADD] = {0, TXN_ONGOING},
                            [ADD_MORE] = {0, TXN_ONGOING},
                            [ADD_STALE] = {FENCED, TXN_COMPLETE_ABORT},
                            [ADD_STRANGER] = {MAPPING, TXN_COMPLETE_ABORT},
                            [VERIFY_PART] = {NOT_PART, TXN_COMPLETE_ABORT},
                            [VERIFY_OTHER] = {NOT_PART, TXN_COMPLETE_ABORT},
                            [COMMIT] = {BAD, TXN_COMPLETE_ABORT},
                            [ABORT] = {0, TXN_COMPLETE_ABORT},
                            [END_STALE] = {FENCED, TXN_COMPLETE_ABORT},
                            [TIME_OUT] = {0, TXN_COMPLETE_ABORT},
                            [MARKED] = {0, TXN_COMPLETE_ABORT}},
};

/* Version 2: what the producer asks with its newest epoch, which it learnt with the end of its transaction.
 * Only the ends differ. */
static const struct row ends_v2[TXN_DEAD][2] = {
    [TXN_EMPTY] = {{BAD, TXN_EMPTY}, {0, TXN_COMPLETE_ABORT}},
    [TXN_ONGOING] = {{0, TXN_PREPARE_COMMIT}, {0, TXN_PREPARE_ABORT}},
    [TXN_PREPARE_COMMIT] = {{FENCED, TXN_PREPARE_COMMIT}, {FENCED, TXN_PREPARE_COMMIT}},
    [TXN_PREPARE_ABORT] = {{FENCED, TXN_PREPARE_ABORT}, {FENCED, TXN_PREPARE_ABORT}},
    [TXN_COMPLETE_COMMIT] = {{BAD, TXN_COMPLETE_COMMIT}, {0, TXN_COMPLETE_ABORT}},
    [TXN_COMPLETE_ABORT] = {{BAD, TXN_COMPLETE_ABORT}, {0, TXN_COMPLETE_ABORT}},
};

/* The same repeated with the epoch before it: commit, abort. */
static const struct row repeats_v2[TXN_DEAD][2] = {
    [TXN_EMPTY] = {{FENCED, TXN_EMPTY}, {FENCED, TXN_EMPTY}},
    [TXN_ONGOING] = {{FENCED, TXN_ONGOING}, {FENCED, TXN_ONGOING}},
    [TXN_PREPARE_COMMIT] = {{WAITS, TXN_PREPARE_COMMIT}, {BAD, TXN_PREPARE_COMMIT}},
    [TXN_PREPARE_ABORT] = {{BAD, TXN_PREPARE_ABORT}, {WAITS, TXN_PREPARE_ABORT}},
    [TXN_COMPLETE_COMMIT] = {{0, TXN_COMPLETE_COMMIT}, {BAD, TXN_COMPLETE_COMMIT}},
    [TXN_COMPLETE_ABORT] = {{BAD, TXN_COMPLETE_ABORT}, {0, TXN_COMPLETE_ABORT}},
};

/* Brings a new world into a state; *ret_epoch is the producer's. Epochs begin at 1, so that there are older
 * ones.
 */
static void bring_to(struct world *w, enum txn_state state, bool v2, int16_t *ret_epoch)
{
    bool commit = state == TXN_PREPARE_COMMIT || state == TXN_COMPLETE_COMMIT;
    struct kafka_describe_transactions_response_transaction_state now;

    world_init(w);
    init_as(w, -1, -1);
    world_commit_all(w);
    init_as(w, -1, -1);
    world_commit_all(w);
    if (state != TXN_EMPTY) {
        add_as(w, ID, 1, v2, 0, 2);
        world_commit_all(w);
    }
    if (state >= TXN_PREPARE_COMMIT) {
        end_as(w, ID, 1, v2, commit);
        world_commit_all(w);
    }
    if (state >= TXN_COMPLETE_COMMIT) {
        world_mark_all(w);
        world_commit_all(w);
    }
    ck_assert_int_eq(world_state(w, &now), state);
    ck_assert_int_eq(now.producer_id, ID);
    *ret_epoch = now.producer_epoch;
}

static struct ask *do_event(struct world *w, enum event event, int16_t epoch)
{
    int16_t stale = (int16_t)(epoch - 1);

    switch (event) {
    case INIT: return init_as(w, -1, -1);
    case INIT_SAME: return init_as(w, ID, epoch);
    case INIT_STRANGER: return init_as(w, 77, epoch);
    case ADD: return add_as(w, ID, epoch, false, 0, 1);
    case ADD_MORE: return add_as(w, ID, epoch, false, 0, 3);
    case ADD_STALE: return add_as(w, ID, stale, false, 0, 1);
    case ADD_STRANGER: return add_as(w, 77, epoch, false, 0, 1);
    case VERIFY_PART: return verify_as(w, ID, epoch, 0);
    case VERIFY_OTHER: return verify_as(w, ID, epoch, 2);
    case COMMIT: return end_as(w, ID, epoch, false, true);
    case ABORT: return end_as(w, ID, epoch, false, false);
    case END_STALE: return end_as(w, ID, stale, false, true);
    case TIME_OUT: world_pass(w, WORLD_TIMEOUT_MS + 1); return NULL;
    case MARKED: world_mark_all(w); return NULL;
    default: return NULL;
    }
}

START_TEST(every_state_meets_every_event)
{
    enum txn_state state = (enum txn_state)(_i / EVENT_COUNT);
    enum event event = (enum event)(_i % EVENT_COUNT);
    const struct row *row = &table_v1[state][event];
    struct world w;
    int16_t epoch;

    bring_to(&w, state, false, &epoch);
    struct ask *ask = do_event(&w, event, epoch);
    world_commit_all(&w);
    if (ask)
        ck_assert_msg(outcome(ask) == row->error, "%s, event %d: %d instead of %d", txn_state_name(state),
                      event, outcome(ask), row->error);
    enum txn_state next = world_state(&w, NULL);
    ck_assert_msg(next == row->next, "%s, event %d: to %s instead of %s", txn_state_name(state), event,
                  txn_state_name(next), txn_state_name(row->next));
    world_end(&w);
}
END_TEST

START_TEST(every_state_meets_every_end_of_version_2)
{
    enum txn_state state = (enum txn_state)(_i / 4);
    bool repeat = _i % 4 >= 2, commit = _i % 2 == 0;
    const struct row *row = repeat ? &repeats_v2[state][!commit] : &ends_v2[state][!commit];
    struct world w;
    int16_t epoch;

    bring_to(&w, state, true, &epoch);
    ck_assert_int_eq(epoch, state >= TXN_PREPARE_COMMIT ? 2 : 1);
    struct ask *ask = end_as(&w, ID, repeat ? (int16_t)(epoch - 1) : epoch, true, commit);
    world_commit_all(&w);
    ck_assert_msg(outcome(ask) == row->error, "%s, commit %d, repeat %d: %d instead of %d",
                  txn_state_name(state), commit, repeat, outcome(ask), row->error);
    ck_assert_int_eq(world_state(&w, NULL), row->next);
    if (row->error == KAFKA_NONE) /* the next transaction's */
        ck_assert_int_eq(ask->call.producer_epoch, repeat ? epoch : epoch + 1);
    world_end(&w);
}
END_TEST

/* -- stories -- */

START_TEST(calls_wait_for_the_transaction_before_them)
{
    struct world w;
    int16_t epoch;

    bring_to(&w, TXN_PREPARE_COMMIT, false, &epoch);
    struct ask *add = add_as(&w, ID, epoch, false, 0, 1), *more = add_as(&w, ID, epoch, false, 2, 1);
    ck_assert_int_eq(outcome(add), WAITS);
    world_mark_all(&w);
    world_decide(&w, KAFKA_NONE); /* complete */
    world_decide(&w, KAFKA_NONE); /* the first of them */
    ck_assert_int_eq(outcome(add), KAFKA_NONE);
    ck_assert_int_eq(outcome(more), WAITS);
    world_commit_all(&w);
    ck_assert_int_eq(outcome(more), KAFKA_NONE);
    ck_assert_int_eq(outcome(verify_as(&w, ID, epoch, 2)), KAFKA_NONE);
    world_end(&w);
}
END_TEST

START_TEST(who_waits_too_long_is_told_to_come_again)
{
    struct world w;
    int16_t epoch;

    bring_to(&w, TXN_PREPARE_ABORT, false, &epoch);
    struct ask *add = add_as(&w, ID, epoch, false, 0, 1);
    world_pass(&w, 999);
    ck_assert_int_eq(outcome(add), WAITS);
    world_pass(&w, 2);
    ck_assert_int_eq(outcome(add), KAFKA_CONCURRENT_TRANSACTIONS);
    world_end(&w);
}
END_TEST

START_TEST(a_new_producer_fences_and_gets_the_next_epoch)
{
    struct world w;
    int16_t epoch;

    bring_to(&w, TXN_ONGOING, _i == 1, &epoch);
    struct ask *init = init_as(&w, -1, -1);
    world_commit_all(&w);
    ck_assert_int_eq(outcome(end_as(&w, ID, epoch, _i == 1, true)), KAFKA_PRODUCER_FENCED);
    ck_assert_int_eq(w.markers.producer_epoch, epoch + (_i == 1 ? 2 : 1));
    ck_assert(!w.markers.commit);
    world_mark_all(&w);
    world_commit_all(&w);
    ck_assert_int_eq(outcome(init), KAFKA_NONE);
    ck_assert_int_eq(init->call.producer_epoch, epoch + (_i == 1 ? 3 : 2));
    ck_assert_int_eq(outcome(end_as(&w, ID, epoch, _i == 1, true)), KAFKA_PRODUCER_FENCED);
    world_end(&w);
}
END_TEST

START_TEST(markers_are_asked_for_again_after_a_failover)
{
    struct world w;
    int16_t epoch;

    bring_to(&w, TXN_PREPARE_COMMIT, true, &epoch);
    txns_marker_done(w.t, w.markers.token, world_partitions[0].topic, 0);
    world_fail_over(&w);
    ck_assert_int_eq(w.markers.partitions_count, 2);
    ck_assert(w.markers.commit && w.markers.bumped && w.markers.producer_epoch == epoch);
    world_mark_all(&w);
    world_commit_all(&w);
    ck_assert_int_eq(world_state(&w, NULL), TXN_COMPLETE_COMMIT);
    ck_assert_int_eq(outcome(end_as(&w, ID, 1, true, true)), KAFKA_NONE); /* it never heard the answer */
    world_end(&w);
}
END_TEST

/* AddPartitionsToTxn that names no producer (-1, -1), behind the InitProducerId that makes one. */
START_TEST(nobody_takes_part_before_there_is_a_producer)
{
    struct world w;

    world_init(&w);
    struct ask *init = init_as(&w, -1, -1);
    ck_assert(!init->answered);
    ck_assert_int_eq(outcome(add_as(&w, -1, -1, true, 0, 1)), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    ck_assert_int_eq(outcome(add_as(&w, ID, 0, true, 0, 1)), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    ck_assert_int_eq(outcome(verify_as(&w, -1, -1, 0)), KAFKA_INVALID_PRODUCER_ID_MAPPING);
    world_commit_all(&w);
    ck_assert_int_eq(outcome(init), KAFKA_NONE);
    ck_assert_int_eq(world_state(&w, NULL), TXN_EMPTY);
    world_end(&w);
}
END_TEST

/* A producer at its id's last epoch but one. */
static void use_up_epochs(struct world *w, int16_t *ret_epoch)
{
    int16_t epoch;

    bring_to(w, TXN_EMPTY, true, &epoch);
    while (epoch < INT16_MAX - 1) { /* an abort of nothing bumps, too */
        struct ask *ask = end_as(w, ID, epoch, true, false);
        world_commit_all(w);
        ck_assert_int_eq(outcome(ask), KAFKA_NONE);
        epoch = ask->call.producer_epoch;
        arena_free(&ask->arena);
        free(ask);
        w->asks_count--;
        w->answered--;
    }
    *ret_epoch = epoch;
}

#define MANY_PARTITIONS 2000
#define MANY_NAMED      (4 * MANY_PARTITIONS)

/* A request may name a partition as often as it likes. */
START_TEST(partitions_that_are_named_again_and_again_take_part_once)
{
    static struct txn_partition named[MANY_NAMED];
    struct kafka_describe_transactions_response_transaction_state now;
    struct world w;
    int16_t epoch;

    for (int i = 0; i < MANY_NAMED; i++)
        named[i] = (struct txn_partition){STR_LIT("t"), MIN(i, MANY_PARTITIONS - 1)};
    bring_to(&w, TXN_ONGOING, false, &epoch);
    struct ask *ask = world_ask(&w, TXN_CALL_ADD);
    ask->call.producer_id = ID;
    ask->call.producer_epoch = epoch;
    ask->call.partitions = named;
    ask->call.partitions_count = MANY_NAMED;
    world_call(&w, ask);
    world_commit_all(&w);
    ck_assert_int_eq(outcome(ask), KAFKA_NONE);
    world_state(&w, &now);
    ck_assert_int_eq(now.topics_count, 2);
    ck_assert_int_eq(now.topics[0].partitions_count + now.topics[1].partitions_count, MANY_PARTITIONS + 2);
    world_end(&w);
}
END_TEST

START_TEST(used_up_epochs_give_another_id)
{
    struct world w;
    int16_t epoch;
    struct ask *ask = NULL;
    int64_t id = ID;

    use_up_epochs(&w, &epoch);
    add_as(&w, id, epoch, true, 0, 1);
    world_commit_all(&w);
    ask = end_as(&w, id, epoch, true, true);
    world_commit_all(&w);
    ck_assert_int_eq(ask->call.producer_id, ID + 1);
    ck_assert_int_eq(ask->call.producer_epoch, 0);
    ck_assert_int_eq(w.markers.producer_id, ID);
    ck_assert_int_eq(w.markers.producer_epoch, INT16_MAX);
    world_mark_all(&w);
    world_commit_all(&w);
    ask = end_as(&w, id, epoch, true, true); /* repeated */
    ck_assert_int_eq(outcome(ask), KAFKA_NONE);
    ck_assert_int_eq(ask->call.producer_id, ID + 1);
    ck_assert_int_eq(outcome(add_as(&w, ID + 1, 0, true, 0, 1)), WAITS);
    world_commit_all(&w);
    world_end(&w);
}
END_TEST

/* The coordinator fences a producer at the last epoch; whoever names it did not get it from us. */
START_TEST(the_epoch_that_nobody_is_given_is_nobodys)
{
    struct world w;
    int16_t epoch;

    use_up_epochs(&w, &epoch);
    add_as(&w, ID, epoch, true, 0, 1);
    world_commit_all(&w);
    world_pass(&w, WORLD_TIMEOUT_MS + 1);
    world_commit_all(&w);
    ck_assert_int_eq(w.markers.producer_epoch, INT16_MAX);
    world_mark_all(&w);
    world_commit_all(&w);
    ck_assert_int_eq(world_state(&w, NULL), TXN_COMPLETE_ABORT);
    struct ask *ask;
    for (int i = 0; i < 4; i++) {
        ask = end_as(&w, ID, INT16_MAX, i % 2 == 0, i / 2);
        world_commit_all(&w); /* an epoch above it would be negative: no coordinator could load that */
        ck_assert_int_eq(outcome(ask), KAFKA_PRODUCER_FENCED);
    }
    ck_assert_int_eq(outcome(add_as(&w, ID, INT16_MAX, true, 0, 1)), KAFKA_PRODUCER_FENCED);
    ask = init_as(&w, -1, -1);
    world_commit_all(&w);
    ck_assert_int_ne(ask->call.producer_id, ID);
    ck_assert_int_eq(ask->call.producer_epoch, 0);
    world_end(&w);
}
END_TEST

START_TEST(an_id_that_is_not_used_is_forgotten)
{
    struct world w;
    int16_t epoch;

    bring_to(&w, TXN_COMPLETE_COMMIT, false, &epoch);
    world_pass(&w, 4300000);
    world_commit_all(&w);
    ck_assert_int_eq(world_state(&w, NULL), TXN_DEAD);
    ck_assert_uint_eq(txns_count(w.t), 0);
    world_end(&w);
}
END_TEST

START_TEST(a_refused_write_changes_nothing_and_what_must_come_is_tried_again)
{
    struct world w;
    int16_t epoch;

    bring_to(&w, TXN_ONGOING, false, &epoch);
    struct ask *end = end_as(&w, ID, epoch, false, true);
    world_decide(&w, KAFKA_NOT_ENOUGH_REPLICAS);
    ck_assert_int_eq(outcome(end), KAFKA_COORDINATOR_NOT_AVAILABLE);
    ck_assert_int_eq(world_state(&w, NULL), TXN_ONGOING);
    end_as(&w, ID, epoch, false, true);
    world_commit_all(&w);
    world_mark_all(&w);
    world_decide(&w, KAFKA_NOT_ENOUGH_REPLICAS); /* of the completion */
    ck_assert_int_eq(world_state(&w, NULL), TXN_PREPARE_COMMIT);
    world_pass(&w, 101);
    world_commit_all(&w);
    ck_assert_int_eq(world_state(&w, NULL), TXN_COMPLETE_COMMIT);
    world_end(&w);
}
END_TEST

/* -- every short life, and long random ones -- */

#define LIFE_EVENTS 15

static void live_step(struct world *w, int event)
{
    struct kafka_describe_transactions_response_transaction_state now = {.producer_id = ID};

    world_state(w, &now);
    int16_t epoch = now.producer_epoch;
    switch (event) {
    case 0: init_as(w, -1, -1); break;
    case 1: init_as(w, now.producer_id, epoch); break;
    case 2: add_as(w, now.producer_id, epoch, false, 0, 2); break;
    case 3: add_as(w, now.producer_id, epoch, true, 1, 2); break;
    case 4: end_as(w, now.producer_id, epoch, false, true); break;
    case 5: end_as(w, now.producer_id, epoch, false, false); break;
    case 6: end_as(w, now.producer_id, epoch, true, true); break;
    case 7: end_as(w, now.producer_id, (int16_t)(epoch - 1), true, false); break;
    case 8: verify_as(w, now.producer_id, epoch, 0); break;
    case 9: world_decide(w, KAFKA_NONE); break;
    case 10: world_decide(w, KAFKA_NOT_ENOUGH_REPLICAS); break;
    case 11: world_mark_all(w); break;
    case 12: world_pass(w, WORLD_TIMEOUT_MS + 1); break;
    case 13: world_fail_over(w); break;
    case 14: end_as(w, now.producer_id, epoch, true, false); break;
    }
    txns_check(w->t);
}

/* However it went: what is left ends, and the id is free. */
static void heal(struct world *w)
{
    for (int i = 0; i < 8; i++) {
        world_commit_all(w);
        world_mark_all(w);
        world_pass(w, WORLD_TIMEOUT_MS + 1);
    }
    enum txn_state state = world_state(w, NULL);
    ck_assert(state == TXN_EMPTY || state == TXN_COMPLETE_COMMIT || state == TXN_COMPLETE_ABORT ||
              state == TXN_DEAD);
}

START_TEST(every_short_life_ends_well)
{
    int total = 1;

    for (int i = 0; i < DEPTH; i++)
        total *= LIFE_EVENTS;
    for (int n = 0; n < total; n++) {
        struct world w;
        int rest = n;
        int16_t epoch;
        bring_to(&w, (enum txn_state)(n % TXN_DEAD), n % 2 == 0, &epoch);
        for (int i = 0; i < DEPTH; i++, rest /= LIFE_EVENTS)
            live_step(&w, rest % LIFE_EVENTS);
        heal(&w);
        world_end(&w);
    }
}
END_TEST

START_TEST(long_random_lives_end_well)
{
    struct prng prng;

    for (uint64_t seed = 0; seed < WALKS; seed++) {
        struct world w;
        prng_seed(&prng, seed);
        world_init(&w);
        for (int i = 0; i < STEPS; i++)
            live_step(&w, (int)prng_below(&prng, LIFE_EVENTS));
        heal(&w);
        world_end(&w);
    }
}
END_TEST

static void add(TCase *tcase)
{
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, every_state_meets_every_event, 0, TXN_DEAD * EVENT_COUNT);
    tcase_add_loop_test(tcase, every_state_meets_every_end_of_version_2, 0, TXN_DEAD * 4);
    tcase_add_test(tcase, calls_wait_for_the_transaction_before_them);
    tcase_add_test(tcase, who_waits_too_long_is_told_to_come_again);
    tcase_add_loop_test(tcase, a_new_producer_fences_and_gets_the_next_epoch, 0, 2);
    tcase_add_test(tcase, markers_are_asked_for_again_after_a_failover);
    tcase_add_test(tcase, nobody_takes_part_before_there_is_a_producer);
    tcase_add_test(tcase, partitions_that_are_named_again_and_again_take_part_once);
    tcase_add_test(tcase, used_up_epochs_give_another_id);
    tcase_add_test(tcase, the_epoch_that_nobody_is_given_is_nobodys);
    tcase_add_test(tcase, an_id_that_is_not_used_is_forgotten);
    tcase_add_test(tcase, a_refused_write_changes_nothing_and_what_must_come_is_tried_again);
    tcase_add_test(tcase, every_short_life_ends_well);
    tcase_add_test(tcase, long_random_lives_end_well);
}

SLUICE_TEST_MAIN("broker_txn", add)
