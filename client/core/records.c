/* SPDX-License-Identifier: Apache-2.0 */
/* Walking what a fetch brought. */
#include "client/core/client.h"

struct client_records_iter client_records_begin(const struct client_records *records,
                                                struct batch_scratch *scratch)
{
    return (struct client_records_iter){
        .batches = reader_over(records->p, records->len), .scratch = scratch, .from = records->from};
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
    } while (batch_is_control(batch) || batch_last_offset(batch) < it->from);
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
