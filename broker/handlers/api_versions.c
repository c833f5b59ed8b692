/* SPDX-License-Identifier: Apache-2.0 */
/* ApiVersions: says what the handler table holds; answered before authentication and in any version (facts,
 * trap T2). */
#include "broker/handlers/handler.h"
#include "common/base/assert.h"
#include "proto/cluster/feature_table.h"
#include "proto/cluster/image.h"
#include "proto/kafka/error.h"
#include "proto/kafka/messages.h"

static bool is_alnum(char ch)
{
    return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
}

/* KIP-511: letters, digits, '-' and '.', the first and last one a letter or digit. */
static bool software_text_ok(struct str s)
{
    if (s.len <= 0 || !is_alnum(s.p[0]) || !is_alnum(s.p[s.len - 1]))
        return false;
    for (int32_t i = 0; i < s.len; i++)
        if (!is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '.')
            return false;
    return true;
}

static void describe(struct kafka_api_versions_response_api_key *out, const struct handler *h)
{
    out->api_key = h->api_key;
    out->min_version = h->advertised_min;
    out->max_version = h->max_version;
}

/* Clients of old versions reject a supported feature whose lowest level is 0 (KAFKA-17492). */
static void add_supported(struct request *rq, struct kafka_api_versions_response *response)
{
    response->supported_features =
        arena_calloc(&rq->arena, features_count, sizeof(*response->supported_features));
    for (size_t i = 0; response->supported_features && i < features_count; i++) {
        if (features[i].min == 0 && rq->header.api_version < 4)
            continue;
        response->supported_features[response->supported_features_count++] =
            (struct kafka_api_versions_response_supported_feature){.name = str_from(features[i].name),
                                                                   .min_version = features[i].min,
                                                                   .max_version = features[i].max};
    }
}

/* The levels in force, as of the image this shard answers from. */
static void add_finalized(struct request *rq, struct kafka_api_versions_response *response)
{
    const struct image *image = rq->shard->image;

    if (image_index(image) == 0)
        return; /* no metadata yet: nothing is known */
    response->finalized_features =
        arena_calloc(&rq->arena, features_count, sizeof(*response->finalized_features));
    response->finalized_features_epoch = (int64_t)image_index(image);
    for (size_t i = 0; response->finalized_features && i < features_count; i++) {
        int16_t level = image_feature(image, str_from(features[i].name));
        if (level > 0)
            response->finalized_features[response->finalized_features_count++] =
                (struct kafka_api_versions_response_finalized_feature){.name = str_from(features[i].name),
                                                                       .max_version_level = level,
                                                                       .min_version_level = level};
    }
}

static void answer(struct request *rq, int16_t error)
{
    struct kafka_api_versions_response response;
    size_t count;
    const struct handler *handlers = handler_table(&count);

    kafka_api_versions_response_init(&response);
    response.error_code = error;
    response.api_keys = arena_calloc(&rq->arena, count, sizeof(*response.api_keys));
    if (!response.api_keys) {
        request_refuse(rq, "out of memory");
        return;
    }
    if (error == KAFKA_NONE)
        for (size_t i = 0; i < count; i++)
            describe(&response.api_keys[response.api_keys_count++], &handlers[i]);
    if (error == KAFKA_NONE && rq->header.api_version >= 3) {
        add_supported(rq, &response);
        add_finalized(rq, &response);
    }
    request_respond(rq, api_versions, &response);
}

void handle_api_versions(struct request *rq)
{
    struct kafka_api_versions_request *request = request_decode(rq, api_versions);

    if (!request)
        return;
    bool named = rq->header.api_version >= 3;
    bool ok = !named || (software_text_ok(request->client_software_name) &&
                         software_text_ok(request->client_software_version));
    answer(rq, ok ? KAFKA_NONE : KAFKA_INVALID_REQUEST);
}

void handle_api_versions_unsupported(struct request *rq)
{
    struct kafka_api_versions_response_api_key own;
    struct kafka_api_versions_response response;

    kafka_api_versions_response_init(&response);
    response.error_code = KAFKA_UNSUPPORTED_VERSION;
    response.api_keys = &own;
    response.api_keys_count = 1;
    describe(&own, rq->handler);
    rq->header.api_version = 0; /* what every client can read */
    request_respond(rq, api_versions, &response);
}
