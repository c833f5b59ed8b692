# SPDX-License-Identifier: Apache-2.0
"""Includes follow the direction of ARCHITECTURE.md; each outside library is included in its one place only.

Project headers are named by their path from the root ("common/base/err.h"), so that this lint sees every crossing.
"""
import os
import re

import tree

COMMON = ('common/base', 'common/env', 'common/compress', 'common/batch', 'common/logformat', 'common/logwalk', 'common/log', 'common/tls', 'common/rpc', 'common/config', 'common/obs')
PROTO = ('proto/kafka', 'proto/cluster')

# room: the rooms it may include besides itself. The longest prefix of a path decides its room; tests may include all.
MAY_INCLUDE = {
    'common/base': (),
    'common/env': ('common/base',),
    'common/env_uv': ('common/base', 'common/env', 'common/obs'),
    'common/compress': ('common/base',),
    'common/batch': ('common/base', 'common/compress'),
    'common/logformat': ('common/base',),
    'common/logwalk': ('common/base', 'common/env', 'common/compress', 'common/batch', 'common/logformat'),
    'common/log': ('common/base', 'common/env'),
    'common/process': ('common/base', 'common/env', 'common/env_uv', 'common/config', 'common/obs', 'common/tls'),
    'common/tls': ('common/base', 'common/env', 'common/obs'),
    'common/rpc': ('common/base', 'common/env', 'common/obs', 'common/tls'),
    'common/config': ('common/base', 'common/env'),
    'common/obs': ('common/base', 'common/env'),
    'proto/kafka': ('common/base',),
    'proto/cluster': ('common/base',),
    'controller/core': ('common/base',) + PROTO,
    'controller': ('controller/core',) + COMMON + PROTO,
    'broker/core': ('common/base', 'common/logformat') + PROTO,
    'broker': ('broker/core',) + COMMON + PROTO,
    'client/core': ('common/base', 'common/compress', 'common/batch') + PROTO, # batches are built and read where they are queued
    'client': ('client/core',) + COMMON + PROTO,
    'gateway': ('client', 'client/core') + COMMON + PROTO,
    'standalone': ('broker', 'broker/core', 'controller', 'controller/core') + COMMON + PROTO,
}

# Only main.c wires a program to the real outside world.
MAIN_ONLY = ('common/env_uv', 'common/process')

# outside header (pattern): the paths that may include it.
OUTSIDE = (
    (re.compile(r'^uv(\.h|/)'), re.compile(r'^common/env_uv/')),
    (re.compile(r'^(mbedtls|psa)/'), re.compile(r'^common/tls/')),
    (re.compile(r'^raft(\.h|/)'), re.compile(r'^controller/consensus(|_members)\.c$')),
)

# All that a pure core may take from the C library: no clock, no memory, no files, no sockets, no threads.
CORE_SYSTEM = ('assert.h', 'inttypes.h', 'limits.h', 'math.h', 'stdalign.h', 'stdarg.h', 'stdbool.h', 'stddef.h', 'stdint.h',
               'string.h', 'uthash.h', 'utlist.h')

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def room_of(path):
    """The room that a path belongs to, or None for what is no room (tests, system headers)."""
    best = None
    for room in MAY_INCLUDE:
        if path.startswith(room + '/') and (best is None or len(room) > len(best)):
            best = room
    return best


def project_rule(path, room, header):
    """Why `path` may not include the project header `header`, or None."""
    target = room_of(header)
    if target is None:
        return f'unknown header "{header}": name it by its path from the root' if not header.startswith('tests/') \
            else f'{room} may not include tests'
    if target == room:
        return None
    if target in MAIN_ONLY and os.path.basename(path) == 'main.c':
        return None
    if target not in MAY_INCLUDE[room]:
        return f'{room} may not include {target} ("{header}")'
    return None


def outside_rule(path, room, header):
    """Why `path` may not include the system or library header `header`, or None."""
    for pattern, allowed in OUTSIDE:
        if pattern.match(header) and not allowed.match(path):
            return f'<{header}> is included only by {allowed.pattern}'
    if room is not None and room.endswith('/core') and header not in CORE_SYSTEM:
        return f'<{header}>: a pure core may include {", ".join(CORE_SYSTEM)} and nothing else from outside'
    return None


def check_file(root, path):
    """The findings of one file."""
    found = []
    room = room_of(path)
    for number, line in enumerate(tree.read(root, path), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quoted, header = match.group(1) == '"', match.group(2)
        beside = os.path.exists(os.path.join(root, os.path.dirname(path), header)) and '/' not in header
        if room is None:
            why = None
            for pattern, _ in OUTSIDE[2:]:
                why = f'<{header}> is included only by the consensus wrapper' if pattern.match(header) else why
        elif quoted and not beside and not header.endswith('.pb.h') or room_of(header):
            why = project_rule(path, room, header)
        elif quoted:
            why = None
        else:
            why = outside_rule(path, room, header)
        if why:
            found.append(tree.finding(path, number, why))
    return found


def check(root):
    """All findings of the tree."""
    found = []
    for path in tree.files(root, *tree.SOURCE):
        found += check_file(root, path)
    return found


CLEAN = {
    'common/env_uv/loop.c': '#include <uv.h>\n#include "common/env/env.h"\n',
    'controller/consensus.c': '#include <raft.h>\n',
    'broker/core/replica.c': '#include <stdint.h>\n#include "common/base/err.h"\n#include "proto/kafka/fetch.h"\n',
    'broker/main.c': '#include "common/env_uv/loop.h"\n',
    'standalone/main.c': '#include "broker/broker.h"\n#include "controller/controller.h"\n',
}

PLANTED = [
    ('libuv outside env_uv', {'broker/x.c': '#include <uv.h>\n'}, 'uv.h'),
    ('mbedTLS outside common/tls', {'common/rpc/x.c': '#include "mbedtls/ssl.h"\n'}, 'mbedtls'),
    ('raft outside the wrapper', {'controller/quorum.c': '#include <raft.h>\n'}, 'raft.h'),
    ('raft in a test', {'tests/unit/x.c': '#include <raft.h>\n'}, 'raft.h'),
    ('a core that includes env', {'broker/core/x.c': '#include "common/env/env.h"\n'}, 'common/env'),
    ('a core that includes malloc', {'client/core/x.c': '#include <stdlib.h>\n'}, 'stdlib.h'),
    ('a core that includes the clock', {'controller/core/x.h': '#include <time.h>\n'}, 'time.h'),
    ('broker includes controller', {'broker/x.c': '#include "controller/core/image.h"\n'}, 'controller/core'),
    ('controller includes broker', {'controller/x.c': '#include "broker/log.h"\n'}, 'broker'),
    ('the process frame beside main.c', {'broker/broker.c': '#include "common/process/process.h"\n'}, 'common/process'),
    ('env_uv beside main.c', {'broker/shard.c': '#include "common/env_uv/loop.h"\n'}, 'common/env_uv'),
    ('base includes env', {'common/base/x.c': '#include "common/env/env.h"\n'}, 'common/env'),
    ('a header by half its path', {'broker/x.c': '#include "core/replica.h"\n'}, 'unknown header'),
]
