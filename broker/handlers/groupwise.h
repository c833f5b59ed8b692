/* SPDX-License-Identifier: Apache-2.0 */
/* Requests to group coordinators: each part concerns one group and runs on the shard that leads the group's
 * partition of __consumer_offsets; the request finishes at home when all parts are settled. */
#ifndef SLUICE_BROKER_HANDLERS_GROUPWISE_H
#define SLUICE_BROKER_HANDLERS_GROUPWISE_H

#include "broker/handlers/handler.h"
#include "broker/handlers/scatter.h"
#include "broker/shard/group_coordinator.h"

/* One group's part; call.error is its outcome. */
struct groupwise_part {
    struct scatter_part scatter;
    struct group_request request;
    struct arena arena; /* of the answer; freed after the reply was encoded */
};

struct groupwise {
    struct scatter scatter;
    struct request *rq;
    struct groupwise_part *parts;
    int32_t parts_count, parts_max;
    void *request, *response; /* the API's own */
    /* At home, once: encodes the response into rq's reply (request_reply_begin); groupwise ends the request.
     */
    void (*finish)(struct groupwise *op);
};

/* Room for parts_max parts. NULL: no memory, the request was refused. */
struct groupwise *groupwise_begin(struct request *rq, int32_t parts_max, void *request, void *response,
                                  void (*finish)(struct groupwise *op));

/* Adds the part of a group. */
void groupwise_add(struct groupwise *op, enum group_call_type type, struct str group_id, const void *request,
                   void *response);

/* Adds a part that has failed already. */
void groupwise_add_failed(struct groupwise *op, int16_t error);

/* Adds a part for every partition of __consumer_offsets that this broker leads; response(op, i) gives the
 * i-th part's. parts_max must be enough: groupwise_partitions(). */
int32_t groupwise_partitions(struct shard *shard);
void groupwise_add_all(struct groupwise *op, enum group_call_type type, const void *request,
                       void *(*response)(struct groupwise *op, int32_t i));

/* Runs what was added. */
void groupwise_run(struct groupwise *op);

/* Most APIs: one group, one part. */
void groupwise_one(struct request *rq, enum group_call_type type, struct str group_id, void *request,
                   void *response, void (*finish)(struct groupwise *op));

/* The outcome of the first part. */
static inline int16_t groupwise_error(const struct groupwise *op)
{
    return op->parts[0].request.call.error;
}

/* Encodes the response of a finish() function. */
#define groupwise_encode(op, name, response)                                                                 \
    kafka_##name##_response_encode(request_reply_begin((op)->rq), (op)->rq->header.api_version, (response))

#endif
