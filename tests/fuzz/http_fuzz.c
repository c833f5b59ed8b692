/* SPDX-License-Identifier: Apache-2.0 */
/* The admin server's request parser on any bytes, cut at any places: the first byte chooses the size of the
 * pieces. The requests found must not depend on where the stream is cut. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/map.h"
#include "common/obs/http_request.h"

/* What came out of a stream: how many requests, a hash over them, and how it ended. */
struct outcome {
    unsigned requests;
    uint64_t hash;
    enum http_progress end;
    int status;
};

static void note_request(struct outcome *outcome, const struct http_request *request)
{
    ASSERT(request->target_len <= HTTP_TARGET_MAX && strlen(request->target) == request->target_len);
    ASSERT(request->header_bytes <= HTTP_HEADER_MAX);
    ASSERT(request->status == 0);
    outcome->requests++;
    outcome->hash = hash_bytes(request->target, request->target_len,
                               outcome->hash + request->head + 2 * request->keep_alive);
}

static struct outcome parse(const uint8_t *data, size_t size, size_t piece)
{
    struct http_request request;
    struct outcome outcome = {.end = REQUEST_MORE};
    http_request_init(&request);
    while (size > 0) {
        size_t used, len = MIN(piece, size);
        outcome.end = http_request_feed(&request, (const char *)data, len, &used);
        ASSERT(used <= len);
        if (outcome.end == REQUEST_REFUSED)
            break;
        if (outcome.end == REQUEST_DONE)
            note_request(&outcome, &request);
        if (outcome.end == REQUEST_DONE && !request.keep_alive)
            break;
        if (outcome.end == REQUEST_DONE)
            http_request_next(&request);
        ASSERT(used > 0 || outcome.end == REQUEST_DONE);
        data += used;
        size -= used;
    }
    outcome.status = request.status;
    ASSERT((outcome.end == REQUEST_REFUSED) == (outcome.status != 0));
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct outcome whole = parse(data + 1, size - 1, size);
    struct outcome pieces = parse(data + 1, size - 1, (size_t)data[0] % 64 + 1);
    ASSERT(whole.requests == pieces.requests && whole.hash == pieces.hash);
    ASSERT((whole.end == REQUEST_REFUSED) == (pieces.end == REQUEST_REFUSED));
    return 0;
}
