/* SPDX-License-Identifier: Apache-2.0 */
/* Three replica cores, a controller and logs as plain arrays, driven by random events: elections, stale
 * leaders, lost and late messages, crashes that lose what was not synced. The model knows what was ever
 * committed; nothing of it may be lost or change. */
#include <string.h>

#include "broker/core/epoch_cache.h"
#include "broker/core/replica.h"
#include "common/base/assert.h"
#include "common/base/prng.h"
#include "proto/kafka/error.h"
#include "tests/lib/unit.h"

#define NODES   3
#define LOG_MAX 4000
#define LAG_US  50000u
#define STEPS   1200
#define SEEDS   100

struct record {
    int64_t epoch; /* no padding: logs are compared as bytes */
    int64_t value;
};

struct node {
    struct replica core;
    struct replica_member members[NODES];
    struct epoch_cache epochs;
    struct record log[LOG_MAX];
    bool alive;
    int64_t broker_epoch;
    int64_t kept_high; /* the high watermark that survives a crash; may be stale */
    int64_t high_seen; /* as leader in the present epoch */
    int32_t epoch_seen;
};

struct world {
    struct prng prng;
    uint64_t now_us;
    struct node nodes[NODES];
    bool sync; /* the topic syncs before it acknowledges */
    int32_t min_isr;
    /* the controller's truth */
    int32_t leader, leader_epoch, partition_epoch;
    bool isr[NODES];
    int64_t registered[NODES];
    /* a proposal under way from node asker; it arrives some time */
    bool asked[NODES];
    int32_t asked_epoch[NODES];
    uint64_t asked_isr[NODES];
    /* everything below committed_end was at some time below a leader's high watermark */
    struct record committed[LOG_MAX];
    int64_t committed_end;
    int64_t next_value;
    uint64_t elections, truncations, expansions, crashes;
};

static void *resize(void *ctx, void *old, size_t old_size, size_t new_size)
{
    if (new_size > 0)
        return realloc(old, new_size);
    free(old);
    return NULL;
}

static const struct core_alloc alloc = {.resize = resize};

static bool chance(struct world *w, uint64_t one_in)
{
    return prng_below(&w->prng, one_in) == 0;
}

/* -- what must hold -- */

static void commit(struct world *w, struct node *n)
{
    int64_t high = n->core.high_watermark;
    for (; w->committed_end < high; w->committed_end++)
        w->committed[w->committed_end] = n->log[w->committed_end];
    ck_assert_msg(memcmp(w->committed, n->log, (size_t)high * sizeof(n->log[0])) == 0,
                  "a committed record changed");
}

static void check(struct world *w)
{
    for (int i = 0; i < NODES; i++) {
        struct node *n = &w->nodes[i];
        epoch_cache_check(&n->epochs);
        if (n->core.log_end > 0)
            ck_assert_int_eq(epoch_cache_at(&n->epochs, n->core.log_end - 1),
                             n->log[n->core.log_end - 1].epoch);
        if (!n->alive)
            continue;
        commit(w, n);
        if (n->core.role != REPLICA_LEADER)
            continue;
        if (n->epoch_seen == n->core.leader_epoch)
            ck_assert_int_ge(n->core.high_watermark, n->high_seen);
        n->epoch_seen = n->core.leader_epoch;
        n->high_seen = n->core.high_watermark;
        if (w->leader == i &&
            w->leader_epoch == n->core.leader_epoch) /* the real leader has all that was committed */
            ck_assert_int_ge(n->core.log_end, w->committed_end);
    }
}

/* -- stepping a core -- */

static void run(struct world *w, int i, struct replica_event event)
{
    struct node *n = &w->nodes[i];
    struct replica_effects fx;
    event.now_us = w->now_us;
    replica_step(&n->core, &event, &fx);
    for (int32_t k = 0; k < fx.count; k++) {
        const struct replica_effect *e = &fx.list[k];
        if (e->type == FX_EPOCH_START)
            ck_assert_int_eq(epoch_cache_assign(&n->epochs, e->epoch, e->offset, NULL), OK);
        if (e->type == FX_ALTER) {
            ck_assert(!w->asked[i]);
            w->asked[i] = true;
            w->asked_epoch[i] = e->epoch;
            w->asked_isr[i] = e->isr;
        }
    }
}

static void at(struct world *w, int i, enum replica_event_type type, int64_t offset)
{
    run(w, i, (struct replica_event){.type = type, .offset = offset});
}

static void tell_state(struct world *w, int i)
{
    int32_t replicas[NODES], isr[NODES], isr_count = 0;
    for (int k = 0; k < NODES; k++) {
        replicas[k] = k;
        if (w->isr[k])
            isr[isr_count++] = k;
    }
    run(w, i,
        (struct replica_event){.type = EV_STATE,
                               .state = {.leader = w->leader,
                                         .leader_epoch = w->leader_epoch,
                                         .partition_epoch = w->partition_epoch,
                                         .replicas = replicas,
                                         .replicas_count = NODES,
                                         .isr = isr,
                                         .isr_count = isr_count}});
}

static void start(struct world *w, int i, int64_t log_end, int64_t synced_end)
{
    struct node *n = &w->nodes[i];
    struct replica_setup setup = {.broker_id = i,
                                  .lag_time_max_us = LAG_US,
                                  .log_end = log_end,
                                  .synced_end = synced_end,
                                  .high_watermark = n->kept_high};
    replica_init(&n->core, &setup);
    memset(n->members, 0, sizeof(n->members));
    replica_give_members(&n->core, n->members, NODES);
    n->alive = true;
    n->epoch_seen = -1;
    w->registered[i] = n->broker_epoch = ++w->next_value;
    run(w, i, (struct replica_event){.type = EV_CONFIG, .config = {w->min_isr, w->sync}});
}

/* -- the controller -- */

static int isr_size(const struct world *w)
{
    int size = 0;
    for (int i = 0; i < NODES; i++)
        size += w->isr[i];
    return size;
}

/* A leader from the ISR, or none. */
static void elect(struct world *w)
{
    int32_t from = (int32_t)prng_below(&w->prng, NODES);
    w->leader = -1;
    for (int32_t k = 0; k < NODES && w->leader < 0; k++) {
        int32_t i = (from + k) % NODES;
        if (w->isr[i] && w->nodes[i].alive)
            w->leader = i;
    }
    w->leader_epoch++;
    w->partition_epoch++;
    w->elections++;
}

static void fence(struct world *w, int i)
{
    bool led = w->leader == i;
    w->registered[i] = -1;
    if (w->isr[i] && isr_size(w) > 1) {
        w->isr[i] = false;
        w->partition_epoch++;
    }
    if (led)
        elect(w);
}

static void answer_alter(struct world *w, int i)
{
    int16_t error = KAFKA_NONE;
    w->asked[i] = false;
    if (w->leader != i || w->asked_epoch[i] != w->partition_epoch)
        error = KAFKA_INVALID_UPDATE_VERSION;
    for (int k = 0; k < NODES && error == KAFKA_NONE; k++)
        if ((w->asked_isr[i] >> k & 1) && w->registered[k] < 0)
            error = KAFKA_INELIGIBLE_REPLICA;
    if (error == KAFKA_NONE) {
        for (int k = 0; k < NODES; k++) {
            w->expansions += !w->isr[k] && (w->asked_isr[i] >> k & 1);
            w->isr[k] = w->asked_isr[i] >> k & 1;
        }
        w->partition_epoch++;
    }
    if (chance(w, 8))
        error = KAFKA_REQUEST_TIMED_OUT; /* done or not, the answer is lost */
    if (w->nodes[i].alive)
        run(w, i, (struct replica_event){.type = EV_ALTERED, .error = error});
}

/* -- data -- */

static void append(struct world *w, int i)
{
    struct node *n = &w->nodes[i];
    int64_t end = n->core.log_end, count = 1 + (int64_t)prng_below(&w->prng, 3);
    if (n->core.role != REPLICA_LEADER || end + count >= LOG_MAX)
        return;
    ck_assert_int_eq(epoch_cache_assign(&n->epochs, n->core.leader_epoch, end, NULL), OK);
    for (int64_t k = 0; k < count; k++)
        n->log[end + k] = (struct record){n->core.leader_epoch, ++w->next_value};
    at(w, i, EV_APPENDED, end + count);
}

static void cut(struct world *w, int i, int64_t offset)
{
    struct node *n = &w->nodes[i];
    epoch_cache_truncate_end(&n->epochs, offset);
    if (offset >= n->core.log_end)
        return;
    w->truncations++;
    at(w, i, EV_TRUNCATED, offset);
}

/* What partition_follow.c does, without bytes. */
static void fetch(struct world *w, int i)
{
    struct node *n = &w->nodes[i], *l;
    if (n->core.role != REPLICA_FOLLOWER || !w->nodes[n->core.leader].alive)
        return;
    int leader = n->core.leader;
    l = &w->nodes[leader];
    int32_t epoch = n->core.leader_epoch, last = epoch_cache_latest(&n->epochs), found;
    int64_t position = n->core.log_end, end;
    if (l->core.role != REPLICA_LEADER || replica_check_epoch(&l->core, epoch) != KAFKA_NONE)
        return;
    if (position > l->core.log_end) {
        cut(w, i, l->core.log_end);
        return;
    }
    epoch_cache_end(&l->epochs, last, l->core.log_end, &found, &end);
    if (last >= 0 && found < 0)
        return; /* out of range and within: resume */
    if (last >= 0 && (found < last || end < position)) {
        cut(w, i, epoch_cache_divergence(&n->epochs, found, end, position));
        return;
    }
    run(w, leader,
        (struct replica_event){.type = EV_FETCHED,
                               .fetched = {.broker_id = i,
                                           .broker_epoch = n->broker_epoch,
                                           .registered_epoch = w->registered[i],
                                           .position = position,
                                           .durable = n->core.synced_end,
                                           .leader_epoch = epoch}});
    int64_t high = l->core.high_watermark, upto = position + (int64_t)prng_below(&w->prng, 6);
    upto = MIN(upto, l->core.log_end);
    if (chance(w, 5))
        return; /* the answer is lost */
    for (int64_t o = position; o < upto; o++) {
        n->log[o] = l->log[o];
        ck_assert_int_eq(epoch_cache_assign(&n->epochs, n->log[o].epoch, o, NULL), OK);
    }
    if (upto > position)
        at(w, i, EV_APPENDED, upto);
    at(w, i, EV_LEADER_HW, high);
}

static void crash(struct world *w, int i)
{
    struct node *n = &w->nodes[i];
    n->alive = false;
    if (chance(w, 2))
        n->kept_high = n->core.high_watermark;
    int64_t end = n->core.log_end;
    if (w->sync && end > n->core.synced_end) /* power cut: any part of what was not synced is gone */
        end = n->core.synced_end + (int64_t)prng_below(&w->prng, (uint64_t)(end - n->core.synced_end) + 1);
    n->core.log_end = end;
    n->kept_high = MIN(n->kept_high, end);
    epoch_cache_truncate_end(&n->epochs, end);
    w->asked[i] = false; /* a new life knows nothing of it */
    w->crashes++;
    fence(w, i);
}

static void restart(struct world *w, int i)
{
    int64_t end = w->nodes[i].core.log_end;
    start(w, i, end, end);
    if (w->leader < 0)
        elect(w);
}

/* -- one random thing -- */

static void act(struct world *w)
{
    int i = (int)prng_below(&w->prng, NODES);
    struct node *n = &w->nodes[i];
    uint64_t what = prng_below(&w->prng, 100);
    w->now_us += prng_below(&w->prng, 3000);
    if (what < 1 && n->alive)
        crash(w, i);
    else if (what < 6 && !n->alive)
        restart(w, i);
    else if (what < 8 && w->leader >= 0 && isr_size(w) > 1)
        elect(w);
    else if (!n->alive)
        return;
    else if (what < 30)
        append(w, i);
    else if (what < 45)
        at(w, i, EV_SYNCED,
           n->core.synced_end +
               (int64_t)prng_below(&w->prng, (uint64_t)(n->core.log_end - n->core.synced_end) + 1));
    else if (what < 80)
        fetch(w, i);
    else if (what < 90)
        tell_state(w, i);
    else if (what < 95 && w->asked[i])
        answer_alter(w, i);
    else
        at(w, i, EV_TICK, 0);
}

static bool converged(const struct world *w)
{
    const struct node *l = w->leader >= 0 ? &w->nodes[w->leader] : NULL;
    for (int i = 0; i < NODES; i++)
        if (l == NULL || !w->isr[i] || w->nodes[i].core.high_watermark != l->core.log_end ||
            w->nodes[i].core.log_end != l->core.log_end)
            return false;
    return true;
}

/* Everybody is back and talks: all must end up equal. */
static void heal(struct world *w)
{
    for (int i = 0; i < NODES; i++)
        if (!w->nodes[i].alive)
            restart(w, i);
    if (w->leader < 0)
        elect(w);
    for (int round = 0; round < 3000 && !converged(w); round++) {
        w->now_us += 1000;
        for (int i = 0; i < NODES; i++) {
            tell_state(w, i);
            at(w, i, EV_SYNCED, w->nodes[i].core.log_end);
            fetch(w, i);
            if (w->asked[i])
                answer_alter(w, i);
            at(w, i, EV_TICK, 0);
        }
        check(w);
    }
    struct node *l = &w->nodes[w->leader];
    ck_assert_int_eq(isr_size(w), NODES);
    for (int i = 0; i < NODES; i++) {
        struct node *n = &w->nodes[i];
        ck_assert_int_eq(n->core.log_end, l->core.log_end);
        ck_assert_int_eq(n->core.high_watermark, l->core.log_end);
        ck_assert_int_eq(memcmp(n->log, l->log, (size_t)l->core.log_end * sizeof(n->log[0])), 0);
    }
}

static void run_seed(struct world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    prng_seed(&w->prng, seed);
    w->now_us = 1000000;
    w->sync = seed % 3 != 0;
    w->min_isr = 1 + (int32_t)(seed % 2);
    for (int i = 0; i < NODES; i++) {
        epoch_cache_init(&w->nodes[i].epochs, &alloc);
        start(w, i, 0, 0);
        w->isr[i] = true;
    }
    elect(w);
    for (int i = 0; i < STEPS; i++) {
        act(w);
        check(w);
    }
    heal(w);
    for (int i = 0; i < NODES; i++)
        epoch_cache_free(&w->nodes[i].epochs);
}

START_TEST(nothing_committed_is_ever_lost)
{
    struct world *w = malloc(sizeof(*w));
    uint64_t elections = 0, truncations = 0, expansions = 0, crashes = 0, committed = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_seed(w, seed);
        elections += w->elections;
        truncations += w->truncations;
        expansions += w->expansions;
        crashes += w->crashes;
        committed += (uint64_t)w->committed_end;
    }
    /* a run in which nothing happened proves nothing */
    ck_assert_uint_gt(elections, SEEDS * 5);
    ck_assert_uint_gt(truncations, SEEDS / 2);
    ck_assert_uint_gt(expansions, SEEDS);
    ck_assert_uint_gt(crashes, SEEDS * 2);
    ck_assert_uint_gt(committed, SEEDS * 50);
    free(w);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, nothing_committed_is_ever_lost);
}

SLUICE_TEST_MAIN("broker_replica_model", add)
