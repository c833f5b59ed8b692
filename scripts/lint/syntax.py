# SPDX-License-Identifier: Apache-2.0
"""Scripts are at least well-formed, and those that are meant to be run can be."""
import ast
import os
import subprocess

import tree


def is_bash(root, path):
    """Whether a file is a shell script."""
    lines = tree.read(root, path)
    return path.endswith('.sh') or bool(lines and lines[0].startswith('#!') and 'sh' in lines[0].split('/')[-1])


def check(root):
    """All findings of the tree."""
    found = []
    for path in tree.files(root):
        if path.endswith('.py'):
            try:
                ast.parse('\n'.join(tree.read(root, path)))
            except SyntaxError as error:
                found.append(tree.finding(path, error.lineno or 1, f'Python: {error.msg}'))
        elif path.endswith(('.sh', '.test')) or tree.is_script(root, path):
            found += check_script(root, path)
    return found


def check_script(root, path):
    """The findings of one script that is not a Python module."""
    found = []
    full = os.path.join(root, path)
    if is_bash(root, path):
        done = subprocess.run(['bash', '-n', full], stderr=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            found.append(tree.finding(path, 1, done.stderr.strip().replace(full, path)))
    if not path.endswith('.sh') and not os.access(full, os.X_OK):
        found.append(tree.finding(path, 1, 'not executable: chmod +x'))
    return found


CLEAN = {'scripts/a.py': 'x = 1\n', 'scripts/lib/a.sh': 'true\n'}
PLANTED = [
    ('broken Python', {'scripts/a.py': 'def f(:\n'}, 'Python'),
    ('broken shell', {'scripts/lib/a.sh': 'if true; then\n'}, 'a.sh'),
    ('a script that cannot run', {'scripts/go': '#!/bin/sh\ntrue\n'}, 'not executable'),
]
