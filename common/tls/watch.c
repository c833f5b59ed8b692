/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates are taken anew when their files change. Files are read and parsed on a worker thread: a disk
 * that hangs does not stop the loop. */
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/tls/internal.h"

static void watch_work(struct env_work *work)
{
    struct tls *tls = CONTAINER_OF(work, struct tls, watch_work);
    tls->watch_changed = false;
    tls->watch_material = NULL;
    tls->watch_text[0] = '\0';
    memset(&tls->watch_files, 0, sizeof(tls->watch_files));
    if (tls_files_read(tls->watch_env, &tls->options, &tls->watch_files, tls->watch_text) != OK) {
        tls->watch_changed = true;
        return;
    }
    tls->watch_changed = !tls_files_equal(&tls->watch_files, &tls->files);
    if (tls->watch_changed)
        tls->watch_material = tls_material_new(&tls->options, &tls->watch_files, tls->watch_text);
}

static void watch_take(struct tls *tls)
{
    pthread_mutex_lock(&tls->mutex);
    struct tls_material *old = tls->material;
    tls->material = tls->watch_material;
    pthread_mutex_unlock(&tls->mutex);
    tls_material_unref(old);
    struct tls_files files = tls->files;
    tls->files = tls->watch_files;
    tls->watch_files = files; /* the former ones */
    tls->watch_material = NULL;
    tls_count(tls, TLS_COUNT_RELOADS);
    if (tls->options.log != NULL)
        LOG(tls->options.log, INFO, "tls.certificates_reloaded");
}

static void watch_done(struct env_work *work)
{
    struct tls *tls = CONTAINER_OF(work, struct tls, watch_work);
    tls->watch_busy = false;
    if (tls->watch_material != NULL) {
        watch_take(tls);
    } else if (tls->watch_changed) { /* half replaced, perhaps: the next look tries again */
        tls_count(tls, TLS_COUNT_RELOAD_FAILED);
        if (tls->options.log != NULL)
            LOG(tls->options.log, WARN, "tls.certificates_refused", F_STR("why", tls->watch_text));
    }
    tls_files_free(&tls->watch_files);
    if (tls->watching)
        env_timer_set(tls->watch_env, &tls->watch_timer, env_now_us(tls->watch_env) + tls->watch_us);
}

static void watch_due(struct env_timer *timer)
{
    struct tls *tls = CONTAINER_OF(timer, struct tls, watch_timer);
    tls->watch_busy = true;
    env_work_submit(tls->watch_env, &tls->watch_work);
}

void tls_watch(struct tls *tls, struct env *env, uint64_t interval_us)
{
    ASSERT(!tls->watching && !tls->watch_busy && interval_us > 0);
    tls->watching = true;
    tls->watch_env = env;
    tls->watch_us = interval_us;
    tls->watch_work = (struct env_work){.work = watch_work, .done = watch_done};
    env_timer_init(&tls->watch_timer, watch_due);
    env_timer_set(env, &tls->watch_timer, env_now_us(env) + interval_us);
}

void tls_unwatch(struct tls *tls)
{
    if (tls == NULL || !tls->watching)
        return;
    env_timer_cancel(tls->watch_env, &tls->watch_timer);
    tls->watching = false; /* work that is under way ends without another look */
}
