/* SPDX-License-Identifier: Apache-2.0 */
/* ProducerIds: gives a broker its next block of producer ids. */
#include "common/base/mutant.h"
#include "controller/core/internal.h"

const struct core_effects *core_producer_ids(struct core *core, uint64_t now_us, uint64_t token,
                                             const struct rpc_producer_ids_request *request)
{
    struct command *command = command_begin(core, now_us, token, CORE_REPLY_PRODUCER_IDS);
    if (!command)
        return &core->effects;
    const struct image *image = plan_image(&command->plan);
    const struct image_broker *broker = image_broker(image, request->broker_id);
    struct rpc_producer_ids_reply *reply = &command->reply.producer_ids;
    int64_t first = image_next_producer_id(image);
    if (!broker || broker->epoch != request->broker_epoch) {
        reply->error = KAFKA_STALE_BROKER_EPOCH;
    } else if (first > INT64_MAX - CORE_PRODUCER_ID_BLOCK) {
        reply->error = KAFKA_UNKNOWN_SERVER_ERROR;
    } else {
        struct meta_record record = {
            .type = META_PRODUCER_IDS,
            .producer_ids = {request->broker_id, request->broker_epoch, first + CORE_PRODUCER_ID_BLOCK}};
        reply->first_id = first;
        reply->count = CORE_PRODUCER_ID_BLOCK;
        if (!MUTANT(PRODUCER_IDS_TWICE))
            plan_record(&command->plan, &record);
    }
    command_end(command);
    return &core->effects;
}
