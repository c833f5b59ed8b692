/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/mutants.h"

#include <string.h>

#include "common/base/assert.h"
#include "common/base/mutant.h"

STATIC_ASSERT(CHECKER_KIND_COUNT <= 64, "names of violations are bits");

static const struct mutant_info {
    const char *name, *violations, *what;
} infos[MUTANT_COUNT] = {
#define X(id, name, violations, what) [MUTANT_##id] = {name, violations, what},
    MUTANT_TABLE(X)
#undef X
};

/* What random seeds do not meet, or not soon, has a scenario that must show it. */
static const struct {
    enum mutant mutant;
    const char *scenario;
} scripted[] = {
    {MUTANT_UNKNOWN_EPOCH_ACCEPTED, SIM_SCENARIOS_DIR "/kip-279-fast-double-failover.txt"},
    {MUTANT_DELETE_UNKNOWN_DIRECTORY, SIM_SCENARIOS_DIR "/unknown-directory-of-all.txt"},
    {MUTANT_SEND_BEFORE_VOTE, SIM_SCENARIOS_DIR "/vote-before-sync.txt"},
    {MUTANT_FORGET_VOTE, SIM_SCENARIOS_DIR "/a-vote-is-remembered.txt"},
    {MUTANT_COMPACT_PAST_HIGH_WATERMARK, SIM_SCENARIOS_DIR "/compaction-keeps-to-the-committed.txt"},
    {MUTANT_RETAIN_PAST_HIGH_WATERMARK, SIM_SCENARIOS_DIR "/retention-keeps-to-the-committed.txt"},
    {MUTANT_LOSE_LAST_PRODUCER_BATCH, SIM_SCENARIOS_DIR "/late-retry-after-compaction.txt"},
    {MUTANT_STALE_DUPLICATES, SIM_SCENARIOS_DIR "/late-retry-after-truncation.txt"},
    {MUTANT_REFETCH_UNCHECKED, SIM_SCENARIOS_DIR "/damage-beside-a-deposed-leader.txt"},
    {MUTANT_ALTER_ANY_EPOCH, SIM_SCENARIOS_DIR "/late-proposal.txt"},
    {MUTANT_LOSS_IGNORED, SIM_SCENARIOS_DIR "/last-replica-standing.txt"},
    {MUTANT_LOSE_SEGMENT_AT_ROLL, SIM_SCENARIOS_DIR "/rolled-and-without-power.txt"},
    {MUTANT_RAFT_LOG_NOT_SYNCED, SIM_SCENARIOS_DIR "/quorum-without-power.txt"},
    {MUTANT_EMPTY_DISK_VOTES, SIM_SCENARIOS_DIR "/empty-disk-has-no-vote.txt"},
    {MUTANT_TWO_VOTERS_AT_ONCE, SIM_SCENARIOS_DIR "/one-voter-at-a-time.txt"},
    {MUTANT_MEMBERS_WITHOUT_TERM, SIM_SCENARIOS_DIR "/a-change-needs-a-term.txt"},
    {MUTANT_SNAPSHOT_OLD_MEMBERS, SIM_SCENARIOS_DIR "/voters-of-a-snapshot.txt"},
    {MUTANT_LOOKUP_MISSES_START, SIM_SCENARIOS_DIR "/trimmed-under-a-lookup.txt"},
    {MUTANT_LOOKUP_PAST_HIGH_WATERMARK, SIM_SCENARIOS_DIR "/lookup-at-a-leader-of-the-past.txt"},
    {MUTANT_GIVE_WAY_AT_ONCE, SIM_SCENARIOS_DIR "/leader-gives-way.txt"},
    {MUTANT_END_BEFORE_LOG, SIM_SCENARIOS_DIR "/coordinators-killed-in-turn.txt"},
    {MUTANT_FORGET_PREPARED, SIM_SCENARIOS_DIR "/coordinators-killed-in-turn.txt"},
    {MUTANT_COMMIT_BEFORE_LOG, SIM_SCENARIOS_DIR "/commits-at-a-coordinator-of-the-past.txt"},
    {MUTANT_SWAP_WITHOUT_SYNC, SIM_SCENARIOS_DIR "/compacted-and-without-power.txt"},
    {MUTANT_REVIVE_FENCED, SIM_SCENARIOS_DIR "/a-fenced-member-wakes-up.txt"},
    {MUTANT_NO_EPOCH_STAMP, SIM_SCENARIOS_DIR "/kip-279-fast-double-failover.txt"},
    {MUTANT_SYNC_ERROR_IGNORED, SIM_SCENARIOS_DIR "/failed-sync.txt"},
    {MUTANT_SKIP_CRC, SIM_SCENARIOS_DIR "/torn-at-the-followers.txt"},
    {MUTANT_SERVE_DAMAGED, SIM_SCENARIOS_DIR "/rot-is-not-served.txt"},
    {MUTANT_UPGRADE_FORGETS_OWNERS, SIM_SCENARIOS_DIR "/upgraded-with-owners.txt"},
    {MUTANT_POSITION_AS_DURABLE, SIM_SCENARIOS_DIR "/rolled-and-without-power.txt"},
    {MUTANT_LATE_MARKER, SIM_SCENARIOS_DIR "/markers-that-come-again.txt"},
    {MUTANT_BELIEVE_OWN_SHRINK, SIM_SCENARIOS_DIR "/paused-leader-alone.txt"},
};

static const char *scenario_of(enum mutant mutant)
{
    for (size_t i = 0; i < ARRAY_LEN(scripted); i++)
        if (scripted[i].mutant == mutant)
            return scripted[i].scenario;
    return NULL;
}

static enum mutant active = MUTANT_NONE; /* chosen before the first seed, never changed within one */

enum mutant mutant_active(void)
{
    return active;
}

bool mutant_choose(const char *name)
{
    for (int i = MUTANT_NONE + 1; i < MUTANT_COUNT; i++) {
        if (strcmp(infos[i].name, name) != 0)
            continue;
        active = (enum mutant)i;
        return true;
    }
    return false;
}

void mutants_list(FILE *out)
{
    for (int i = MUTANT_NONE + 1; i < MUTANT_COUNT; i++)
        fprintf(out, "%-28s %s (%s)\n", infos[i].name, infos[i].what, infos[i].violations);
}

/* Bits of the names in a list; every one must be a name that the judge knows. */
static uint64_t violations_of(const char *list)
{
    uint64_t bits = 0;
    while (*list != '\0') {
        size_t len = strcspn(list, ",");
        int i = 0;
        while (i < CHECKER_KIND_COUNT && (strlen(checker_kind_name((enum checker_kind)i)) != len ||
                                          strncmp(checker_kind_name((enum checker_kind)i), list, len) != 0))
            i++;
        ASSERT(i < CHECKER_KIND_COUNT);
        bits |= 1ull << i;
        list += len + (list[len] == ',');
    }
    return bits;
}

static const char *found_as(const struct range_totals *totals, uint64_t wanted)
{
    for (int i = 0; i < CHECKER_KIND_COUNT; i++)
        if ((wanted & 1ull << i) && totals->violations[i] > 0)
            return checker_kind_name((enum checker_kind)i);
    return "not found";
}

/* Whether the seed is clean of such violations without any mutant: else it proves nothing. */
static bool is_clean_without(const struct range_options *hunt, uint64_t seed)
{
    static struct range_totals totals;
    struct range_options alone = *hunt;
    alone.first = alone.last = seed;
    active = MUTANT_NONE;
    range_run(&alone, &totals, NULL);
    return totals.found == 0;
}

/* Whether it was found. */
static bool hunt_one(const struct range_options *options, enum mutant mutant, FILE *out)
{
    static struct range_totals totals;
    struct range_options hunt = *options;
    uint64_t seeds = 0;
    hunt.wanted = violations_of(infos[mutant].violations);
    hunt.run.report_only = true;
    hunt.run.scenario = scenario_of(mutant);
    for (;;) {
        active = mutant;
        range_run(&hunt, &totals, NULL);
        seeds += totals.seeds;
        if (totals.found == 0 || is_clean_without(&hunt, totals.found_seed))
            break;
        totals.found = 0;
        if (totals.found_seed >= hunt.last)
            break;
        hunt.first = totals.found_seed + 1;
    }
    const char *found_as_text = totals.found > 0 ? found_as(&totals, hunt.wanted) : "not found";
    if (hunt.run.scenario != NULL)
        fprintf(out, "mutant %-28s %-20s seeds=%llu scenario=%s\n", infos[mutant].name, found_as_text,
                (unsigned long long)seeds, strrchr(hunt.run.scenario, '/') + 1);
    else
        fprintf(out, "mutant %-28s %-20s seeds=%llu seed=%llu\n", infos[mutant].name, found_as_text,
                (unsigned long long)seeds, (unsigned long long)totals.found_seed);
    fflush(out);
    return totals.found > 0;
}

bool mutants_hunt(const struct range_options *options, FILE *out)
{
    enum mutant only = active;
    unsigned found = 0, hunted = 0;
    for (int i = MUTANT_NONE + 1; i < MUTANT_COUNT; i++) {
        if (only != MUTANT_NONE && only != (enum mutant)i)
            continue;
        hunted++;
        found += hunt_one(options, (enum mutant)i, out);
    }
    fprintf(out, "mutants=%u found=%u\n", hunted, found);
    return found == hunted;
}
