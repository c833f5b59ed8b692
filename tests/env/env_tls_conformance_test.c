/* SPDX-License-Identifier: Apache-2.0 */
/* The conformance suite on the real env with TLS on every connection: what the suite asks of a connection
 * holds for one that stands on another. The env's table is replaced by one whose network wraps what it makes.
 */
#include <ftw.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/assert.h"
#include "common/env/env_ops.h"
#include "common/env_uv/env_uv.h"
#include "common/tls/tls.h"
#include "tests/env/conformance.h"
#include "tests/lib/test_ca.h"

#define LOOPS_MAX 8

static char scratch[] = "/tmp/sluice-env-XXXXXX";
static char *certificates;
static struct tls *tls;
static const struct env_ops *plain_ops;
static struct env_ops tls_ops;
static struct env_net_ops tls_net;

/* -- TLS on each loop -- */

static struct {
    struct env *env;
    struct tls_loop *loop;
} loops[LOOPS_MAX];
static pthread_mutex_t loops_mutex = PTHREAD_MUTEX_INITIALIZER;

static struct tls_loop *loop_of(struct env *env)
{
    struct tls_loop *loop = NULL;
    pthread_mutex_lock(&loops_mutex);
    for (size_t i = 0; i < LOOPS_MAX && loop == NULL; i++) {
        if (loops[i].env == NULL) {
            loops[i].env = env;
            loops[i].loop = tls_loop_new(env, tls);
        }
        if (loops[i].env == env)
            loop = loops[i].loop;
    }
    pthread_mutex_unlock(&loops_mutex);
    ASSERT(loop != NULL);
    return loop;
}

/* -- the network -- */

struct wrapped {
    struct env_listener base; /* first */
    struct env_listener *plain;
    struct env *env;
    const struct env_listener_handler *handler;
    void *ctx;
};

static void wrapped_accepted(void *ctx, struct env_conn *conn, const struct env_addr *peer)
{
    struct wrapped *w = ctx;
    conn = tls_accept(loop_of(w->env), TLS_USE_CLUSTER_SERVER, TLS_ROLE_BROKER, conn, peer);
    ASSERT(conn != NULL);
    w->handler->accepted(w->ctx, conn, peer);
}

static void wrapped_close(struct env_listener *listener)
{
    struct wrapped *w = (struct wrapped *)listener;
    env_listener_close(w->plain);
    free(w);
}

static const struct env_listener_ops wrapped_ops = {.close = wrapped_close};

static enum err net_listen(struct env *env, const struct env_addr *addr, bool shared,
                           const struct env_listener_handler *handler, void *ctx,
                           struct env_listener **ret_listener, struct env_addr *ret_bound)
{
    static const struct env_listener_handler own = {.accepted = wrapped_accepted};
    struct wrapped *w = calloc(1, sizeof(*w));
    ASSERT(w != NULL);
    *w = (struct wrapped){.base = {.ops = &wrapped_ops}, .env = env, .handler = handler, .ctx = ctx};
    enum err err = plain_ops->net->listen(env, addr, shared, &own, w, &w->plain, ret_bound);
    if (err == OK)
        *ret_listener = &w->base;
    else
        free(w);
    return err;
}

/* tls_connect() dials through the same table: what it dials itself must stay plain. */
static _Thread_local bool dialling;

static struct env_conn *net_connect(struct env *env, const struct env_addr *addr,
                                    const struct env_conn_handler *handler, void *ctx)
{
    if (dialling)
        return plain_ops->net->connect(env, addr, handler, ctx);
    dialling = true;
    struct env_conn *conn =
        tls_connect(env, loop_of(env), TLS_USE_CLUSTER_CLIENT, TLS_ROLE_BROKER, 1, addr, handler, ctx);
    dialling = false;
    return conn;
}

static struct env *net_spawn(struct env *parent, const char *name, struct env_msg *start_msg)
{
    struct env *env = plain_ops->spawn(parent, name, start_msg);
    if (env != NULL)
        env->ops = &tls_ops;
    return env;
}

/* -- the suite's side -- */

static struct env *create(void)
{
    ck_assert_ptr_nonnull(mkdtemp(scratch));
    struct env *env = env_uv_main_new();
    const struct tls_options options = {.certificate = test_ca_path(certificates, "broker-1.pem"),
                                        .key = test_ca_path(certificates, "broker-1.key"),
                                        .ca = test_ca_path(certificates, "ca.pem"),
                                        .handshake_timeout_ms = 60000};
    char text[TLS_TEXT_MAX];
    ck_assert_msg(tls_new(env, &options, &tls, text) == OK, "%s", text);
    plain_ops = env->ops;
    tls_net = (struct env_net_ops){.listen = net_listen, .connect = net_connect};
    tls_ops = *plain_ops;
    tls_ops.net = &tls_net;
    tls_ops.spawn = net_spawn;
    env->ops = &tls_ops;
    return env;
}

static void deadline_passed(struct env_timer *timer)
{
}

static bool run_until(struct env *env, bool (*pred)(void *ctx), void *ctx, uint64_t timeout_us)
{
    struct env_timer deadline;
    env_timer_init(&deadline, deadline_passed);
    env_timer_set(env, &deadline, env_now_us(env) + timeout_us);
    while (!pred(ctx)) {
        if (!env_timer_armed(&deadline))
            return false;
        env_uv_main_turn(env);
    }
    env_timer_cancel(env, &deadline);
    return true;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static void destroy(struct env *env)
{
    env_uv_main_free(env);
    for (size_t i = 0; i < LOOPS_MAX; i++)
        tls_loop_drop(loops[i].loop);
    tls_free(tls);
    nftw(scratch, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *scratch_dir(struct env *env)
{
    return scratch;
}

static const struct env_conformance_impl impl = {
    .name = "env_tls",
    .create = create,
    .run_until = run_until,
    .destroy = destroy,
    .scratch_dir = scratch_dir,
};

int main(void)
{
    Suite *suite = suite_create("env_tls");
    certificates = test_ca_make("broker-1 --node broker/1");
    env_conformance_add(suite, &impl);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    test_ca_remove(certificates);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
