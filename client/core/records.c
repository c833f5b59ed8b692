/* SPDX-License-Identifier: Apache-2.0 */
/* Walking what a fetch brought. */
#include "client/core/client.h"
#include "common/batch/marker.h"

struct client_records_iter client_records_begin(const struct client_records *records,
                                                struct batch_scratch *scratch)
{
    return (struct client_records_iter){.of = records,
                                        .batches = reader_over(records->p, records->len),
                                        .scratch = scratch,
                                        .from = records->from};
}

/* Whether the producer's transaction that began at `first` has ended before `batch`: its abort marker stands
 * between them. */
static bool ended_before(const struct client_records *records, const uint8_t *batch,
                         const struct client_aborted *txn)
{
    struct reader r = reader_over(records->p, records->len);
    struct marker marker;
    const uint8_t *at;
    size_t size;

    while ((at = batch_next(&r, &size)) != NULL && at != batch)
        if (batch_is_control(at) && batch_producer_id(at) == txn->producer_id &&
            batch_base_offset(at) > txn->first_offset && marker_parse(at, &marker) == OK)
            return true;
    return false;
}

static bool is_aborted(const struct client_records *records, const uint8_t *batch)
{
    for (int32_t i = 0; i < records->aborted_count; i++) {
        const struct client_aborted *txn = &records->aborted[i];
        if (batch_is_transactional(batch) && txn->producer_id == batch_producer_id(batch) &&
            txn->first_offset <= batch_last_offset(batch) && !ended_before(records, batch, txn))
            return true;
    }
    return false;
}

/* The next batch with data, or false. */
static bool next_batch(struct client_records_iter *it)
{
    size_t size;
    const uint8_t *batch;
    do {
        batch = batch_next(&it->batches, &size);
        if (!batch) {
            it->err = it->batches.err;
            return false;
        }
    } while (batch_is_control(batch) || batch_last_offset(batch) < it->from || is_aborted(it->of, batch));
    it->err = (enum err)batch_iter_init(&it->records, batch, it->scratch);
    it->inside = it->err == OK;
    return it->inside;
}

bool client_records_next(struct client_records_iter *it, struct record *ret_record)
{
    while (it->inside || next_batch(it)) {
        while (batch_iter_next(&it->records, ret_record))
            if (ret_record->offset >= it->from)
                return true;
        it->inside = false;
        it->err = it->records.r.err;
        if (it->err != OK)
            return false;
    }
    return false;
}
