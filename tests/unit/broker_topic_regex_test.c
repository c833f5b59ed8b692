/* SPDX-License-Identifier: Apache-2.0 */
/* Patterns over topic names: what they match, what is refused, and that no pattern takes long. */
#include <string.h>

#include "broker/core/topic_regex.h"
#include "tests/lib/unit.h"

struct row {
    const char *pattern, *text;
    bool matches;
};

static const struct row rows[] = {
    {"", "", true},
    {"", "a", false},
    {"abc", "abc", true},
    {"abc", "abcd", false},
    {"abc", "xabc", false},
    {"a.c", "abc", true},
    {"a\\.c", "abc", false},
    {"a\\.c", "a.c", true},
    {"a*", "", true},
    {"a*", "aaaa", true},
    {"a+", "", false},
    {"a+b?", "aab", true},
    {"a{2}", "aa", true},
    {"a{2}", "aaa", false},
    {"a{2,}", "aaaaa", true},
    {"a{1,3}", "aaaa", false},
    {"a{", "a{", true},
    {"a{x}", "a{x}", true},
    {"(ab|cd)+", "abcdab", true},
    {"(ab|cd)+", "abc", false},
    {"a|b|", "", true},
    {"a|b|", "b", true},
    {"[a-c]+", "abcb", true},
    {"[^a-c]", "b", false},
    {"[]a]", "]", true},
    {"[a-]", "-", true},
    {"[\\d_]+", "1_2", true},
    {"\\w+-\\d{2}", "orders-07", true},
    {"\\D", "x", true},
    {"[[:alpha:]]+", "abZ", true},
    {"[[:^alpha:]]", "a", false},
    {"(?i)abc", "aBC", true},
    {"(?i:a)b", "AB", false},
    {"(?i:a)b", "Ab", true},
    {"(?:a|b)c", "bc", true},
    {"(?P<n>a)b", "ab", true},
    {"^abc$", "abc", true},
    {"a^b", "ab", false},
    {"\\Aabc\\z", "abc", true},
    {"\\bab\\b-c", "ab-c", true},
    {"a\\Bb", "ab", true},
    {"a\\bb", "ab", false},
    {"\\Qa.b*\\E+", "a.b**", true},
    {"\\Qa.b", "axb", false},
    {"\\x41\\x{42}", "AB", true},
    {"a*?b", "aab", true},
    {"(a*)*", "aaa", true},
    {"(|a)+", "aa", true},
    {"topic-(1|2[0-9])\\..*", "topic-25.x", true},
    {".*", "anything.at_all-0", true},
};

static const char *const bad[] = {"(",      ")",       "a)",  "[a",         "a**",  "*a",    "+",
                                  "?",      "[b-a]",   "\\",  "\\p{L}",     "\\1",  "(?=a)", "(?<",
                                  "a{2,1}", "a{1001}", "(?i", "[[:nope:]]", "\\x4", "(?#a)"};

static enum err compile(struct arena *arena, const char *pattern, struct topic_regex **ret)
{
    arena_init(arena, NULL, 0, 1 << 20);
    return topic_regex_compile(arena, str_from(pattern), ret);
}

START_TEST(patterns_match_as_re2s)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct topic_regex *re;
        struct arena arena;
        ck_assert_msg(compile(&arena, rows[i].pattern, &re) == OK, "%s", rows[i].pattern);
        for (int again = 0; again < 2; again++)
            ck_assert_msg(topic_regex_matches(re, str_from(rows[i].text)) == rows[i].matches, "%s on %s",
                          rows[i].pattern, rows[i].text);
        arena_free(&arena);
    }
}
END_TEST

START_TEST(what_is_no_pattern_is_refused)
{
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct topic_regex *re;
        struct arena arena;
        ck_assert_msg(compile(&arena, bad[i], &re) != OK, "%s", bad[i]);
        arena_free(&arena);
    }
}
END_TEST

START_TEST(large_programs_are_refused)
{
    static const char *const large[] = {"(a{1000}){1000}", "((((x{100}){100}){100}){100}){100}",
                                        "((){1000}){1000}",
                                        "(((((((){1000}){1000}){1000}){1000}){1000}){1000}){1000}"};
    char deep[401], wide[3000];

    for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
        struct topic_regex *re;
        struct arena arena;
        ck_assert_int_eq(compile(&arena, large[i], &re), ERR_TOO_LARGE);
        arena_free(&arena);
    }
    memset(deep, '(', 200);
    memset(deep + 200, ')', 200);
    deep[400] = '\0';
    memset(wide, 'a', sizeof(wide) - 1);
    wide[sizeof(wide) - 1] = '\0';
    for (int i = 0; i < 2; i++) {
        struct topic_regex *re;
        struct arena arena;
        ck_assert_int_eq(compile(&arena, i ? wide : deep, &re), ERR_TOO_LARGE);
        arena_free(&arena);
    }
}
END_TEST

/* Backtracking would need 2^200 steps: this test ends because there is none. */
START_TEST(no_pattern_takes_long)
{
    struct topic_regex *re;
    struct arena arena;
    char text[250];

    memset(text, 'a', sizeof(text));
    ck_assert_int_eq(compile(&arena, "((a*)*)*b|(a|a)*c|(a?){200}a{200}d", &re), OK);
    for (int i = 0; i < 100; i++)
        ck_assert(!topic_regex_matches(re, (struct str){text, sizeof(text)}));
    arena_free(&arena);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, patterns_match_as_re2s);
    tcase_add_test(tcase, what_is_no_pattern_is_refused);
    tcase_add_test(tcase, large_programs_are_refused);
    tcase_add_test(tcase, no_pattern_takes_long);
}

SLUICE_TEST_MAIN("broker_topic_regex", add)
