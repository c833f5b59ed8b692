/* SPDX-License-Identifier: Apache-2.0 */
/* A model of a correct log with many clients gives histories that must be clean; the same histories with one
 * thing changed must not be. */
#include "tests/checker/checker.h"
#include "tests/lib/unit.h"

#include <string.h>

#include "common/base/prng.h"

#define SEEDS       25
#define STEPS       400
#define RECORDS_MAX 8192
#define LOG_MAX     1024
#define PARTITIONS  3
#define CLIENTS     6 /* processes 1 to 3 produce, 4 to 6 consume; each writes a file of its own */

struct entry {
    uint64_t value, txn; /* value 0: a marker */
    bool visible;        /* to read_committed, once it is below the last stable offset */
};

struct log {
    struct entry entries[LOG_MAX];
    int64_t end, stable; /* readers stop at stable */
};

struct producer {
    uint32_t counter;
    uint64_t txn; /* 0: none open */
};

struct model {
    struct prng prng;
    int64_t now_us;
    struct log logs[PARTITIONS];
    struct producer producers[4];
    int64_t positions[CLIENTS + 2][PARTITIONS]; /* -1: has not begun */
    uint64_t txns;
    struct history_record records[RECORDS_MAX];
    int count;
};

static bool chance(struct model *m, int percent)
{
    return prng_below(&m->prng, 100) < (uint64_t)percent;
}

static struct history_record *record(struct model *m, enum history_type type, enum history_op op,
                                     uint32_t process)
{
    ck_assert_int_lt(m->count, RECORDS_MAX);
    m->now_us += 1 + (int64_t)prng_below(&m->prng, 50);
    m->records[m->count] = history_record(type, op, process, m->now_us);
    return &m->records[m->count++];
}

/* The last stable offset: below the first record of an open transaction. */
static void settle(struct model *m, struct log *log)
{
    for (log->stable = 0; log->stable < log->end; log->stable++)
        for (int i = 1; i <= 3; i++)
            if (log->entries[log->stable].value != 0 && log->entries[log->stable].txn != 0 &&
                log->entries[log->stable].txn == m->producers[i].txn)
                return;
}

static int64_t append(struct model *m, struct log *log, struct entry entry)
{
    ck_assert_int_lt(log->end, LOG_MAX);
    log->entries[log->end] = entry;
    int64_t offset = log->end++;
    settle(m, log);
    return offset;
}

/* A send: acknowledged, refused, or without an answer and then there or not. */
static void produce(struct model *m, uint32_t process)
{
    struct producer *p = &m->producers[process];
    uint32_t partition = (uint32_t)prng_below(&m->prng, PARTITIONS);
    struct log *log = &m->logs[partition];
    int luck = (int)prng_below(&m->prng, 10);
    enum history_type type = luck < 8 || p->txn ? HISTORY_OK : luck == 8 ? HISTORY_INFO : HISTORY_FAIL;
    struct history_record sent = *record(m, HISTORY_INVOKE, HISTORY_PRODUCE, process);
    sent.topic = 1;
    sent.partition = (int32_t)partition;
    sent.value = history_value(process, ++p->counter);
    sent.txn = p->txn;
    m->records[m->count - 1] = sent;
    int64_t offset = -1;
    if (type == HISTORY_OK || (type == HISTORY_INFO && chance(m, 50)))
        offset = append(m, log, (struct entry){.value = sent.value, .txn = p->txn, .visible = p->txn == 0});
    struct history_record *done = record(m, type, HISTORY_PRODUCE, process);
    int64_t time_us = done->time_us;
    *done = sent;
    done->type = (uint8_t)type;
    done->time_us = time_us;
    done->offset = type == HISTORY_OK ? offset : -1;
}

/* Ends a transaction: its records become visible or are passed over, and a marker takes an offset in each
 * log. */
static void end_txn(struct model *m, uint32_t process, bool commit)
{
    struct producer *p = &m->producers[process];
    enum history_op op = commit ? HISTORY_TXN_COMMIT : HISTORY_TXN_ABORT;
    uint64_t txn = p->txn;
    record(m, HISTORY_INVOKE, op, process)->txn = txn;
    p->txn = 0;
    for (int i = 0; i < PARTITIONS; i++) {
        for (int64_t at = 0; at < m->logs[i].end; at++)
            if (m->logs[i].entries[at].txn == txn)
                m->logs[i].entries[at].visible = commit;
        append(m, &m->logs[i], (struct entry){0});
    }
    bool answered = chance(m, 80);
    record(m, answered ? HISTORY_OK : HISTORY_INFO, op, process)->txn = txn;
}

static void produce_step(struct model *m, uint32_t process)
{
    struct producer *p = &m->producers[process];
    if (p->txn != 0 && chance(m, 30))
        end_txn(m, process, chance(m, 60));
    else if (p->txn == 0 && process == 3 && chance(m, 50))
        p->txn = ++m->txns;
    else
        produce(m, process);
}

/* One poll of all partitions, some records of each. */
static void poll(struct model *m, uint32_t process, uint32_t call, int64_t max, bool final)
{
    record(m, HISTORY_INVOKE, HISTORY_POLL, process)->call = call;
    for (int i = 0; i < PARTITIONS; i++) {
        int64_t *position = &m->positions[process][i];
        for (int64_t n = 0; *position < m->logs[i].stable && n < max; ++*position, n++) {
            const struct entry *entry = &m->logs[i].entries[*position];
            if (!entry->visible)
                continue;
            struct history_record *r = record(m, HISTORY_OK, HISTORY_POLL, process);
            r->call = call;
            r->topic = 1;
            r->partition = i;
            r->value = entry->value;
            r->offset = *position;
            r->flags = final ? HISTORY_FINAL : 0;
        }
    }
}

/* Where a consumer begins, or goes when it seeks. */
static void seek(struct model *m, uint32_t process, bool to_start)
{
    for (int i = 0; i < PARTITIONS; i++) {
        struct history_record *r = record(m, HISTORY_OK, HISTORY_SEEK, process);
        m->positions[process][i] = to_start ? 0 : (int64_t)prng_below(&m->prng, (uint64_t)m->logs[i].end + 1);
        r->topic = 1;
        r->partition = i;
        r->offset = m->positions[process][i];
    }
}

static void consume_step(struct model *m, uint32_t process)
{
    if (m->positions[process][0] < 0 || chance(m, 10))
        seek(m, process, chance(m, 50));
    poll(m, process, (uint32_t)m->count, 1 + (int64_t)prng_below(&m->prng, 6), false);
}

static struct model *run_model(uint64_t seed)
{
    struct model *m = calloc(1, sizeof(*m));
    ck_assert_ptr_nonnull(m);
    prng_seed(&m->prng, seed);
    memset(m->positions, -1, sizeof(m->positions));
    for (int i = 0; i < STEPS; i++) {
        uint32_t process = 1 + (uint32_t)prng_below(&m->prng, CLIENTS);
        if (process <= 3)
            produce_step(m, process);
        else
            consume_step(m, process);
    }
    if (m->producers[3].txn != 0)
        end_txn(m, 3, false);
    seek(m, CLIENTS + 1, true);
    poll(m, CLIENTS + 1, 1, LOG_MAX, true);
    return m;
}

/* Judges the records, as one file for each process. The caller frees the checker. */
static struct checker *judge(const struct history_record *records, int count)
{
    static uint8_t bytes[HISTORY_HEADER_BYTES + RECORDS_MAX * HISTORY_RECORD_BYTES];
    struct checker *c = checker_new(&(struct checker_options){0});
    ck_assert_ptr_nonnull(c);
    for (uint32_t process = 1; process <= CLIENTS + 1; process++) {
        struct history_writer w;
        history_writer_init(&w, bytes, sizeof(bytes), &(struct history_header){.client = process});
        for (int i = 0; i < count; i++)
            if (records[i].process == process)
                ck_assert(history_put(&w, &records[i]));
        ck_assert_int_eq(checker_add(c, "client", bytes, w.used, NULL), OK);
    }
    ck_assert_int_eq(checker_run(c), OK);
    return c;
}

START_TEST(histories_of_a_correct_log_are_clean)
{
    uint64_t acked = 0, read = 0, txns = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct model *m = run_model(seed);
        struct checker *c = judge(m->records, m->count);
        if (checker_stats(c)->violations)
            checker_print(c, stdout, true);
        ck_assert_msg(checker_stats(c)->violations == 0, "seed %d", (int)seed);
        acked += checker_stats(c)->acked;
        read += checker_stats(c)->read;
        txns += checker_stats(c)->txns;
        checker_free(c);
        free(m);
    }
    ck_assert_uint_gt(acked, SEEDS * 50);
    ck_assert_uint_gt(read, SEEDS * 50);
    ck_assert_uint_gt(txns, SEEDS * 2);
}
END_TEST

/* The number of the n-th record of which `is` holds, modulo how many there are. */
static int pick(struct model *m, bool (*is)(const struct history_record *r))
{
    int count = 0;
    for (int i = 0; i < m->count; i++)
        count += is(&m->records[i]);
    ck_assert_int_gt(count, 0);
    int left = (int)prng_below(&m->prng, (uint64_t)count);
    for (int i = 0;; i++)
        if (is(&m->records[i]) && left-- == 0)
            return i;
}

static bool is_ack(const struct history_record *r)
{
    return r->op == HISTORY_PRODUCE && r->type == HISTORY_OK && r->txn == 0;
}

static bool is_refused(const struct history_record *r)
{
    return r->op == HISTORY_PRODUCE && r->type == HISTORY_FAIL;
}

static void remove_record(struct model *m, int at)
{
    memmove(&m->records[at], &m->records[at + 1], (size_t)(m->count - at - 1) * sizeof(m->records[0]));
    m->count--;
}

/* The final read of a value. */
static int final_read_of(const struct model *m, uint64_t value)
{
    int at = m->count - 1;
    while (m->records[at].op != HISTORY_POLL || m->records[at].flags != HISTORY_FINAL ||
           m->records[at].value != value)
        at--;
    return at;
}

/* The final reader does not get one acknowledged record. */
static void lose(struct model *m)
{
    remove_record(m, final_read_of(m, m->records[pick(m, is_ack)].value));
}

/* The final reader gets another value where one was acknowledged. */
static void replace(struct model *m)
{
    int first = pick(m, is_ack), second = pick(m, is_ack);
    while (second == first)
        second = pick(m, is_ack);
    m->records[final_read_of(m, m->records[first].value)].value = m->records[second].value;
}

/* An acknowledged record comes again, further on. */
static void repeat(struct model *m)
{
    struct history_record again = m->records[final_read_of(m, m->records[pick(m, is_ack)].value)];
    again.offset = LOG_MAX;
    again.time_us = ++m->now_us;
    m->records[m->count++] = again;
}

/* What was refused is read. */
static void resurrect(struct model *m)
{
    struct history_record read = m->records[m->count - 1];
    const struct history_record *refused = &m->records[pick(m, is_refused)];
    read.time_us = ++m->now_us;
    read.partition = refused->partition;
    read.value = refused->value;
    read.offset = LOG_MAX;
    m->records[m->count++] = read;
}

/* The two kinds that one change may be found as. */
static const struct {
    void (*change)(struct model *m);
    enum checker_kind kind, or_kind;
} changes[] = {
    {lose, CHECKER_LOST_WRITE, CHECKER_UNSEEN},
    {replace, CHECKER_INCONSISTENT_OFFSETS, CHECKER_WRONG_KEY},
    {repeat, CHECKER_DUPLICATE, CHECKER_DUPLICATE},
    {resurrect, CHECKER_ABORTED_READ, CHECKER_ABORTED_READ},
};

START_TEST(one_change_is_found_by_its_name)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct model *m = run_model(seed);
        changes[_i].change(m);
        struct checker *c = judge(m->records, m->count);
        bool found = checker_count(c, changes[_i].kind) + checker_count(c, changes[_i].or_kind) > 0;
        ck_assert_msg(found, "seed %d", (int)seed);
        checker_free(c);
        free(m);
    }
}
END_TEST

START_TEST(the_verdict_does_not_depend_on_the_order_of_files)
{
    struct model *m = run_model(1);
    lose(m);
    struct checker *a = judge(m->records, m->count);
    for (int i = 0; i < m->count; i++)
        m->records[i].process = CLIENTS + 2 - m->records[i].process;
    struct checker *b = judge(m->records, m->count);
    for (int kind = 0; kind < CHECKER_KIND_COUNT; kind++)
        ck_assert_uint_eq(checker_count(a, (enum checker_kind)kind),
                          checker_count(b, (enum checker_kind)kind));
    ck_assert_uint_gt(checker_stats(a)->violations, 0);
    checker_free(a);
    checker_free(b);
    free(m);
}
END_TEST

START_TEST(an_empty_history_proves_nothing_and_says_so)
{
    struct checker *c = judge(NULL, 0);
    ck_assert_uint_eq(checker_stats(c)->records, 0);
    ck_assert_uint_eq(checker_stats(c)->acked, 0);
    ck_assert_ptr_null(checker_violation(c, 0));
    checker_free(c);
}
END_TEST

START_TEST(what_was_seen_is_counted)
{
    static const char text[] =
        "100 p1 invoke produce t1-0 value=1.1\n110 p1 ok produce t1-0 value=1.1 offset=0\n"
        "120 p1 invoke produce t1-1 value=1.2 txn=5\n190 p1 info produce t1-1 value=1.2 txn=5\n"
        "200 p2 invoke poll\n210 p2 ok poll t1-0 value=1.1 offset=0 final\n"
        "220 p3 invoke poll\n230 p3 ok poll t1-0 value=1.1 offset=0 final\n";
    struct checker *c = checker_new(&(struct checker_options){0});
    ck_assert_int_eq(checker_add(c, "text", text, sizeof(text) - 1, NULL), OK);
    ck_assert_int_eq(checker_run(c), OK);
    const struct checker_stats *s = checker_stats(c);
    ck_assert_uint_eq(s->records, 8);
    ck_assert_uint_eq(s->sources, 1);
    ck_assert_uint_eq(s->keys, 2);
    ck_assert_uint_eq(s->values, 2);
    ck_assert_uint_eq(s->acked, 1);
    ck_assert_uint_eq(s->read, 1);
    ck_assert_uint_eq(s->txns, 1);
    ck_assert_uint_eq(s->polls, 2);
    ck_assert_int_eq(s->gap_max_us, 70);
    ck_assert_uint_eq(s->violations, 0);
    checker_free(c);
}
END_TEST

START_TEST(time_that_goes_back_within_a_file_is_refused)
{
    static const char text[] = "10 p1 ok seek\n\n# comment\n9 p1 ok seek\n";
    uint32_t position = 0;
    struct checker *c = checker_new(&(struct checker_options){0});
    ck_assert_int_eq(checker_add(c, "text", text, sizeof(text) - 1, &position), ERR_MALFORMED);
    ck_assert_uint_eq(position, 4);
    checker_free(c);
}
END_TEST

static void add(TCase *tcase)
{
    tcase_add_test(tcase, histories_of_a_correct_log_are_clean);
    tcase_add_loop_test(tcase, one_change_is_found_by_its_name, 0,
                        (int)(sizeof(changes) / sizeof(changes[0])));
    tcase_add_test(tcase, the_verdict_does_not_depend_on_the_order_of_files);
    tcase_add_test(tcase, an_empty_history_proves_nothing_and_says_so);
    tcase_add_test(tcase, what_was_seen_is_counted);
    tcase_add_test(tcase, time_that_goes_back_within_a_file_is_refused);
}

SLUICE_TEST_MAIN("checker_random", add)
