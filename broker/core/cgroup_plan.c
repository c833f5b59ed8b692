/* SPDX-License-Identifier: Apache-2.0 */
/* What one member's call changes in its consumer group: subscriptions to topics, topics to targets, the
 * member's next step to its target. Nothing of the group is touched: the plan's records say it all. */
#include <string.h>

#include "broker/core/group_consumer.h"
#include "broker/core/topic_regex.h"
#include "common/base/mutant.h"
#include "common/base/probe.h"
#include "common/base/sort.h"

#define REGEX_AGAIN_US                                                                                       \
    10000000ull                /* changed topics are matched with the group's patterns at most so often      \
                                */
#define REGEX_BYTES (1u << 20) /* of a compiled pattern */

static int by_str(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* -- regular expressions -- */

int16_t plan_check_regex(struct groups *g, struct str regex)
{
    struct topic_regex *re;
    struct arena arena;

    arena_init(&arena, NULL, 0, REGEX_BYTES);
    enum err err = topic_regex_compile(&arena, regex, &re);
    arena_free(&arena);
    return err == OK ? KAFKA_NONE : KAFKA_INVALID_REGULAR_EXPRESSION;
}

struct matching {
    struct plan *plan;
    struct topic_regex *re;
    struct cregex *out;
    int32_t cap;
};

/* Internal topics are not subscribed to by pattern (Kafka). */
static bool match_topic(void *ctx, const struct group_topic_view *topic)
{
    struct matching *m = ctx;

    if (topic->internal || !topic_regex_matches(m->re, topic->name))
        return true;
    if (m->out->topics_count == m->cap) {
        int32_t cap = m->cap == 0 ? 16 : m->cap * 2;
        struct str *more = arena_calloc(&m->plan->g->scratch, (size_t)cap, sizeof(*more));
        ASSERT(more);
        if (m->cap > 0)
            memcpy(more, m->out->topics, (size_t)m->cap * sizeof(*more));
        m->out->topics = more;
        m->cap = cap;
    }
    m->out->topics[m->out->topics_count++] = topic->name;
    return true;
}

static void resolve(struct plan *plan, struct cregex *out)
{
    const struct group_topics *topics = plan->g->settings->topics;
    struct matching m = {.plan = plan, .out = out};
    struct arena arena;

    arena_init(&arena, NULL, 0, REGEX_BYTES);
    out->topics = NULL;
    out->topics_count = 0;
    out->version = (int64_t)topics->version(topics->ctx);
    out->timestamp_ms = plan->g->wall_ms;
    if (topic_regex_compile(&arena, out->regex, &m.re) == OK)
        topics->each(topics->ctx, match_topic, &m);
    arena_free(&arena);
    if (out->topics_count > 1)
        sort_items(out->topics, (size_t)out->topics_count, sizeof(*out->topics), by_str);
}

static bool same_topics(const struct cregex *a, const struct cregex *b)
{
    if (a->topics_count != b->topics_count)
        return false;
    for (int32_t i = 0; i < a->topics_count; i++)
        if (!str_eq(a->topics[i], b->topics[i]))
            return false;
    return true;
}

static struct cregex *plan_regex(const struct plan *plan, struct str regex)
{
    for (int32_t i = 0; i < plan->regexes_count; i++)
        if (str_eq(plan->regexes[i].regex, regex))
            return &plan->regexes[i];
    return NULL;
}

static void use_regex(struct plan *plan, struct str regex, bool again)
{
    struct cgroup *cg = plan->cg;

    if (regex.len <= 0 || plan_regex(plan, regex))
        return;
    const struct cregex *had = cregex_find(cg, regex);
    struct cregex *out = &plan->regexes[plan->regexes_count++];
    if (had)
        *out = *had;
    out->regex = regex;
    if (had && !again)
        return;
    resolve(plan, out);
    if (!had || !same_topics(had, out))
        write_cgroup_regex(plan->g, plan->group, out);
}

/* The patterns in use; each is matched with all topics when it is new, or topics have changed. */
static void use_regexes(struct plan *plan)
{
    struct groups *g = plan->g;
    struct cgroup *cg = plan->cg;
    uint64_t version = g->settings->topics->version(g->settings->topics->ctx);
    bool again = cg->regexes_count > 0 && cg->metadata_seen != version &&
                 (cg->regex_resolved_us == 0 || g->now_us >= cg->regex_resolved_us + REGEX_AGAIN_US);

    plan->regexes = arena_calloc(&g->scratch, (size_t)plan->members_count, sizeof(*plan->regexes));
    ASSERT(plan->regexes);
    for (int32_t i = 0; i < plan->members_count; i++)
        use_regex(plan, plan->members[i].member->regex, again);
    for (int32_t i = 0; i < cg->regexes_count; i++)
        if (!plan_regex(plan, cg->regexes[i].regex))
            write_cgroup_regex_gone(g, plan->group, cg->regexes[i].regex);
    if (again)
        cg->regex_resolved_us = g->now_us;
}

/* -- members and topics -- */

static void list_members(struct plan *plan)
{
    struct cgroup *cg = plan->cg;
    bool placed = false;

    plan->members = arena_calloc(&plan->g->scratch, (size_t)cg->members_count + 1, sizeof(*plan->members));
    ASSERT(plan->members);
    list_for_each (it, &cg->members) {
        const struct cmember *member = CONTAINER_OF(it, struct cmember, link);
        if (!placed && str_cmp(plan->next.id, member->id) <= 0) {
            plan->members[plan->members_count++].member = &plan->next;
            placed = true;
        }
        if (member != plan->old && member != plan->replaced)
            plan->members[plan->members_count++].member = member;
    }
    if (!placed)
        plan->members[plan->members_count++].member = &plan->next;
}

static int by_id(const void *a, const void *b)
{
    const struct plan_topic *x = a, *y = b;

    return memcmp(x->view.id.b, y->view.id.b, sizeof(x->view.id.b));
}

struct names {
    struct str *v;
    int32_t count;
};

static void add_names(struct names *names, const struct str *from, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        names->v[names->count++] = from[i];
}

static void names_form(struct names *names)
{
    int32_t kept = 0;

    if (names->count > 1)
        sort_items(names->v, (size_t)names->count, sizeof(*names->v), by_str);
    for (int32_t i = 0; i < names->count; i++)
        if (kept == 0 || !str_eq(names->v[kept - 1], names->v[i]))
            names->v[kept++] = names->v[i];
    names->count = kept;
}

/* All that one member subscribes to, by name and by pattern. */
static struct names names_of(const struct plan *plan, const struct cmember *member)
{
    const struct cregex *regex = member->regex.len > 0 ? plan_regex(plan, member->regex) : NULL;
    size_t most = (size_t)member->topics_count + (regex ? (size_t)regex->topics_count : 0);
    struct names names = {.v = arena_calloc(&plan->g->scratch, most, sizeof(*names.v))};

    ASSERT(names.v);
    add_names(&names, member->topics, member->topics_count);
    if (regex)
        add_names(&names, regex->topics, regex->topics_count);
    names_form(&names);
    return names;
}

/* Those of the names that exist, by id. */
static void list_topics(struct plan *plan)
{
    const struct group_topics *topics = plan->g->settings->topics;
    struct names all = {NULL, 0};
    size_t most = 0;

    for (int32_t i = 0; i < plan->members_count; i++)
        most += (size_t)plan->members[i].member->topics_count;
    for (int32_t i = 0; i < plan->regexes_count; i++)
        most += (size_t)plan->regexes[i].topics_count;
    all.v = arena_calloc(&plan->g->scratch, most, sizeof(*all.v));
    ASSERT(all.v);
    for (int32_t i = 0; i < plan->members_count; i++)
        add_names(&all, plan->members[i].member->topics, plan->members[i].member->topics_count);
    for (int32_t i = 0; i < plan->regexes_count; i++)
        add_names(&all, plan->regexes[i].topics, plan->regexes[i].topics_count);
    names_form(&all);
    plan->topics = arena_calloc(&plan->g->scratch, (size_t)all.count, sizeof(*plan->topics));
    ASSERT(plan->topics);
    for (int32_t i = 0; i < all.count; i++)
        plan->topics_count += topics->by_name(topics->ctx, all.v[i], &plan->topics[plan->topics_count].view);
    if (plan->topics_count > 1)
        sort_items(plan->topics, (size_t)plan->topics_count, sizeof(*plan->topics), by_id);
}

static int64_t hash_topics(const struct plan *plan)
{
    uint64_t sum = 0;

    for (int32_t i = 0; i < plan->topics_count; i++) {
        const struct group_topic_view *view = &plan->topics[i].view;
        uint64_t one = hash_bytes(view->id.b, sizeof(view->id.b), (uint64_t)(uint32_t)view->partitions + 1);
        sum = hash_bytes(&one, sizeof(one), sum);
    }
    return (int64_t)sum;
}

/* -- targets -- */

static int32_t place_of(const struct plan *plan, struct uuid id)
{
    const struct plan_topic key = {.view = {.id = id}};
    int32_t low = 0, high = plan->topics_count;

    while (low < high) {
        int32_t middle = low + (high - low) / 2;
        if (by_id(&plan->topics[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < plan->topics_count && uuid_eq(plan->topics[low].view.id, id) ? low : -1;
}

static int by_int(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

static void list_subscriptions(struct plan *plan, struct plan_member *pm)
{
    const struct group_topics *topics = plan->g->settings->topics;
    struct names names = names_of(plan, pm->member);
    struct group_topic_view view;

    pm->topics = arena_calloc(&plan->g->scratch, (size_t)names.count, sizeof(*pm->topics));
    ASSERT(pm->topics);
    for (int32_t i = 0; i < names.count; i++) {
        int32_t place = topics->by_name(topics->ctx, names.v[i], &view) ? place_of(plan, view.id) : -1;
        if (place >= 0)
            pm->topics[pm->topics_count++] = place;
    }
    if (pm->topics_count > 1)
        sort_items(pm->topics, (size_t)pm->topics_count, sizeof(*pm->topics), by_int);
}

static int32_t votes_for(const struct plan *plan, struct str assignor)
{
    int32_t votes = 0;

    for (int32_t i = 0; i < plan->members_count; i++)
        votes += str_eq(plan->members[i].member->assignor, assignor);
    return votes;
}

/* The one that most members ask for; uniform when none does. */
static assignor_fn elect_assignor(const struct plan *plan)
{
    struct str best = STR_LIT("uniform");
    int32_t most = 0;

    for (int32_t i = 0; i < plan->members_count; i++) {
        struct str name = plan->members[i].member->assignor;
        int32_t votes = name.len > 0 ? votes_for(plan, name) : 0;
        if (votes > most && assignor_find(name)) {
            most = votes;
            best = name;
        }
    }
    return assignor_find(best);
}

static bool fill_assignment(struct plan *plan, struct assignment *a)
{
    struct assign_topic *topics = arena_calloc(a->arena, (size_t)plan->topics_count, sizeof(*topics));

    a->members = arena_calloc(a->arena, (size_t)plan->members_count, sizeof(*a->members));
    if (!topics || !a->members)
        return false;
    for (int32_t i = 0; i < plan->topics_count; i++)
        topics[i] = (struct assign_topic){plan->topics[i].view.id, plan->topics[i].view.partitions};
    a->topics = topics;
    a->topics_count = plan->topics_count;
    for (int32_t i = 0; i < plan->members_count; i++) {
        struct plan_member *pm = &plan->members[i];
        list_subscriptions(plan, pm);
        a->members[a->members_count++] = (struct assign_member){.id = pm->member->id,
                                                                .instance_id = pm->member->instance_id,
                                                                .topics = pm->topics,
                                                                .topics_count = pm->topics_count,
                                                                .before = pm->member->target};
    }
    return true;
}

/* Computes every member's target and writes those that differ. */
static bool set_targets(struct plan *plan)
{
    struct assignment a = {.arena = &plan->g->scratch};

    if (!fill_assignment(plan, &a) || !elect_assignor(plan)(&a))
        return false;
    for (int32_t i = 0; i < plan->members_count; i++) {
        struct plan_member *pm = &plan->members[i];
        pm->target = a.members[i].after;
        bool is_new = pm->member == &plan->next && !plan->old;
        if (is_new || !tp_set_eq(&pm->target, &pm->member->target))
            write_cmember_target(plan->g, plan->group, pm->member->id, &pm->target);
    }
    write_cgroup_target_epoch(plan->g, plan->group, plan->epoch);
    plan->target_epoch = plan->epoch;
    return true;
}

static const struct tp_set *target_of_next(const struct plan *plan)
{
    for (int32_t i = 0; i < plan->members_count; i++)
        if (plan->members[i].member == &plan->next)
            return plan->target_epoch == plan->cg->target_epoch ? &plan->next.target
                                                                : &plan->members[i].target;
    return &plan->next.target;
}

/* -- the member's own step (KIP-848, CurrentAssignmentBuilder) -- */

/* Splits what is wanted into what nobody else has, and whether something is still elsewhere. */
static bool free_ones(struct arena *arena, const struct cgroup *cg, const struct cmember *self,
                      const struct tp_set *wanted, struct tp_set *ret_free, bool *ret_missing)
{
    struct tp_set left = *wanted;

    list_for_each (it, &cg->members) {
        const struct cmember *other = CONTAINER_OF(it, struct cmember, link);
        if (left.count == 0)
            break;
        if (other == self)
            continue;
        if (!tp_set_minus(arena, &left, &other->assigned, &left) ||
            !tp_set_minus(arena, &left, &other->revoking, &left))
            return false;
    }
    if (MUTANT(HAND_OUT_EARLY))
        left = *wanted;
    *ret_missing = left.count < wanted->count;
    *ret_free = left;
    return true;
}

bool cmember_may_take_more(struct groups *g, const struct cgroup *cg, const struct cmember *member)
{
    struct tp_set wanted, free;
    bool missing = true;

    arena_reset(&g->scratch);
    return tp_set_minus(&g->scratch, &member->target, &member->assigned, &wanted) &&
           free_ones(&g->scratch, cg, member, &wanted, &free, &missing) && !missing;
}

static void move_to(struct cmember *member, int32_t epoch, enum cmember_state state, struct tp_set assigned,
                    struct tp_set revoking)
{
    member->previous_epoch = member->epoch;
    member->epoch = epoch;
    member->state = state;
    member->assigned = assigned;
    member->revoking = revoking;
}

static bool owns_some(const struct plan *plan, const struct tp_set *revoking)
{
    return !plan->owned || tp_set_meet(plan->owned, revoking);
}

static bool next_step(struct plan *plan, const struct tp_set *target)
{
    struct arena *arena = &plan->g->scratch;
    struct cmember *next = &plan->next;
    const struct cmember *self = plan->replaced ? plan->replaced : plan->old;
    struct tp_set keep, revoke, wanted, free, all, none = {NULL, 0};
    bool missing = false;

    if (!tp_set_both(arena, &next->assigned, target, &keep) ||
        !tp_set_minus(arena, &next->assigned, &keep, &revoke) ||
        !tp_set_minus(arena, target, &keep, &wanted) ||
        !free_ones(arena, plan->cg, self, &wanted, &free, &missing) ||
        !tp_set_either(arena, &keep, &free, &all))
        return false;
    if (revoke.count > 0 && owns_some(plan, &revoke))
        move_to(next, next->epoch, CMEMBER_UNREVOKED, keep, revoke);
    else
        move_to(next, plan->target_epoch, missing ? CMEMBER_UNRELEASED : CMEMBER_STABLE, all, none);
    return true;
}

bool plan_reconcile(struct plan *plan, const struct tp_set *target)
{
    struct cmember *next = &plan->next;

    switch (next->state) {
    case CMEMBER_STABLE: return next->epoch == plan->target_epoch || next_step(plan, target);
    case CMEMBER_UNREVOKED:
        if (!plan->owned || tp_set_meet(plan->owned, &next->revoking))
            return true;
        PROBE(CONSUMER_REVOKED);
        next->revoking = (struct tp_set){NULL, 0};
        next->state = CMEMBER_STABLE;
        next->epoch = MIN(next->epoch + 1, plan->target_epoch);
        return next_step(plan, target);
    case CMEMBER_UNRELEASED: return next_step(plan, target);
    }
    UNREACHABLE();
}

/* -- all of it -- */

static bool same_current(const struct cmember *a, const struct cmember *b)
{
    return a->epoch == b->epoch && a->state == b->state && tp_set_eq(&a->assigned, &b->assigned) &&
           tp_set_eq(&a->revoking, &b->revoking);
}

static void write_next(struct plan *plan)
{
    const struct cmember *old = plan->old;

    if (old && same_current(old, &plan->next)) {
        plan->next.previous_epoch = old->previous_epoch;
        return;
    }
    write_cmember_current(plan->g, plan->group, &plan->next);
}

/* The topics are not those that the group's epoch is about, perhaps. */
static bool topics_changed(struct plan *plan)
{
    const struct group_topics *topics = plan->g->settings->topics;
    uint64_t version = topics->version(topics->ctx);

    if (!plan->subscription_changed && plan->cg->metadata_seen == version &&
        plan->cg->epoch == plan->cg->target_epoch)
        return false;
    list_members(plan);
    use_regexes(plan);
    list_topics(plan);
    plan->hash = hash_topics(plan);
    bool waits =
        plan->cg->regexes_count > 0 && plan->cg->regex_resolved_us != plan->g->now_us &&
        plan->cg->metadata_seen != version; /* patterns have not been matched with these topics yet */
    if (!waits && plan->hash == plan->cg->metadata_hash && plan->g->out_count == 0)
        plan->cg->metadata_seen = version; /* else when what is being written now is so */
    return true;
}

int16_t plan_run(struct plan *plan)
{
    struct groups *g = plan->g;

    bool begins = plan->cg->epoch == 0; /* in the place of a classic one: its generations go on */

    plan->epoch = begins ? MAX(plan->group->generation, 0) : plan->cg->epoch;
    plan->target_epoch = plan->cg->target_epoch;
    plan->hash = plan->cg->metadata_hash;
    if (plan->replaced)
        write_cmember_gone(g, plan->group, plan->replaced->id);
    bool looked = topics_changed(plan);
    if (plan->subscription_changed || (looked && plan->hash != plan->cg->metadata_hash)) {
        plan->epoch++;
        write_cgroup_epoch(g, plan->group, plan->epoch, plan->hash);
    }
    if (plan->epoch > plan->target_epoch && !set_targets(plan))
        return KAFKA_UNKNOWN_SERVER_ERROR;
    if (plan->replaced && plan->epoch == plan->cg->target_epoch)
        write_cmember_target(g, plan->group, plan->next.id, &plan->next.target);
    if (!plan_reconcile(plan, target_of_next(plan)))
        return KAFKA_UNKNOWN_SERVER_ERROR;
    write_next(plan);
    return KAFKA_NONE;
}
