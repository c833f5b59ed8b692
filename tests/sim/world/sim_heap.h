/* SPDX-License-Identifier: Apache-2.0 */
/* Memory by simulated process. While a slot is entered, every malloc() of this program (libraries included)
 * is booked on it; dropping the slot makes all of it vanish, as a dead process's memory does, without a
 * destructor.
 *
 * In ordinary builds this is an allocator of our own: each slot is a range of addresses at a fixed place, so
 * the addresses that a run sees depend on nothing but its seed. In builds with a sanitizer's allocator the
 * sanitizer keeps the memory and we keep the list. One thread only. */
#ifndef SLUICE_SIM_WORLD_SIM_HEAP_H
#define SLUICE_SIM_WORLD_SIM_HEAP_H

#include <stddef.h>
#include <stdint.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SIM_HEAP_HOOKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SIM_HEAP_HOOKS 1
#endif
#endif

#define SIM_HEAP_SLOTS 64
#define SIM_HEAP_HOST  0 /* the simulator itself; the slot in which the program starts */

/* From now on allocations are slot's. Returns the slot that was entered before. */
int sim_heap_enter(int slot);

/* Everything that the slot has allocated and not freed is gone. Not for the host's slot. */
void sim_heap_drop(int slot);

/* What the slot holds at present. */
size_t sim_heap_bytes(int slot);
size_t sim_heap_blocks(int slot);
/* The most that it has held at once since its last drop. */
size_t sim_heap_peak(int slot);

/* Every block that the slot holds, in order of addresses (ordinary builds; with a sanitizer in no order).
 * each must not allocate. */
void sim_heap_each(int slot, void (*each)(void *ctx, const void *p, size_t size), void *ctx);

#endif
