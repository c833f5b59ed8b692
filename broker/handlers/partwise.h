/* SPDX-License-Identifier: Apache-2.0 */
/* Requests of one shape: topics by name, each with partitions, every partition answered on its own by the
 * shard that owns it. What is left to an API is a row of three small functions. */
#ifndef SLUICE_BROKER_HANDLERS_PARTWISE_H
#define SLUICE_BROKER_HANDLERS_PARTWISE_H

#include "broker/handlers/scatter.h"
#include "broker/shard/partition_lookup.h"

/* in and out are the API's own structs of one partition. */
struct partwise_api {
    size_t in_size, out_size;
    /* Sets out to what is answered when nothing goes well; returns the partition's index. */
    int32_t (*begin)(const void *in, void *out);
    /* The outcome that no run() gave. */
    void (*fail)(void *out, int16_t error);
    /* On the owner: answers into out. request is the decoded one. */
    void (*run)(const void *request, const void *in, void *out, struct partition *p);
    /* After run(): whether wait->done will follow; its error is the outcome. NULL: nothing waits. */
    bool (*wait)(const void *request, void *out, struct partition *p, struct partition_wait *wait);
    /* Not NULL: in place of run() and wait(), asks; found() gets the answer, now or (true) later. */
    bool (*seek)(const void *request, const void *in, struct partition *p, struct partition_lookup *lookup);
    void (*found)(const struct partition_lookup *lookup, void *out);
    /* At home: encodes the response. */
    void (*finish)(struct request *rq, void *response);
};

struct partwise {
    struct scatter scatter;
    const struct partwise_api *api;
    const void *request;
    void *response;
};

/* Begins an operation in the request's arena. NULL: no memory left, the request was refused. */
struct partwise *partwise_begin(struct request *rq, const struct partwise_api *api, const void *request,
                                void *response);

/* Lays out one topic: count partitions at in; gives their answers, in the same order. NULL: no memory left.
 */
void *partwise_topic(struct partwise *op, struct str topic, const void *in, int32_t count);

/* Runs what was laid out; ok false: memory ran out, the request is refused. */
void partwise_run(struct partwise *op, bool ok);

#endif
