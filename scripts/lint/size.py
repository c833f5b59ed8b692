# SPDX-License-Identifier: Apache-2.0
"""Functions, files and headers stay small enough to see whole. There is no list of exceptions.

The tree is formatted, so a C function is what stands between a `{` and a `}` in the first column.
"""
import ast
import os

import tree

FUNCTION_LINES_MAX = 90
FILE_LINES_MAX = 900
HEADER_LINES_MAX = 250
MEDIAN_LINES_MAX = 12
P95_LINES_MAX = 55
DISTRIBUTION_FROM = 200  # functions; below that a median says little


def c_functions(lines):
    """(first line number, lines from brace to brace) of each C function."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == '{':
            start = number
        elif line == '}' and start is not None:
            yield start - 1, number - start + 1
            start = None


def python_functions(text):
    """(first line number, lines) of each Python function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno - node.lineno + 1


def functions(root, path):
    """All functions of one file."""
    lines = tree.read(root, path)
    if path.endswith('.py'):
        try:
            return list(python_functions('\n'.join(lines)))
        except SyntaxError:
            return []
    return list(c_functions(lines))


def distribution(sizes):
    """Findings about the whole tree's functions: `sizes` are their body lines."""
    found = []
    if len(sizes) < DISTRIBUTION_FROM:
        return found
    sizes = sorted(sizes)
    median, p95 = sizes[len(sizes) // 2], sizes[len(sizes) * 95 // 100]
    if median > MEDIAN_LINES_MAX:
        found.append(f'tree: the median function has {median} lines, at most {MEDIAN_LINES_MAX}')
    if p95 > P95_LINES_MAX:
        found.append(f'tree: the 95th percentile of functions has {p95} lines, at most {P95_LINES_MAX}')
    return found


def check(root):
    """All findings of the tree."""
    found = []
    bodies = []
    for path in tree.files(root, '.c', '.h', '.py'):
        limit = HEADER_LINES_MAX if path.endswith('.h') else FILE_LINES_MAX
        count = len(tree.read(root, path)) - 1
        if count > limit:
            found.append(tree.finding(path, count, f'{count} lines, at most {limit}'))
        for line, size in functions(root, path):
            if path.endswith('.c') and not path.startswith('tests' + os.sep):
                bodies.append(size - 2)
            if size > FUNCTION_LINES_MAX:
                found.append(tree.finding(path, line, f'function of {size} lines, at most {FUNCTION_LINES_MAX}'))
    return found + distribution(bodies)


def body(count):
    """A C function of `count` lines from brace to brace."""
    return 'int f(void)\n{\n' + '    g();\n' * (count - 2) + '}\n'


CLEAN = {'common/base/a.c': body(FUNCTION_LINES_MAX), 'common/base/a.h': '\n' * HEADER_LINES_MAX, 'common/base/b.c': body(10) * 75}

PLANTED = [
    ('a long function', {'common/base/a.c': body(FUNCTION_LINES_MAX + 1)}, 'function of 91'),
    ('a long Python function', {'scripts/a.py': 'def f():\n' + '    g()\n' * 90}, 'function of 91'),
    ('a long file', {'common/base/a.c': '\n' * 901}, '901 lines'),
    ('a long header', {'common/base/a.h': '\n' * 251}, '251 lines'),
    ('a tree of middling functions', {f'broker/a{n}.c': body(20) * 40 for n in range(6)}, 'median'),
    ('too many long functions', {**{f'broker/a{n}.c': body(9) * 60 for n in range(5)}, **{f'broker/b{n}.c': body(70) * 10 for n in range(3)}},
     '95th percentile'),
]
