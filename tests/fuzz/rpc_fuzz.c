/* SPDX-License-Identifier: Apache-2.0 */
/* The cluster RPC's framer and hello on any bytes, cut at any places: byte 0 chooses the size of the pieces,
 * byte 1 whether frames are kept (then their bytes must not change) and the payload limit. The frames found
 * must not depend on where the stream is cut. */
#include "tests/fuzz/fuzz.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/map.h"
#include "common/rpc/frame.h"

#define KEPT_MAX 64

struct kept {
    struct iobuf *buf;
    const uint8_t *payload;
    size_t len;
    uint64_t hash;
};

struct outcome {
    unsigned frames;
    uint64_t hash;
    int end;
    bool keep;
    struct kept kept[KEPT_MAX];
};

static void note_frame(struct outcome *outcome, const struct rpc_framer *framer,
                       const struct rpc_frame *frame)
{
    struct rpc_peer_info info;
    uint64_t hash = hash_bytes(frame->payload, frame->len, frame->type);
    ASSERT(frame->len <= framer->payload_max);
    ASSERT(frame->payload >= framer->buf->data &&
           frame->payload + frame->len <= framer->buf->data + framer->buf->len);
    if (outcome->keep && outcome->frames < KEPT_MAX)
        outcome->kept[outcome->frames] = (struct kept){
            .buf = iobuf_ref(framer->buf), .payload = frame->payload, .len = frame->len, .hash = hash};
    outcome->frames++;
    outcome->hash = hash * 31 + outcome->hash + frame->correlation;
    if (rpc_hello_read(frame->payload, frame->len, &info) == OK) {
        uint8_t again[RPC_HELLO_BYTES];
        rpc_hello_write(again, &info);
        ASSERT(memcmp(again, frame->payload, 3) == 0 &&
               memcmp(again + 4, frame->payload + 4, sizeof(again) - 4) == 0);
    }
}

static void check_kept(struct outcome *outcome)
{
    for (unsigned i = 0; i < KEPT_MAX && outcome->kept[i].buf != NULL; i++) {
        struct kept *kept = &outcome->kept[i];
        struct rpc_frame frame = {.payload = kept->payload, .len = kept->len};
        const uint8_t *header = kept->payload - RPC_HEADER_BYTES;
        frame.type = (uint16_t)(header[4] << 8 | header[5]);
        ASSERT(hash_bytes(frame.payload, frame.len, frame.type) == kept->hash);
        iobuf_unref(kept->buf);
    }
}

static void parse(struct outcome *outcome, const uint8_t *data, size_t size, size_t piece, size_t payload_max)
{
    struct rpc_framer framer;
    struct rpc_frame frame;
    rpc_framer_init(&framer, NULL, payload_max);
    while (size > 0 && outcome->end >= 0) {
        void *p;
        size_t room;
        ASSERT(rpc_framer_space(&framer, &p, &room) == OK && room > 0);
        size_t len = MIN(MIN(piece, size), room);
        memcpy(p, data, len);
        rpc_framer_filled(&framer, len);
        while ((outcome->end = rpc_framer_next(&framer, &frame)) > 0)
            note_frame(outcome, &framer, &frame);
        rpc_framer_rest(&framer);
        data += len;
        size -= len;
    }
    rpc_framer_free(&framer);
    check_kept(outcome);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    size_t piece = (size_t)data[0] + 1,
           payload_max = data[1] & 2 ? RPC_HELLO_MAX_BYTES : RPC_PAYLOAD_MAX_BYTES;
    struct outcome whole = {.keep = false}, pieces = {.keep = data[1] & 1};
    parse(&whole, data + 2, size - 2, size, payload_max);
    parse(&pieces, data + 2, size - 2, piece, payload_max);
    ASSERT(whole.frames == pieces.frames && whole.hash == pieces.hash && whole.end == pieces.end);
    return 0;
}
