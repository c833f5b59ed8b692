/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite of the env seam on the simulated world, lucky and unlucky. SLUICE_SEED chooses
 * another run. */
#include <stdlib.h>
#include <string.h>

#include "tests/env/conformance.h"
#include "tests/sim/world/sim_heap.h"
#include "tests/sim/world/world.h"

static struct world *world;
static bool bad_luck;

static void no_begin(void *arg, struct env *env)
{
    (void)arg;
    env_mkdir(env, "/scratch");
}

static struct env *sim_create(void)
{
    const char *seed = getenv("SLUICE_SEED");
    struct world_options options = {.seed = seed != NULL ? strtoull(seed, NULL, 10) : 1,
                                    .latency_us = 100,
                                    .jitter_us = 200,
                                    .disk_sync_us = 300,
                                    .disk_read_us = 80,
                                    .bad_luck = bad_luck};
    world = world_new(&options);
    struct process *process = world_process_new(world, "node");
    process_start(process, no_begin, NULL);
    world_run(world, 1000);
    sim_heap_enter(process_heap_slot(process)); /* the tests are the process's code */
    return process_env(process);
}

/* A turn looks at everything again: the tests set timers and defer tasks from outside of turns. */
static void look(void *arg)
{
    (void)arg;
}

static bool sim_run_until(struct env *env, bool (*pred)(void *ctx), void *ctx, uint64_t timeout_us)
{
    (void)env;
    int slot = sim_heap_enter(SIM_HEAP_HOST);
    process_call(world_process(world, 0), look, NULL);
    bool held = world_run_until(world, timeout_us, pred, ctx);
    sim_heap_enter(slot);
    return held;
}

static void sim_destroy(struct env *env)
{
    (void)env;
    sim_heap_enter(SIM_HEAP_HOST);
    world_free(world);
}

static const char *sim_scratch_dir(struct env *env)
{
    (void)env;
    return "/scratch";
}

static const struct env_conformance_impl env_sim_impl = {
    .name = "env_sim",
    .create = sim_create,
    .run_until = sim_run_until,
    .destroy = sim_destroy,
    .scratch_dir = sim_scratch_dir,
};

int main(int argc, char **argv)
{
    bad_luck = argc > 1 && strcmp(argv[1], "unlucky") == 0;
    Suite *suite = suite_create(bad_luck ? "env_sim_unlucky" : "env_sim");
    env_conformance_add(suite, &env_sim_impl);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
