/* SPDX-License-Identifier: Apache-2.0 */
/* Soft state, filled by replicas that repeat themselves: it may be forgotten at any time, and is when there
 * is too much of it. A word counts in the leader epoch and for the incarnation it was said in. */
#include "controller/core/ids.h"
#include "controller/core/internal.h"

#define WORDS_MAX 65536u

struct word {
    struct uuid topic_id;
    int32_t index, broker_id;
    int32_t leader_epoch;
    int32_t end_epoch;
    int64_t broker_epoch;
    int64_t end_offset;
};

void words_clear(struct core *core)
{
    map_free(&core->words);
    map_init(&core->words);
    arena_reset(&core->word_memory);
}

static uint64_t key_of(struct uuid topic_id, int32_t index, int32_t broker_id)
{
    uint64_t ids = (uint64_t)(uint32_t)index << 32 | (uint32_t)broker_id;
    return hash_bytes(topic_id.b, sizeof(topic_id.b), ids);
}

static struct word *find(const struct core *core, struct uuid topic_id, int32_t index, int32_t broker_id)
{
    struct word *word = map_get(&core->words, key_of(topic_id, index, broker_id));
    bool same = word && uuid_eq(word->topic_id, topic_id) && word->index == index &&
                word->broker_id == broker_id; /* not only by its hash */
    return same ? word : NULL;
}

static struct word *find_or_add(struct core *core, struct uuid topic_id, int32_t index, int32_t broker_id)
{
    struct word *word = find(core, topic_id, index, broker_id);
    if (word)
        return word;
    if (core->words.count >= WORDS_MAX)
        words_clear(core);
    word = arena_alloc(&core->word_memory, sizeof(*word));
    return word && map_put(&core->words, key_of(topic_id, index, broker_id), word) ? word : NULL;
}

/* Of one that is there, in this epoch and incarnation; NULL: it has to speak yet. */
static const struct word *word_of(const struct core *core, const struct image *image, struct uuid topic_id,
                                  const struct image_partition *p, int32_t broker_id)
{
    const struct word *word = find(core, topic_id, p->index, broker_id);
    const struct image_broker *broker = image_broker(image, broker_id);
    bool holds = word && broker_is_active(image, broker_id) && word->broker_epoch == broker->epoch &&
                 word->leader_epoch == p->leader_epoch;
    return holds ? word : NULL;
}

static bool holds_more(const struct word *a, const struct word *b)
{
    return a->end_epoch != b->end_epoch ? a->end_epoch > b->end_epoch : a->end_offset > b->end_offset;
}

/* Whose log is the longest; NULL: somebody has to speak yet, or a person is to decide: the last one that was
 * complete has another disk now, and holds nothing. Somebody may bring the old disk back. */
static const struct word *longest_of(const struct core *core, const struct image *image, struct uuid topic_id,
                                     const struct image_partition *p)
{
    const struct word *longest = NULL;
    bool nothing = false;
    for (int32_t i = 0; i < p->replicas_count; i++) {
        const struct word *word = word_of(core, image, topic_id, p, p->replicas[i]);
        bool adding = ids_contain(p->adding, p->adding_count, p->replicas[i]);
        if (!word && !adding)
            return NULL;
        nothing = nothing || (!adding && word->end_offset == 0);
        if (word && (!longest || holds_more(word, longest)))
            longest = word;
    }
    return p->disks_gone && nothing ? NULL : longest;
}

int32_t words_hear(struct core *core, const struct image *image, const struct image_partition *p,
                   const struct rpc_alter_partition *said, int32_t sender)
{
    ASSERT(p->leader == NODE_NONE && p->isr_count == 0 && p->elr_count == 0);
    struct word *word = find_or_add(core, said->topic_id, p->index, sender);
    if (!word)
        return NODE_NONE;
    *word = (struct word){.topic_id = said->topic_id,
                          .index = p->index,
                          .broker_id = sender,
                          .leader_epoch = p->leader_epoch,
                          .end_epoch = said->end_epoch,
                          .broker_epoch = image_broker(image, sender)->epoch,
                          .end_offset = said->end_offset};
    const struct word *longest = longest_of(core, image, said->topic_id, p);
    return longest ? longest->broker_id : NODE_NONE;
}
