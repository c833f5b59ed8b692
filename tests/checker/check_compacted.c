/* SPDX-License-Identifier: Apache-2.0 */
/* I2 and I3 of compacted logs: of each compaction key the newest write that was acknowledged, or once read,
 * is there when everything is read at the end, or one behind it is. */
#include "tests/checker/checker_int.h"

/* Of one compaction key of a partition. */
struct newest {
    int64_t final_offset; /* plus 1: the newest that the final reads returned; 0: none */
};

static struct newest *newest_of(struct checker *c, struct map *map, const struct value *value)
{
    int64_t key = value->invoke->rec.arg2;
    return check_entry(c, map, value->key->number, (uint32_t)key, sizeof(struct newest));
}

static bool is_compacted(const struct value *value)
{
    return value->invoke && value->invoke->rec.arg2 > 0 && value->key && value->place;
}

/* Its writer was promised that it stays until something newer is there. */
static bool is_promised(const struct value *value)
{
    bool strict = !(value->invoke->rec.flags & HISTORY_MAY_REPEAT);
    return strict && value->place->rec.offset >= value->key->trim &&
           (check_done(value->invoke, HISTORY_OK) || value->read);
}

/* What the final reads returned counts where they found it: a writer that may repeat itself leaves several
 * places. */
static void index_final(struct checker *c, struct map *map, const struct key *key)
{
    for (uint32_t i = 0; i < key->slot_count && !c->no_memory; i++) {
        const struct slot *slot = key->order[i];
        bool counts = slot->read_final && slot->value && slot->value->key == key && is_compacted(slot->value);
        struct newest *newest = counts ? newest_of(c, map, slot->value) : NULL;
        if (newest)
            newest->final_offset = MAX(newest->final_offset, slot->offset + 1);
    }
}

void check_compacted(struct checker *c)
{
    struct map map;
    map_init(&map);
    for (const struct key *key = c->key_list; key; key = key->next)
        index_final(c, &map, key);
    for (struct value *value = c->value_list; value && !c->no_memory; value = value->next) {
        if (!is_compacted(value) || value->read_final || !value->key->final || !is_promised(value))
            continue;
        const struct newest *newest = newest_of(c, &map, value);
        if (newest && value->place->rec.offset >= newest->final_offset)
            check_report_in(
                c, value->key,
                CHECK_FOUND(LOST_WRITE, value->place, value->invoke, value->place, value->key->final));
    }
    map_free(&map);
}
