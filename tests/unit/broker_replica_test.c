/* SPDX-License-Identifier: Apache-2.0 */
/* The replica core alone: each state against each event. What several cores do together is in
 * broker_replica_model_test. */
#include <string.h>

#include "broker/core/replica.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"
#include "tests/lib/unit.h"

#define LAG_US 10000u

struct fixture {
    struct replica core;
    struct replica_member members[5];
    struct replica_effects fx;
    uint64_t now_us;
};

static const int32_t replicas[] = {1, 2, 3};

static int16_t step(struct fixture *f, struct replica_event event)
{
    event.now_us = f->now_us;
    return replica_step(&f->core, &event, &f->fx);
}

static void init(struct fixture *f, int64_t log_end, int64_t synced_end, int64_t high_watermark)
{
    struct replica_setup setup = {.broker_id = 1,
                                  .lag_time_max_us = LAG_US,
                                  .log_end = log_end,
                                  .synced_end = synced_end,
                                  .high_watermark = high_watermark};
    memset(f, 0, sizeof(*f));
    f->now_us = 1000;
    replica_init(&f->core, &setup);
    ck_assert_ptr_null(replica_give_members(&f->core, f->members, 5));
}

static void config(struct fixture *f, int32_t min_isr, bool sync)
{
    step(f,
         (struct replica_event){.type = EV_CONFIG, .config = {.min_isr = min_isr, .sync_before_ack = sync}});
}

static void state(struct fixture *f, int32_t leader, int32_t leader_epoch, int32_t partition_epoch,
                  int32_t isr_count)
{
    step(f, (struct replica_event){.type = EV_STATE,
                                   .state = {.leader = leader,
                                             .leader_epoch = leader_epoch,
                                             .partition_epoch = partition_epoch,
                                             .replicas = replicas,
                                             .replicas_count = 3,
                                             .isr = replicas,
                                             .isr_count = isr_count}});
}

static void at(struct fixture *f, enum replica_event_type type, int64_t offset)
{
    step(f, (struct replica_event){.type = type, .offset = offset});
}

static int16_t fetched(struct fixture *f, int32_t id, int64_t position, int64_t durable)
{
    return step(f, (struct replica_event){.type = EV_FETCHED,
                                          .fetched = {.broker_id = id,
                                                      .broker_epoch = 100 + id,
                                                      .registered_epoch = 100 + id,
                                                      .position = position,
                                                      .durable = durable,
                                                      .leader_epoch = -1}});
}

static void altered(struct fixture *f, int16_t error)
{
    step(f, (struct replica_event){.type = EV_ALTERED, .error = error});
}

static const struct replica_effect *effect(const struct fixture *f, enum replica_effect_type type)
{
    for (int32_t i = 0; i < f->fx.count; i++)
        if (f->fx.list[i].type == type)
            return &f->fx.list[i];
    return NULL;
}

START_TEST(the_metadata_decides_the_role)
{
    static const struct {
        int32_t leader;
        enum replica_role role;
    } rows[] = {{1, REPLICA_LEADER}, {2, REPLICA_FOLLOWER}, {-1, REPLICA_OFFLINE}};
    struct fixture f;
    for (int i = 0; i < 3; i++) {
        for (int k = 0; k < 3; k++) { /* every role after every other */
            init(&f, 10, 10, 5);
            ck_assert_int_eq(f.core.role, REPLICA_OFFLINE);
            state(&f, rows[i].leader, 1, 1, 3);
            ck_assert_int_eq(f.core.role, rows[i].role);
            state(&f, rows[k].leader, 2, 2, 3);
            ck_assert_int_eq(f.core.role, rows[k].role);
            ck_assert_ptr_nonnull(effect(&f, FX_ROLE));
            ck_assert((effect(&f, FX_EPOCH_START) != NULL) == (rows[k].role == REPLICA_LEADER));
        }
    }
}
END_TEST

START_TEST(an_old_or_equal_state_changes_nothing)
{
    struct fixture f;
    init(&f, 10, 10, 5);
    state(&f, 1, 3, 7, 2);
    uint64_t before = replica_hash(&f.core);
    state(&f, 2, 4, 7, 3);
    ck_assert_uint_eq(replica_hash(&f.core), before);
    state(&f, 2, 2, 8, 3);
    ck_assert_uint_eq(replica_hash(&f.core), before);
    ck_assert_int_eq(f.fx.count, 0);
}
END_TEST

START_TEST(only_a_leader_takes_fetches_and_only_of_its_epoch)
{
    struct fixture f;
    init(&f, 10, 10, 5);
    ck_assert_int_eq(fetched(&f, 2, 0, 0), KAFKA_NOT_LEADER_OR_FOLLOWER);
    state(&f, 2, 1, 1, 3);
    ck_assert_int_eq(fetched(&f, 3, 0, 0), KAFKA_NOT_LEADER_OR_FOLLOWER);
    state(&f, 1, 2, 2, 3);
    ck_assert_int_eq(fetched(&f, 2, 0, 0), KAFKA_NONE);
    ck_assert_int_eq(fetched(&f, 1, 0, 0), KAFKA_NOT_LEADER_OR_FOLLOWER);
    ck_assert_int_eq(fetched(&f, 8, 0, 0), KAFKA_NOT_LEADER_OR_FOLLOWER);
    static const struct {
        int32_t epoch;
        int16_t error;
    } rows[] = {
        {-1, KAFKA_NONE}, {2, KAFKA_NONE}, {1, KAFKA_FENCED_LEADER_EPOCH}, {3, KAFKA_UNKNOWN_LEADER_EPOCH}};
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(replica_check_epoch(&f.core, rows[i].epoch), rows[i].error);
}
END_TEST

START_TEST(a_fetch_of_a_brokers_former_life_is_refused)
{
    struct fixture f;
    init(&f, 10, 10, 0);
    state(&f, 1, 1, 1, 1);
    struct replica_event event = {.type = EV_FETCHED,
                                  .fetched = {.broker_id = 2, .position = 10, .durable = 10}};
    event.fetched.leader_epoch = -1;
    event.fetched.broker_epoch = event.fetched.registered_epoch = 7;
    ck_assert_int_eq(step(&f, event), KAFKA_NONE);
    event.fetched.broker_epoch = 6;
    ck_assert_int_eq(step(&f, event), KAFKA_NOT_LEADER_OR_FOLLOWER);
}
END_TEST

START_TEST(the_high_watermark_is_the_smallest_end_of_the_maximal_isr)
{
    struct fixture f;
    init(&f, 0, 0, 0);
    config(&f, 1, false);
    state(&f, 1, 1, 1, 2);
    at(&f, EV_APPENDED, 10);
    fetched(&f, 2, 4, -1);
    ck_assert_int_eq(f.core.high_watermark, 4);
    ck_assert_int_eq(effect(&f, FX_HIGH_WATERMARK)->offset, 4);
    fetched(&f, 3, 4, -1); /* may join: from now on it counts, as a proposed member */
    ck_assert_ptr_nonnull(effect(&f, FX_ALTER));
    fetched(&f, 2, 10, -1);
    ck_assert_int_eq(f.core.high_watermark, 4);
    fetched(&f, 3, 9, -1);
    ck_assert_int_eq(f.core.high_watermark, 9);
    fetched(&f, 3, 2, -1); /* goes back (its log was cut): the high watermark does not */
    ck_assert_int_eq(f.core.high_watermark, 9);
}
END_TEST

START_TEST(where_the_topic_syncs_only_durable_ends_count)
{
    struct fixture f;
    init(&f, 0, 0, 0);
    config(&f, 1, true);
    state(&f, 1, 1, 1, 2);
    at(&f, EV_APPENDED, 10);
    fetched(&f, 2, 10, 6);
    ck_assert_int_eq(f.core.high_watermark, 0); /* our own sync is missing */
    at(&f, EV_SYNCED, 8);
    ck_assert_int_eq(f.core.high_watermark, 6);
    fetched(&f, 2, 10, -1); /* not told: counts as nothing */
    ck_assert_int_eq(f.core.high_watermark, 6);
    fetched(&f, 2, 10, 10);
    ck_assert_int_eq(f.core.high_watermark, 8);
    at(&f, EV_SYNCED, 10);
    ck_assert_int_eq(f.core.high_watermark, 10);
    fetched(&f, 3, 10, 9); /* durable end below the high watermark: may not join yet */
    ck_assert_ptr_null(effect(&f, FX_ALTER));
    fetched(&f, 3, 10, 10);
    ck_assert_ptr_nonnull(effect(&f, FX_ALTER));
}
END_TEST

START_TEST(below_min_isr_the_high_watermark_stands)
{
    struct fixture f;
    init(&f, 0, 0, 0);
    config(&f, 2, false);
    state(&f, 1, 1, 1, 1);
    at(&f, EV_APPENDED, 10);
    ck_assert_int_eq(f.core.high_watermark, 0);
    fetched(&f, 2, 10, -1);
    ck_assert_int_eq(f.core.high_watermark, 0); /* proposed is not in */
    ck_assert_int_eq(replica_maximal_isr_count(&f.core), 2);
    state(&f, 1, 1, 2, 2);
    ck_assert_int_eq(f.core.high_watermark, 10);
    config(&f, 7, false); /* more than there are replicas: all of them */
    ck_assert_int_eq(replica_min_isr(&f.core), 3);
}
END_TEST

START_TEST(nobody_joins_before_it_has_our_epochs_start)
{
    struct fixture f;
    init(&f, 10, 10, 2);
    config(&f, 1, false);
    state(&f, 1, 5, 1, 2);
    ck_assert_int_eq(f.core.epoch_start, 10);
    fetched(&f, 3, 9, -1);
    ck_assert_ptr_null(effect(&f, FX_ALTER));
    fetched(&f, 3, 10, -1);
    ck_assert_ptr_nonnull(effect(&f, FX_ALTER));
}
END_TEST

/* What becomes of a proposal after each answer. */
START_TEST(one_proposal_at_a_time_and_each_answer_has_its_consequence)
{
    static const struct {
        int16_t error;
        enum replica_alter after;
        bool still_counts;
    } rows[] = {
        {KAFKA_NONE, ALTER_STATE, true},
        {KAFKA_FENCED_LEADER_EPOCH, ALTER_STATE, true},
        {KAFKA_INVALID_UPDATE_VERSION, ALTER_STATE, true},
        {KAFKA_UNKNOWN_TOPIC_ID, ALTER_STATE, true},
        {KAFKA_INVALID_REQUEST, ALTER_STATE, true},
        {KAFKA_NEW_LEADER_ELECTED, ALTER_STATE, true},
        {KAFKA_INELIGIBLE_REPLICA, ALTER_IDLE, false},
        {KAFKA_OPERATION_NOT_ATTEMPTED, ALTER_IDLE, false},
        {KAFKA_NOT_CONTROLLER, ALTER_RETRY, true},
        {KAFKA_REQUEST_TIMED_OUT, ALTER_RETRY, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        init(&f, 0, 0, 0);
        config(&f, 1, false);
        state(&f, 1, 1, 1, 1);
        fetched(&f, 2, 0, -1);
        ck_assert_uint_eq(effect(&f, FX_ALTER)->isr, 3);
        ck_assert_int_eq(effect(&f, FX_ALTER)->epoch, 1);
        fetched(&f, 3, 0, -1);
        ck_assert_ptr_null(effect(&f, FX_ALTER));
        altered(&f, rows[i].error);
        ck_assert_int_eq(f.core.alter, rows[i].after);
        ck_assert_int_eq(replica_maximal_isr_count(&f.core), rows[i].still_counts ? 2 : 1);
        fetched(&f, 2, 0, -1);
        ck_assert_ptr_null(effect(&f, FX_ALTER)); /* never again at once */
        f.now_us += 1000000;
        at(&f, EV_TICK, 0);
        ck_assert((effect(&f, FX_ALTER) != NULL) == (rows[i].after == ALTER_RETRY));
        state(&f, 1, 1, 2, 2);
        ck_assert_int_eq(f.core.alter, ALTER_IDLE);
    }
}
END_TEST

/* The broker epoch that member 2 is proposed under. */
static int64_t proposed_epoch(const struct fixture *f)
{
    int32_t ids[5];
    int64_t epochs[5];
    ck_assert_ptr_nonnull(effect(f, FX_ALTER));
    ck_assert_int_eq(replica_isr_list(&f->core, effect(f, FX_ALTER)->isr, ids, epochs), 2);
    ck_assert_int_eq(ids[1], 2);
    return epochs[1];
}

/* Leader 1 alone, at 10; 2 has all, is proposed, and nobody knows whether that arrived. */
static void proposed_in_vain(struct fixture *f)
{
    init(f, 10, 10, 10);
    config(f, 1, true);
    state(f, 1, 1, 1, 1);
    fetched(f, 2, 10, 10);
    ck_assert_int_eq(proposed_epoch(f), 102);
    altered(f, KAFKA_REQUEST_TIMED_OUT);
}

START_TEST(a_proposal_made_again_lets_in_nobody_who_has_lost_something_since)
{
    struct replica_event event = {.type = EV_FETCHED, .fetched = {.broker_id = 2, .leader_epoch = -1}};
    struct fixture f;
    for (int fit = 0; fit < 2; fit++) { /* a new life: what it has, the old proposal does not know */
        proposed_in_vain(&f);
        event.fetched.broker_epoch = event.fetched.registered_epoch = 202;
        event.fetched.position = event.fetched.durable = fit ? 10 : 0;
        ck_assert_int_eq(step(&f, event), KAFKA_NONE);
        f.now_us += 1000000;
        at(&f, EV_TICK, 0);
        ck_assert_int_eq(proposed_epoch(&f), fit ? 102 : 0); /* no broker has either now */
        altered(&f, KAFKA_INELIGIBLE_REPLICA);
        f.now_us += 1000000;
        event.fetched.position = event.fetched.durable = 10;
        ck_assert_int_eq(step(&f, event), KAFKA_NONE);
        ck_assert_int_eq(proposed_epoch(&f), 202);
    }
    proposed_in_vain(&f); /* the same life, and the log came back shorter */
    fetched(&f, 2, 4, 4);
    fetched(&f, 2, 10, 10);
    f.now_us += 1000000;
    at(&f, EV_TICK, 0);
    ck_assert_int_eq(proposed_epoch(&f), 0);
    proposed_in_vain(&f); /* and nothing happened */
    fetched(&f, 2, 10, 10);
    f.now_us += 1000000;
    at(&f, EV_TICK, 0);
    ck_assert_int_eq(proposed_epoch(&f), 102);
}
END_TEST

/* Leader 1 of epoch 1, all in sync at 10, records 10 to 20 on its own log only, asked to yield. */
static void asked_to_yield(struct fixture *f)
{
    init(f, 10, 10, 10);
    config(f, 2, true);
    state(f, 1, 1, 1, 3);
    fetched(f, 2, 10, 10);
    fetched(f, 3, 10, 10);
    at(f, EV_APPENDED, 20);
    at(f, EV_SYNCED, 20);
    ck_assert(replica_takes_own_word(&f->core));
    step(f, (struct replica_event){.type = EV_STATE, .state = {1, 1, 2, replicas, replicas, 3, 3, true}});
    ck_assert(!replica_takes_own_word(&f->core));
    ck_assert_ptr_null(effect(f, FX_ALTER));
}

START_TEST(a_leader_gives_way_when_the_others_hold_what_rests_on_its_word)
{
    struct fixture f;
    asked_to_yield(&f);
    at(&f, EV_APPENDED, 30); /* acks=all goes on, and need not be waited for */
    fetched(&f, 2, 30, 25);
    fetched(&f, 3, 30, 19); /* 19 of 20 are durable there */
    ck_assert_ptr_null(effect(&f, FX_ALTER));
    fetched(&f, 3, 30, 20);
    ck_assert_ptr_nonnull(effect(&f, FX_ALTER));
    ck_assert(effect(&f, FX_ALTER)->gives_way);
    ck_assert_uint_eq(effect(&f, FX_ALTER)->isr, 7);
    ck_assert_int_eq(effect(&f, FX_ALTER)->epoch, 2);
    altered(&f, KAFKA_NEW_LEADER_ELECTED);
    f.now_us += 10000000;
    at(&f, EV_TICK, 0);
    ck_assert(!replica_takes_own_word(&f.core)); /* until the new state is here */
    state(&f, 2, 2, 3, 3);
    ck_assert_int_eq(f.core.role, REPLICA_FOLLOWER);
    state(&f, 1, 3, 4, 3);
    ck_assert(replica_takes_own_word(&f.core));
}
END_TEST

START_TEST(followers_that_do_not_catch_up_soon_put_it_off)
{
    struct fixture f;
    asked_to_yield(&f);
    for (uint64_t pause_us = 1000000; pause_us <= 4000000; pause_us *= 2) {
        ck_assert_uint_ge(f.now_us + 300000, replica_deadline(&f.core));
        f.now_us += 300000;
        fetched(&f, 2, 20, 20); /* keeps pace; 3 does not */
        fetched(&f, 3, 12, 12);
        at(&f, EV_TICK, 0);
        ck_assert(replica_takes_own_word(&f.core));
        if (effect(&f, FX_ALTER) || f.core.alter == ALTER_SENT) { /* 3 is lagging: out of the ISR first */
            ck_assert(!f.core.yield.told);
            altered(&f, KAFKA_INELIGIBLE_REPLICA);
        }
        f.now_us += pause_us;
        at(&f, EV_TICK, 0);
        if (f.core.alter == ALTER_SENT)
            altered(&f, KAFKA_INELIGIBLE_REPLICA);
        f.now_us += 50000; /* what was refused is not proposed again before */
        f.core.members[2].caught_up_us = f.now_us;
        at(&f, EV_TICK, 0);
        ck_assert(!replica_takes_own_word(&f.core));
    }
}
END_TEST

/* Whether acks=1 is taken after each answer to "I give way". */
START_TEST(a_leader_whose_word_may_have_arrived_takes_nothing_on_its_own)
{
    static const struct {
        int16_t error;
        bool takes, again;
    } rows[] = {
        {KAFKA_NEW_LEADER_ELECTED, false, false},     {KAFKA_NONE, false, false},
        {KAFKA_INVALID_UPDATE_VERSION, false, false}, {KAFKA_NOT_CONTROLLER, false, true},
        {KAFKA_REQUEST_TIMED_OUT, false, true},       {KAFKA_OPERATION_NOT_ATTEMPTED, true, false},
        {KAFKA_INELIGIBLE_REPLICA, true, false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture f;
        asked_to_yield(&f);
        fetched(&f, 2, 20, 20);
        fetched(&f, 3, 20, 20);
        ck_assert(effect(&f, FX_ALTER)->gives_way);
        altered(&f, rows[i].error);
        ck_assert(replica_takes_own_word(&f.core) == rows[i].takes);
        f.now_us += 100000;
        at(&f, EV_TICK, 0);
        ck_assert((effect(&f, FX_ALTER) != NULL) == rows[i].again);
        ck_assert(!rows[i].again || effect(&f, FX_ALTER)->gives_way);
        state(&f, 1, 1, 3, 3); /* taken back */
        ck_assert(replica_takes_own_word(&f.core));
        ck_assert_int_eq(f.core.yield.asked, false);
    }
}
END_TEST

START_TEST(an_older_proposal_ends_before_a_leader_gives_way)
{
    struct fixture f;
    init(&f, 10, 10, 10);
    config(&f, 1, true);
    state(&f, 1, 1, 1, 2);
    fetched(&f, 2, 10, 10);
    fetched(&f, 3, 10, 10); /* joins */
    ck_assert_ptr_nonnull(effect(&f, FX_ALTER));
    step(&f, (struct replica_event){.type = EV_STATE, .state = {1, 1, 2, replicas, replicas, 3, 3, true}});
    ck_assert_ptr_null(effect(&f, FX_ALTER)); /* the answer to the first is due */
    ck_assert(replica_takes_own_word(&f.core));
    ck_assert_uint_eq(replica_deadline(&f.core), REPLICA_NO_DEADLINE);
    altered(&f, KAFKA_NONE);
    ck_assert_ptr_nonnull(effect(&f, FX_ALTER));
    ck_assert(effect(&f, FX_ALTER)->gives_way);
    step(&f, (struct replica_event){.type = EV_STATE, .state = {1, 1, 3, replicas, replicas, 3, 2, true}});
    ck_assert(!replica_takes_own_word(&f.core)); /* the ISR changed meanwhile: said again on top of that */
    altered(&f, KAFKA_INVALID_UPDATE_VERSION);
    ck_assert_int_eq(effect(&f, FX_ALTER)->epoch, 3);
    ck_assert(effect(&f, FX_ALTER)->gives_way);
}
END_TEST

START_TEST(the_metadata_may_be_faster_than_the_answer)
{
    struct fixture f;
    init(&f, 0, 0, 0);
    config(&f, 1, false);
    state(&f, 1, 1, 1, 1);
    fetched(&f, 2, 0, -1);
    ck_assert_ptr_nonnull(effect(&f, FX_ALTER));
    state(&f, 1, 1, 2, 2);
    fetched(&f, 3, 0, -1);
    ck_assert_ptr_null(effect(&f, FX_ALTER)); /* the first answer is still under way */
    altered(&f, KAFKA_NOT_CONTROLLER);        /* and tells nothing any more */
    ck_assert_int_eq(f.core.alter, ALTER_IDLE);
    fetched(&f, 3, 0, -1);
    ck_assert_uint_eq(effect(&f, FX_ALTER)->isr, 7);
}
END_TEST

START_TEST(a_member_that_lags_too_long_is_dropped_and_idle_needs_no_clock)
{
    struct fixture f;
    init(&f, 0, 0, 0);
    config(&f, 1, false);
    state(&f, 1, 1, 1, 3);
    fetched(&f, 2, 0, -1);
    fetched(&f, 3, 0, -1);
    ck_assert_uint_eq(replica_deadline(&f.core), REPLICA_NO_DEADLINE);
    f.now_us += 100 * LAG_US;
    at(&f, EV_APPENDED, 5);
    ck_assert_uint_eq(replica_deadline(&f.core), f.now_us + LAG_US + 1);
    fetched(&f, 3, 5, -1);
    f.now_us += LAG_US;
    at(&f, EV_TICK, 0);
    ck_assert_ptr_null(effect(&f, FX_ALTER));
    f.now_us += 1;
    at(&f, EV_TICK, 0);
    ck_assert_uint_eq(effect(&f, FX_ALTER)->isr, 5); /* places 0 and 2: brokers 1 and 3 */
    ck_assert_int_eq(f.core.high_watermark, 0);
    altered(&f, KAFKA_NONE);
    static const int32_t isr[] = {1, 3};
    step(&f, (struct replica_event){.type = EV_STATE, .state = {1, 1, 2, replicas, isr, 3, 2, false}});
    ck_assert_int_eq(f.core.high_watermark, 5);
    ck_assert_uint_eq(replica_deadline(&f.core), REPLICA_NO_DEADLINE);
}
END_TEST

START_TEST(a_follower_that_keeps_pace_stays_though_it_is_never_at_the_end)
{
    struct fixture f;
    init(&f, 0, 0, 0);
    config(&f, 1, true);
    state(&f, 1, 1, 1, 2);
    for (int64_t end = 10; end < 10000; end += 10) {
        f.now_us += LAG_US / 4;
        at(&f, EV_APPENDED, end);
        fetched(&f, 2, MAX(end - 10, 0), MAX(end - 20, 0)); /* always behind, by a constant */
        at(&f, EV_TICK, 0);
        ck_assert_ptr_null(effect(&f, FX_ALTER));
    }
    int64_t stuck = f.core.log_end - 20;
    for (int i = 0; i < 3; i++) { /* its disk hangs: positions move, durable ends do not */
        f.now_us += LAG_US;
        at(&f, EV_APPENDED, f.core.log_end + 10);
        fetched(&f, 2, f.core.log_end, stuck);
    }
    at(&f, EV_TICK, 0);
    ck_assert_uint_eq(effect(&f, FX_ALTER)->isr, 1);
}
END_TEST

START_TEST(a_newcomer_near_the_end_holds_the_high_watermark_only_for_the_lag_time)
{
    struct fixture f;
    init(&f, 0, 0, 0);
    config(&f, 1, false);
    state(&f, 1, 1, 1, 1);
    fetched(&f, 2, 0, -1);
    altered(&f, KAFKA_INELIGIBLE_REPLICA);
    at(&f, EV_APPENDED, 10);
    ck_assert_int_eq(f.core.high_watermark, 0); /* so that it can catch up */
    f.now_us = replica_deadline(&f.core);
    at(&f, EV_TICK, 0);
    ck_assert_int_eq(f.core.high_watermark, 10);
    ck_assert_uint_eq(replica_deadline(&f.core), REPLICA_NO_DEADLINE);
}
END_TEST

START_TEST(a_follower_learns_and_a_cut_takes_back)
{
    struct fixture f;
    init(&f, 10, 8, 2);
    state(&f, 2, 1, 1, 2);
    at(&f, EV_LEADER_HW, 7);
    ck_assert_int_eq(f.core.high_watermark, 7);
    at(&f, EV_LEADER_HW, 5);
    ck_assert_int_eq(f.core.high_watermark, 7);
    at(&f, EV_LEADER_HW, 50);
    ck_assert_int_eq(f.core.high_watermark, 10);
    at(&f, EV_TRUNCATED, 6);
    ck_assert_int_eq(f.core.high_watermark, 6);
    ck_assert_int_eq(f.core.synced_end, 6);
    at(&f, EV_LOG_START, 20); /* restarted beyond the end */
    ck_assert_int_eq(f.core.log_end, 20);
    ck_assert_int_eq(f.core.high_watermark, 20);
    ck_assert_uint_eq(replica_deadline(&f.core), REPLICA_NO_DEADLINE);
}
END_TEST

START_TEST(a_failed_log_stays_offline)
{
    struct fixture f;
    init(&f, 10, 8, 2);
    state(&f, 1, 1, 1, 2);
    at(&f, EV_FAILED, 0);
    ck_assert_int_eq(f.core.role, REPLICA_OFFLINE);
    ck_assert_ptr_nonnull(effect(&f, FX_ROLE));
    state(&f, 1, 2, 2, 2);
    ck_assert_int_eq(f.core.role, REPLICA_OFFLINE);
    ck_assert_int_eq(fetched(&f, 2, 0, 0), KAFKA_NOT_LEADER_OR_FOLLOWER);
}
END_TEST

START_TEST(a_recovered_high_watermark_is_kept_within_the_log)
{
    struct fixture f;
    init(&f, 10, 10, 50);
    ck_assert_int_eq(f.core.high_watermark, 10);
    init(&f, 10, 10, -1);
    ck_assert_int_eq(f.core.high_watermark, 0);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_leader_gives_way_when_the_others_hold_what_rests_on_its_word);
    tcase_add_test(tcase, followers_that_do_not_catch_up_soon_put_it_off);
    tcase_add_test(tcase, a_leader_whose_word_may_have_arrived_takes_nothing_on_its_own);
    tcase_add_test(tcase, an_older_proposal_ends_before_a_leader_gives_way);
    tcase_add_test(tcase, the_metadata_decides_the_role);
    tcase_add_test(tcase, an_old_or_equal_state_changes_nothing);
    tcase_add_test(tcase, only_a_leader_takes_fetches_and_only_of_its_epoch);
    tcase_add_test(tcase, a_fetch_of_a_brokers_former_life_is_refused);
    tcase_add_test(tcase, the_high_watermark_is_the_smallest_end_of_the_maximal_isr);
    tcase_add_test(tcase, where_the_topic_syncs_only_durable_ends_count);
    tcase_add_test(tcase, below_min_isr_the_high_watermark_stands);
    tcase_add_test(tcase, nobody_joins_before_it_has_our_epochs_start);
    tcase_add_test(tcase, one_proposal_at_a_time_and_each_answer_has_its_consequence);
    tcase_add_test(tcase, a_proposal_made_again_lets_in_nobody_who_has_lost_something_since);
    tcase_add_test(tcase, the_metadata_may_be_faster_than_the_answer);
    tcase_add_test(tcase, a_member_that_lags_too_long_is_dropped_and_idle_needs_no_clock);
    tcase_add_test(tcase, a_follower_that_keeps_pace_stays_though_it_is_never_at_the_end);
    tcase_add_test(tcase, a_newcomer_near_the_end_holds_the_high_watermark_only_for_the_lag_time);
    tcase_add_test(tcase, a_follower_learns_and_a_cut_takes_back);
    tcase_add_test(tcase, a_failed_log_stays_offline);
    tcase_add_test(tcase, a_recovered_high_watermark_is_kept_within_the_log);
}

SLUICE_TEST_MAIN("broker_replica", add)
