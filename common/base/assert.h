/* SPDX-License-Identifier: Apache-2.0 */
/* Assertions that stay on in release. A failed one is a programmer's error: the hook dumps what it knows,
 * then the process stops. */
#ifndef SLUICE_BASE_ASSERT_H
#define SLUICE_BASE_ASSERT_H

#include <stddef.h>
#include <stdint.h>

/* Called once on a failed assertion, before abort(). May return (then the process aborts) or not (the
 * simulator jumps out). The call disarms the hook: assert_set_hook() arms it again after a jump. */
typedef void (*assert_hook)(void *ctx, const char *file, int line, const char *expr);

/* Sets the hook for this thread; NULL restores the default, which prints one line on standard error. */
void assert_set_hook(assert_hook hook, void *ctx);

/* What ASSERT() does when its expression is false: hook (or one line on standard error), then abort(). */
_Noreturn void assert_failed(const char *file, int line, const char *expr);

#define ASSERT(expr) ((__builtin_expect(!!(expr), 1)) ? (void)0 : assert_failed(__FILE__, __LINE__, #expr))

/* Marks a place that cannot be reached. */
#define UNREACHABLE() assert_failed(__FILE__, __LINE__, "unreachable")

#define STATIC_ASSERT(expr, why) _Static_assert(expr, why)

#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define MIN(a, b)                       ((a) < (b) ? (a) : (b))
#define MAX(a, b)                       ((a) > (b) ? (a) : (b))

#endif
