/* SPDX-License-Identifier: Apache-2.0 */
/* A pattern becomes a tree, the tree a program of a small machine (Thompson's construction), and matching
 * runs all of its threads in step over the text. */
#include "broker/core/topic_regex.h"

#include <string.h>

#include "broker/core/topic_regex_tree.h"
#include "common/base/assert.h"

#define WORK_MAX (64 * TOPIC_REGEX_STEPS_MAX)

enum step_type { STEP_SET, STEP_SPLIT, STEP_JUMP, STEP_ASSERT, STEP_MATCH };

struct step {
    enum step_type type;
    enum regex_assert assertion;
    const struct regex_set *set;
    int32_t to, other;
};

struct topic_regex {
    struct step *steps;
    int32_t count, work; /* work: bounds repeats of nothing */
    bool overflow;
    /* While matching: threads by step, and which round has a step already. */
    int32_t *now, *next, *stack;
    uint32_t *seen;
    uint32_t round;
};

/* -- the program -- */

static int32_t put(struct topic_regex *re, struct step step)
{
    if (re->count == TOPIC_REGEX_STEPS_MAX) {
        re->overflow = true;
        return re->count - 1;
    }
    re->steps[re->count] = step;
    return re->count++;
}

static void emit(struct topic_regex *re, const struct regex_node *node);

static void emit_maybe(struct topic_regex *re, const struct regex_node *node)
{
    int32_t split = put(re, (struct step){.type = STEP_SPLIT});

    emit(re, node);
    re->steps[split].to = split + 1;
    re->steps[split].other = re->count;
}

static void emit_star(struct topic_regex *re, const struct regex_node *node)
{
    int32_t split = put(re, (struct step){.type = STEP_SPLIT});

    emit(re, node);
    put(re, (struct step){.type = STEP_JUMP, .to = split});
    re->steps[split].to = split + 1;
    re->steps[split].other = re->count;
}

static void emit_repeat(struct topic_regex *re, const struct regex_node *node)
{
    for (int32_t i = 0; i < node->min && !re->overflow; i++)
        emit(re, node->first);
    if (node->max < 0)
        emit_star(re, node->first);
    for (int32_t i = node->min; i < node->max && !re->overflow; i++)
        emit_maybe(re, node->first);
}

static void emit_either(struct topic_regex *re, const struct regex_node *node)
{
    int32_t split = put(re, (struct step){.type = STEP_SPLIT});

    emit(re, node->first);
    int32_t jump = put(re, (struct step){.type = STEP_JUMP});
    re->steps[split].to = split + 1;
    re->steps[split].other = re->count;
    emit(re, node->second);
    re->steps[jump].to = re->count;
}

static void emit(struct topic_regex *re, const struct regex_node *node)
{
    re->overflow = re->overflow || ++re->work > WORK_MAX;
    if (re->overflow)
        return;
    switch (node->type) {
    case REGEX_EMPTY: return;
    case REGEX_SET: put(re, (struct step){.type = STEP_SET, .set = &node->set}); return;
    case REGEX_ASSERT: put(re, (struct step){.type = STEP_ASSERT, .assertion = node->assertion}); return;
    case REGEX_THEN:
        emit(re, node->first);
        emit(re, node->second);
        return;
    case REGEX_EITHER: emit_either(re, node); return;
    case REGEX_REPEAT: emit_repeat(re, node); return;
    }
    UNREACHABLE();
}

enum err topic_regex_compile(struct arena *arena, struct str pattern, struct topic_regex **ret)
{
    struct topic_regex *re = arena_calloc(arena, 1, sizeof(*re));
    struct regex_node *root = NULL;
    enum err err = re ? regex_parse(arena, pattern, &root) : ERR_NOMEM;

    if (err != OK)
        return err;
    re->steps = arena_calloc(arena, TOPIC_REGEX_STEPS_MAX + 1, sizeof(*re->steps));
    if (!re->steps)
        return ERR_NOMEM;
    emit(re, root);
    if (re->overflow)
        return ERR_TOO_LARGE;
    re->steps[re->count++] = (struct step){.type = STEP_MATCH};
    re->now = arena_calloc(arena, (size_t)re->count, sizeof(*re->now));
    re->next = arena_calloc(arena, (size_t)re->count, sizeof(*re->next));
    re->stack = arena_calloc(arena, (size_t)re->count * 2 + 2, sizeof(*re->stack));
    re->seen = arena_calloc(arena, (size_t)re->count, sizeof(*re->seen));
    if (!re->now || !re->next || !re->stack || !re->seen)
        return ERR_NOMEM;
    *ret = re;
    return OK;
}

/* -- matching -- */

static bool is_word(struct str text, int32_t at)
{
    if (at < 0 || at >= text.len)
        return false;
    char c = text.p[at];
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool holds(enum regex_assert assertion, struct str text, int32_t at)
{
    bool border = is_word(text, at - 1) != is_word(text, at);

    switch (assertion) {
    case REGEX_BEGIN: return at == 0;
    case REGEX_END: return at == text.len;
    case REGEX_WORD_BORDER: return border;
    case REGEX_NO_WORD_BORDER: return !border;
    }
    UNREACHABLE();
}

/* Adds the thread at step and all that it reaches without a character. Each step at most once a round. */
static int32_t follow(struct topic_regex *re, int32_t *threads, int32_t count, int32_t first, struct str text,
                      int32_t at)
{
    int32_t depth = 0;

    re->stack[depth++] = first;
    while (depth > 0) {
        int32_t i = re->stack[--depth];
        const struct step *step = &re->steps[i];
        if (re->seen[i] == re->round)
            continue;
        re->seen[i] = re->round;
        ASSERT(depth <= re->count * 2);
        if (step->type == STEP_SPLIT) {
            re->stack[depth++] = step->other;
            re->stack[depth++] = step->to;
        } else if (step->type == STEP_JUMP) {
            re->stack[depth++] = step->to;
        } else if (step->type != STEP_ASSERT) {
            threads[count++] = i;
        } else if (holds(step->assertion, text, at)) {
            re->stack[depth++] = i + 1;
        }
    }
    return count;
}

bool topic_regex_matches(struct topic_regex *re, struct str text)
{
    re->round++;
    int32_t count = follow(re, re->now, 0, 0, text, 0);

    for (int32_t at = 0; at < text.len && count > 0; at++) {
        uint8_t c = (uint8_t)text.p[at];
        int32_t next_count = 0;
        re->round++;
        for (int32_t i = 0; i < count; i++) {
            const struct step *step = &re->steps[re->now[i]];
            if (step->type == STEP_SET && regex_set_has(step->set, c))
                next_count = follow(re, re->next, next_count, re->now[i] + 1, text, at + 1);
        }
        int32_t *swap = re->now;
        re->now = re->next;
        re->next = swap;
        count = next_count;
    }
    for (int32_t i = 0; i < count; i++)
        if (re->steps[re->now[i]].type == STEP_MATCH)
            return true;
    return false;
}
