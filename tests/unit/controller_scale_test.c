/* SPDX-License-Identifier: Apache-2.0 */
/* A hundred thousand partitions: a fence is cut into entries, a new controller finishes one that a former
 * left half-way, and the time of each step is printed. */
#include "tests/lib/unit.h"

#include <stdio.h>
#include <time.h>

#include "common/base/assert.h"
#include "controller/core/core.h"
#include "proto/kafka/api.h"
#include "proto/kafka/error.h"
#include "proto/kafka/gen/create_topics.h"
#include "proto/kafka/gen/delete_topics.h"

#define BROKERS  3
#define TOPICS   10
#define INFLIGHT (CORE_INFLIGHT_MAX + 100)

struct world {
    struct core core;
    struct image *image;
    struct iobuf *inflight[INFLIGHT];
    uint64_t tokens[INFLIGHT];
    int count;
};

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void take(struct world *w, const struct core_effects *effects)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        if (effects->items[i].type != FX_PROPOSE)
            continue;
        ck_assert_int_lt(w->count, INFLIGHT);
        ck_assert_int_le(effects->items[i].records_count, META_ENTRY_RECORDS_MAX);
        w->tokens[w->count] = effects->items[i].token;
        w->inflight[w->count++] = iobuf_ref(effects->items[i].records);
    }
}

static void apply(struct world *w, struct iobuf *records)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 64 << 20);
    struct reader r = reader_over(records->data, records->len);
    struct image_edit *edit = image_edit_begin(w->image);
    struct meta_record record;
    while (reader_left(&r) > 0) {
        ASSERT(meta_record_decode(&r, &arena, &record) == OK); /* libcheck's own would be timed too */
        ASSERT(image_edit_apply(edit, &record) == OK);
    }
    struct image *former = w->image;
    w->image = image_edit_commit(edit, image_index(former) + 1, 1);
    image_unref(former);
    iobuf_unref(records);
    arena_free(&arena);
}

/* Commits the first n of what is in flight, with the core told. */
static void commit(struct world *w, int n)
{
    for (int i = 0; i < n; i++) {
        apply(w, w->inflight[i]);
        take(w, core_committed(&w->core, 0, w->tokens[i], w->image));
    }
    for (int i = n; i < w->count; i++) {
        w->inflight[i - n] = w->inflight[i];
        w->tokens[i - n] = w->tokens[i];
    }
    w->count -= n;
}

static void register_as(struct world *w, int32_t id, uint8_t life, uint64_t now_us)
{
    struct meta_endpoint endpoint = {.name = STR_LIT("P"), .host = STR_LIT("h"), .port = 1};
    struct rpc_register_broker_request registration = {.broker_id = id,
                                                       .incarnation_id = {{life, (uint8_t)id}},
                                                       .directory_id = {{(uint8_t)id, life}},
                                                       .rack = STR_NULL,
                                                       .endpoints = &endpoint,
                                                       .endpoints_count = 1,
                                                       .clean_start = true};
    take(w, core_register_broker(&w->core, now_us, 1, &registration));
}

static void bring_up(struct world *w, int32_t id)
{
    register_as(w, id, 1, 0);
    commit(w, w->count);
    struct rpc_heartbeat_request beat = {.broker_id = id,
                                         .broker_epoch = image_broker(w->image, id)->epoch,
                                         .metadata_index = image_index(w->image)};
    take(w, core_heartbeat(&w->core, 0, 2, &beat));
    commit(w, w->count);
}

static void create_topics(struct world *w, int count)
{
    static const char *const names[TOPICS] = {"t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9"};
    for (int t = 0; t < count; t++) {
        struct kafka_create_topics_request_topic topic;
        kafka_create_topics_request_topic_init(&topic);
        topic.name = str_from(names[t]);
        topic.num_partitions = CORE_PARTITIONS_PER_REQUEST_MAX;
        topic.replication_factor = BROKERS;
        struct kafka_create_topics_request request = {.topics = &topic, .topics_count = 1};
        take(w, core_admin(&w->core, 0, 3, KAFKA_API_CREATE_TOPICS, 7, &request));
        commit(w, w->count);
    }
}

static void start_empty(struct world *w)
{
    struct core_config config = core_config_defaults();
    config.cluster_id = (struct uuid){{1}};
    w->image = image_new();
    w->count = 0;
    core_init(&w->core, &config);
    take(w, core_activate(&w->core, 0, 1, w->image, 1));
    commit(w, w->count);
    for (int32_t id = 1; id <= BROKERS; id++)
        bring_up(w, id);
}

static void start(struct world *w)
{
    start_empty(w);
    create_topics(w, TOPICS);
    ck_assert_uint_eq(image_partition_count(w->image), TOPICS * CORE_PARTITIONS_PER_REQUEST_MAX);
}

static void stop(struct world *w)
{
    core_free(&w->core);
    image_unref(w->image);
}

struct led {
    const struct image *image;
    int32_t broker_id;
    int count;
};

static bool count_led(void *ctx, const struct image_topic *topic)
{
    struct led *led = ctx;
    for (int32_t i = 0; i < topic->partitions_count; i++)
        led->count += image_partition(led->image, topic, i)->leader == led->broker_id;
    return true;
}

static int leaderships(const struct image *image, int32_t broker_id)
{
    struct led led = {image, broker_id, 0};
    image_each_topic(image, count_led, &led);
    return led.count;
}

static void beat(struct world *w, int32_t id, uint64_t now_us)
{
    struct rpc_heartbeat_request request = {.broker_id = id,
                                            .broker_epoch = image_broker(w->image, id)->epoch,
                                            .metadata_index = image_index(w->image)};
    take(w, core_heartbeat(&w->core, now_us, 4, &request));
}

START_TEST(a_fence_is_cut_into_entries_and_a_new_controller_finishes_it)
{
    struct world w;
    start(&w);
    ck_assert_int_gt(leaderships(w.image, 1), 33000);
    beat(&w, 2, 2000000);
    beat(&w, 3, 2000000);
    double t0 = seconds();
    take(&w, core_tick(&w.core, 3000000));
    double t1 = seconds();
    ck_assert_int_ge(w.count, 20); /* every partition has broker 1 in its ISR */
    core_check(&w.core);
    commit(&w, 5); /* the rest is lost with the leadership */
    for (int i = 0; i < w.count; i++)
        iobuf_unref(w.inflight[i]);
    w.count = 0;
    take(&w, core_deactivate(&w.core, 3000000));
    ck_assert_int_gt(leaderships(w.image, 1), 0);
    ck_assert(image_broker(w.image, 1)->fenced);
    double t2 = seconds();
    take(&w, core_activate(&w.core, 3000001, 1, w.image, 2));
    double t3 = seconds();
    commit(&w, w.count);
    double t4 = seconds();
    ck_assert_int_eq(leaderships(w.image, 1), 0);
    ck_assert_int_eq(leaderships(w.image, NODE_NONE), 0);
    core_check(&w.core);
    fprintf(stderr,
            "# 100k partitions: fence planned in %.0f ms, activation with repair %.0f ms, decoded and "
            "applied in %.0f ms\n",
            (t1 - t0) * 1e3, (t3 - t2) * 1e3, (t4 - t3) * 1e3);
    stop(&w);
}
END_TEST

static bool count_eligible(void *ctx, const struct image_topic *topic)
{
    struct led *found = ctx;
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        const struct image_partition *p = image_partition(found->image, topic, i);
        for (int32_t n = 0; n < p->elr_count; n++)
            found->count += p->elr[n] == found->broker_id;
    }
    return true;
}

static int eligible(const struct image *image, int32_t broker_id)
{
    struct led found = {image, broker_id, 0};
    image_each_topic(image, count_eligible, &found);
    return found.count;
}

/* All are fenced, broker 1 last: it alone is eligible for everything. */
static void leave_one_eligible(struct world *w)
{
    beat(w, 1, 2000000);
    take(w, core_tick(&w->core, 3000000));
    commit(w, w->count);
    take(w, core_tick(&w->core, 5000000));
    commit(w, w->count);
    ck_assert_int_eq(eligible(w->image, 1), CORE_PARTITIONS_PER_REQUEST_MAX);
}

/* The first entry is committed, the others go with the leadership; the next controller grants full sessions.
 */
static void change_controller_after_one(struct world *w)
{
    ck_assert_int_gt(w->count, 2);
    commit(w, 1);
    for (int i = 0; i < w->count; i++)
        iobuf_unref(w->inflight[i]);
    w->count = 0;
    take(w, core_deactivate(&w->core, 5000000));
    take(w, core_activate(&w->core, 5000001, 1, w->image, 2));
    commit(w, w->count);
    take(w, core_tick(&w->core, 9000000));
    commit(w, w->count);
}

START_TEST(what_a_broker_lost_is_settled_though_its_controller_dies_meanwhile)
{
    struct world w;
    start_empty(&w);
    create_topics(&w, 1);
    leave_one_eligible(&w);
    register_as(&w, 1, 2, 5000000); /* with another disk */
    change_controller_after_one(&w);
    ck_assert_int_gt(eligible(w.image, 1), 0);
    register_as(&w, 1, 2, 9000000); /* it was not answered */
    commit(&w, w.count);
    ck_assert_int_eq(eligible(w.image, 1), 0);
    ck_assert_uint_eq(image_broker(w.image, 1)->directory_id.b[1], 2);
    core_check(&w.core);
    stop(&w);
}
END_TEST

static int16_t ask_for_ids(struct world *w)
{
    struct rpc_producer_ids_request request = {1, image_broker(w->image, 1)->epoch};
    const struct core_effects *effects = core_producer_ids(&w->core, 0, 5, &request);
    take(w, effects);
    bool answered = effects->count > 0 && effects->items[0].type == FX_REPLY;
    return answered ? effects->items[0].reply.producer_ids.error : -1;
}

START_TEST(with_too_much_in_flight_only_vital_requests_get_through)
{
    struct world w;
    start_empty(&w);
    for (int i = 0; i < CORE_INFLIGHT_MAX; i++)
        ck_assert_int_eq(ask_for_ids(&w), -1); /* waits for its commit */
    ck_assert_int_eq(ask_for_ids(&w), KAFKA_THROTTLING_QUOTA_EXCEEDED);
    ck_assert_int_eq(w.count, CORE_INFLIGHT_MAX);
    for (int32_t id = 1; id <= BROKERS; id++)
        beat(&w, id, 2000000);
    ck_assert_uint_eq(core_deadline(&w.core), 5000000); /* sessions live on */
    commit(&w, w.count);
    ck_assert_int_eq(ask_for_ids(&w), -1);
    core_check(&w.core);
    commit(&w, w.count);
    stop(&w);
}
END_TEST

START_TEST(heartbeats_keep_sessions_even_when_no_answer_fits)
{
    struct world w;
    start_empty(&w);
    ck_assert_int_eq(ask_for_ids(&w), -1);
    for (int i = 1; i < CORE_WAITERS_MAX; i++)
        beat(&w, 1, 1);
    beat(&w, 1, 1000000);
    ck_assert_uint_eq(w.core.waiters_count, CORE_WAITERS_MAX);
    take(&w, core_tick(&w.core, 3000000)); /* the others are silent */
    ck_assert_uint_eq(core_live_brokers(&w.core), 1);
    core_check(&w.core);
    commit(&w, w.count);
    stop(&w);
}
END_TEST

START_TEST(a_request_with_a_hundred_thousand_names_takes_linear_time)
{
    enum { NAMES = 100000 };
    static char texts[NAMES][8];
    static struct str names[NAMES];
    struct world w;
    start_empty(&w);
    for (int i = 0; i < NAMES; i++) {
        snprintf(texts[i], sizeof(texts[i]), "n%d", i / 2 * 2 == NAMES / 2 ? 7 : i);
        names[i] = str_from(texts[i]);
    }
    struct kafka_delete_topics_request request = {.topic_names = names, .topic_names_count = NAMES};
    double t0 = seconds();
    const struct core_effects *effects = core_admin(&w.core, 0, 6, KAFKA_API_DELETE_TOPICS, 5, &request);
    double t1 = seconds();
    ck_assert_uint_eq(effects->count, 1);
    const struct kafka_delete_topics_response *response = effects->items[0].reply.admin.response;
    ck_assert_int_eq(response->responses_count, NAMES);
    ck_assert_int_eq(response->responses[8].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
    ck_assert_int_eq(response->responses[7].error_code, KAFKA_INVALID_REQUEST); /* named three times */
    ck_assert_int_eq(response->responses[NAMES / 2].error_code, KAFKA_INVALID_REQUEST);
    fprintf(stderr, "# 100k names: %.0f ms\n", (t1 - t0) * 1e3);
    ck_assert_msg(t1 - t0 < 5, "not linear");
    stop(&w);
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, a_request_with_a_hundred_thousand_names_takes_linear_time);
    tcase_add_test(tc, what_a_broker_lost_is_settled_though_its_controller_dies_meanwhile);
    tcase_add_test(tc, with_too_much_in_flight_only_vital_requests_get_through);
    tcase_add_test(tc, heartbeats_keep_sessions_even_when_no_answer_fits);
    tcase_add_test(tc, a_fence_is_cut_into_entries_and_a_new_controller_finishes_it);
}

SLUICE_TEST_MAIN("controller_scale", add)
