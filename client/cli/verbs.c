/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/verbs.h"

const struct cli_verb cli_verbs[] = {
#define X(group, name, function, doc) {group, name, doc, cli_##function},
    CLI_VERB_TABLE(X)
#undef X
        {NULL, NULL, NULL, NULL}};
