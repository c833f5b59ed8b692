/* SPDX-License-Identifier: Apache-2.0 */
/* What a process has of TLS: its present certificates, its counts. */
#include <psa/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/assert.h"
#include "common/obs/metrics.h"
#include "common/tls/internal.h"

static const char *text_copy(const char *text)
{
    return text != NULL && text[0] != '\0' ? strdup(text) : NULL;
}

static void options_copy(struct tls_options *to, const struct tls_options *from)
{
    *to = *from;
    to->certificate = text_copy(from->certificate);
    to->key = text_copy(from->key);
    to->ca = text_copy(from->ca);
}

enum err tls_new(struct env *env, const struct tls_options *options, struct tls **ret_tls, char *text)
{
    struct tls *tls = calloc(1, sizeof(*tls));
    if (tls == NULL || psa_crypto_init() != PSA_SUCCESS) {
        snprintf(text, TLS_TEXT_MAX, "TLS cannot be prepared: out of memory");
        free(tls);
        return ERR_NOMEM;
    }
    options_copy(&tls->options, options);
    pthread_mutex_init(&tls->mutex, NULL);
    enum err err = tls_files_read(env, &tls->options, &tls->files, text);
    if (err == OK) {
        tls->material = tls_material_new(&tls->options, &tls->files, text);
        err = tls->material != NULL ? OK : ERR_INVALID;
    }
    if (err != OK) {
        tls_free(tls);
        return err;
    }
    *ret_tls = tls;
    return OK;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    ASSERT(!tls->watching && !tls->watch_busy);
    tls_material_unref(tls->material);
    tls_files_free(&tls->files);
    pthread_mutex_destroy(&tls->mutex);
    free((void *)(uintptr_t)tls->options.certificate);
    free((void *)(uintptr_t)tls->options.key);
    free((void *)(uintptr_t)tls->options.ca);
    free(tls);
}

struct tls_material *tls_material_now(struct tls *tls)
{
    pthread_mutex_lock(&tls->mutex);
    struct tls_material *material = tls->material;
    atomic_fetch_add(&material->refs, 1);
    pthread_mutex_unlock(&tls->mutex);
    return material;
}

/* -- counts -- */

static uint64_t count_of(const struct tls *tls, enum tls_counter counter)
{
    return atomic_load_explicit(&tls->counts[counter], memory_order_relaxed);
}

struct tls_counts tls_counts(const struct tls *tls)
{
    return (struct tls_counts){
        .handshakes = count_of(tls, TLS_COUNT_HANDSHAKES),
        .failed = count_of(tls, TLS_COUNT_FAILED),
        .untrusted = count_of(tls, TLS_COUNT_UNTRUSTED),
        .identity = count_of(tls, TLS_COUNT_IDENTITY),
        .timed_out = count_of(tls, TLS_COUNT_TIMED_OUT),
        .pushed_out = count_of(tls, TLS_COUNT_PUSHED_OUT),
        .reloads = count_of(tls, TLS_COUNT_RELOADS),
        .reload_failed = count_of(tls, TLS_COUNT_RELOAD_FAILED),
    };
}

#define READ(name, counter)                                                                                  \
    static double read_##name(void *ctx)                                                                     \
    {                                                                                                        \
        return (double)count_of(ctx, counter);                                                               \
    }
READ(handshakes, TLS_COUNT_HANDSHAKES)
READ(failed, TLS_COUNT_FAILED)
READ(untrusted, TLS_COUNT_UNTRUSTED)
READ(identity, TLS_COUNT_IDENTITY)
READ(timed_out, TLS_COUNT_TIMED_OUT)
READ(pushed_out, TLS_COUNT_PUSHED_OUT)
READ(reloads, TLS_COUNT_RELOADS)
READ(reload_failed, TLS_COUNT_RELOAD_FAILED)

static const struct {
    const char *name, *help;
    metric_fn *read;
} cells[] = {
    {"sluice_tls_handshakes_total", "TLS handshakes done.", read_handshakes},
    {"sluice_tls_handshakes_failed_total", "Connections that ended before their handshake was done.",
     read_failed},
    {"sluice_tls_untrusted_total", "Handshakes refused for the peer's certificate.", read_untrusted},
    {"sluice_tls_identity_refused_total", "Peers whose certificate names another node than they claim.",
     read_identity},
    {"sluice_tls_handshakes_timed_out_total", "Handshakes that took longer than ssl.handshake.timeout.ms.",
     read_timed_out},
    {"sluice_tls_handshakes_pushed_out_total", "Handshakes dropped because too many were under way.",
     read_pushed_out},
    {"sluice_tls_reloads_total", "Times that changed certificate files were taken.", read_reloads},
    {"sluice_tls_reloads_failed_total", "Times that changed certificate files were refused.",
     read_reload_failed},
};

void tls_add_metrics(struct tls *tls, struct metrics *metrics, const char *role)
{
    const struct metric_label labels[] = {{"role", role}};
    for (size_t i = 0; tls != NULL && metrics != NULL && i < sizeof(cells) / sizeof(cells[0]); i++)
        metrics_counter_fn(metrics, cells[i].name, cells[i].help, labels, 1, cells[i].read, tls);
}
