/* SPDX-License-Identifier: Apache-2.0 */
/* What the answer about a batch means: done, again, start over, or failed. */
#include "client/core/internal.h"
#include "proto/kafka/error.h"

enum verdict {
    VERDICT_FAIL,     /* the batch was not written and never will be */
    VERDICT_DONE,     /* written */
    VERDICT_WRITTEN,  /* written before, the offset is not told */
    VERDICT_AGAIN,    /* not written: repeat */
    VERDICT_DOUBT,    /* perhaps written: repeat, which the broker notices */
    VERDICT_SEQUENCE, /* not written, because the batch before it is missing */
    VERDICT_RENUMBER, /* the broker does not accept our epoch any more */
};

/* Codes that mean more than "retriable or not" (kafka_error_retriable()). */
static const struct {
    int16_t code;
    enum verdict verdict;
} verdicts[] = {
    {KAFKA_NONE, VERDICT_DONE},
    {KAFKA_DUPLICATE_SEQUENCE_NUMBER, VERDICT_WRITTEN},
    {KAFKA_REQUEST_TIMED_OUT, VERDICT_DOUBT},
    {KAFKA_NOT_LEADER_OR_FOLLOWER, VERDICT_DOUBT}, /* also said when leadership was lost after the append */
    {KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND, VERDICT_DOUBT},
    {KAFKA_NETWORK_EXCEPTION, VERDICT_DOUBT},
    {KAFKA_KAFKA_STORAGE_ERROR, VERDICT_DOUBT},
    {KAFKA_UNKNOWN_SERVER_ERROR, VERDICT_DOUBT},
    {KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER, VERDICT_SEQUENCE},
    {KAFKA_UNKNOWN_PRODUCER_ID, VERDICT_SEQUENCE},
    {KAFKA_INVALID_PRODUCER_EPOCH, VERDICT_RENUMBER},
};

static enum verdict verdict_of(int16_t code)
{
    for (size_t i = 0; i < ARRAY_LEN(verdicts); i++)
        if (verdicts[i].code == code)
            return verdicts[i].verdict;
    return kafka_error_retriable(code) ? VERDICT_AGAIN : VERDICT_FAIL;
}

static bool is_first(const struct client_batch *batch)
{
    return batch->partition->out.batches.next == &batch->link;
}

static void succeed(struct client *client, struct client_batch *batch, int64_t base_offset)
{
    batch->partition->out.failures = 0;
    batch->partition->out.known = true;
    client_batch_settle(client, batch, client_failure_of(OK, 0), base_offset);
}

/* Behind a batch that is repeated, the gap closes by itself. At the head there is nothing to wait for: the
 * broker has lost what came before, and numbers start over. But a leader that is none any more may say so
 * too, of a batch that its successor has: what may have been written is asked again, never sent under new
 * numbers. */
static void out_of_sequence(struct client *client, struct client_batch *batch, int16_t kafka_error)
{
    if (batch->in_doubt) {
        client_batch_retry(client, batch, client_failure_of(OK, kafka_error), true);
        client_refresh(client);
        return;
    }
    if (is_first(batch))
        batch->partition->out.reset = true;
    client_batch_retry(client, batch, client_failure_of(OK, kafka_error), false);
}

void client_produce_answer(struct client *client, struct client_batch *batch, int16_t kafka_error,
                           int64_t base_offset)
{
    struct client_failure failure = client_failure_of(OK, kafka_error);
    switch (verdict_of(kafka_error)) {
    case VERDICT_DONE: succeed(client, batch, base_offset); return;
    case VERDICT_WRITTEN: succeed(client, batch, -1); return;
    case VERDICT_SEQUENCE: out_of_sequence(client, batch, kafka_error); return;
    case VERDICT_RENUMBER:
        batch->partition->out.reset = true;
        client_batch_retry(client, batch, failure, false);
        return;
    case VERDICT_AGAIN:
    case VERDICT_DOUBT:
        client_batch_retry(client, batch, failure, verdict_of(kafka_error) == VERDICT_DOUBT);
        client_refresh(client);
        return;
    case VERDICT_FAIL:
        if (batch->in_doubt)
            failure.err = ERR_UNKNOWN_OUTCOME; /* an earlier attempt may have been accepted */
        client_batch_settle(client, batch, failure, -1);
        return;
    }
}
