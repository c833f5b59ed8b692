/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a partition directory as a damaged disk may give them. Byte 0 chooses the file and whether its
 * checksum is made right; the rest is its bytes. What is read stays within them; what is believed is written
 * again as it was. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/base/crc32c.h"
#include "common/logformat/epoch_text.h"
#include "common/logformat/file_name.h"
#include "common/logformat/index_entry.h"
#include "common/logformat/meta_text.h"
#include "common/logformat/snapshot_format.h"

static void snapshot(uint8_t *p, size_t len, bool repair)
{
    struct reader r;
    struct snapshot_entry e;
    int32_t count;
    uint8_t again[SNAPSHOT_ENTRY_BYTES];
    if (repair && len >= SNAPSHOT_HEAD_BYTES)
        snapshot_seal(p, len, load_be32(p + SNAPSHOT_COUNT_AT));
    if (snapshot_open(p, len, &r, &count) != OK)
        return;
    ASSERT(count >= 0 && SNAPSHOT_HEAD_BYTES + (uint64_t)count * SNAPSHOT_ENTRY_BYTES <= len);
    for (int32_t i = 0; i < count; i++) {
        const uint8_t *at = r.p;
        if (snapshot_entry_get(&r, &e) != OK)
            return;
        snapshot_entry_put(again, &e);
        ASSERT(memcmp(again, at, sizeof(again)) == 0);
    }
}

static void epochs(const char *text, size_t len)
{
    struct epoch_text it;
    int32_t last_epoch = -1;
    int64_t last_start = -1, count = 0;
    enum err err = epoch_text_open(text, (uint32_t)len, &it);
    char *again = malloc(EPOCH_TEXT_HEAD_MAX + len / 4 * EPOCH_TEXT_ENTRY_MAX + 1), *out = again;
    if (err == OK)
        out = epoch_text_put_head(again, (uint32_t)it.left);
    while (err == OK && (err = epoch_text_next(&it)) == OK) {
        ASSERT(it.epoch > last_epoch && it.start_offset > last_start && ++count <= (int64_t)len / 4);
        last_epoch = it.epoch;
        last_start = it.start_offset;
        out = epoch_text_put(out, it.epoch, it.start_offset);
    }
    if (err == ERR_NOT_FOUND) { /* leading zeros may have been there: read again, it is the same */
        struct epoch_text back;
        ASSERT(epoch_text_open(again, (uint32_t)(out - again), &back) == OK && back.left == count);
        while (epoch_text_next(&back) == OK)
            count--;
        ASSERT(count == 0 && back.epoch == last_epoch && back.start_offset == last_start);
    }
    free(again);
}

static void meta(const char *text, size_t len)
{
    struct uuid id, back;
    char again[META_TEXT_MAX];
    if (meta_text_parse(text, (uint32_t)len, &id) != OK)
        return;
    uint32_t n = meta_text_format(id, again);
    ASSERT(n <= sizeof(again) && meta_text_parse(again, n, &back) == OK && uuid_eq(id, back));
}

static void names(const char *name)
{
    char again[LOG_FILE_NAME_MAX];
    int64_t offset;
    int32_t index;
    log_dir_name_parse(name, &index);
    if (!log_file_name_parse(name, LOG_SUFFIX_TIMEINDEX, &offset))
        return;
    log_file_name_format(offset, LOG_SUFFIX_TIMEINDEX, again);
    ASSERT(strcmp(name, again) == 0);
}

static void indexes(const uint8_t *p, size_t len)
{
    uint8_t again[TXN_ENTRY];
    struct txn_entry e;
    for (size_t at = 0; at + TXN_ENTRY <= len; at += TXN_ENTRY) {
        offset_entry_store(again, offset_entry_load(p + at));
        ASSERT(memcmp(again, p + at, OFFSET_ENTRY) == 0);
        time_entry_store(again, time_entry_load(p + at));
        ASSERT(memcmp(again, p + at, TIME_ENTRY) == 0);
        if (!txn_entry_load(p + at, &e))
            continue;
        txn_entry_store(again, e);
        size_t version = load_be16(p + at) == TXN_ENTRY_VERSION ? 2 : 0; /* Kafka's, without a checksum */
        ASSERT(memcmp(again + version, p + at + version, TXN_ENTRY - version) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    size_t len = size - 1;
    uint8_t *p = malloc(len + 1);
    memcpy(p, data + 1, len);
    p[len] = 0;
    switch (data[0] % 6) {
    case 0: snapshot(p, len, false); break;
    case 1: snapshot(p, len, true); break;
    case 2: epochs((const char *)p, len); break;
    case 3: meta((const char *)p, len); break;
    case 4: names((const char *)p); break;
    default: indexes(p, len); break;
    }
    free(p);
    return 0;
}
