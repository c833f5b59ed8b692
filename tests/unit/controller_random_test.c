/* SPDX-License-Identifier: Apache-2.0 */
/* The controller core under random events: brokers that die, restart with or without their data, come late;
 * leaders that shrink and expand their ISR; controllers that lose leadership with proposals in flight. A
 * small model of the data says which version each replica holds; what was acknowledged must be with every
 * leader that was elected cleanly. */
#include "tests/lib/unit.h"

#include <string.h>

#include "common/base/assert.h"
#include "controller/core/core.h"
#include "proto/kafka/api.h"
#include "proto/kafka/gen/alter_partition_reassignments.h"
#include "proto/kafka/gen/create_topics.h"
#include "proto/kafka/gen/delete_topics.h"
#include "proto/kafka/gen/incremental_alter_configs.h"

#define BROKERS    5 /* ids 0..4 */
#define TOPICS     3
#define PARTITIONS 2
#define REPLICAS   3
#define INFLIGHT   64
#define REPLIES    40000
#define STEPS      4000

struct model_partition {
    int64_t acked;         /* newest acknowledged version */
    int64_t held[BROKERS]; /* what each replica has */
    uint32_t pending_isr;  /* members of an ISR that the leader has asked for and that is not decided yet */
    int32_t leader, leader_epoch, partition_epoch;
    bool moving;
};

struct model_broker {
    bool alive, registered;
    int64_t epoch;
    uint8_t incarnation;
    int32_t min_isr; /* of its own file */
    bool unclean;    /* it lost data, which the controller has not heard yet */
    uint64_t register_token;
};

struct world {
    struct core core;
    struct prng prng;
    struct image *image;
    uint64_t term, now_us, next_token;
    struct {
        uint64_t token;
        struct iobuf *records;
    } inflight[INFLIGHT];
    int inflight_count;
    struct model_broker brokers[BROKERS];
    struct model_partition partitions[TOPICS][PARTITIONS];
    struct uuid topic_ids[TOPICS];
    uint8_t replies[REPLIES]; /* by token: 1 asked, 2 answered */
    int8_t alter_topic[REPLIES],
        alter_partition[REPLIES]; /* of an AlterPartition; topic -2 - b: a heartbeat of b */
    struct uuid alter_id[REPLIES];
    uint64_t probe_token;
    int32_t probe_broker;
    struct arena arena;
    uint64_t elections, acks, fences, moves; /* that the run was not idle */
};

static uint64_t roll(struct world *w, uint64_t bound)
{
    return prng_below(&w->prng, bound);
}

static struct str topic_name(int t)
{
    static const char *const names[TOPICS] = {"a", "b", "c"};
    return str_from(names[t]);
}

/* --- what commits --- */

/* Epochs only rise. */
static void follow_partition(struct world *w, int t, const struct image_partition *p)
{
    struct model_partition *m = &w->partitions[t][p->index];
    ck_assert_int_ge(p->leader_epoch, m->leader_epoch);
    ck_assert_int_ge(p->partition_epoch, m->partition_epoch);
    w->elections += p->leader_epoch != m->leader_epoch && p->leader != NODE_NONE;
    uint32_t replicas = 0;
    for (int32_t i = 0; i < p->replicas_count; i++)
        replicas |= 1u << p->replicas[i];
    for (int b = 0; b < BROKERS; b++)
        m->held[b] = replicas >> b & 1 ? m->held[b] : 0; /* moved away: its data is deleted */
    w->moves += m->moving && p->adding_count + p->removing_count == 0;
    m->moving = p->adding_count + p->removing_count > 0;
    m->leader = p->leader;
    m->leader_epoch = p->leader_epoch;
    m->partition_epoch = p->partition_epoch;
}

/* Called when the leader of an epoch acts: unless it was elected with a warning, it has all that was
 * acknowledged. */
static void check_leader(struct world *w, int t, const struct image_partition *p)
{
    struct model_partition *m = &w->partitions[t][p->index];
    if (p->recovering)
        m->acked = MIN(m->acked, m->held[p->leader]);
    ck_assert_msg(m->held[p->leader] >= m->acked, "leader %d of %d-%d lacks acknowledged data", p->leader, t,
                  p->index);
}

static void check_topics(struct world *w)
{
    for (int t = 0; t < TOPICS; t++) {
        const struct image_topic *topic = image_topic_by_name(w->image, topic_name(t));
        if (!topic || !uuid_eq(topic->id, w->topic_ids[t])) {
            memset(w->partitions[t], 0, sizeof(w->partitions[t]));
            w->topic_ids[t] = topic ? topic->id : (struct uuid){{0}};
        }
        for (int32_t i = 0; topic && i < topic->partitions_count; i++)
            follow_partition(w, t, image_partition(w->image, topic, i));
    }
}

static void apply(struct world *w, const struct iobuf *records)
{
    struct reader r = reader_over(records->data, records->len);
    struct image_edit *edit = image_edit_begin(w->image);
    struct meta_record record;
    while (reader_left(&r) > 0) {
        ck_assert_int_eq(meta_record_decode(&r, &w->arena, &record), OK);
        ck_assert_int_eq(image_edit_apply(edit, &record), OK);
        w->fences += record.type == META_BROKER_STATE && record.broker_state.fenced;
    }
    struct image *former = w->image;
    w->image = image_edit_commit(edit, image_index(former) + 1, w->term);
    image_unref(former);
    arena_reset(&w->arena);
    check_topics(w);
}

/* --- effects --- */

static void take_registration(struct world *w, uint64_t token, const struct rpc_register_broker_reply *reply)
{
    for (int b = 0; b < BROKERS; b++) {
        if (w->brokers[b].register_token != token || reply->error != 0)
            continue;
        ck_assert_int_gt(reply->broker_epoch, 0);
        w->brokers[b].registered = true;
        w->brokers[b].unclean = false;
        w->brokers[b].epoch = reply->broker_epoch;
    }
}

static void take_reply(struct world *w, uint64_t token, const struct core_reply *reply)
{
    ck_assert_int_eq(w->replies[token], 1); /* asked, and not answered before */
    w->replies[token] = 2;
    if (reply->type == CORE_REPLY_REGISTER_BROKER)
        take_registration(w, token, &reply->register_broker);
    if (reply->type == CORE_REPLY_ALTER_PARTITION &&
        uuid_eq(w->alter_id[token], w->topic_ids[w->alter_topic[token]]))
        w->partitions[w->alter_topic[token]][w->alter_partition[token]].pending_isr = 0;
    if (reply->type == CORE_REPLY_HEARTBEAT && reply->heartbeat.error == 77) {
        for (int b = 0; b < BROKERS; b++)
            w->brokers[b].registered &= !(w->alter_topic[token] == -2 - b);
    }
}

static void take_effects(struct world *w, const struct core_effects *effects)
{
    for (uint32_t i = 0; i < effects->count; i++) {
        const struct core_effect *effect = &effects->items[i];
        if (effect->type == FX_PROPOSE) {
            ck_assert_int_lt(w->inflight_count, INFLIGHT);
            w->inflight[w->inflight_count].token = effect->token;
            w->inflight[w->inflight_count++].records = iobuf_ref(effect->records);
        } else if (effect->type == FX_REPLY) {
            take_reply(w, effect->token, &effect->reply);
        } else {
            w->probe_token = effect->token;
            w->probe_broker = effect->broker_id;
        }
    }
    core_check(&w->core);
}

static uint64_t ask(struct world *w)
{
    uint64_t token = ++w->next_token;
    ASSERT(token < REPLIES);
    w->replies[token] = 1;
    w->alter_topic[token] = -1;
    return token;
}

/* --- events --- */

static void commit_one(struct world *w)
{
    if (w->inflight_count == 0)
        return;
    uint64_t token = w->inflight[0].token;
    apply(w, w->inflight[0].records);
    iobuf_unref(w->inflight[0].records);
    memmove(&w->inflight[0], &w->inflight[1], sizeof(w->inflight[0]) * (size_t)--w->inflight_count);
    take_effects(w, core_committed(&w->core, w->now_us, token, w->image));
}

static void register_broker(struct world *w, int b)
{
    struct model_broker *broker = &w->brokers[b];
    struct meta_endpoint endpoint = {.name = STR_LIT("P"), .host = STR_LIT("h"), .port = 1};
    struct rpc_register_broker_request request = {.broker_id = b,
                                                  .incarnation_id = {{1, (uint8_t)b, broker->incarnation}},
                                                  .directory_id = {{(uint8_t)b}},
                                                  .rack = STR_NULL,
                                                  .endpoints = &endpoint,
                                                  .endpoints_count = 1,
                                                  .min_isr = w->brokers[b].min_isr,
                                                  .clean_start = !broker->unclean};
    broker->register_token = ask(w);
    take_effects(w, core_register_broker(&w->core, w->now_us, broker->register_token, &request));
}

static void heartbeat(struct world *w, int b)
{
    struct model_broker *broker = &w->brokers[b];
    if (!broker->alive)
        return;
    if (!broker->registered) {
        register_broker(w, b);
        return;
    }
    struct rpc_heartbeat_request request = {.broker_id = b,
                                            .broker_epoch = broker->epoch,
                                            .metadata_index = image_index(w->image),
                                            .want_fence = roll(w, 30) == 0,
                                            .want_shutdown = roll(w, 60) == 0};
    uint64_t token = ask(w);
    w->alter_topic[token] = (int8_t)(-2 - b);
    take_effects(w, core_heartbeat(&w->core, w->now_us, token, &request));
}

static void kill_broker(struct world *w, int b)
{
    if (!w->brokers[b].alive)
        return;
    w->brokers[b].alive = w->brokers[b].registered = false;
    w->brokers[b].register_token = 0; /* an answer under way reaches nobody */
    if (roll(w, 2))
        take_effects(w, core_connection_closed(&w->core, w->now_us, b));
}

static void start_broker(struct world *w, int b)
{
    struct model_broker *broker = &w->brokers[b];
    if (broker->alive)
        return;
    broker->alive = true;
    broker->incarnation++;
    broker->min_isr = 1 + (int32_t)roll(w, 3);
    bool loses_data = roll(w, 3) == 0;
    broker->unclean |=
        loses_data; /* until a registration has said so, however often it restarts in between */
    for (int t = 0; t < TOPICS && loses_data; t++) {
        for (int p = 0; p < PARTITIONS; p++)
            w->partitions[t][p].held[b] = 0;
    }
}

static const struct image_partition *random_partition(struct world *w, int *ret_t, int *ret_p)
{
    *ret_t = (int)roll(w, TOPICS);
    *ret_p = (int)roll(w, PARTITIONS);
    const struct image_topic *topic = image_topic_by_name(w->image, topic_name(*ret_t));
    return topic ? image_partition(w->image, topic, *ret_p) : NULL;
}

/* A leader that knows it is one: alive, in the incarnation that is registered. */
static bool leads(const struct world *w, const struct image_partition *p)
{
    if (!p || p->leader == NODE_NONE)
        return false;
    const struct image_broker *broker = image_broker(w->image, p->leader);
    return w->brokers[p->leader].alive && w->brokers[p->leader].registered &&
           w->brokers[p->leader].epoch == broker->epoch;
}

/* A random new ISR: the leader, and living replicas that have caught up. */
static void alter(struct world *w)
{
    int t, p;
    const struct image_partition *partition = random_partition(w, &t, &p);
    if (!leads(w, partition) || w->partitions[t][p].pending_isr)
        return;
    struct model_partition *m = &w->partitions[t][p];
    check_leader(w, t, partition);
    int32_t isr[BROKERS];
    int64_t epochs[BROKERS];
    struct rpc_alter_partition change = {.topic_id = w->topic_ids[t],
                                         .index = p,
                                         .leader_epoch = partition->leader_epoch,
                                         .partition_epoch = partition->partition_epoch,
                                         .isr = isr,
                                         .isr_epochs = epochs,
                                         .gives_way = partition->yields && roll(w, 4) > 0};
    for (int32_t i = 0; i < partition->replicas_count; i++) {
        int32_t id = partition->replicas[i];
        if (id != partition->leader &&
            (!w->brokers[id].alive || !w->brokers[id].registered || roll(w, 3) == 0))
            continue;
        m->held[id] = m->held[partition->leader];
        m->pending_isr |= 1u << id;
        epochs[change.isr_count] = w->brokers[id].epoch;
        isr[change.isr_count++] = id;
    }
    struct rpc_alter_partition_request request = {.broker_id = partition->leader,
                                                  .broker_epoch = w->brokers[partition->leader].epoch,
                                                  .partitions = &change,
                                                  .partitions_count = 1};
    uint64_t token = ask(w);
    w->alter_topic[token] = (int8_t)t;
    w->alter_partition[token] = (int8_t)p;
    w->alter_id[token] = change.topic_id;
    take_effects(w, core_alter_partition(&w->core, w->now_us, token, &request));
}

/* acks=all: every member of the ISR, and of the one asked for, takes the record; enough of them in the
 * committed one. */
static void produce(struct world *w)
{
    int t, p;
    const struct image_partition *partition = random_partition(w, &t, &p);
    if (!leads(w, partition))
        return;
    check_leader(w, t, partition);
    if (partition->recovering)
        return;
    struct model_partition *m = &w->partitions[t][p];
    struct str text = image_config(w->image, 2, topic_name(t), STR_LIT("min.insync.replicas"));
    int32_t min_isr = text.len > 0 ? text.p[0] - '0' : w->brokers[partition->leader].min_isr;
    uint32_t members = m->pending_isr;
    for (int32_t i = 0; i < partition->isr_count; i++)
        members |= 1u << partition->isr[i];
    if (partition->isr_count < MIN(min_isr, partition->replicas_count))
        return;
    for (int b = 0; b < BROKERS; b++) {
        if ((members >> b & 1) && !w->brokers[b].alive)
            return;
    }
    int64_t version = m->held[partition->leader] + 1;
    for (int b = 0; b < BROKERS; b++) {
        if (members >> b & 1)
            m->held[b] = version;
    }
    m->acked = version;
    w->acks++;
}

static void create(struct world *w)
{
    struct kafka_create_topics_request_topic topic;
    kafka_create_topics_request_topic_init(&topic);
    topic.name = topic_name((int)roll(w, TOPICS));
    topic.num_partitions = PARTITIONS;
    topic.replication_factor = REPLICAS;
    struct kafka_create_topics_request request = {
        .topics = &topic, .topics_count = 1, .validate_only = roll(w, 10) == 0};
    take_effects(w, core_admin(&w->core, w->now_us, ask(w), KAFKA_API_CREATE_TOPICS, 7, &request));
}

static void delete (struct world *w)
{
    struct kafka_delete_topics_request_topic topic = {.name = topic_name((int)roll(w, TOPICS))};
    struct kafka_delete_topics_request request = {.topics = &topic, .topics_count = 1};
    take_effects(w, core_admin(&w->core, w->now_us, ask(w), KAFKA_API_DELETE_TOPICS, 6, &request));
}

static void configure(struct world *w)
{
    static const char *const values[] = {"1", "2", "3"};
    struct kafka_incremental_alter_configs_request_config config = {STR_LIT("min.insync.replicas"),
                                                                    str_from(values[roll(w, 3)]), 0};
    struct kafka_incremental_alter_configs_request_resource resource = {.resource_name =
                                                                            topic_name((int)roll(w, TOPICS)),
                                                                        .configs = &config,
                                                                        .configs_count = 1,
                                                                        .resource_type = 2};
    struct kafka_incremental_alter_configs_request request = {.resources = &resource, .resources_count = 1};
    take_effects(w,
                 core_admin(&w->core, w->now_us, ask(w), KAFKA_API_INCREMENTAL_ALTER_CONFIGS, 1, &request));
}

/* Some other replicas, or an end to a move under way. */
static void move(struct world *w)
{
    int32_t ids[BROKERS] = {0, 1, 2, 3, 4};
    for (int i = BROKERS - 1; i > 0; i--) {
        int with = (int)roll(w, (uint64_t)i + 1);
        int32_t id = ids[i];
        ids[i] = ids[with];
        ids[with] = id;
    }
    bool cancel = roll(w, 4) == 0;
    struct kafka_alter_partition_reassignments_request_partition partition = {
        .partition_index = (int32_t)roll(w, PARTITIONS),
        .replicas = cancel ? NULL : ids,
        .replicas_count = cancel ? -1 : 1 + (int32_t)roll(w, REPLICAS)};
    struct kafka_alter_partition_reassignments_request_topic topic = {
        .name = topic_name((int)roll(w, TOPICS)), .partitions = &partition, .partitions_count = 1};
    struct kafka_alter_partition_reassignments_request request = {
        .allow_replication_factor_change = true, .topics = &topic, .topics_count = 1};
    take_effects(
        w, core_admin(&w->core, w->now_us, ask(w), KAFKA_API_ALTER_PARTITION_REASSIGNMENTS, 1, &request));
}

static void drain(struct world *w)
{
    static const char *const ids[BROKERS] = {"0", "1", "2", "3", "4"};
    struct kafka_incremental_alter_configs_request_config config = {
        STR_LIT("broker.draining"), roll(w, 3) == 0 ? STR_LIT("true") : STR_LIT("false"), 0};
    struct kafka_incremental_alter_configs_request_resource resource = {.resource_name =
                                                                            str_from(ids[roll(w, BROKERS)]),
                                                                        .configs = &config,
                                                                        .configs_count = 1,
                                                                        .resource_type = 4};
    struct kafka_incremental_alter_configs_request request = {.resources = &resource, .resources_count = 1};
    take_effects(w,
                 core_admin(&w->core, w->now_us, ask(w), KAFKA_API_INCREMENTAL_ALTER_CONFIGS, 1, &request));
}

static void advance(struct world *w)
{
    w->now_us += roll(w, 400000);
    if (core_deadline(&w->core) <= w->now_us)
        take_effects(w, core_tick(&w->core, w->now_us));
}

/* Leadership goes; a random part of what was in flight makes it into the log. */
static void change_controller(struct world *w)
{
    int survive = (int)roll(w, (uint64_t)w->inflight_count + 1);
    for (int i = 0; i < w->inflight_count; i++) {
        if (i < survive)
            apply(w, w->inflight[i].records);
        iobuf_unref(w->inflight[i].records);
    }
    w->inflight_count = 0;
    take_effects(w, core_deactivate(&w->core, w->now_us));
    heartbeat(w, (int)roll(w, BROKERS)); /* answered NOT_CONTROLLER */
    w->term++;
    take_effects(w, core_activate(&w->core, w->now_us, 1, w->image, w->term));
}

static void answer_probe(struct world *w)
{
    if (w->probe_token == 0)
        return;
    uint64_t token = w->probe_token;
    w->probe_token = 0;
    take_effects(w, core_probe_done(&w->core, w->now_us, token, !w->brokers[w->probe_broker].alive));
}

static void step(struct world *w)
{
    int b = (int)roll(w, BROKERS);
    switch (roll(w, 40)) {
    case 0: kill_broker(w, b); break;
    case 1: start_broker(w, b); break;
    case 2: create(w); break;
    case 3:
        if (roll(w, 6) == 0)
            delete (w);
        break;
    case 4:
        if (roll(w, 4) == 0)
            configure(w);
        else if (roll(w, 4) == 0)
            drain(w);
        else
            move(w);
        break;
    case 5:
        if (roll(w, 6) == 0)
            change_controller(w);
        break;
    case 6:
    case 7: answer_probe(w); break;
    case 8:
    case 9:
    case 10:
    case 11: alter(w); break;
    case 12:
    case 13:
    case 14:
    case 15:
    case 16: produce(w); break;
    case 17:
    case 18:
    case 19: advance(w); break;
    case 20:
    case 21:
    case 22:
    case 23:
    case 24:
    case 25: heartbeat(w, b); break;
    default: commit_one(w); break;
    }
    if (w->inflight_count > INFLIGHT / 2)
        commit_one(w);
}

static uint64_t run_seed(uint64_t seed, struct world *w)
{
    struct core_config config = core_config_defaults();
    memset(w, 0, sizeof(*w));
    config.cluster_id = (struct uuid){{1}};
    config.seed = seed;
    config.rebalance_us = 2000000;
    prng_seed(&w->prng, seed);
    arena_init(&w->arena, NULL, 0, 1 << 20);
    w->image = image_new();
    core_init(&w->core, &config);
    w->term = 1;
    take_effects(w, core_activate(&w->core, 0, 1, w->image, 1));
    for (int b = 0; b < BROKERS; b++)
        w->brokers[b] = (struct model_broker){.alive = true, .min_isr = 1 + b % 3};
    for (int i = 0; i < STEPS; i++)
        step(w);
    uint64_t hash = core_hash(&w->core);
    while (w->inflight_count > 0)
        commit_one(w);
    for (uint64_t token = 1; token <= w->next_token; token++)
        ck_assert_int_eq(w->replies[token], 2); /* every request got its answer */
    core_free(&w->core);
    image_unref(w->image);
    arena_free(&w->arena);
    return hash;
}

START_TEST(acknowledged_data_stays_with_clean_leaders)
{
    static struct world w;
    uint64_t elections = 0, acks = 0, fences = 0, moves = 0;
    for (uint64_t seed = 1; seed <= 80; seed++) {
        run_seed(seed, &w);
        elections += w.elections;
        acks += w.acks;
        fences += w.fences;
        moves += w.moves;
    }
    ck_assert_uint_gt(elections, 1000); /* the runs were not idle */
    ck_assert_uint_gt(acks, 2500);
    ck_assert_uint_gt(fences, 1000);
    ck_assert_uint_gt(moves, 100);
}
END_TEST

START_TEST(a_seed_always_ends_in_the_same_state)
{
    static struct world w;
    for (uint64_t seed = 100; seed < 105; seed++)
        ck_assert_uint_eq(run_seed(seed, &w), run_seed(seed, &w));
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, acknowledged_data_stays_with_clean_leaders);
    tcase_add_test(tc, a_seed_always_ends_in_the_same_state);
}

SLUICE_TEST_MAIN("controller_random", add)
