/* SPDX-License-Identifier: Apache-2.0 */
/* RE2's syntax: alternation, groups and flags, classes, escapes, repeats, anchors. */
#include <string.h>

#include "broker/core/topic_regex_tree.h"
#include "common/base/assert.h"

#define PATTERN_MAX 2048
#define DEPTH_MAX   100
#define REPEAT_MAX  1000 /* as RE2 */

struct parser {
    struct arena *arena;
    const char *p, *end;
    int32_t depth;
    bool fold; /* (?i) */
    enum err err;
};

static struct regex_node *fail(struct parser *ps, enum err err)
{
    if (ps->err == OK)
        ps->err = err;
    ps->p = ps->end;
    return NULL;
}

static struct regex_node *node_new(struct parser *ps, enum regex_type type)
{
    struct regex_node *node = arena_calloc(ps->arena, 1, sizeof(*node));

    if (!node)
        return fail(ps, ERR_NOMEM);
    node->type = type;
    return node;
}

static bool more(const struct parser *ps)
{
    return ps->err == OK && ps->p < ps->end;
}

static bool take(struct parser *ps, const char *text)
{
    size_t len = strlen(text);

    if (!more(ps) || (size_t)(ps->end - ps->p) < len || memcmp(ps->p, text, len) != 0)
        return false;
    ps->p += len;
    return true;
}

/* -- sets -- */

static void set_add(struct regex_set *set, uint8_t c)
{
    set->bits[c >> 6] |= 1ull << (c & 63);
}

static void set_range(struct regex_set *set, uint8_t from, uint8_t to)
{
    for (int c = from; c <= to; c++)
        set_add(set, (uint8_t)c);
}

static void set_invert(struct regex_set *set)
{
    for (int i = 0; i < 4; i++)
        set->bits[i] = ~set->bits[i];
}

static void set_join(struct regex_set *set, const struct regex_set *with)
{
    for (int i = 0; i < 4; i++)
        set->bits[i] |= with->bits[i];
}

static void set_fold(struct regex_set *set)
{
    for (uint8_t c = 'a'; c <= 'z'; c++) {
        uint8_t upper = (uint8_t)(c - 'a' + 'A');
        if (regex_set_has(set, c) || regex_set_has(set, upper)) {
            set_add(set, c);
            set_add(set, upper);
        }
    }
}

/* Ranges as pairs of characters. */
static void set_pairs(struct regex_set *set, const char *pairs)
{
    for (; *pairs; pairs += 2)
        set_range(set, (uint8_t)pairs[0], (uint8_t)pairs[1]);
}

/* \d and the like. False: c names no class. */
static bool class_of(char c, struct regex_set *ret)
{
    char lower = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;

    *ret = (struct regex_set){{0}};
    switch (lower) {
    case 'd': set_pairs(ret, "09"); break;
    case 's': set_pairs(ret, "\t\n\f\r  "); break;
    case 'w': set_pairs(ret, "09AZaz__"); break;
    default: return false;
    }
    if (lower != c)
        set_invert(ret);
    return true;
}

static bool named_class(struct parser *ps, struct regex_set *set)
{
    static const struct {
        const char *name, *pairs;
    } classes[] = {{"alnum", "09AZaz"},
                   {"alpha", "AZaz"},
                   {"ascii", "\x01\x7f"},
                   {"blank", "\t\t  "},
                   {"cntrl", "\x01\x1f\x7f\x7f"},
                   {"digit", "09"},
                   {"graph", "!~"},
                   {"lower", "az"},
                   {"print", " ~"},
                   {"punct", "!/:@[`{~"},
                   {"space", "\t\r  "},
                   {"upper", "AZ"},
                   {"word", "09AZaz__"},
                   {"xdigit", "09AFaf"}};
    struct regex_set one = {{0}};
    bool invert = take(ps, "^");

    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (!take(ps, classes[i].name))
            continue;
        set_pairs(&one, classes[i].pairs);
        if (invert)
            set_invert(&one);
        set_join(set, &one);
        return take(ps, ":]");
    }
    return false;
}

/* -- escapes -- */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* After \x: two digits, or any number in braces. */
static int hex_escape(struct parser *ps)
{
    bool braces = take(ps, "{");
    int value = 0, digits = 0;

    while (more(ps) && (braces || digits < 2) && hex_of(*ps->p) >= 0 && value < 256) {
        value = value * 16 + hex_of(*ps->p++);
        digits++;
    }
    bool closed = !braces || take(ps, "}");
    return digits > 0 && (braces || digits == 2) && closed && value < 256 ? value : -1;
}

/* The character that the escape after a backslash stands for; -1: none that we know. */
static int literal_escape(struct parser *ps)
{
    static const char from[] = "aftnrv", to[] = "\a\f\t\n\r\v";
    char c = *ps->p++;
    const char *at = memchr(from, c, sizeof(from) - 1);

    if (at)
        return to[at - from];
    if (c == 'x')
        return hex_escape(ps);
    bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return word || (uint8_t)c >= 0x80 ? -1 : (uint8_t)c;
}

static struct regex_node *set_node(struct parser *ps, const struct regex_set *set)
{
    struct regex_node *node = node_new(ps, REGEX_SET);

    if (!node)
        return NULL;
    node->set = *set;
    if (ps->fold)
        set_fold(&node->set);
    return node;
}

static struct regex_node *char_node(struct parser *ps, int c)
{
    struct regex_set set = {{0}};

    if (c < 0)
        return fail(ps, ERR_INVALID);
    set_add(&set, (uint8_t)c);
    return set_node(ps, &set);
}

static struct regex_node *assert_node(struct parser *ps, enum regex_assert assertion)
{
    struct regex_node *node = node_new(ps, REGEX_ASSERT);

    if (node)
        node->assertion = assertion;
    return node;
}

static struct regex_node *then(struct parser *ps, struct regex_node *first, struct regex_node *second)
{
    if (!first || !second)
        return first ? first : second;
    struct regex_node *node = node_new(ps, REGEX_THEN);
    if (node) {
        node->first = first;
        node->second = second;
    }
    return node;
}

static struct regex_node *repeated(struct parser *ps, struct regex_node *node);

/* \Q...\E; a repeat after it is of its last character. */
static struct regex_node *quoted(struct parser *ps)
{
    struct regex_node *all = node_new(ps, REGEX_EMPTY), *last = NULL;

    while (more(ps) && !take(ps, "\\E")) {
        all = then(ps, all, last);
        last = char_node(ps, (uint8_t)*ps->p++);
    }
    return then(ps, all, repeated(ps, last));
}

static struct regex_node *escape(struct parser *ps)
{
    struct regex_set set;

    if (!more(ps))
        return fail(ps, ERR_INVALID);
    if (class_of(*ps->p, &set)) {
        ps->p++;
        return set_node(ps, &set);
    }
    if (take(ps, "A"))
        return assert_node(ps, REGEX_BEGIN);
    if (take(ps, "z"))
        return assert_node(ps, REGEX_END);
    if (take(ps, "b"))
        return assert_node(ps, REGEX_WORD_BORDER);
    if (take(ps, "B"))
        return assert_node(ps, REGEX_NO_WORD_BORDER);
    if (take(ps, "Q"))
        return quoted(ps);
    return char_node(ps, literal_escape(ps));
}

/* -- [...] -- */

/* One end of a range; -1: it was a class, added already, or an error. */
static int class_item(struct parser *ps, struct regex_set *set)
{
    struct regex_set one;
    int c;

    if (take(ps, "[:")) {
        if (!named_class(ps, set))
            fail(ps, ERR_INVALID);
        return -1;
    }
    if (!take(ps, "\\"))
        return (uint8_t)*ps->p++;
    if (more(ps) && class_of(*ps->p, &one)) {
        ps->p++;
        set_join(set, &one);
        return -1;
    }
    c = more(ps) ? literal_escape(ps) : -1;
    if (c < 0)
        fail(ps, ERR_INVALID);
    return c;
}

static struct regex_node *bracket(struct parser *ps)
{
    struct regex_set set = {{0}};
    bool invert = take(ps, "^"), first = true;

    for (; more(ps) && (first || *ps->p != ']'); first = false) {
        int from = class_item(ps, &set), to = from;
        if (from < 0)
            continue;
        if (more(ps) && ps->end - ps->p >= 2 && ps->p[0] == '-' && ps->p[1] != ']') {
            ps->p++;
            to = class_item(ps, &set);
        }
        if (to < from)
            return fail(ps, ERR_INVALID);
        set_range(&set, (uint8_t)from, (uint8_t)to);
    }
    if (!take(ps, "]"))
        return fail(ps, ERR_INVALID);
    if (ps->fold)
        set_fold(&set);
    if (invert)
        set_invert(&set);
    struct regex_node *node = node_new(ps, REGEX_SET);
    if (node)
        node->set = set;
    return node;
}

/* -- repeats -- */

static int32_t number(struct parser *ps)
{
    int32_t value = -1;

    while (more(ps) && *ps->p >= '0' && *ps->p <= '9' && value <= REPEAT_MAX)
        value = (value < 0 ? 0 : value * 10) + (*ps->p++ - '0');
    return value;
}

/* {n}, {n,}, {n,m}: true. Anything else is a plain brace (RE2). */
static bool counted(struct parser *ps, int32_t *ret_min, int32_t *ret_max)
{
    const char *was = ps->p;

    if (!take(ps, "{"))
        return false;
    *ret_min = *ret_max = number(ps);
    if (*ret_min >= 0 && take(ps, ","))
        *ret_max = number(ps);
    if (*ret_min >= 0 && take(ps, "}"))
        return true;
    if (ps->err == OK)
        ps->p = was;
    return false;
}

static bool repeat_of(struct parser *ps, int32_t *ret_min, int32_t *ret_max)
{
    *ret_min = 0;
    *ret_max = -1;
    if (take(ps, "*"))
        return true;
    if (take(ps, "+")) {
        *ret_min = 1;
        return true;
    }
    if (take(ps, "?")) {
        *ret_max = 1;
        return true;
    }
    return counted(ps, ret_min, ret_max);
}

static struct regex_node *repeated(struct parser *ps, struct regex_node *node)
{
    int32_t min, max, times = 0;

    while (node && more(ps) && repeat_of(ps, &min, &max)) {
        if (++times > 1 || min > REPEAT_MAX || max > REPEAT_MAX || (max >= 0 && max < min))
            return fail(ps, ERR_INVALID); /* a** is refused, as RE2 does */
        take(ps, "?");                    /* lazy: what matches as a whole is the same */
        struct regex_node *outer = node_new(ps, REGEX_REPEAT);
        if (!outer)
            return NULL;
        outer->first = node;
        outer->min = min;
        outer->max = max;
        node = outer;
    }
    return node;
}

/* -- groups -- */

static struct regex_node *alternation(struct parser *ps);

/* (?flags) and (?flags:...). True: the group goes on with a pattern. */
static bool flags(struct parser *ps)
{
    bool on = true;

    while (more(ps) && *ps->p != ')' && *ps->p != ':') {
        char c = *ps->p++;
        if (c == '-')
            on = false;
        else if (c == 'i')
            ps->fold = on;
        else if (c != 'm' && c != 's' && c != 'U') /* nothing to them: names have no lines */
            fail(ps, ERR_INVALID);
    }
    return take(ps, ":");
}

static void group_name(struct parser *ps)
{
    while (more(ps) && *ps->p != '>')
        ps->p++;
    if (!take(ps, ">"))
        fail(ps, ERR_INVALID);
}

static struct regex_node *group(struct parser *ps)
{
    bool fold = ps->fold;
    struct regex_node *node;

    if (++ps->depth > DEPTH_MAX)
        return fail(ps, ERR_TOO_LARGE);
    if (take(ps, "?P<")) {
        group_name(ps);
    } else if (take(ps, "?") && !flags(ps)) { /* flags for the rest of the group around */
        ps->depth--;
        return take(ps, ")") ? node_new(ps, REGEX_EMPTY) : fail(ps, ERR_INVALID);
    }
    node = alternation(ps);
    ps->fold = fold;
    ps->depth--;
    return take(ps, ")") ? node : fail(ps, ERR_INVALID);
}

static struct regex_node *atom(struct parser *ps)
{
    struct regex_set any = {{0}};

    if (take(ps, "("))
        return group(ps);
    if (take(ps, "["))
        return bracket(ps);
    if (take(ps, "\\"))
        return escape(ps);
    if (take(ps, "^"))
        return assert_node(ps, REGEX_BEGIN);
    if (take(ps, "$"))
        return assert_node(ps, REGEX_END);
    if (take(ps, ".")) {
        set_invert(&any);
        return set_node(ps, &any);
    }
    if (*ps->p == '*' || *ps->p == '+' || *ps->p == '?')
        return fail(ps, ERR_INVALID); /* nothing to repeat */
    return char_node(ps, (uint8_t)*ps->p++);
}

static struct regex_node *sequence(struct parser *ps)
{
    struct regex_node *all = node_new(ps, REGEX_EMPTY);

    while (more(ps) && *ps->p != '|' && *ps->p != ')')
        all = then(ps, all, repeated(ps, atom(ps)));
    return all;
}

static struct regex_node *alternation(struct parser *ps)
{
    struct regex_node *all = sequence(ps);

    while (all && take(ps, "|")) {
        struct regex_node *node = node_new(ps, REGEX_EITHER), *second = sequence(ps);
        if (!node || !second)
            return NULL;
        node->first = all;
        node->second = second;
        all = node;
    }
    return all;
}

enum err regex_parse(struct arena *arena, struct str pattern, struct regex_node **ret)
{
    struct parser ps = {
        .arena = arena, .p = pattern.p, .end = pattern.p + (pattern.len > 0 ? pattern.len : 0)};

    if (pattern.len > PATTERN_MAX)
        return ERR_TOO_LARGE;
    struct regex_node *root = alternation(&ps);
    if (more(&ps)) /* a ) too many */
        fail(&ps, ERR_INVALID);
    if (ps.err == OK)
        *ret = root;
    return ps.err;
}
