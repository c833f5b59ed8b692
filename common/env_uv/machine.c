/* SPDX-License-Identifier: Apache-2.0 */
/* Clock, randomness, processors and workers of the real machine. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env_uv/euv.h"

#define PATH_BYTES 4096

/* -- clock and randomness -- */

uint64_t euv_now_us(struct env *env)
{
    struct timespec ts;
    (void)env;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

int64_t euv_wall_ms(struct env *env)
{
    struct timespec ts;
    (void)env;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void euv_random(struct env *env, void *buf, size_t len)
{
    uint8_t *p = buf;
    (void)env;
    while (len > 0) {
        ssize_t n = getrandom(p, len, 0);
        ASSERT(n > 0 || errno == EINTR);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
}

/* -- small files of the kernel -- */

/* The first size - 1 bytes of path, terminated. False when it cannot be read. */
static bool text_read(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, out, size - 1);
    close(fd);
    if (n < 0)
        return false;
    out[n] = '\0';
    return true;
}

void euv_boot_id(struct env *env, char out[37])
{
    (void)env;
    memset(out, 0, 37);
    text_read("/proc/sys/kernel/random/boot_id", out, 37);
}

/* -- processors -- */

/* CPUs that a quota of quota_us per period_us is worth, rounded up; UINT_MAX without a limit. */
static unsigned quota_cpus(long long quota_us, long long period_us)
{
    if (quota_us <= 0 || period_us <= 0)
        return ~0u;
    return (unsigned)((quota_us + period_us - 1) / period_us);
}

/* cgroup v2: "max 100000" or "150000 100000". */
static unsigned cgroup2_dir_cpus(const char *dir)
{
    char path[PATH_BYTES + 16], text[64];
    long long quota = 0, period = 0;
    snprintf(path, sizeof(path), "%s/cpu.max", dir);
    if (!text_read(path, text, sizeof(text)) || sscanf(text, "%lld %lld", &quota, &period) != 2)
        return ~0u;
    return quota_cpus(quota, period);
}

/* cgroup v1: quota and period in files of their own, -1 for no limit. */
static unsigned cgroup1_dir_cpus(const char *dir)
{
    char path[PATH_BYTES + 32], quota[32], period[32];
    snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", dir);
    if (!text_read(path, quota, sizeof(quota)))
        return ~0u;
    snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", dir);
    if (!text_read(path, period, sizeof(period)))
        return ~0u;
    return quota_cpus(atoll(quota), atoll(period));
}

/* The least limit on the way from the group's own directory up to the mount (a container may see only part of
 * the way). */
static unsigned cgroup_walk(const char *mount, const char *group, unsigned (*dir_cpus)(const char *dir))
{
    char dir[PATH_BYTES];
    unsigned least = ~0u;
    size_t mount_len = strlen(mount);
    int len = snprintf(dir, sizeof(dir), "%s%s", mount, group);
    if (len < 0 || (size_t)len >= sizeof(dir))
        return least;
    for (;;) {
        unsigned cpus = dir_cpus(dir);
        least = MIN(least, cpus);
        char *slash = strrchr(dir, '/');
        if (slash == NULL || (size_t)(slash - dir) < mount_len)
            return least;
        *slash = '\0';
    }
}

static bool controllers_name_cpu(const char *controllers)
{
    const char *at = strstr(controllers, "cpu");
    for (; at != NULL; at = strstr(at + 1, "cpu"))
        if ((at == controllers || at[-1] == ',') && (at[3] == '\0' || at[3] == ','))
            return true;
    return false;
}

/* One line of /proc/self/cgroup: "id:controllers:path". */
static unsigned cgroup_line_cpus(char *line)
{
    char *controllers = strchr(line, ':');
    char *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
    if (group == NULL)
        return ~0u;
    *group++ = '\0';
    controllers++;
    if (controllers[0] == '\0')
        return cgroup_walk("/sys/fs/cgroup", group, cgroup2_dir_cpus);
    if (controllers_name_cpu(controllers))
        return cgroup_walk("/sys/fs/cgroup/cpu", group, cgroup1_dir_cpus);
    return ~0u;
}

static unsigned cgroup_cpus(void)
{
    char text[PATH_BYTES], *save = NULL;
    unsigned least = ~0u;
    if (!text_read("/proc/self/cgroup", text, sizeof(text)))
        return least;
    for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
        unsigned cpus = cgroup_line_cpus(line);
        least = MIN(least, cpus);
    }
    return least;
}

static unsigned affinity_cpus(void)
{
    unsigned count = 1;
    int possible = (int)sysconf(_SC_NPROCESSORS_CONF);
    possible = MAX(possible, CPU_SETSIZE);
    cpu_set_t *set = CPU_ALLOC((size_t)possible);
    size_t size = CPU_ALLOC_SIZE((size_t)possible);
    if (set != NULL && sched_getaffinity(0, size, set) == 0)
        count = (unsigned)CPU_COUNT_S(size, set);
    CPU_FREE(set);
    return count;
}

unsigned euv_cpu_count(struct env *env)
{
    (void)env;
    unsigned affinity = affinity_cpus(), quota = cgroup_cpus();
    unsigned count = MIN(affinity, quota);
    return MAX(count, 1u);
}

uint32_t euv_files_max(struct env *env)
{
    struct rlimit limit;
    (void)env;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > UINT32_MAX)
        return UINT32_MAX;
    return (uint32_t)MAX(limit.rlim_cur, (rlim_t)1);
}

/* -- workers -- */

void euv_work_run(struct list *node)
{
    struct env_work *w = CONTAINER_OF(node, struct env_work, link);
    w->work(w);
    env_post(w->env, &w->msg);
}

static void work_done(struct env_msg *msg)
{
    struct env_work *w = CONTAINER_OF(msg, struct env_work, msg);
    euv_loop_of(w->env)->inflight--;
    w->done(w);
}

void euv_work_submit(struct env *env, struct env_work *w)
{
    struct euv_loop *loop = euv_loop_of(env);
    w->msg.fn = work_done;
    list_init(&w->link);
    loop->inflight++;
    euv_pool_submit(&loop->process->work, &w->link);
}
