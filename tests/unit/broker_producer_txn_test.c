/* SPDX-License-Identifier: Apache-2.0 */
/* Transactions in a producer's state against a plain list of what stands in the log. */
#include <string.h>

#include "broker/core/producer_state.h"
#include "common/base/assert.h"
#include "common/base/prng.h"
#include "proto/kafka/error.h"
#include "tests/lib/unit.h"

#define PRODUCERS 4
#define STEPS     4000
#define EXPIRY_US (1ull << 40)

/* One entry of the log, one record each. */
struct entry {
    int64_t producer_id;
    int16_t epoch;
    bool marker;
};

struct model {
    struct producer_state state;
    struct prng prng;
    struct entry log[STEPS];
    int64_t end, high;
    int16_t epochs[PRODUCERS];
    int32_t sequences[PRODUCERS];
};

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

static const struct core_alloc alloc = {.resize = resize};

/* Where the producer's transaction that is open at `end` begins, -1: none is. */
static int64_t open_since(const struct model *m, int64_t producer_id, int64_t end)
{
    int64_t since = -1;
    for (int64_t i = 0; i < end; i++)
        if (m->log[i].producer_id == producer_id)
            since = m->log[i].marker ? -1 : since < 0 ? i : since;
    return since;
}

/* The first offset whose fate a reader below the high watermark does not know. */
static int64_t first_unstable(const struct model *m)
{
    int64_t first = INT64_MAX;
    for (int64_t id = 0; id < PRODUCERS; id++) {
        int64_t since = open_since(m, id, m->high);
        for (int64_t i = m->high; since < 0 && i < m->end; i++) /* begun above it, ended or not */
            since = m->log[i].producer_id == id && !m->log[i].marker ? i : since;
        first = since >= 0 ? MIN(first, since) : first;
    }
    return first;
}

static void update(struct model *m, int64_t id)
{
    struct producer_batch batch = {.producer_id = id,
                                   .producer_epoch = m->epochs[id],
                                   .first_sequence = m->sequences[id],
                                   .last_sequence = m->sequences[id],
                                   .last_offset = m->end,
                                   .timestamp_ms = m->end,
                                   .transactional = true};
    ck_assert_int_eq(producer_state_reserve_txn(&m->state), OK);
    ck_assert_int_eq(producer_state_update(&m->state, &batch, 1), OK);
    m->sequences[id]++;
    m->log[m->end++] = (struct entry){.producer_id = id, .epoch = m->epochs[id]};
}

static void mark(struct model *m, int64_t id)
{
    struct producer_marker marker = {.producer_id = id,
                                     .producer_epoch = (int16_t)(m->epochs[id] + 1),
                                     .coordinator_epoch = 1,
                                     .offset = m->end,
                                     .timestamp_ms = m->end};
    struct producer_txn ended;
    int64_t stable, written, since = open_since(m, id, m->end);
    ck_assert_int_eq(producer_state_judge_marker(&m->state, &marker, true, &written), KAFKA_NONE);
    ck_assert_int_eq(written, -1);
    ck_assert_int_eq(producer_state_marker(&m->state, &marker, 1, &ended, &stable), OK);
    ck_assert_int_eq(ended.first_offset, since);
    m->epochs[id]++;
    m->sequences[id] = 0;
    m->log[m->end++] = (struct entry){.producer_id = id, .epoch = m->epochs[id], .marker = true};
    int64_t first = m->end;
    for (int64_t i = 0; i < PRODUCERS; i++) {
        int64_t other = open_since(m, i, m->end);
        first = other >= 0 ? MIN(first, other) : first;
    }
    ck_assert_int_eq(stable, first);
}

static void compare(struct model *m)
{
    for (int64_t id = 0; id < PRODUCERS; id++)
        ck_assert_int_eq(producer_state_open_txn(&m->state, id), open_since(m, id, m->end));
    ck_assert_int_eq(producer_state_first_unstable(&m->state, m->high), first_unstable(m));
}

START_TEST(it_agrees_with_the_log_itself)
{
    static struct model m;
    memset(&m, 0, sizeof(m));
    producer_state_init(&m.state, &alloc, EXPIRY_US);
    prng_seed(&m.prng, (uint64_t)_i);
    while (m.end < 400) {
        int64_t id = (int64_t)prng_below(&m.prng, PRODUCERS);
        if (prng_below(&m.prng, 3) > 0)
            update(&m, id);
        else if (open_since(&m, id, m.end) >= 0)
            mark(&m, id);
        if (prng_below(&m.prng, 2) == 0)
            m.high += (int64_t)prng_below(&m.prng, (uint64_t)(m.end - m.high) + 1);
        compare(&m);
    }
    producer_state_free(&m.state);
}
END_TEST

START_TEST(markers_of_version_1_end_what_their_epoch_began)
{
    struct producer_state state;
    struct producer_txn ended;
    int64_t written, stable;
    struct producer_batch batch = {
        .producer_id = 5, .producer_epoch = 3, .last_offset = 10, .transactional = true};
    struct producer_marker marker = {
        .producer_id = 5, .producer_epoch = 3, .coordinator_epoch = 7, .offset = 11};
    producer_state_init(&state, &alloc, EXPIRY_US);
    ck_assert_int_eq(producer_state_reserve_txn(&state), OK);
    ck_assert_int_eq(producer_state_update(&state, &batch, 1), OK);
    ck_assert_int_eq(producer_state_judge_marker(&state, &marker, true, &written),
                     KAFKA_INVALID_PRODUCER_EPOCH);
    ck_assert_int_eq(producer_state_judge_marker(&state, &marker, false, &written), KAFKA_NONE);
    ck_assert_int_eq(written, -1);
    ck_assert_int_eq(producer_state_marker(&state, &marker, 1, &ended, &stable), OK);
    ck_assert_int_eq(ended.first_offset, 10);
    ck_assert_int_eq(ended.last_offset, 11);
    ck_assert_int_eq(stable, 12);
    ck_assert_int_eq(producer_state_last_marker(&state, 5), 11);
    ck_assert_int_eq(producer_state_epoch(&state, 5), 3);
    marker.coordinator_epoch = 6;
    ck_assert_int_eq(producer_state_judge_marker(&state, &marker, false, &written),
                     KAFKA_TRANSACTION_COORDINATOR_FENCED);
    producer_state_free(&state);
}
END_TEST

START_TEST(a_marker_makes_its_producer_known)
{
    struct producer_state state;
    struct producer_txn ended;
    struct producer_batch original;
    int64_t stable;
    struct producer_marker marker = {
        .producer_id = 5, .producer_epoch = 4, .coordinator_epoch = 7, .offset = 2};
    struct producer_batch zombie = {.producer_id = 5, .producer_epoch = 3, .transactional = true};
    producer_state_init(&state, &alloc, EXPIRY_US);
    ck_assert_int_eq(producer_state_marker(&state, &marker, 1, &ended, &stable), OK);
    ck_assert_int_eq(ended.first_offset, -1);
    ck_assert_int_eq(producer_state_open_txn(&state, 5), -1);
    ck_assert_int_eq(producer_state_judge(&state, &zombie, &original), PRODUCER_FENCED);
    producer_state_free(&state);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_loop_test(tcase, it_agrees_with_the_log_itself, 1, 30);
    tcase_add_test(tcase, markers_of_version_1_end_what_their_epoch_began);
    tcase_add_test(tcase, a_marker_makes_its_producer_known);
}

SLUICE_TEST_MAIN("broker_producer_txn", add)
