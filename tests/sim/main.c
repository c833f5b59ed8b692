#include "tests/sim/cluster.h"
#include "tests/sim/judge/verdict.h"
#include "tests/sim/nodes.h"
#include <stdio.h>
#include <stdlib.h>
static bool reader_done(void *ctx)
{
    return ((struct node *)ctx)->done;
}
int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    struct world_options wo = {.seed = seed,
                               .latency_us = 150,
                               .jitter_us = 200,
                               .disk_sync_us = 500,
                               .disk_read_us = 80,
                               .bad_luck = true,
                               .trace = argc > 2 ? stdout : NULL};
    struct world *w = world_new(&wo);
    struct cluster_options co = {.controllers = 3,
                                 .brokers = 3,
                                 .shards = 2,
                                 .topics = 2,
                                 .partitions = 3,
                                 .replicas = 3,
                                 .min_isr = 2,
                                 .producers = 2,
                                 .consumers = 1,
                                 .send_interval_us = 10000,
                                 .record_bytes_max = 200,
                                 .session_us = 3000000,
                                 .segment_bytes = 1 << 20,
                                 .snapshot_entries = 200};
    static struct cluster c;
    cluster_init(&c, w, &co);
    for (int i = 0; i < c.node_count; i++)
        node_start(&c.nodes[i], 1000 * i);
    world_run(w, 20000000);
    c.draining = true;
    world_run(w, 30000000);
    struct node *reader = cluster_add(&c, ROLE_READER, 1);
    node_start(reader, 0);
    bool done = world_run_until(w, 20000000, reader_done, reader);
    for (int i = 0; i < c.node_count; i++)
        node_stop(&c.nodes[i], UINT64_MAX);
    world_run(w, world_now_us(w) + 5000000);
    struct check_options cho = {0};
    static struct check_report r;
    check_history(&c.history, &cho, &r);
    check_report_print(&r, stdout);
    printf("done=%d events=%llu hash=%016llx errors=%llu assertion=%s stops=%llu\n", done,
           (unsigned long long)world_events(w), (unsigned long long)world_hash(w),
           (unsigned long long)c.error_lines, c.first_assertion, (unsigned long long)c.graceful_stops);
    for (int i = 0; i < c.node_count; i++)
        if (c.nodes[i].trouble[0])
            printf("%s: %s\n", process_name(c.nodes[i].process), c.nodes[i].trouble);
    cluster_free(&c);
    world_free(w);
    return 0;
}
