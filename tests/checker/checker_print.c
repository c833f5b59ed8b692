/* SPDX-License-Identifier: Apache-2.0 */
/* What people read of a verdict. */
#include <inttypes.h>

#include "tests/checker/checker_int.h"
#include "tests/checker/history_text.h"

static const struct {
    const char *name, *invariant, *meaning;
} kinds[] = {
#define X(name, text, invariant, meaning) {text, invariant, meaning},
    CHECKER_TABLE(X)
#undef X
};

const char *checker_kind_name(enum checker_kind kind)
{
    return kinds[kind].name;
}

const char *checker_kind_invariant(enum checker_kind kind)
{
    return kinds[kind].invariant;
}

const char *checker_kind_meaning(enum checker_kind kind)
{
    return kinds[kind].meaning;
}

static void print_about(const struct checker_violation *v, FILE *out)
{
    fprintf(out, "%s", kinds[v->kind].name);
    if (v->topic != 0)
        fprintf(out, " t%" PRIu32 "-%" PRId32, v->topic, v->partition);
    if (v->value != 0)
        fprintf(out, " value=%" PRIu64 ".%" PRIu64, v->value >> 32, v->value & UINT32_MAX);
    if (v->offset >= 0)
        fprintf(out, " offset=%" PRId64, v->offset);
}

static void print_places(const struct checker *c, const struct checker_violation *v, FILE *out)
{
    for (uint32_t i = 0; i < v->event_count; i++)
        fprintf(out, " %s:%" PRIu32, checker_source(c, v->events[i]->source), v->events[i]->position);
}

/* The records that show it, as they would stand in a text history. */
static void print_slice(const struct checker *c, const struct checker_violation *v, FILE *out)
{
    char line[HISTORY_LINE_MAX];
    fprintf(out, "    %s: %s\n", kinds[v->kind].invariant, kinds[v->kind].meaning);
    for (uint32_t i = 0; i < v->event_count; i++) {
        history_print(line, &v->events[i]->rec);
        fprintf(out, "    %s:%" PRIu32 ": %s\n", checker_source(c, v->events[i]->source),
                v->events[i]->position, line);
    }
}

void checker_print(const struct checker *c, FILE *out, bool explain)
{
    const struct checker_violation *v;
    for (uint32_t i = 0; (v = checker_violation(c, i)); i++) {
        print_about(v, out);
        fputs(" at", out);
        print_places(c, v, out);
        fputc('\n', out);
        if (explain)
            print_slice(c, v, out);
    }
    for (int kind = 0; kind < CHECKER_KIND_COUNT; kind++)
        if (c->found[kind].count > CHECKER_KEPT_MAX)
            fprintf(out, "%s: %" PRIu64 " in all\n", kinds[kind].name, c->found[kind].count);
}

void checker_print_summary(const struct checker *c, FILE *out)
{
    const struct checker_stats *s = &c->stats;
    fprintf(out,
            "records=%" PRIu64 " sources=%" PRIu64 " keys=%" PRIu64 " values=%" PRIu64 " acked=%" PRIu64
            " read=%" PRIu64 " txns=%" PRIu64 " polls=%" PRIu64 " gap_max_us=%" PRId64 " lag_max_us=%" PRId64
            " excused=%" PRIu64 " violations=%" PRIu64 "\n",
            s->records, s->sources, s->keys, s->values, s->acked, s->read, s->txns, s->polls, s->gap_max_us,
            s->lag_max_us, s->excused, s->violations);
}
