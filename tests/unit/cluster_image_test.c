/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata image against a naive model: random records, every getter compared, old versions unchanged,
 * equal hashes for equal content, snapshots, differences. */
#include "tests/lib/unit.h"

#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/assert.h"
#include "common/base/prng.h"
#include "proto/cluster/image.h"
#include "proto/cluster/shared.h"

#define TOPICS      24
#define PARTITIONS  70
#define BROKERS     6
#define CONFIG_KEYS 5
#define FEATURES    3
#define VERSIONS    12

struct model_partition {
    int32_t leader, leader_epoch, partition_epoch;
    int32_t isr_count, isr[3];
};

struct model_topic {
    bool exists;
    uint64_t id;
    int32_t count;
    struct model_partition partitions[PARTITIONS];
    int32_t configs[CONFIG_KEYS]; /* 0: none */
};

struct model {
    struct model_topic topics[TOPICS];
    struct {
        bool exists, fenced;
        int64_t epoch;
        int32_t rack;
    } brokers[BROKERS];
    int16_t features[FEATURES];
    int64_t next_producer_id;
    uint64_t next_id;
};

static struct prng prng;
static char texts[8][64]; /* strings of the record being made */

static struct str text(int slot, const char *format, int value)
{
    snprintf(texts[slot], sizeof(texts[slot]), format, value);
    return str_from(texts[slot]);
}

static struct uuid topic_uuid(uint64_t id)
{
    struct uuid uuid = {{0}};
    memcpy(uuid.b, &id, sizeof(id));
    return uuid;
}

static struct str topic_name(int i)
{
    return text(0, "topic-%d", i);
}

/* --- records from the model --- */

static struct meta_record partition_record(const struct model *model, int t, int32_t index)
{
    static int32_t replicas[] = {1, 2, 3};
    const struct model_topic *topic = &model->topics[t];
    const struct model_partition *p = &topic->partitions[index];
    return (struct meta_record){.type = META_PARTITION,
                                .partition = {.topic_id = topic_uuid(topic->id),
                                              .index = index,
                                              .leader = p->leader,
                                              .leader_epoch = p->leader_epoch,
                                              .partition_epoch = p->partition_epoch,
                                              .replicas = replicas,
                                              .replicas_count = 3,
                                              .isr = (int32_t *)p->isr,
                                              .isr_count = p->isr_count}};
}

static struct meta_record topic_record(const struct model *model, int t)
{
    return (struct meta_record){
        .type = META_TOPIC, .topic = {.topic_id = topic_uuid(model->topics[t].id), .name = topic_name(t)}};
}

static struct meta_record config_record(const struct model *model, int t, int k)
{
    int32_t value = model->topics[t].configs[k];
    return (struct meta_record){.type = META_CONFIG,
                                .config = {.resource_type = 2,
                                           .resource_name = topic_name(t),
                                           .key = text(1, "key-%d", k),
                                           .value = value ? text(2, "value-%d", value) : STR_NULL}};
}

static struct meta_record broker_record(const struct model *model, int b)
{
    static struct meta_endpoint endpoint;
    endpoint =
        (struct meta_endpoint){.name = STR_LIT("PLAINTEXT"), .host = STR_LIT("localhost"), .port = 9092};
    return (struct meta_record){
        .type = META_BROKER,
        .broker = {.broker_id = b,
                   .broker_epoch = model->brokers[b].epoch,
                   .min_isr = b % 3,
                   .rack = model->brokers[b].rack ? text(3, "rack-%d", model->brokers[b].rack) : STR_NULL,
                   .endpoints = &endpoint,
                   .endpoints_count = 1,
                   .fenced = model->brokers[b].fenced}};
}

static struct meta_record feature_record(const struct model *model, int f)
{
    return (struct meta_record){.type = META_FEATURE,
                                .feature = {.name = text(4, "feature-%d", f), .level = model->features[f]}};
}

/* --- one random change of the model, and the record that says it --- */

static struct meta_record change_topic(struct model *model)
{
    int t = (int)prng_below(&prng, TOPICS);
    struct model_topic *topic = &model->topics[t];
    if (topic->exists && prng_below(&prng, 4) == 0) {
        struct meta_record record = {.type = META_TOPIC_REMOVED,
                                     .topic_removed.topic_id = topic_uuid(topic->id)};
        memset(topic, 0, sizeof(*topic));
        return record;
    }
    if (!topic->exists) {
        topic->exists = true;
        topic->id = ++model->next_id * 0x9e3779b97f4a7c15u;
        return topic_record(model, t);
    }
    int k = (int)prng_below(&prng, CONFIG_KEYS);
    topic->configs[k] = (int32_t)prng_below(&prng, 3);
    return config_record(model, t, k);
}

static struct meta_record change_partition(struct model *model)
{
    int t = (int)prng_below(&prng, TOPICS);
    struct model_topic *topic = &model->topics[t];
    if (!topic->exists)
        return change_topic(model);
    bool grow = topic->count < PARTITIONS && (topic->count == 0 || prng_below(&prng, 2));
    int32_t index = grow ? topic->count++ : (int32_t)prng_below(&prng, (uint64_t)topic->count);
    struct model_partition *p = &topic->partitions[index];
    p->leader = (int32_t)prng_below(&prng, 4) - 1;
    p->leader_epoch++;
    p->partition_epoch++;
    p->isr_count = (int32_t)prng_below(&prng, 4);
    for (int32_t i = 0; i < p->isr_count; i++)
        p->isr[i] = i + 1;
    return partition_record(model, t, index);
}

static struct meta_record change_broker(struct model *model)
{
    int b = (int)prng_below(&prng, BROKERS);
    if (!model->brokers[b].exists || prng_below(&prng, 3) == 0) {
        model->brokers[b].exists = model->brokers[b].fenced = true;
        model->brokers[b].epoch = (int64_t)++model->next_id;
        model->brokers[b].rack = (int32_t)prng_below(&prng, 3);
        return broker_record(model, b);
    }
    if (prng_below(&prng, 4) == 0) {
        model->brokers[b].exists = false;
        return (struct meta_record){.type = META_BROKER_REMOVED,
                                    .broker_removed = {b, model->brokers[b].epoch}};
    }
    model->brokers[b].fenced = !model->brokers[b].fenced;
    return (struct meta_record){
        .type = META_BROKER_STATE,
        .broker_state = {b, model->brokers[b].epoch, model->brokers[b].fenced, false}};
}

static struct meta_record change(struct model *model)
{
    switch (prng_below(&prng, 10)) {
    case 0: return change_broker(model);
    case 1:
    case 2: return change_topic(model);
    case 3: {
        int f = (int)prng_below(&prng, FEATURES);
        model->features[f] = (int16_t)prng_below(&prng, 3);
        return feature_record(model, f);
    }
    case 4:
        model->next_producer_id += 1000;
        return (struct meta_record){.type = META_PRODUCER_IDS,
                                    .producer_ids = {1, 1, model->next_producer_id}};
    default: return change_partition(model);
    }
}

/* --- comparison --- */

static void check_partitions(const struct image *image, const struct model_topic *m,
                             const struct image_topic *topic)
{
    ck_assert_int_eq(topic->partitions_count, m->count);
    for (int32_t i = 0; i < m->count; i++) {
        const struct image_partition *p = image_partition(image, topic, i);
        ck_assert_int_eq(p->index, i);
        ck_assert_int_eq(p->leader, m->partitions[i].leader);
        ck_assert_int_eq(p->leader_epoch, m->partitions[i].leader_epoch);
        ck_assert_int_eq(p->partition_epoch, m->partitions[i].partition_epoch);
        ck_assert_int_eq(p->isr_count, m->partitions[i].isr_count);
        ck_assert(memcmp(p->isr, m->partitions[i].isr, (size_t)p->isr_count * 4) == 0);
        ck_assert_int_eq(p->replicas_count, 3);
        ck_assert_int_eq(p->replicas[2], 3);
    }
    ck_assert_ptr_null(image_partition(image, topic, m->count));
    ck_assert_ptr_null(image_partition(image, topic, -1));
}

static bool count_config(void *ctx, struct str key, struct str value)
{
    ck_assert_int_gt(key.len, 0);
    ck_assert_int_gt(value.len, 0);
    ++*(int *)ctx;
    return true;
}

static void check_configs(const struct image *image, const struct model_topic *m, int t)
{
    int expected = 0, found = 0;
    for (int k = 0; k < CONFIG_KEYS; k++) {
        struct str value = image_config(image, 2, topic_name(t), text(1, "key-%d", k));
        struct str want = m->configs[k] ? text(2, "value-%d", m->configs[k]) : STR_NULL;
        ck_assert(str_eq(value, want));
        expected += m->configs[k] != 0;
    }
    image_each_config(image, 2, topic_name(t), count_config, &found);
    ck_assert_int_eq(found, expected);
}

/* The first replica of every partition is 1. */
static bool is_displaced(const struct model_partition *p)
{
    bool in_isr = false;
    for (int32_t i = 0; i < p->isr_count; i++)
        in_isr |= p->isr[i] == 1;
    return p->leader != NODE_NONE && p->leader != 1 && in_isr;
}

static void check_topics(const struct image *image, const struct model *model)
{
    uint32_t topics = 0, partitions = 0, displaced = 0;
    for (int t = 0; t < TOPICS; t++) {
        const struct model_topic *m = &model->topics[t];
        const struct image_topic *topic = image_topic_by_name(image, topic_name(t));
        ck_assert_int_eq(topic != NULL, m->exists);
        check_configs(image, m, t);
        if (!topic)
            continue;
        topics++;
        partitions += (uint32_t)m->count;
        for (int32_t i = 0; i < m->count; i++)
            displaced += is_displaced(&m->partitions[i]);
        ck_assert_ptr_eq(image_topic_by_id(image, topic_uuid(m->id)), topic);
        ck_assert(str_eq(topic->name, topic_name(t)));
        check_partitions(image, m, topic);
    }
    ck_assert_uint_eq(image_topic_count(image), topics);
    ck_assert_uint_eq(image_partition_count(image), partitions);
    ck_assert_uint_eq(image_displaced_count(image), displaced);
}

static void check_brokers(const struct image *image, const struct model *model)
{
    uint32_t count = 0;
    for (int b = 0; b < BROKERS; b++) {
        const struct image_broker *broker = image_broker(image, b);
        ck_assert_int_eq(broker != NULL, model->brokers[b].exists);
        if (!broker)
            continue;
        count++;
        ck_assert_int_eq(broker->epoch, model->brokers[b].epoch);
        ck_assert_int_eq(broker->fenced, model->brokers[b].fenced);
        ck_assert(str_eq_z(broker->endpoints[0].host, "localhost"));
        struct str rack = model->brokers[b].rack ? text(3, "rack-%d", model->brokers[b].rack) : STR_NULL;
        ck_assert(str_eq(broker->rack, rack));
    }
    ck_assert_uint_eq(image_broker_count(image), count);
}

static void check_image(const struct image *image, const struct model *model)
{
    check_topics(image, model);
    check_brokers(image, model);
    for (int f = 0; f < FEATURES; f++)
        ck_assert_int_eq(image_feature(image, text(4, "feature-%d", f)), model->features[f]);
    ck_assert_int_eq(image_next_producer_id(image), model->next_producer_id);
}

/* --- helpers over images --- */

static struct image *apply_changes(struct image *base, struct model *model, int count, uint64_t index)
{
    struct image_edit *edit = image_edit_begin(base);
    for (int i = 0; i < count; i++) {
        struct meta_record record = change(model);
        ck_assert_int_eq(image_edit_apply(edit, &record), OK);
    }
    check_brokers(image_edit_view(edit), model);
    return image_edit_commit(edit, index, 1);
}

static struct image *load(const struct iobuf *buf)
{
    struct arena arena;
    arena_init(&arena, NULL, 0, 1 << 28);
    struct reader r = reader_over(buf->data, buf->len);
    struct image_edit *edit = image_edit_begin_empty();
    struct meta_record record;
    while (reader_left(&r) > 0) {
        ASSERT(meta_record_decode(&r, &arena, &record) == OK); /* libcheck's own would be timed too */
        ASSERT(image_edit_apply(edit, &record) == OK);
        arena_reset(&arena);
    }
    arena_free(&arena);
    return image_edit_commit(edit, 1, 1);
}

static struct image *copy_by_snapshot(struct image *image, size_t budget_bytes, int *ret_pieces)
{
    struct writer w;
    writer_init(&w, NULL, 4096, 1 << 28);
    struct image_cursor *cursor = image_cursor_new(image);
    bool done = false;
    for (*ret_pieces = 0; !done; ++*ret_pieces)
        ck_assert_int_eq(image_cursor_write(cursor, &w, budget_bytes, &done), OK);
    image_cursor_free(cursor);
    struct image *copy = load(w.buf);
    writer_free(&w);
    return copy;
}

struct expected_diff {
    const struct model *before, *after;
    int seen;
};

static int topic_number(const struct image_topic *topic)
{
    char name[32];
    return atoi(str_copy(topic->name, name, sizeof(name)) + strlen("topic-"));
}

static bool each_diff(void *ctx, const struct image_topic *topic, const struct image_partition *before,
                      const struct image_partition *after)
{
    struct expected_diff *diff = ctx;
    int t = topic_number(topic);
    const struct model_topic *a = &diff->before->topics[t], *b = &diff->after->topics[t];
    ck_assert(before || after);
    if (before)
        ck_assert_int_eq(before->leader_epoch, a->partitions[before->index].leader_epoch);
    if (after)
        ck_assert_int_eq(after->leader_epoch, b->partitions[after->index].leader_epoch);
    if (before && after)
        ck_assert_int_eq(before->index, after->index);
    diff->seen++;
    return true;
}

/* Partitions that are in only one version, or changed; a recreated topic counts on both sides. */
static int count_differences(const struct model *a, const struct model *b)
{
    int count = 0;
    for (int t = 0; t < TOPICS; t++) {
        const struct model_topic *x = &a->topics[t], *y = &b->topics[t];
        bool same_topic = x->exists && y->exists && x->id == y->id;
        for (int32_t i = 0; i < PARTITIONS; i++) {
            bool in_x = i < x->count, in_y = i < y->count;
            if (!same_topic)
                count += in_x + in_y;
            else
                count += in_x != in_y ||
                         (in_x && x->partitions[i].partition_epoch != y->partitions[i].partition_epoch);
        }
    }
    return count;
}

START_TEST(random_edits_match_the_model_and_leave_old_versions_alone)
{
    static struct model models[VERSIONS];
    struct image *images[VERSIONS];
    for (uint64_t seed = 1; seed <= 4; seed++) {
        prng_seed(&prng, seed);
        memset(models, 0, sizeof(models));
        images[0] = image_new();
        for (int v = 1; v < VERSIONS; v++) {
            models[v] = models[v - 1];
            images[v] = apply_changes(images[v - 1], &models[v], (int)prng_below(&prng, 400), (uint64_t)v);
            ck_assert_uint_eq(image_index(images[v]), (uint64_t)v);
        }
        for (int v = 0; v < VERSIONS; v++)
            check_image(images[v], &models[v]);
        for (int v = 0; v < VERSIONS; v += 2)
            image_unref(images[v]);
        for (int v = 1; v < VERSIONS; v += 2) {
            check_image(images[v], &models[v]);
            image_unref(images[v]);
        }
    }
}
END_TEST

START_TEST(differences_are_exactly_the_changed_partitions)
{
    static struct model models[VERSIONS];
    struct image *images[VERSIONS];
    for (uint64_t seed = 1; seed <= 4; seed++) {
        prng_seed(&prng, seed);
        memset(models, 0, sizeof(models));
        images[0] = image_new();
        for (int v = 1; v < VERSIONS; v++) {
            models[v] = models[v - 1];
            images[v] = apply_changes(images[v - 1], &models[v], (int)prng_below(&prng, 300), (uint64_t)v);
        }
        for (int a = 0; a < VERSIONS; a++) {
            for (int b = 0; b < VERSIONS; b++) {
                struct expected_diff diff = {.before = &models[a], .after = &models[b]};
                image_diff_partitions(images[a], images[b], each_diff, &diff);
                /* within one run an epoch never returns to a former value, so equal epochs mean equal objects
                 */
                ck_assert_int_eq(diff.seen, count_differences(&models[a], &models[b]));
            }
        }
        for (int v = 0; v < VERSIONS; v++)
            image_unref(images[v]);
    }
}
END_TEST

START_TEST(a_snapshot_in_pieces_loads_to_an_equal_image)
{
    static struct model model;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        prng_seed(&prng, seed);
        memset(&model, 0, sizeof(model));
        struct image *base = image_new(), *image = apply_changes(base, &model, 1500, 1);
        image_unref(base);
        int pieces, one;
        struct image *small = copy_by_snapshot(image, 200, &pieces),
                     *large = copy_by_snapshot(image, 1 << 27, &one);
        ck_assert_int_gt(pieces, 10);
        ck_assert_int_eq(one, 1);
        ck_assert_uint_eq(image_hash(small), image_hash(image));
        ck_assert_uint_eq(image_hash(large), image_hash(image));
        check_image(small, &model);
        image_unref(small);
        image_unref(large);
        image_unref(image);
    }
}
END_TEST

/* Applies the whole content of the model in one order or another. */
static struct image *build(const struct model *model, bool backwards)
{
    struct image_edit *edit = image_edit_begin_empty();
    struct meta_record record;
    for (int n = 0; n < TOPICS; n++) {
        int t = backwards ? TOPICS - 1 - n : n;
        if (!model->topics[t].exists)
            continue;
        record = topic_record(model, t);
        ck_assert_int_eq(image_edit_apply(edit, &record), OK);
        for (int32_t i = 0; i < model->topics[t].count; i++) {
            record = partition_record(model, t, i);
            ck_assert_int_eq(image_edit_apply(edit, &record), OK);
        }
        for (int m = 0; m < CONFIG_KEYS; m++) {
            record = config_record(model, t, backwards ? CONFIG_KEYS - 1 - m : m);
            ck_assert_int_eq(image_edit_apply(edit, &record), OK);
        }
    }
    for (int n = 0; n < BROKERS; n++) {
        int b = backwards ? BROKERS - 1 - n : n;
        record = broker_record(model, b);
        if (model->brokers[b].exists)
            ck_assert_int_eq(image_edit_apply(edit, &record), OK);
    }
    for (int f = 0; f < FEATURES; f++) {
        record = feature_record(model, f);
        ck_assert_int_eq(image_edit_apply(edit, &record), OK);
    }
    record = (struct meta_record){.type = META_PRODUCER_IDS, .producer_ids = {1, 1, model->next_producer_id}};
    ck_assert_int_eq(image_edit_apply(edit, &record), OK);
    return image_edit_commit(edit, 1, 1);
}

START_TEST(equal_content_has_equal_hash_whatever_the_way_there)
{
    static struct model model;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        prng_seed(&prng, seed);
        memset(&model, 0, sizeof(model));
        struct image *base = image_new(), *image = apply_changes(base, &model, 1200, 1);
        struct image *a = build(&model, false), *b = build(&model, true);
        ck_assert_uint_eq(image_hash(a), image_hash(image));
        ck_assert_uint_eq(image_hash(b), image_hash(image));
        struct model other = model;
        struct image *next = apply_changes(image, &other, 1, 2);
        bool equal_models = memcmp(&other, &model, sizeof(model)) == 0;
        ck_assert_int_eq(image_hash(next) == image_hash(image), equal_models);
        image_unref(next);
        image_unref(a);
        image_unref(b);
        image_unref(image);
        image_unref(base);
    }
}
END_TEST

START_TEST(an_aborted_edit_leaves_its_base_alone)
{
    static struct model model, scratch;
    prng_seed(&prng, 5);
    memset(&model, 0, sizeof(model));
    struct image *empty = image_new(), *image = apply_changes(empty, &model, 500, 1);
    uint64_t hash = image_hash(image);
    scratch = model;
    struct image_edit *edit = image_edit_begin(image);
    for (int i = 0; i < 500; i++) {
        struct meta_record record = change(&scratch);
        ck_assert_int_eq(image_edit_apply(edit, &record), OK);
    }
    image_edit_abort(edit);
    check_image(image, &model);
    ck_assert_uint_eq(image_hash(image), hash);
    image_unref(image);
    image_unref(empty);
}
END_TEST

static enum err apply_one(const struct meta_record *records, int count)
{
    struct image_edit *edit = image_edit_begin_empty();
    enum err err = OK;
    for (int i = 0; i < count && err == OK; i++)
        err = image_edit_apply(edit, &records[i]);
    image_edit_abort(edit);
    return err;
}

START_TEST(records_that_contradict_the_image_are_invalid)
{
    static int32_t ids[] = {1};
    struct meta_record topic = {.type = META_TOPIC, .topic = {topic_uuid(1), STR_LIT("a")}};
    struct meta_record same_name = {.type = META_TOPIC, .topic = {topic_uuid(2), STR_LIT("a")}};
    struct meta_record same_id = {.type = META_TOPIC, .topic = {topic_uuid(1), STR_LIT("b")}};
    struct meta_record p1 = {
        .type = META_PARTITION,
        .partition = {.topic_id = topic_uuid(1), .index = 1, .replicas = ids, .replicas_count = 1}};
    struct meta_record gone = {.type = META_TOPIC_REMOVED, .topic_removed.topic_id = topic_uuid(7)};
    struct meta_record state = {.type = META_BROKER_STATE, .broker_state = {1, 1, false, false}};
    struct meta_record ids_back[] = {{.type = META_PRODUCER_IDS, .producer_ids = {1, 1, 2000}},
                                     {.type = META_PRODUCER_IDS, .producer_ids = {1, 1, 1000}}};
    struct meta_record clusters[] = {{.type = META_CLUSTER, .cluster = {topic_uuid(1), 5}},
                                     {.type = META_CLUSTER, .cluster = {topic_uuid(2), 5}}};
    ck_assert_int_eq(apply_one((struct meta_record[]){topic, same_name}, 2), ERR_INVALID);
    ck_assert_int_eq(apply_one((struct meta_record[]){topic, same_id}, 2), ERR_INVALID);
    ck_assert_int_eq(apply_one((struct meta_record[]){topic, p1}, 2),
                     ERR_INVALID); /* partition 0 is missing */
    ck_assert_int_eq(apply_one(&p1, 1), ERR_INVALID);
    ck_assert_int_eq(apply_one(&gone, 1), ERR_INVALID);
    ck_assert_int_eq(apply_one(&state, 1), ERR_INVALID);
    ck_assert_int_eq(apply_one(ids_back, 2), ERR_INVALID);
    ck_assert_int_eq(apply_one(clusters, 2), ERR_INVALID);
    ck_assert_int_eq(apply_one(&topic, 1), OK);
}
END_TEST

/* --- the trie alone, with keys that collide in all bits --- */

struct number {
    struct shared shared;
    int value;
};

static int number_compare(const struct shared *item, const void *lookup)
{
    int a = ((const struct number *)item)->value, b = *(const int *)lookup;
    return a < b ? -1 : a > b;
}

static const void *number_lookup(const struct shared *item)
{
    return &((const struct number *)item)->value;
}

static void number_destroy(struct shared *item)
{
    free(item);
}

static const struct shared_type number_type = {number_compare, number_lookup, NULL, number_destroy};

/* Few distinct keys that differ only in their highest bits: full collisions and the deepest levels. */
static uint64_t number_key(int value)
{
    return (uint64_t)(value % 3) << 62 | 5;
}

START_TEST(colliding_keys_are_kept_apart)
{
    bool in[40] = {false}, before[40];
    struct trie trie = {0}, old = {0};
    prng_seed(&prng, 3);
    for (int round = 0; round < 4000; round++) {
        int value = (int)prng_below(&prng, 40);
        if (round % 50 == 0) {
            trie_drop(&old, &number_type);
            old = trie_share(&trie);
            memcpy(before, in, sizeof(in));
        }
        if (prng_below(&prng, 2)) {
            struct number *n = malloc(sizeof(*n));
            n->value = value;
            shared_init(&n->shared, number_key(value), 0);
            ck_assert_int_eq(trie_put(&trie, &number_type, &n->shared), OK);
            in[value] = true;
        } else {
            ck_assert_int_eq(trie_remove(&trie, &number_type, number_key(value), &value),
                             in[value] ? OK : ERR_NOT_FOUND);
            in[value] = false;
        }
        for (int i = 0; i < 40; i++) {
            ck_assert_int_eq(trie_get(&trie, &number_type, number_key(i), &i) != NULL, in[i]);
            ck_assert_int_eq(trie_get(&old, &number_type, number_key(i), &i) != NULL, before[i]);
        }
    }
    trie_drop(&trie, &number_type);
    trie_drop(&old, &number_type);
}
END_TEST

static bool each_number(void *ctx, struct shared *older, struct shared *newer)
{
    int *sides = ctx;
    int value = ((struct number *)(older ? older : newer))->value;
    if (older && newer)
        ck_assert_int_eq(((struct number *)older)->value, ((struct number *)newer)->value);
    ck_assert_int_eq(sides[value], 0);
    sides[value] = (older ? 1 : 0) | (newer ? 2 : 0);
    return true;
}

START_TEST(trie_differences_hold_with_collisions)
{
    for (uint64_t seed = 1; seed < 200; seed++) {
        struct trie tries[2] = {{0}};
        bool in[2][40] = {{false}};
        int sides[40] = {0};
        prng_seed(&prng, seed);
        for (int side = 0; side < 2; side++) {
            int count = (int)prng_below(&prng, 60);
            for (int i = 0; i < count; i++) {
                struct number *n = malloc(sizeof(*n));
                n->value = (int)prng_below(&prng, 40);
                in[side][n->value] = true;
                shared_init(&n->shared, number_key(n->value), 0);
                ck_assert_int_eq(trie_put(&tries[side], &number_type, &n->shared), OK);
            }
        }
        ck_assert(trie_diff(&tries[0], &tries[1], &number_type, each_number, sides));
        for (int i = 0; i < 40; i++)
            ck_assert_int_eq(sides[i], (in[0][i] ? 1 : 0) | (in[1][i] ? 2 : 0));
        trie_drop(&tries[0], &number_type);
        trie_drop(&tries[1], &number_type);
    }
}
END_TEST

/* --- size: 100,000 partitions; the figures are printed, the bounds are generous --- */

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static bool count_diff(void *ctx, const struct image_topic *topic, const struct image_partition *before,
                       const struct image_partition *after)
{
    (void)topic;
    (void)before;
    (void)after;
    ++*(int *)ctx;
    return true;
}

#define BIG_TOPICS     1000
#define BIG_PARTITIONS 100

static struct image *big_image(void)
{
    static int32_t ids[] = {1, 2, 3};
    struct image_edit *edit = image_edit_begin_empty();
    for (int t = 0; t < BIG_TOPICS; t++) {
        struct meta_record record = {.type = META_TOPIC,
                                     .topic = {topic_uuid((uint64_t)t + 1), topic_name(t)}};
        ASSERT(image_edit_apply(edit, &record) == OK);
        for (int32_t i = 0; i < BIG_PARTITIONS; i++) {
            record = (struct meta_record){.type = META_PARTITION,
                                          .partition = {.topic_id = topic_uuid((uint64_t)t + 1),
                                                        .index = i,
                                                        .leader = 1,
                                                        .replicas = ids,
                                                        .replicas_count = 3,
                                                        .isr = ids,
                                                        .isr_count = 3}};
            ASSERT(image_edit_apply(edit, &record) == OK);
        }
    }
    return image_edit_commit(edit, 1, 1);
}

START_TEST(a_hundred_thousand_partitions_are_small_and_a_change_is_cheap)
{
    static int32_t ids[] = {1, 2, 3};
    size_t before = mallinfo2().uordblks;
    double t0 = seconds();
    struct image *image = big_image();
    double t1 = seconds();
    size_t bytes = mallinfo2().uordblks - before;
    struct meta_record record = {.type = META_PARTITION,
                                 .partition = {.topic_id = topic_uuid(500),
                                               .index = 50,
                                               .leader = 2,
                                               .leader_epoch = 1,
                                               .replicas = ids,
                                               .replicas_count = 3,
                                               .isr = ids + 1,
                                               .isr_count = 2}};
    double t2 = seconds();
    struct image_edit *edit = image_edit_begin(image);
    ck_assert_int_eq(image_edit_apply(edit, &record), OK);
    struct image *next = image_edit_commit(edit, 2, 1);
    double t3 = seconds();
    int seen = 0;
    image_diff_partitions(image, next, count_diff, &seen);
    double t4 = seconds();
    ck_assert_int_eq(seen, 1);
    int pieces;
    struct image *copy = copy_by_snapshot(next, 1 << 20, &pieces);
    double t5 = seconds();
    ck_assert_uint_eq(image_hash(copy), image_hash(next));
    fprintf(stderr,
            "# 100k partitions: build %.0f ms, %zu bytes each, one change %.1f us, its diff %.1f us, "
            "snapshot+load %.0f ms\n",
            (t1 - t0) * 1e3, bytes / (BIG_TOPICS * BIG_PARTITIONS), (t3 - t2) * 1e6, (t4 - t3) * 1e6,
            (t5 - t4) * 1e3);
    ck_assert_uint_lt(bytes, 100u << 20);
    image_unref(copy);
    image_unref(next);
    image_unref(image);
}
END_TEST

/* --- versions shared by threads --- */

#define PUBLISHED 400

struct shelf {
    pthread_mutex_t lock; /* of the pointer; images themselves need none */
    struct image *newest;
    bool stop;
};

static struct image *take_newest(struct shelf *shelf)
{
    pthread_mutex_lock(&shelf->lock);
    struct image *image = shelf->stop ? NULL : image_ref(shelf->newest);
    pthread_mutex_unlock(&shelf->lock);
    return image;
}

static bool sum_topic(void *ctx, const struct image_topic *topic)
{
    *(uint32_t *)ctx += (uint32_t)topic->partitions_count;
    return true;
}

/* Holds two versions at a time, walks them, and drops them whenever the writer happens to be somewhere else.
 */
static void *read_versions(void *ctx)
{
    struct image *older = NULL, *newer;
    while ((newer = take_newest(ctx)) != NULL) {
        uint32_t partitions = 0;
        int differences = 0;
        image_each_topic(newer, sum_topic, &partitions);
        ASSERT(partitions == image_partition_count(newer));
        if (older)
            image_diff_partitions(older, newer, count_diff, &differences);
        image_unref(older);
        older = newer;
    }
    image_unref(older);
    return NULL;
}

START_TEST(versions_are_read_and_dropped_by_other_threads_while_new_ones_are_made)
{
    static struct model model;
    struct shelf shelf = {.lock = PTHREAD_MUTEX_INITIALIZER, .newest = image_new()};
    pthread_t readers[3];
    prng_seed(&prng, 9);
    memset(&model, 0, sizeof(model));
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        ck_assert_int_eq(pthread_create(&readers[i], NULL, read_versions, &shelf), 0);
    for (uint64_t i = 1; i <= PUBLISHED; i++) {
        struct image *next = apply_changes(shelf.newest, &model, 20, i);
        pthread_mutex_lock(&shelf.lock);
        struct image *former = shelf.newest;
        shelf.newest = next;
        pthread_mutex_unlock(&shelf.lock);
        image_unref(former);
    }
    pthread_mutex_lock(&shelf.lock);
    shelf.stop = true;
    pthread_mutex_unlock(&shelf.lock);
    for (size_t i = 0; i < ARRAY_LEN(readers); i++)
        pthread_join(readers[i], NULL);
    check_image(shelf.newest, &model);
    image_unref(shelf.newest);
}
END_TEST

static void add(TCase *tc)
{
    tcase_add_test(tc, versions_are_read_and_dropped_by_other_threads_while_new_ones_are_made);
    tcase_add_test(tc, random_edits_match_the_model_and_leave_old_versions_alone);
    tcase_add_test(tc, differences_are_exactly_the_changed_partitions);
    tcase_add_test(tc, a_snapshot_in_pieces_loads_to_an_equal_image);
    tcase_add_test(tc, equal_content_has_equal_hash_whatever_the_way_there);
    tcase_add_test(tc, an_aborted_edit_leaves_its_base_alone);
    tcase_add_test(tc, records_that_contradict_the_image_are_invalid);
    tcase_add_test(tc, colliding_keys_are_kept_apart);
    tcase_add_test(tc, trie_differences_hold_with_collisions);
    tcase_add_test(tc, a_hundred_thousand_partitions_are_small_and_a_change_is_cheap);
}

SLUICE_TEST_MAIN("cluster_image", add)
