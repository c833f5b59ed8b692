/* SPDX-License-Identifier: Apache-2.0 */
/* Brokers as a client of one listener sees them. */
#ifndef SLUICE_BROKER_HANDLERS_ENDPOINTS_H
#define SLUICE_BROKER_HANDLERS_ENDPOINTS_H

#include "broker/shard/request.h"

/* The broker's advertised endpoint on the listener that the request came in by; NULL when it has none of that
 * name. */
const struct meta_endpoint *endpoint_for(const struct request *rq, const struct image_broker *broker);

/* Calls each for every live (not fenced) broker that has an endpoint for this client. */
void endpoints_each(const struct request *rq, bool with_fenced,
                    bool (*each)(void *ctx, const struct image_broker *broker,
                                 const struct meta_endpoint *endpoint),
                    void *ctx);

/* The broker that clients shall send admin requests to: any live one will do, since brokers forward; this
 * one, so that it costs no hop. -1 while it is fenced. */
int32_t controller_for_clients(const struct request *rq);

/* The cluster id in Kafka's text form, in the request's arena; the null string before it is known. */
struct str cluster_id_text(struct request *rq);

#endif
