#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the Kafka codec from schema/*.kschema (the form is described in README.md). Run by meson:
  generate.py api    <file.kschema> <out.h> <out.c>
  generate.py random <file.kschema> <out.c>
  generate.py tables <outdir> <file.kschema>...
"""
import os
import sys

import kschema
from emit import Code, Emitter
from emit_random import RandomEmitter

NOTICE = '/* SPDX-License-Identifier: Apache-2.0 */\n/* Generated from %s; change that, not this. */\n'


def write(path, text):
    with open(path, 'w', encoding='ascii') as out:
        out.write(text)


def messages(api):
    return api.request, api.response


def make_api(schema, header, source):
    api = kschema.load(schema)
    guard = 'SLUICE_KAFKA_GEN_%s_H' % api.name.upper()
    code = Code()
    code('/*')
    for line in api.doc:
        code(' * ' + line)
    code(' * %s %d, versions %d-%d. Decoded views live as long as the reader\'s memory and the arena; a failed decode leaves a message of' %
         ('Type' if api.kinds[0] == 'key' else 'Key', api.key, api.versions.first, api.versions.last))
    code(' * defaults. The encoder reports through w->err: ERR_INVALID for what the version cannot carry, ERR_VERSION for an unknown version. */')
    code('#ifndef ' + guard)
    code('#define ' + guard)
    code()
    code('#include "proto/kafka/codec.h"')
    code()
    for message in messages(api):
        Emitter(message).declare(code)
        code()
    code('#endif')
    write(header, NOTICE % os.path.basename(schema) + code.text())
    code = Code()
    code('#include "proto/kafka/gen/%s.h"' % api.name)
    code()
    code('#include <string.h>')
    code()
    for message in messages(api):
        Emitter(message).define(code)
    write(source, NOTICE % os.path.basename(schema) + code.text().rstrip('\n') + '\n')


def make_random(schema, source):
    api = kschema.load(schema)
    code = Code()
    code('#include "proto/kafka/gen/%s.h"' % api.name)
    code('#include "proto/kafka/random.h"')
    code()
    for message in messages(api):
        RandomEmitter(message).define(code)
    write(source, NOTICE % os.path.basename(schema) + code.text())


def by_key(schemas):
    apis = sorted((kschema.load(path) for path in schemas), key=lambda api: api.key)
    for before, after in zip(apis, apis[1:]):
        if before.key == after.key:
            raise SystemExit('key %d stands in two schemas' % after.key)
    return apis


def apis_header(apis):
    code = Code()
    code('/* X(NAME, key, "Name", first version, last version, first flexible version or KAFKA_NEVER) */')
    code('#define KAFKA_API_TABLE(X) \\')
    rows = ['X(%s, %d, "%s", %d, %d, %s)' % (a.name.upper(), a.key, a.title, a.versions.first, a.versions.last,
                                             'KAFKA_NEVER' if a.flexible_from == kschema.NEVER else a.flexible_from) for a in apis]
    code('    ' + ' \\\n    '.join(rows))
    return code.text()


def types_source(apis):
    code = Code()
    code('#include "proto/kafka/messages.h"')
    code()
    for message in (m for api in apis for m in messages(api)):
        name = message.name
        code('static enum err %s_decode_any(struct reader *r, struct arena *a, int16_t version, void *m)' % name)
        code('{\n    return %s_decode(r, a, version, m);\n}' % name)
        code('static void %s_encode_any(struct writer *w, int16_t version, const void *m)' % name)
        code('{\n    %s_encode(w, version, m);\n}' % name)
        code('static void %s_init_any(void *m)' % name)
        code('{\n    %s_init(m);\n}' % name)
        code()
    code('const struct kafka_message_type kafka_message_types[] = {')
    for api in apis:
        for message in messages(api):
            name = message.name
            code('    {"%s", %d, %s, %d, %d, sizeof(struct %s), %s_decode_any, %s_encode_any, %s_init_any},' %
                 (name[len('kafka_'):], api.key, 'true' if message is api.request else 'false',
                  api.versions.first, api.versions.last, name, name, name, name))
    code('};')
    code('const size_t kafka_message_types_count = sizeof kafka_message_types / sizeof kafka_message_types[0];')
    return code.text()


def random_table(apis):
    code = Code()
    code('#include "proto/kafka/random.h"')
    code()
    names = [m.name for api in apis for m in messages(api)]
    for name in names:
        code('kafka_random_fn %s_random;' % name)
    code()
    code('kafka_random_fn *const kafka_message_random[] = {')
    for name in names:
        code('    %s_random,' % name)
    code('};')
    return code.text()


def make_tables(outdir, schemas):
    apis = by_key(schemas)
    notice = NOTICE % 'schema/'
    write(os.path.join(outdir, 'apis.h'), notice + apis_header(apis))
    write(os.path.join(outdir, 'all.h'), notice + ''.join('#include "proto/kafka/gen/%s.h"\n' % api.name for api in apis))
    write(os.path.join(outdir, 'types.c'), notice + types_source(apis))
    write(os.path.join(outdir, 'random_table.c'), notice + random_table(apis))


def main(argv):
    if argv[1] == 'api':
        make_api(argv[2], argv[3], argv[4])
    elif argv[1] == 'random':
        make_random(argv[2], argv[3])
    elif argv[1] == 'tables':
        make_tables(argv[2], argv[3:])
    else:
        raise SystemExit(__doc__)


main(sys.argv)
