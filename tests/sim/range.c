/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/range.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "tests/sim/script.h"

#define JOBS_MAX              64
#define BUSY_SEEDS            20   /* of so many at least, operations and faults must be enough on average */
#define OPERATIONS_PER_MINUTE 2000 /* of virtual time, whole runs counted */
#define FAULTS_PER_MINUTE     10
#define SEED_LIMIT_S          300 /* of real time: a run that hangs is a finding */
#define PROGRESS_S            60  /* of real time, on stderr */

struct job {
    pid_t pid;
    int fd;
    uint64_t seed;
};

struct range {
    const struct range_options *options;
    struct range_totals *totals;
    FILE *out;
    struct job jobs[JOBS_MAX];
    uint32_t running;
    uint64_t next;
    time_t end;
    time_t told; /* when progress was last told */
};

static time_t now_s(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec;
}

/* -- one child for each seed -- */

static void write_all(int fd, const void *p, size_t len)
{
    const uint8_t *from = p;
    while (len > 0) {
        ssize_t n = write(fd, from, len);
        if (n <= 0)
            _exit(3);
        from += n;
        len -= (size_t)n;
    }
}

static void child(const struct range_options *options, uint64_t seed, int fd)
{
    static struct run_result result;
    alarm(SEED_LIMIT_S);
    if (options->run.scenario != NULL)
        script_run(options->run.scenario, seed, &options->run, options->transcript, &result);
    else
        run_seed(seed, &options->run, &result);
    fflush(NULL); /* the trace */
    write_all(fd, &result, sizeof(result));
    _exit(0);
}

static void job_start(struct range *range)
{
    int fds[2];
    struct job *job = &range->jobs[range->running];
    fflush(NULL);
    int rc = pipe(fds);
    ASSERT(rc == 0);
    *job = (struct job){.seed = range->next++, .fd = fds[0], .pid = fork()};
    ASSERT(job->pid >= 0);
    if (job->pid == 0) {
        close(fds[0]);
        child(range->options, job->seed, fds[1]);
    }
    close(fds[1]);
    range->running++;
}

/* -- adding up -- */

static void add(struct range *range, const struct run_result *result)
{
    struct range_totals *t = range->totals;
    t->seeds++;
    t->is_void += result->is_void;
    t->virtual_us += result->virtual_us;
    t->events += result->events;
    t->operations += result->operations;
    t->run_cpu_us += result->run_cpu_us;
    t->judge_cpu_us += result->judge_cpu_us;
    t->kills += result->bites.kills;
    t->power_cuts += result->bites.power_cuts;
    t->partitions += result->partitions_cut;
    t->disk_faults += result->bites.write_errors + result->bites.sync_errors + result->bites.read_errors +
                      result->bites.no_space + result->bites.stalls + result->bites.bits_flipped;
    for (int i = 0; i < FAULT_COUNT; i++) {
        t->asked += result->asked[i];
        t->bitten += result->bitten[i];
        t->asked_of[i] += result->asked[i];
        t->bitten_of[i] += result->bitten[i];
    }
    for (int i = 0; i < REACH_COUNT; i++)
        t->reached[i] += result->reached[i];
    bool wanted = false;
    for (int i = 0; i < CHECKER_KIND_COUNT; i++) {
        t->violations[i] += result->violations[i];
        wanted |= result->violations[i] > 0 && (range->options->wanted & 1ull << i);
    }
    if (wanted && t->found++ == 0)
        t->found_seed = result->seed;
    if (result->bad && t->bad++ == 0) {
        t->first_bad_seed = result->seed;
        t->seeds_before_bad = t->seeds;
    }
}

static void say(struct range *range, const struct run_result *result)
{
    if (range->out == NULL || (!result->bad && !range->options->each))
        return;
    fprintf(range->out, "seed=%llu hash=%016llx events=%llu operations=%llu gap_ms=%llu %s%s%s\n",
            (unsigned long long)result->seed, (unsigned long long)result->hash,
            (unsigned long long)result->events, (unsigned long long)result->operations,
            (unsigned long long)(result->gap_us / 1000),
            result->bad       ? "VIOLATION "
            : result->is_void ? "void "
                              : "ok",
            result->text, "");
    fflush(range->out);
}

static bool read_result(int fd, struct run_result *result)
{
    size_t got = 0;
    while (got < sizeof(*result)) {
        ssize_t n = read(fd, (uint8_t *)result + got, sizeof(*result) - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        got += (size_t)n;
    }
    return true;
}

static void job_end(struct range *range, uint32_t at, int status)
{
    static struct run_result result;
    struct job job = range->jobs[at];
    range->jobs[at] = range->jobs[--range->running];
    if (!read_result(job.fd, &result)) {
        memset(&result, 0, sizeof(result));
        result.seed = job.seed;
        result.bad = true;
        result.violations[CHECKER_HEALTH] = 1;
        snprintf(result.text, sizeof(result.text), "the simulator ended with signal %d, status %d",
                 WIFSIGNALED(status) ? WTERMSIG(status) : 0, WIFEXITED(status) ? WEXITSTATUS(status) : 0);
    }
    close(job.fd);
    add(range, &result);
    say(range, &result);
}

static void tell_progress(struct range *range)
{
    const struct range_totals *t = range->totals;
    if (range->out == NULL || now_s() - range->told < PROGRESS_S)
        return;
    range->told = now_s();
    fprintf(stderr, "%llu seeds, the last %llu; %.1f virtual hours, %llu bad, %llu void\n",
            (unsigned long long)t->seeds, (unsigned long long)(range->next - 1),
            (double)t->virtual_us / 3.6e9, (unsigned long long)t->bad, (unsigned long long)t->is_void);
}

static bool wants_more(const struct range *range)
{
    if ((range->options->stop_at_bad && range->totals->bad > 0) || range->totals->found > 0)
        return false;
    return range->options->minutes > 0 ? now_s() < range->end : range->next <= range->options->last;
}

/* A result is larger than what a pipe holds without a reader? Then the child would wait: it must not be. */
STATIC_ASSERT(sizeof(struct run_result) < 60000, "a result fits into a pipe");

void range_run(const struct range_options *options, struct range_totals *ret_totals, FILE *out)
{
    struct range range = {.options = options,
                          .totals = ret_totals,
                          .out = out,
                          .next = options->first,
                          .end = now_s() + (time_t)options->minutes * 60,
                          .told = now_s()};
    uint32_t jobs = MIN(MAX(options->jobs, 1u), (uint32_t)JOBS_MAX);
    *ret_totals = (struct range_totals){.seeds = 0};
    while (range.running > 0 || wants_more(&range)) {
        while (range.running < jobs && wants_more(&range))
            job_start(&range);
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        for (uint32_t i = 0; i < range.running; i++) {
            if (range.jobs[i].pid != pid)
                continue;
            job_end(&range, i, status);
            break;
        }
        tell_progress(&range);
    }
}

/* An idle cluster proves nothing. Few seeds may be quiet ones by chance. */
static bool is_busy(const struct range_totals *t, double minutes)
{
    if (t->seeds < BUSY_SEEDS)
        return true;
    return (double)t->operations >= OPERATIONS_PER_MINUTE * minutes &&
           (double)t->bitten >= FAULTS_PER_MINUTE * minutes;
}

bool range_report(const struct range_options *options, const struct range_totals *t, FILE *out)
{
    double minutes = (double)t->virtual_us / 60e6;
    bool good = t->bad == 0 && t->is_void * 20 <= t->seeds && is_busy(t, minutes);
    for (int i = 0; i < FAULT_COUNT; i++)
        if (t->asked_of[i] > 0)
            fprintf(out, "fault %s: asked %llu, bit %llu\n", fault_name((enum fault_kind)i),
                    (unsigned long long)t->asked_of[i], (unsigned long long)t->bitten_of[i]);
    for (int i = 0; i < REACH_COUNT; i++) {
        fprintf(out, "reached %s: %llu\n", reach_name(i), (unsigned long long)t->reached[i]);
    }
    if (options->must_reach != NULL)
        good = reach_demanded(options->must_reach, t->reached, out) && good;
    for (int i = 0; i < CHECKER_KIND_COUNT; i++)
        if (t->violations[i] > 0)
            fprintf(out, "violation %s: %llu\n", checker_kind_name((enum checker_kind)i),
                    (unsigned long long)t->violations[i]);
    fprintf(out,
            "seeds=%llu virtual_hours=%.2f events=%llu operations=%llu crashes=%llu partitions=%llu "
            "disk_faults=%llu faults_asked=%llu faults_bitten=%llu void=%llu operations_per_minute=%.0f "
            "faults_per_minute=%.0f judging=%.0f%% violations=%llu\n",
            (unsigned long long)t->seeds, (double)t->virtual_us / 3.6e9, (unsigned long long)t->events,
            (unsigned long long)t->operations, (unsigned long long)(t->kills + t->power_cuts),
            (unsigned long long)t->partitions, (unsigned long long)t->disk_faults,
            (unsigned long long)t->asked, (unsigned long long)t->bitten, (unsigned long long)t->is_void,
            (double)t->operations / MAX(minutes, 1e-6), (double)t->bitten / MAX(minutes, 1e-6),
            100.0 * (double)t->judge_cpu_us / (double)MAX(t->run_cpu_us + t->judge_cpu_us, 1u),
            (unsigned long long)t->bad);
    return good;
}
