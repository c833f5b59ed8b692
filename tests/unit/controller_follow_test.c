/* SPDX-License-Identifier: Apache-2.0 */
/* What those who follow the metadata see: entries as they commit, a snapshot when they are too far behind,
 * refusals. One controller, real loop. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/env_uv.h"
#include "common/rpc/rpc.h"
#include "controller/config.h"
#include "controller/controller.h"
#include "proto/cluster/image.h"
#include "proto/cluster/rpc_messages.h"
#include "proto/kafka/api.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"
#include "tests/lib/unit.h"

#define CALL_US 5000000

struct fixture {
    struct env *env;
    char dir[64];
    struct logger log;
    struct controller *controller;
    struct rpc_peer_info self;
    struct rpc_client *client;
    struct arena arena;
    bool stopped;
    int64_t epoch;
};

/* One call and its reply. */
struct call {
    struct rpc_call call;
    bool done;
    enum err err;
    uint16_t type;
    uint8_t *payload;
    size_t len;
};

static void turn_until(struct fixture *f, bool (*done)(void *ctx), void *ctx)
{
    uint64_t end = env_now_us(f->env) + 10000000;
    while (!done(ctx)) {
        ck_assert_msg(env_now_us(f->env) < end, "waited ten seconds");
        env_uv_main_turn(f->env);
    }
}

static bool is_ready(void *ctx)
{
    char reason[128];
    return controller_ready(((struct fixture *)ctx)->controller, reason, sizeof(reason));
}

static bool is_up(void *ctx)
{
    return rpc_client_is_up(((struct fixture *)ctx)->client);
}

static bool is_stopped(void *ctx)
{
    return ((struct fixture *)ctx)->stopped;
}

static void on_stopped(void *ctx)
{
    ((struct fixture *)ctx)->stopped = true;
}

static void connect_as(struct fixture *f, enum rpc_role role, int32_t node_id)
{
    static const struct rpc_client_handler handler = {.up = NULL};
    if (f->client != NULL)
        rpc_client_close(f->client);
    f->self = (struct rpc_peer_info){.node_id = node_id, .role = role, .incarnation = 7};
    f->client = rpc_client_new(f->env, NULL, controller_address(f->controller), &f->self, &handler, f);
    turn_until(f, is_up, f);
}

static void start(struct fixture *f)
{
    char text[CONTROLLER_TEXT_MAX];
    struct controller_options o = controller_options_defaults();
    o.node_id = 4;
    o.metadata_dir = f->dir;
    o.logger = &f->log;
    o.snapshot_entries = 40;
    o.segment_bytes = 4096;
    snprintf(o.listen.host, sizeof(o.listen.host), "127.0.0.1");
    o.voters[0] = (struct controller_voter){.node_id = 4, .addr = o.listen};
    o.voters_count = 1;
    ck_assert_msg(controller_new(f->env, &o, &f->controller, text) == OK, "%s", text);
    controller_set_voter(f->controller, 4, controller_address(f->controller));
    ck_assert_int_eq(controller_start(f->controller), OK);
    turn_until(f, is_ready, f);
}

static void stop(struct fixture *f)
{
    f->stopped = false;
    controller_stop(f->controller, on_stopped, f);
    turn_until(f, is_stopped, f);
    controller_free(f->controller);
    f->controller = NULL;
}

static void setup(struct fixture *f)
{
    struct logger_options lo = {.level = LOG_LEVEL_ERROR};
    memset(f, 0, sizeof(*f));
    snprintf(f->dir, sizeof(f->dir), "/tmp/sluice-follow-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    logger_init(&f->log, &lo);
    arena_init(&f->arena, NULL, 0, 1 << 24);
    f->env = env_uv_main_new();
    start(f);
    connect_as(f, RPC_ROLE_BROKER, 1);
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    return remove(path);
}

static void teardown(struct fixture *f)
{
    rpc_client_close(f->client);
    stop(f);
    arena_free(&f->arena);
    env_uv_main_free(f->env);
    nftw(f->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void call_done(struct rpc_call *rpc, enum err err, uint16_t type, const uint8_t *payload, size_t len)
{
    struct call *call = CONTAINER_OF(rpc, struct call, call);
    call->done = true;
    call->err = err;
    call->type = type;
    call->len = len;
    call->payload = malloc(len + 1);
    if (len > 0)
        memcpy(call->payload, payload, len);
}

static bool is_done(void *ctx)
{
    return ((struct call *)ctx)->done;
}

static void send_call(struct fixture *f, struct call *call, uint16_t type, struct writer *w)
{
    struct iobuf *buf = writer_take(w);
    memset(call, 0, sizeof(*call));
    call->call.done = call_done;
    rpc_client_call(f->client, type, buf, CALL_US, &call->call);
    iobuf_unref(buf);
    writer_free(w);
}

/* Calls, waits and decodes; the reply's memory is the arena's and the call's. */
#define ASK(f, type_, name, request, ret)                                                                    \
    do {                                                                                                     \
        struct writer w_;                                                                                    \
        struct call call_;                                                                                   \
        writer_init(&w_, NULL, 256, 1 << 20);                                                                \
        rpc_##name##_request_encode(&w_, (request));                                                         \
        send_call((f), &call_, (type_), &w_);                                                                \
        turn_until((f), is_done, &call_);                                                                    \
        ck_assert_int_eq(call_.err, OK);                                                                     \
        struct reader r_ = reader_over(arena_copy(&(f)->arena, call_.payload, call_.len + 1), call_.len);    \
        ck_assert_int_eq(rpc_##name##_reply_decode(&r_, &(f)->arena, (ret)), OK);                            \
        free(call_.payload);                                                                                 \
    } while (0)

static void register_broker(struct fixture *f)
{
    struct meta_endpoint endpoint = {.name = STR_LIT("PLAINTEXT"), .host = STR_LIT("127.0.0.1"), .port = 1};
    struct rpc_register_broker_request m = {.broker_id = 1,
                                            .incarnation_id = {{1}},
                                            .directory_id = {{2}},
                                            .rack = STR_NULL,
                                            .endpoints = &endpoint,
                                            .endpoints_count = 1,
                                            .previous_broker_epoch = -1};
    struct rpc_register_broker_reply reply;
    ASK(f, CLUSTER_RPC_REGISTER_BROKER, register_broker, &m, &reply);
    ck_assert_int_eq(reply.error, KAFKA_NONE);
    f->epoch = reply.broker_epoch;
}

static int64_t take_block(struct fixture *f)
{
    struct rpc_producer_ids_request m = {.broker_id = 1, .broker_epoch = f->epoch};
    struct rpc_producer_ids_reply reply;
    ASK(f, CLUSTER_RPC_PRODUCER_IDS, producer_ids, &m, &reply);
    ck_assert_int_eq(reply.error, KAFKA_NONE);
    return reply.first_id;
}

static void apply_stream(struct fixture *f, struct image_edit *edit, struct bytes data)
{
    struct reader r = reader_over(data.p, (size_t)MAX(data.len, 0));
    while (reader_left(&r) > 0) {
        struct meta_record record;
        ck_assert_int_eq(meta_record_decode(&r, &f->arena, &record), OK);
        ck_assert_int_eq(image_edit_apply(edit, &record), OK);
    }
}

/* Tails from the image on until it has reached the controller's; what it becomes is returned in its place. */
static struct image *follow(struct fixture *f, struct image *image)
{
    while (image_index(image) < image_index(controller_image(f->controller))) {
        struct rpc_tail_request m = {
            .from_index = image_index(image) + 1, .max_bytes = 3000, .wait_ms = 1000};
        struct rpc_tail_reply reply;
        ASK(f, CLUSTER_RPC_TAIL, tail, &m, &reply);
        ck_assert_int_eq(reply.error, KAFKA_NONE);
        ck_assert_int_gt(reply.entries_count, 0);
        for (int32_t i = 0; i < reply.entries_count; i++) {
            struct image_edit *edit = image_edit_begin(image);
            ck_assert_uint_eq(reply.entries[i].index, image_index(image) + 1);
            apply_stream(f, edit, reply.entries[i].records);
            struct image *next = image_edit_commit(edit, reply.entries[i].index, reply.entries[i].term);
            image_unref(image);
            image = next;
        }
    }
    return image;
}

static void check_same(struct fixture *f, struct image *image)
{
    ck_assert_uint_eq(image_index(image), image_index(controller_image(f->controller)));
    ck_assert_uint_eq(image_hash(image), image_hash(controller_image(f->controller)));
}

START_TEST(a_follower_gets_every_entry_and_new_ones_at_once)
{
    struct fixture f;
    struct call poll;
    struct writer w;
    setup(&f);
    register_broker(&f);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(take_block(&f), i * 1000);
    struct image *image = follow(&f, image_new());
    check_same(&f, image);
    /* A long poll is answered by the next commit. */
    struct rpc_tail_request m = {.from_index = image_index(image) + 1, .max_bytes = 1 << 20, .wait_ms = 4000};
    writer_init(&w, NULL, 256, 1 << 20);
    rpc_tail_request_encode(&w, &m);
    send_call(&f, &poll, CLUSTER_RPC_TAIL, &w);
    uint64_t start_us = env_now_us(f.env);
    take_block(&f);
    turn_until(&f, is_done, &poll);
    ck_assert_uint_lt(env_now_us(f.env) - start_us, 1000000);
    struct reader r = reader_over(poll.payload, poll.len);
    struct rpc_tail_reply reply;
    ck_assert_int_eq(rpc_tail_reply_decode(&r, &f.arena, &reply), OK);
    ck_assert_int_eq(reply.entries_count, 1);
    ck_assert_uint_eq(reply.entries[0].index, m.from_index);
    free(poll.payload);
    /* And answered empty when nothing happens. */
    m.from_index += 1;
    m.wait_ms = 30;
    ASK(&f, CLUSTER_RPC_TAIL, tail, &m, &reply);
    ck_assert_int_eq(reply.error, KAFKA_NONE);
    ck_assert_int_eq(reply.entries_count, 0);
    image_unref(image);
    teardown(&f);
}
END_TEST

static struct image *load_snapshot(struct fixture *f)
{
    struct writer stream;
    struct rpc_snapshot_request m = {.max_bytes = 100};
    struct rpc_snapshot_reply reply;
    writer_init(&stream, NULL, 4096, 1 << 20);
    do {
        ASK(f, CLUSTER_RPC_SNAPSHOT, snapshot, &m, &reply);
        ck_assert_int_eq(reply.error, KAFKA_NONE);
        ck_assert_uint_eq(reply.offset, m.offset);
        writer_raw(&stream, reply.chunk.p, (size_t)reply.chunk.len);
        m.snapshot_index = reply.snapshot_index;
        m.offset += (uint64_t)reply.chunk.len;
    } while (!reply.last);
    struct image_edit *edit = image_edit_begin_empty();
    apply_stream(f, edit, (struct bytes){stream.buf->data, (int32_t)stream.buf->len});
    writer_free(&stream);
    return image_edit_commit(edit, reply.snapshot_index, reply.snapshot_term);
}

START_TEST(a_follower_behind_the_log_reads_the_snapshot_first)
{
    struct fixture f;
    setup(&f);
    register_broker(&f);
    for (int i = 0; i < 400; i++)
        take_block(&f);
    struct rpc_tail_request m = {.from_index = 1, .max_bytes = 1 << 20};
    struct rpc_tail_reply reply;
    ASK(&f, CLUSTER_RPC_TAIL, tail, &m, &reply);
    ck_assert_int_eq(reply.error, KAFKA_OFFSET_OUT_OF_RANGE);
    struct image *image = load_snapshot(&f);
    ck_assert_uint_gt(image_index(image), 300);
    image = follow(&f, image);
    check_same(&f, image);
    struct rpc_snapshot_request gone = {.snapshot_index = 1, .max_bytes = 100};
    struct rpc_snapshot_reply none;
    ASK(&f, CLUSTER_RPC_SNAPSHOT, snapshot, &gone, &none);
    ck_assert_int_eq(none.error, KAFKA_SNAPSHOT_NOT_FOUND);
    image_unref(image);
    teardown(&f);
}
END_TEST

START_TEST(a_restart_brings_the_same_image_back)
{
    struct fixture f;
    setup(&f);
    register_broker(&f);
    for (int i = 0; i < 130; i++)
        take_block(&f);
    uint64_t hash = image_hash(controller_image(f.controller));
    struct uuid cluster = image_cluster_id(controller_image(f.controller));
    for (int i = 0; i < 3; i++) {
        if (i == 1) {
            controller_free(f.controller); /* as if killed */
            f.controller = NULL;
        } else {
            stop(&f);
        }
        start(&f);
        ck_assert_uint_eq(image_hash(controller_image(f.controller)), hash);
        ck_assert(uuid_eq(image_cluster_id(controller_image(f.controller)), cluster));
    }
    connect_as(&f, RPC_ROLE_BROKER, 1);
    ck_assert_int_eq(take_block(&f), 130000);
    teardown(&f);
}
END_TEST

/* Sends raw bytes as a request; returns how the call ended and the reply's first decoded field. */
static enum err send_raw(struct fixture *f, uint16_t type, const void *p, size_t len)
{
    struct writer w;
    struct call call;
    writer_init(&w, NULL, 256, 1 << 20);
    writer_raw(&w, p, len);
    send_call(f, &call, type, &w);
    turn_until(f, is_done, &call);
    free(call.payload);
    return call.err;
}

START_TEST(strangers_and_nonsense_are_refused)
{
    static const uint8_t types[] = {
        CLUSTER_RPC_REGISTER_BROKER, CLUSTER_RPC_HEARTBEAT, CLUSTER_RPC_TAIL,
        CLUSTER_RPC_ALTER_PARTITION, CLUSTER_RPC_ADMIN,     CLUSTER_RPC_PRODUCER_IDS,
        CLUSTER_RPC_SNAPSHOT};
    struct fixture f;
    uint8_t junk[64];
    setup(&f);
    memset(junk, 0xff, sizeof(junk));
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        ck_assert_int_eq(send_raw(&f, types[i], junk, sizeof(junk)),
                         OK); /* answered with an error, still connected */
    ck_assert(rpc_client_is_up(f.client));
    ck_assert_int_eq(send_raw(&f, 999, junk, 1),
                     ERR_UNKNOWN_OUTCOME); /* no such request: the connection ends */
    connect_as(&f, RPC_ROLE_TOOL, 99);
    struct rpc_status_request ask = {0};
    struct rpc_status_reply status;
    ASK(&f, CLUSTER_RPC_STATUS, status, &ask, &status);
    ck_assert_int_eq(status.leader_id, 4);
    ck_assert_int_eq(send_raw(&f, CLUSTER_RPC_HEARTBEAT, junk, 0),
                     ERR_UNKNOWN_OUTCOME); /* tools are no brokers */
    connect_as(&f, RPC_ROLE_BROKER, 1);
    register_broker(&f);
    teardown(&f);
}
END_TEST

START_TEST(a_broker_speaks_for_itself_alone_and_must_be_registered)
{
    struct fixture f;
    setup(&f);
    register_broker(&f);
    struct rpc_producer_ids_request ids = {.broker_id = 1, .broker_epoch = f.epoch};
    struct rpc_producer_ids_reply ids_reply;
    struct rpc_heartbeat_request beat = {.broker_id = 1, .broker_epoch = f.epoch};
    struct rpc_heartbeat_reply beat_reply;
    struct rpc_admin_request admin = {
        .api_key = KAFKA_API_CREATE_TOPICS, .api_version = 7, .body = {(const uint8_t *)"", 0}};
    struct rpc_admin_reply admin_reply;
    ASK(&f, CLUSTER_RPC_ADMIN, admin, &admin, &admin_reply);
    ck_assert_int_eq(admin_reply.error, KAFKA_INVALID_REQUEST); /* looked at, at least */
    connect_as(&f, RPC_ROLE_BROKER, 2);
    ASK(&f, CLUSTER_RPC_PRODUCER_IDS, producer_ids, &ids, &ids_reply);
    ck_assert_int_eq(ids_reply.error, KAFKA_CLUSTER_AUTHORIZATION_FAILED);
    ASK(&f, CLUSTER_RPC_HEARTBEAT, heartbeat, &beat, &beat_reply);
    ck_assert_int_eq(beat_reply.error, KAFKA_CLUSTER_AUTHORIZATION_FAILED);
    ASK(&f, CLUSTER_RPC_ADMIN, admin, &admin, &admin_reply);
    ck_assert_int_eq(admin_reply.error, KAFKA_CLUSTER_AUTHORIZATION_FAILED);
    teardown(&f);
}
END_TEST

/* AddRaftVoter or RemoveRaftVoter as a broker forwards it; the error that the client would see. */
static int16_t change_quorum(struct fixture *f, bool adds, int32_t node_id, const char *directory)
{
    struct writer w;
    struct kafka_add_raft_voter_request add;
    struct kafka_remove_raft_voter_request leave;
    struct kafka_add_raft_voter_request_listener listener = {
        .name = STR_LIT("CONTROLLER"), .host = STR_LIT("127.0.0.1"), .port = 1};
    struct rpc_admin_reply reply;
    kafka_add_raft_voter_request_init(&add);
    kafka_remove_raft_voter_request_init(&leave);
    add.cluster_id = leave.cluster_id = STR_NULL;
    add.voter_id = leave.voter_id = node_id;
    add.timeout_ms = 1;
    add.listeners = &listener;
    add.listeners_count = 1;
    ck_assert_int_eq(uuid_parse(str_from(directory), &add.voter_directory_id), OK);
    leave.voter_directory_id = add.voter_directory_id;
    writer_init(&w, NULL, 256, 4096);
    if (adds)
        kafka_add_raft_voter_request_encode(&w, 1, &add);
    else
        kafka_remove_raft_voter_request_encode(&w, 0, &leave);
    struct rpc_admin_request admin = {.api_key =
                                          adds ? KAFKA_API_ADD_RAFT_VOTER : KAFKA_API_REMOVE_RAFT_VOTER,
                                      .api_version = adds,
                                      .body = {w.buf->data, (int32_t)w.buf->len}};
    ASK(f, CLUSTER_RPC_ADMIN, admin, &admin, &reply);
    writer_free(&w);
    ck_assert_int_eq(reply.error, KAFKA_NONE);
    struct reader r = reader_over(reply.body.p, (size_t)reply.body.len);
    struct kafka_add_raft_voter_response added;
    struct kafka_remove_raft_voter_response removed;
    if (adds)
        ck_assert_int_eq(kafka_add_raft_voter_response_decode(&r, &f->arena, 1, &added), OK);
    else
        ck_assert_int_eq(kafka_remove_raft_voter_response_decode(&r, &f->arena, 0, &removed), OK);
    return adds ? added.error_code : removed.error_code;
}

START_TEST(changes_of_the_quorum_that_make_no_sense_are_refused)
{
    static const char pinned[] = "=node-7/AAAAAAAAAAAAAAAAAAAAAQ/127.0.0.1:1";
    struct fixture f;
    setup(&f);
    connect_as(&f, RPC_ROLE_CONTROLLER,
               7); /* a voter of the first configuration, if it were one, is pinned */
    struct iobuf *buf = iobuf_get(NULL, sizeof(pinned));
    buf->len = sizeof(pinned) - 1;
    memcpy(buf->data, pinned, buf->len);
    ck_assert_int_eq(rpc_client_send(f.client, CLUSTER_RPC_INTRODUCE, buf), OK);
    iobuf_unref(buf);
    struct rpc_status_request ask = {0};
    struct rpc_status_reply status;
    ASK(&f, CLUSTER_RPC_STATUS, status, &ask, &status); /* it was read before this one was answered */
    connect_as(&f, RPC_ROLE_BROKER, 1);
    register_broker(&f);
    ck_assert_int_eq(change_quorum(&f, true, 4, "AAAAAAAAAAAAAAAAAAAAAQ"), KAFKA_DUPLICATE_VOTER);
    ck_assert_int_eq(change_quorum(&f, true, 5, "AAAAAAAAAAAAAAAAAAAAAA"), KAFKA_INVALID_REQUEST);
    ck_assert_int_eq(change_quorum(&f, true, 7, "AAAAAAAAAAAAAAAAAAAAAQ"), KAFKA_INVALID_REQUEST);
    ck_assert_int_eq(change_quorum(&f, false, 5, "AAAAAAAAAAAAAAAAAAAAAQ"), KAFKA_VOTER_NOT_FOUND);
    ck_assert_int_eq(change_quorum(&f, false, 4, "AAAAAAAAAAAAAAAAAAAAAQ"), KAFKA_VOTER_NOT_FOUND);
    teardown(&f);
}
END_TEST

START_TEST(the_table_of_settings_is_sound)
{
    ck_assert_msg(setting_table_check(controller_settings()) == NULL, "%s",
                  setting_table_check(controller_settings()));
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, a_follower_gets_every_entry_and_new_ones_at_once);
    tcase_add_test(tcase, a_follower_behind_the_log_reads_the_snapshot_first);
    tcase_add_test(tcase, a_restart_brings_the_same_image_back);
    tcase_add_test(tcase, strangers_and_nonsense_are_refused);
    tcase_add_test(tcase, a_broker_speaks_for_itself_alone_and_must_be_registered);
    tcase_add_test(tcase, changes_of_the_quorum_that_make_no_sense_are_refused);
    tcase_add_test(tcase, the_table_of_settings_is_sound);
}

SLUICE_TEST_MAIN("controller_follow", add)
