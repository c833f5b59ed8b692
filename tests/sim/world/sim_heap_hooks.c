/* SPDX-License-Identifier: Apache-2.0 */
/* The book of builds with a sanitizer: it tells us of every allocation; blocks of processes are kept in a
 * table by address. */
#include "tests/sim/world/sim_heap.h"

#ifdef SIM_HEAP_HOOKS

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Part of every sanitizer's run time; not every compiler brings the header that says so. */
int __sanitizer_install_malloc_and_free_hooks(void (*malloc_hook)(const volatile void *p, size_t size),
                                              void (*free_hook)(const volatile void *p));

#define TABLE_CAP (1u << 22) /* blocks at once, a power of two */

struct entry {
    const volatile void *p; /* NULL: never used; TOMB: free again */
    uint32_t slot;
    uint32_t size;
    uint32_t next, prev; /* of the same slot: places + 1, 0: none */
};

#define TOMB ((const volatile void *)(uintptr_t)1)

static struct entry *table;
static size_t table_used; /* entries that are not NULL */
static int present;
static size_t slot_bytes[SIM_HEAP_SLOTS], slot_blocks[SIM_HEAP_SLOTS], slot_peak[SIM_HEAP_SLOTS];
static uint32_t slot_first[SIM_HEAP_SLOTS];

static uint32_t place_of(const volatile void *p)
{
    return (uint32_t)(((uintptr_t)p >> 4) * 0x9e3779b97f4a7c15u >> 40) & (TABLE_CAP - 1);
}

static void on_malloc(const volatile void *p, size_t size)
{
    if (present == SIM_HEAP_HOST || p == NULL)
        return;
    if (table_used > TABLE_CAP / 4 * 3)
        abort();
    uint32_t at = place_of(p);
    while (table[at].p != NULL && table[at].p != TOMB)
        at = (at + 1) & (TABLE_CAP - 1);
    table_used += table[at].p == NULL;
    table[at] = (struct entry){
        .p = p, .slot = (uint32_t)present, .size = (uint32_t)size, .next = slot_first[present]};
    if (slot_first[present] != 0)
        table[slot_first[present] - 1].prev = at + 1;
    slot_first[present] = at + 1;
    slot_bytes[present] += size;
    slot_blocks[present]++;
    if (slot_bytes[present] > slot_peak[present])
        slot_peak[present] = slot_bytes[present];
}

static void entry_unlink(struct entry *entry)
{
    if (entry->prev != 0)
        table[entry->prev - 1].next = entry->next;
    else
        slot_first[entry->slot] = entry->next;
    if (entry->next != 0)
        table[entry->next - 1].prev = entry->prev;
}

static void on_free(const volatile void *p)
{
    if (p == NULL || table == NULL)
        return;
    for (uint32_t at = place_of(p); table[at].p != NULL; at = (at + 1) & (TABLE_CAP - 1)) {
        if (table[at].p != p)
            continue;
        slot_bytes[table[at].slot] -= table[at].size;
        slot_blocks[table[at].slot]--;
        entry_unlink(&table[at]);
        table[at].p = TOMB;
        return;
    }
}

static void table_open(void)
{
    void *got = mmap(NULL, sizeof(struct entry) * TABLE_CAP, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (got == MAP_FAILED)
        abort();
    table = got;
    __sanitizer_install_malloc_and_free_hooks(on_malloc, on_free);
}

int sim_heap_enter(int slot)
{
    int before = present;
    if (table == NULL && slot != SIM_HEAP_HOST)
        table_open();
    present = slot;
    return before;
}

void sim_heap_drop(int slot)
{
    int before = sim_heap_enter(SIM_HEAP_HOST);
    while (slot_first[slot] != 0)
        free((void *)(uintptr_t)table[slot_first[slot] - 1].p); /* on_free() takes it off the list */
    slot_peak[slot] = 0;
    if (table_used > TABLE_CAP / 2) { /* mostly tombs of long runs */
        bool empty = true;
        for (int i = 0; i < SIM_HEAP_SLOTS; i++)
            empty = empty && slot_blocks[i] == 0;
        if (empty) {
            memset(table, 0, sizeof(struct entry) * TABLE_CAP);
            table_used = 0;
        }
    }
    sim_heap_enter(before);
}

void sim_heap_each(int slot, void (*each)(void *ctx, const void *p, size_t size), void *ctx)
{
    for (uint32_t at = slot_first[slot]; at != 0; at = table[at - 1].next)
        each(ctx, (const void *)(uintptr_t)table[at - 1].p, table[at - 1].size);
}

size_t sim_heap_bytes(int slot)
{
    return slot_bytes[slot];
}

size_t sim_heap_peak(int slot)
{
    return slot_peak[slot];
}

size_t sim_heap_blocks(int slot)
{
    return slot_blocks[slot];
}

#endif
