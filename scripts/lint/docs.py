# SPDX-License-Identifier: Apache-2.0
"""Every file says its licence, every folder has a sign on its door, every public function a comment, every TODO a number."""
import os
import re

import tree

LICENCE = 'SPDX-License-Identifier: Apache-2.0'
LICENSED = ('.c', '.h', '.py', '.sh', '.test', '.proto', '.build', '.yml', '.yaml', '.service', '.ini')
LICENSED_NAMES = ('meson_options.txt', 'Dockerfile')
README_LINES_MAX = 90
README_FOR = ('.c', '.h', '.py', '.sh', '.proto', '.test')
PROTOTYPE = re.compile(r'^(?!(?:typedef|#|/|\*|static\b|struct\s+\w+\s*;|enum\b.*\{)).*\b[A-Za-z_]\w*\(.*$')
TRAILING = re.compile(r'\s*/\*.*\*/$')
TODO = re.compile(r'\b(TODO|FIXME|XXX)\b(?:\((\d+)\))?')


def licences(root):
    """Files without the licence line near their top."""
    found = []
    for path in tree.files(root):
        known = path.endswith(LICENSED) or os.path.basename(path) in LICENSED_NAMES or tree.is_script(root, path)
        if known and path.split(os.sep)[0] != 'docs' and not any(LICENCE in line for line in tree.read(root, path)[:3]):
            found.append(tree.finding(path, 1, f'the first lines lack "{LICENCE}"'))
    return found


def readmes(root):
    """Source folders without a README.md, and those longer than a page."""
    found = []
    paths = tree.files(root)
    folders = {os.path.dirname(path) for path in paths if path.endswith(README_FOR) and path.split(os.sep)[0] in tree.ROOMS_OF_CODE}
    for folder in sorted(folders):
        readme = os.path.join(folder, 'README.md')
        if readme not in paths:
            found.append(tree.finding(folder, 1, 'has sources but no README.md'))
        elif len(tree.read(root, readme)) > README_LINES_MAX:
            found.append(tree.finding(readme, README_LINES_MAX, f'longer than a page ({README_LINES_MAX} lines)'))
    return found


def strip_bodies(lines):
    """(number, line) of what stands outside of braces and of macros that span lines."""
    depth, macro = 0, False
    for number, line in enumerate(lines, 1):
        continued = macro
        macro = (macro or line.lstrip().startswith('#')) and line.endswith('\\')
        if continued or line.lstrip().startswith('#'):
            continue
        code = re.sub(r'/\*.*?\*/|"[^"]*"', '', line)
        if depth == 0:
            yield number, line
        if 'extern "C"' not in line:
            depth += code.count('{') - code.count('}')


def undocumented(lines):
    """(number, line) of prototypes without a comment: above them in their paragraph, or behind them."""
    outside = dict(strip_bodies(lines))
    comment = False
    inside_comment = False
    statement = ''
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if inside_comment or text.startswith('/*') or text.startswith('//'):
            inside_comment = not text.startswith('//') and '*/' not in text
            comment = True
            continue
        if not text:
            comment, statement = False, ''
            continue
        if number not in outside:
            continue
        if not statement and line.startswith((' ', '}', '{')):
            continue
        code = TRAILING.sub('', text)
        trailing = code != text or text.endswith('*/') or '/*' in text
        inside_comment = '/*' in code
        text = code.split('/*')[0].strip()
        statement = (statement + ' ' + text).strip()
        if text.endswith((';', '}', '{')):
            if text.endswith(';') and PROTOTYPE.match(statement) and not (comment or trailing):
                yield number, statement
            statement = ''


def headers(root):
    """Public functions that nobody explained."""
    found = []
    for path in tree.files(root, '.h'):
        for number, line in undocumented(tree.read(root, path)):
            found.append(tree.finding(path, number, f'no comment above: {line[:70]}'))
    return found


def promises(root):
    """TODOs without a number, or with one that docs/known-gaps.md does not have."""
    found = []
    gaps = os.path.join(root, 'docs', 'known-gaps.md')
    known = set(re.findall(r'^(?:#+\s*|\s*)(\d+)[.)]?\s', open(gaps, encoding='utf-8').read(), re.MULTILINE)) if os.path.exists(gaps) else set()
    for path in tree.files(root, '.c', '.h', '.py', '.sh', '.proto', '.test', '.build'):
        if path.startswith(os.path.join('scripts', 'lint')):
            continue
        for number, line in enumerate(tree.read(root, path), 1):
            match = TODO.search(line)
            if match and match.group(2) not in known:
                found.append(tree.finding(path, number, f'{match.group(1)} without a number from docs/known-gaps.md, as in {match.group(1)}(3)'))
    return found


def check(root):
    """All findings of the tree."""
    return licences(root) + readmes(root) + headers(root) + promises(root)


TOP = '/* SPDX-License-Identifier: Apache-2.0 */\n'
SIGN = {'common/base/README.md': 'What lives here.\n'}
CLEAN = {
    **SIGN,
    'docs/known-gaps.md': '# Known gaps\n\n3. Something.\n',
    'common/base/a.c': TOP + 'int a; /* TODO(3): more */\n',
    'common/base/a.h': TOP + '/* Adds.\n * Two lines. */\nint add(int a,\n        int b);\nint sub(int a);\n\nint mul(int a); /* behind,\n * in two lines */\n\nstruct a;\n'
                       'struct b {\n    int (*done)(void);\n};\n\n#define X(a) \\\n    f(a);\n\nstatic inline int inl(void)\n{\n    return f();\n}\n',
}

PLANTED = [
    ('a file without its licence', {**SIGN, 'common/base/a.c': 'int a;\n'}, 'SPDX'),
    ('a script without its licence', {'scripts/README.md': 'x\n', 'scripts/go': '#!/bin/sh\ntrue\n'}, 'SPDX'),
    ('a folder without README.md', {'common/base/a.c': TOP}, 'no README.md'),
    ('a README of two pages', {'common/base/README.md': 'x\n' * 200, 'common/base/a.c': TOP}, 'longer than a page'),
    ('a public function without a comment', {**SIGN, 'common/base/a.h': TOP + '\nint add(int a, int b);\n'}, 'no comment above: int add'),
    ('... declared over two lines', {**SIGN, 'common/base/a.h': TOP + '\nint add(int a,\n        int b);\n'}, 'no comment above: int add'),
    ('... after a documented paragraph', {**SIGN, 'common/base/a.h': TOP + '/* A. */\nint a(int a);\n\nvoid *b(void);\n'}, 'void *b'),
    ('a TODO without a number', {**SIGN, 'common/base/a.c': TOP + '/* TODO: later */\n'}, 'TODO'),
    ('a TODO with an unknown number', {**SIGN, 'common/base/a.c': TOP + '/* FIXME(9): later */\n'}, 'FIXME'),
]
