/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a range of a file is in the page cache: cachestat(2) where the kernel has it (6.5), else reads that
 * do not wait (preadv2 with RWF_NOWAIT) of a byte in every stretch that the kernel reads ahead at once. */
#include <errno.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/env_uv/euv.h"

#define CACHE_PAGE_BYTES 4096u
#define PROBE_STEP_BYTES (64u << 10)
#define SYS_CACHESTAT    451 /* the same number on every architecture */

/* As the kernel defines them (linux/mman.h); older headers do not. */
struct cachestat_range {
    uint64_t off, len;
};
struct cachestat_figures {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

/* 1: all there; 0: not; -1: the kernel does not say. */
static int ask_cachestat(int fd, uint64_t offset, size_t len)
{
    uint64_t first = offset / CACHE_PAGE_BYTES, last = (offset + len - 1) / CACHE_PAGE_BYTES;
    struct cachestat_range range = {offset, len};
    struct cachestat_figures figures = {0};
    if (syscall(SYS_CACHESTAT, fd, &range, &figures, 0u) != 0)
        return -1;
    return figures.cached >= last - first + 1;
}

static bool probe(int fd, uint64_t offset)
{
    uint8_t byte;
    struct iovec iov = {&byte, 1};
    return preadv2(fd, &iov, 1, (off_t)offset, RWF_NOWAIT) >= 0 || errno != EAGAIN;
}

bool euv_file_cached(struct env_file *file, uint64_t offset, size_t len)
{
    int fd = euv_file_fd(file);
    int told = ask_cachestat(fd, offset, len);
    if (told >= 0)
        return told == 1;
    for (uint64_t at = offset; at < offset + len; at += PROBE_STEP_BYTES)
        if (!probe(fd, at))
            return false;
    return probe(fd, offset + len - 1);
}
