/* SPDX-License-Identifier: Apache-2.0 */
/* Admin requests are decided by the active controller: any broker takes them from a client, sends the body on
 * as it came, and answers once its own metadata shows the outcome. */
#ifndef SLUICE_BROKER_HANDLERS_FORWARD_H
#define SLUICE_BROKER_HANDLERS_FORWARD_H

#include "broker/shard/request.h"

/* Forwards rq (its body not decoded yet, or decoded: the bytes count). The controller's answer becomes the
 * reply. When there is no answer, fail() builds one that names error (REQUEST_TIMED_OUT, UNKNOWN_SERVER_ERROR
 * ...) for everything that was asked; it ends the request. timeout_ms: the client's. */
void forward_request(struct request *rq, int32_t timeout_ms, void (*fail)(struct request *rq, int16_t error));

#endif
