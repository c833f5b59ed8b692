/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of every event of the controller core fails in turn: the request is refused or done, never
 * half of it, the invariants hold, and the same request succeeds when there is memory again. */
#include "tests/lib/unit.h"

#include "common/base/assert.h"
#include "controller/core/core.h"
#include "proto/kafka/api.h"
#include "proto/kafka/error.h"
#include "proto/kafka/gen/create_partitions.h"
#include "proto/kafka/gen/create_topics.h"
#include "proto/kafka/gen/delete_topics.h"
#include "proto/kafka/gen/elect_leaders.h"
#include "proto/kafka/gen/incremental_alter_configs.h"

/* The linker sends the program's own allocations here (see meson.build). */
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *p, size_t size);

static bool failing;
static int until_failure; /* allocations that still succeed; -1: it has failed */

static bool fails(void)
{
    return failing && until_failure-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *p, size_t size)
{
    return fails() ? NULL : __real_realloc(p, size);
}

struct world {
    struct core core;
    struct image *image;
    uint64_t term, now_us;
    int16_t error; /* of the last answer */
    struct iobuf *inflight[8];
    uint64_t tokens[8];
    int count;
};

static int16_t error_of(const struct core_reply *reply)
{
    switch (reply->type) {
    case CORE_REPLY_REGISTER_BROKER: return reply->register_broker.error;
    case CORE_REPLY_HEARTBEAT: return reply->heartbeat.error;
    case CORE_REPLY_ALTER_PARTITION: return reply->alter_partition.error;
    case CORE_REPLY_PRODUCER_IDS: return reply->producer_ids.error;
    default: return reply->admin.error;
    }
}

/* Notes what is to be done, without memory of its own. */
static void take(struct world *w, const struct core_effects *effects)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        if (effects->items[i].type == FX_REPLY)
            w->error = error_of(&effects->items[i].reply);
        if (effects->items[i].type != FX_PROPOSE)
            continue;
        ASSERT(w->count < (int)ARRAY_LEN(w->inflight));
        w->tokens[w->count] = effects->items[i].token;
        w->inflight[w->count++] = iobuf_ref(effects->items[i].records);
    }
}

static void apply(struct world *w, struct iobuf *records)
{
    struct arena arena;
    struct meta_record record;
    struct reader r = reader_over(records->data, records->len);
    struct image_edit *edit = image_edit_begin(w->image);
    arena_init(&arena, NULL, 0, 1 << 20);
    while (reader_left(&r) > 0) {
        ASSERT(meta_record_decode(&r, &arena, &record) == OK);
        ASSERT(image_edit_apply(edit, &record) == OK);
    }
    struct image *former = w->image;
    w->image = image_edit_commit(edit, image_index(former) + 1, w->term);
    image_unref(former);
    iobuf_unref(records);
    arena_free(&arena);
}

static void commit(struct world *w)
{
    int count = w->count;
    w->count = 0;
    for (int i = 0; i < count; i++) {
        apply(w, w->inflight[i]);
        take(w, core_committed(&w->core, w->now_us, w->tokens[i], w->image));
    }
}

/* --- the steps of a small life --- */

static void activate(struct world *w)
{
    if (core_is_active(&w->core))
        return;
    take(w, core_activate(&w->core, w->now_us, 1, w->image, ++w->term));
    w->error = core_is_active(&w->core) ? KAFKA_NONE : KAFKA_NOT_CONTROLLER;
}

static void register_one(struct world *w, int32_t id)
{
    struct meta_endpoint endpoint = {.name = STR_LIT("P"), .host = STR_LIT("h"), .port = 1};
    struct rpc_register_broker_request request = {.broker_id = id,
                                                  .incarnation_id = {{1, (uint8_t)id}},
                                                  .directory_id = {{(uint8_t)id}},
                                                  .rack = STR_LIT("r"),
                                                  .endpoints = &endpoint,
                                                  .endpoints_count = 1,
                                                  .clean_start = true};
    take(w, core_register_broker(&w->core, w->now_us, 1, &request));
}

static void beat(struct world *w, int32_t id)
{
    struct rpc_heartbeat_request request = {.broker_id = id,
                                            .broker_epoch = image_broker(w->image, id)->epoch,
                                            .metadata_index = image_index(w->image)};
    take(w, core_heartbeat(&w->core, w->now_us, 2, &request));
}

static void register_1(struct world *w)
{
    register_one(w, 1);
}

static void register_2(struct world *w)
{
    register_one(w, 2);
}

static void beat_1(struct world *w)
{
    beat(w, 1);
}

static void beat_2(struct world *w)
{
    beat(w, 2);
}

static void create(struct world *w)
{
    struct kafka_create_topics_request_config config = {STR_LIT("min.insync.replicas"), STR_LIT("2")};
    struct kafka_create_topics_request_topic topic = {.name = STR_LIT("a.b"),
                                                      .num_partitions = 3,
                                                      .replication_factor = 2,
                                                      .configs = &config,
                                                      .configs_count = 1};
    struct kafka_create_topics_request request = {.topics = &topic, .topics_count = 1};
    take(w, core_admin(&w->core, w->now_us, 3, KAFKA_API_CREATE_TOPICS, 7, &request));
}

static void grow(struct world *w)
{
    struct kafka_create_partitions_request_topic topic = {
        .name = STR_LIT("a.b"), .count = 5, .assignments_count = -1};
    struct kafka_create_partitions_request request = {.topics = &topic, .topics_count = 1};
    take(w, core_admin(&w->core, w->now_us, 3, KAFKA_API_CREATE_PARTITIONS, 3, &request));
}

static void configure(struct world *w)
{
    struct kafka_incremental_alter_configs_request_config configs[] = {
        {STR_LIT("cleanup.policy"), STR_LIT("compact"), 2},
        {STR_LIT("min.insync.replicas"), STR_LIT("1"), 0}};
    struct kafka_incremental_alter_configs_request_resource resource = {
        .resource_name = STR_LIT("a.b"), .configs = configs, .configs_count = 2, .resource_type = 2};
    struct kafka_incremental_alter_configs_request request = {.resources = &resource, .resources_count = 1};
    take(w, core_admin(&w->core, w->now_us, 3, KAFKA_API_INCREMENTAL_ALTER_CONFIGS, 1, &request));
}

static void alter(struct world *w)
{
    const struct image_topic *topic = image_topic_by_name(w->image, STR_LIT("a.b"));
    const struct image_partition *p = image_partition(w->image, topic, 0);
    int32_t isr = p->leader;
    int64_t epoch = -1;
    struct rpc_alter_partition change = {.topic_id = topic->id,
                                         .leader_epoch = p->leader_epoch,
                                         .partition_epoch = p->partition_epoch,
                                         .isr = &isr,
                                         .isr_epochs = &epoch,
                                         .isr_count = 1};
    struct rpc_alter_partition_request request = {.broker_id = isr,
                                                  .broker_epoch = image_broker(w->image, isr)->epoch,
                                                  .partitions = &change,
                                                  .partitions_count = 1};
    take(w, core_alter_partition(&w->core, w->now_us, 4, &request));
}

static void elect(struct world *w)
{
    struct kafka_elect_leaders_request request = {.topic_partitions_count = -1};
    take(w, core_admin(&w->core, w->now_us, 3, KAFKA_API_ELECT_LEADERS, 2, &request));
}

static void take_ids(struct world *w)
{
    struct rpc_producer_ids_request request = {1, image_broker(w->image, 1)->epoch};
    take(w, core_producer_ids(&w->core, w->now_us, 5, &request));
}

static void silence(struct world *w)
{
    w->now_us += 3000001;
    take(w, core_tick(&w->core, w->now_us));
    w->error = KAFKA_NONE;
}

static void remove_topic(struct world *w)
{
    struct kafka_delete_topics_request_topic topic = {.name = STR_LIT("a.b")};
    struct kafka_delete_topics_request request = {.topics = &topic, .topics_count = 1};
    take(w, core_admin(&w->core, w->now_us, 3, KAFKA_API_DELETE_TOPICS, 6, &request));
}

static void (*const steps[])(struct world *w) = {
    activate, register_1, beat_1,   register_2, beat_2, create, grow,         configure,
    alter,    elect,      take_ids, silence,    beat_1, beat_2, remove_topic,
};

static void start(struct world *w)
{
    struct core_config config = core_config_defaults();
    *w = (struct world){.image = image_new(), .term = 1};
    config.cluster_id = (struct uuid){{1}};
    core_init(&w->core, &config);
}

static void run(struct world *w, size_t step)
{
    steps[step](w);
    core_check(&w->core);
    commit(w);
    core_check(&w->core);
}

/* The step with its n-th allocation failing. False when it has no such allocation. */
static bool run_failing(struct world *w, size_t step, int n)
{
    failing = true;
    until_failure = n;
    steps[step](w);
    failing = false;
    core_check(&w->core);
    commit(w);
    core_check(&w->core);
    return until_failure < 0;
}

static void finish(struct world *w)
{
    ck_assert_int_eq(w->error, KAFKA_NONE);
    ck_assert_uint_eq(image_broker_count(w->image), 2);
    ck_assert_uint_eq(image_topic_count(w->image), 0);
    ck_assert_int_eq(image_next_producer_id(w->image) % CORE_PRODUCER_ID_BLOCK, 0);
    core_free(&w->core);
    image_unref(w->image);
}

START_TEST(a_step_whose_memory_runs_out_is_refused_whole_and_can_be_repeated)
{
    static struct world w;
    int failures = 0;
    for (size_t step = 0; step < ARRAY_LEN(steps); step++) {
        bool more = true;
        for (int n = 0; more; n++) {
            start(&w);
            for (size_t i = 0; i < step; i++)
                run(&w, i);
            more = run_failing(&w, step, n);
            failures += more;
            for (size_t i = step; i < ARRAY_LEN(steps); i++) {
                run(&w, i);
                ck_assert_msg(w.error == KAFKA_NONE, "step %zu after failure %d of step %zu: %d", i, n, step,
                              w.error);
            }
            finish(&w);
        }
    }
    ck_assert_int_gt(failures, 100);
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, a_step_whose_memory_runs_out_is_refused_whole_and_can_be_repeated);
}

SLUICE_TEST_MAIN("controller_nomem", add)
