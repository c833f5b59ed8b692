/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/json.h"
#include "client/cli/session.h"
#include "client/cli/verbs.h"
#include "client/core/rebalance.h"
#include "common/base/assert.h"
#include "proto/kafka/error.h"

#define BROKERS_MAX     1024
#define RESOURCE_BROKER 4
#define BATCH           200 /* partitions in one request */

enum { OPTION_DRY_RUN = 0x1000, OPTION_MAX_MOVES, OPTION_WITHOUT };

struct rebalance {
    struct cli *cli;
    bool dry_run;
    int32_t moves_max;
    int32_t without[64], without_count;
    struct arena arena; /* everything below */
    struct rebalance_broker brokers[BROKERS_MAX];
    struct rebalance_partition *partitions;
    int32_t brokers_count, partitions_count;
    int32_t asked; /* index of the broker whose settings are asked for */
};

static const struct argp_option options[] = {
    {"dry-run", OPTION_DRY_RUN, NULL, 0, "Only show what would move, and why", 0},
    {"max-moves", OPTION_MAX_MOVES, "N", 0, "Move at most N partitions (default 1000)", 0},
    {"without", OPTION_WITHOUT, "ID", 0, "A broker that shall hold nothing; may be repeated", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct rebalance *r = state->input;
    switch (key) {
    case OPTION_DRY_RUN: r->dry_run = true; return 0;
    case OPTION_MAX_MOVES:
        r->moves_max = (int32_t)cli_number(state, "max-moves", arg, 1, INT32_MAX);
        return 0;
    case OPTION_WITHOUT:
        if (r->without_count == (int32_t)ARRAY_LEN(r->without))
            argp_error(state, "too many brokers");
        r->without[r->without_count++] = (int32_t)cli_number(state, "without", arg, 0, INT32_MAX);
        return 0;
    case ARGP_KEY_ARG: argp_error(state, "unexpected '%s'", arg); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* --- what is --- */

static struct str keep(struct rebalance *r, struct str s)
{
    const char *p = s.len < 0 ? NULL : arena_copy(&r->arena, s.p, (size_t)s.len);
    return p ? (struct str){p, s.len} : STR_NULL;
}

static bool is_unwanted(const struct rebalance *r, int32_t id)
{
    for (int32_t i = 0; i < r->without_count; i++) {
        if (r->without[i] == id)
            return true;
    }
    return false;
}

static void take_topic(struct rebalance *r, const struct kafka_metadata_response_topic *topic)
{
    struct str name = keep(r, topic->name);
    for (int32_t i = 0; i < topic->partitions_count; i++) {
        const struct kafka_metadata_response_partition *p = &topic->partitions[i];
        size_t bytes = (size_t)p->replica_nodes_count * sizeof(int32_t);
        r->partitions[r->partitions_count++] =
            (struct rebalance_partition){.topic = name,
                                         .index = p->partition_index,
                                         .replicas = arena_copy(&r->arena, p->replica_nodes, bytes),
                                         .replicas_count = p->replica_nodes_count};
    }
}

static int on_metadata(void *ctx, const struct client_reply *reply)
{
    struct rebalance *r = ctx;
    const struct kafka_metadata_response *response = reply->message;
    size_t partitions = 0;
    for (int32_t i = 0; i < response->topics_count; i++)
        partitions += (size_t)response->topics[i].partitions_count;
    r->partitions = arena_calloc(&r->arena, partitions + 1, sizeof(*r->partitions));
    for (int32_t i = 0; r->partitions && i < response->topics_count; i++)
        take_topic(r, &response->topics[i]);
    for (int32_t i = 0; i < response->brokers_count && i < BROKERS_MAX; i++) {
        const struct kafka_metadata_response_broker *broker = &response->brokers[i];
        struct str rack = keep(r, broker->rack);
        r->brokers[r->brokers_count++] = (struct rebalance_broker){
            .id = broker->node_id, .rack = rack, .usable = !is_unwanted(r, broker->node_id)};
    }
    return r->partitions
               ? EXIT_OK
               : cli_fail(r->cli, (struct client_failure){.err = ERR_NOMEM}, NULL, "cannot rebalance");
}

static int read_metadata(struct rebalance *r, struct session *s)
{
    struct kafka_metadata_request request;
    struct session_call call = {.api_key = KAFKA_API_METADATA,
                                .message = &request,
                                .repeatable = true,
                                .what = "cannot read the cluster's metadata",
                                .on_reply = on_metadata,
                                .ctx = r};
    kafka_metadata_request_init(&request);
    request.topics_count = -1; /* all */
    request.allow_auto_topic_creation = false;
    return session_call(s, &call);
}

static int on_configs(void *ctx, const struct client_reply *reply)
{
    struct rebalance *r = ctx;
    const struct kafka_describe_configs_response *response = reply->message;
    for (int32_t i = 0; i < response->results_count; i++) {
        for (int32_t n = 0; n < response->results[i].configs_count; n++) {
            if (str_eq_z(response->results[i].configs[n].name, "broker.draining") &&
                str_eq_z(response->results[i].configs[n].value, "true"))
                r->brokers[r->asked].usable = false;
        }
    }
    return EXIT_OK;
}

/* Whether each broker is being drained: it says so itself. */
static int read_draining(struct rebalance *r, struct session *s)
{
    struct kafka_describe_configs_request request;
    struct kafka_describe_configs_request_resource resource;
    struct str key = STR_LIT("broker.draining");
    int code = EXIT_OK;
    for (r->asked = 0; r->asked < r->brokers_count && code == EXIT_OK; r->asked++) {
        char id[16];
        snprintf(id, sizeof(id), "%d", r->brokers[r->asked].id);
        kafka_describe_configs_request_init(&request);
        kafka_describe_configs_request_resource_init(&resource);
        resource.resource_type = RESOURCE_BROKER;
        resource.resource_name = str_from(id);
        resource.configuration_keys = &key;
        resource.configuration_keys_count = 1;
        request.resources = &resource;
        request.resources_count = 1;
        struct session_call call = {.api_key = KAFKA_API_DESCRIBE_CONFIGS,
                                    .message = &request,
                                    .repeatable = true,
                                    .to_node = true,
                                    .node = r->brokers[r->asked].id,
                                    .what = "cannot read a broker's settings",
                                    .on_reply = on_configs,
                                    .ctx = r};
        code = session_call(s, &call);
    }
    return code;
}

/* --- what should be --- */

static void why(const struct rebalance_partition *p, char *text, size_t size)
{
    long long from_has = p->from_has, to_has = p->to_has;
    switch (p->why) {
    case REBALANCE_LEAVES:
        snprintf(text, size, "broker %d shall hold nothing, or is not in the cluster; broker %d takes over",
                 p->from, p->to);
        break;
    case REBALANCE_RACK:
        snprintf(text, size, "the rack of broker %d has another replica, that of broker %d fewer", p->from,
                 p->to);
        break;
    case REBALANCE_COUNT:
        snprintf(text, size, "broker %d holds %lld replicas, broker %d holds %lld", p->from, from_has, p->to,
                 to_has);
        break;
    case REBALANCE_FIRST:
        snprintf(text, size, "broker %d is the preferred leader of %lld partitions, broker %d of %lld",
                 p->from, from_has, p->to, to_has);
        break;
    default: text[0] = 0; break;
    }
}

static void print_move(struct rebalance *r, struct json *j, const struct rebalance_partition *p)
{
    char reason[160];
    why(p, reason, sizeof(reason));
    if (r->cli->output == CLI_JSON) {
        json_object(j, NULL);
        json_str(j, "topic", p->topic);
        json_i64(j, "partition", p->index);
        json_array(j, "replicas");
        for (int32_t i = 0; i < p->replicas_count; i++)
            json_i64(j, NULL, p->replicas[i]);
        json_array_end(j);
        json_z(j, "why", reason);
        json_object_end(j);
        return;
    }
    printf("%.*s-%d  to ", p->topic.len, p->topic.p, p->index);
    for (int32_t i = 0; i < p->replicas_count; i++)
        printf("%s%d", i > 0 ? "," : "", p->replicas[i]);
    printf("  because %s\n", reason);
}

static void print_plan(struct rebalance *r, int32_t moves)
{
    struct json j = json_to(stdout);
    if (r->cli->output == CLI_JSON) {
        json_object(&j, NULL);
        json_bool(&j, "dry_run", r->dry_run);
        json_array(&j, "moves");
    }
    for (int32_t i = 0; i < r->partitions_count; i++) {
        if (r->partitions[i].why != REBALANCE_STAYS)
            print_move(r, &j, &r->partitions[i]);
    }
    if (r->cli->output == CLI_JSON) {
        json_array_end(&j);
        json_object_end(&j);
        json_line(&j);
    } else if (!r->cli->quiet) {
        fprintf(stderr, "%d of %d partitions%s\n", moves, r->partitions_count,
                r->dry_run && moves > 0 ? "; without --dry-run they move" : "");
    }
}

/* --- doing it --- */

static int on_reassigned(void *ctx, const struct client_reply *reply)
{
    struct rebalance *r = ctx;
    const struct kafka_alter_partition_reassignments_response *response = reply->message;
    if (response->error_code != KAFKA_NONE)
        return cli_fail_said(r->cli, response->error_code, response->error_message, "cannot rebalance");
    for (int32_t i = 0; i < response->responses_count; i++) {
        const struct kafka_alter_partition_reassignments_response_response *topic = &response->responses[i];
        for (int32_t n = 0; n < topic->partitions_count; n++) {
            if (topic->partitions[n].error_code != KAFKA_NONE)
                return cli_fail_said(r->cli, topic->partitions[n].error_code,
                                     topic->partitions[n].error_message, "cannot move %.*s-%d",
                                     topic->name.len, topic->name.p, topic->partitions[n].partition_index);
        }
    }
    return EXIT_OK;
}

static int send_batch(struct rebalance *r, struct session *s,
                      struct kafka_alter_partition_reassignments_request_topic *topics, int32_t count)
{
    struct kafka_alter_partition_reassignments_request request;
    struct session_call call = {.api_key = KAFKA_API_ALTER_PARTITION_REASSIGNMENTS,
                                .message = &request,
                                .repeatable = true, /* the same target twice is no change */
                                .what = "cannot rebalance",
                                .on_reply = on_reassigned,
                                .ctx = r};
    kafka_alter_partition_reassignments_request_init(&request);
    request.topics = topics;
    request.topics_count = count;
    request.timeout_ms = (int32_t)(r->cli->timeout_us / 1000);
    return session_call(s, &call);
}

static int apply(struct rebalance *r, struct session *s)
{
    struct kafka_alter_partition_reassignments_request_topic topics[BATCH];
    struct kafka_alter_partition_reassignments_request_partition partitions[BATCH];
    int32_t count = 0;
    int code = EXIT_OK;
    for (int32_t i = 0; i <= r->partitions_count && code == EXIT_OK; i++) {
        const struct rebalance_partition *p = i < r->partitions_count ? &r->partitions[i] : NULL;
        if (p && p->why != REBALANCE_STAYS) {
            kafka_alter_partition_reassignments_request_topic_init(&topics[count]);
            kafka_alter_partition_reassignments_request_partition_init(&partitions[count]);
            partitions[count].partition_index = p->index;
            partitions[count].replicas = p->replicas;
            partitions[count].replicas_count = p->replicas_count;
            topics[count].name = p->topic;
            topics[count].partitions = &partitions[count];
            topics[count++].partitions_count = 1;
        }
        if (count == BATCH || (!p && count > 0)) {
            code = send_batch(r, s, topics, count);
            count = 0;
        }
    }
    return code;
}

int cli_partition_rebalance(struct cli *cli, int argc, char **argv)
{
    static struct rebalance r;
    struct cli_syntax syntax = {
        options, parse, NULL,
        "Moves replicas off brokers that shall hold none, spreads them over racks, and "
        "evens out replicas and preferred leaders."};
    struct session s = {0};
    r = (struct rebalance){.cli = cli, .moves_max = 1000};
    cli_parse(cli, &syntax, argc, argv, &r);
    arena_init(&r.arena, NULL, 0, (size_t)1 << 30);
    int code = session_open_plain(&s, cli);
    if (code == EXIT_OK)
        code = read_metadata(&r, &s);
    if (code == EXIT_OK)
        code = read_draining(&r, &s);
    if (code == EXIT_OK) {
        int32_t moves =
            rebalance_plan(r.brokers, r.brokers_count, r.partitions, r.partitions_count, r.moves_max);
        print_plan(&r, moves);
        if (!r.dry_run && moves > 0)
            code = apply(&r, &s);
    }
    session_close(&s);
    arena_free(&r.arena);
    return code;
}
