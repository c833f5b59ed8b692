# SPDX-License-Identifier: Apache-2.0
"""The tree is formatted by the one version of clang-format that everybody can install on Debian 12."""
import os
import re
import shutil
import subprocess

import tree

VERSION = '14'
CONFIG = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '.clang-format')


def tool():
    """The pinned clang-format, or None."""
    for name in (f'clang-format-{VERSION}', 'clang-format'):
        path = shutil.which(name)
        if path and re.search(rf'version {VERSION}\.', subprocess.run([path, '--version'], stdout=subprocess.PIPE, text=True, check=True).stdout):
            return path
    return None


def skip():
    """Why this lint cannot run here, or None."""
    return None if tool() else f'clang-format {VERSION} is not installed'


def check(root):
    """All findings of the tree."""
    paths = tree.files(root, *tree.SOURCE)
    if not paths:
        return []
    done = subprocess.run([tool(), '--dry-run', '-Werror', f'--style=file:{os.path.abspath(CONFIG)}'] + paths, cwd=root, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, check=False)
    wrong = sorted({line.split(':')[0] for line in done.stderr.splitlines() if 'clang-format-violations' in line})
    found = [tree.finding(path, 1, 'not formatted: clang-format -i') for path in wrong]
    if done.returncode != 0 and not found:
        found.append(tree.finding('.clang-format', 1, done.stderr.strip() or f'clang-format ended with {done.returncode}'))
    return found


CLEAN = {'a.c': 'int f(void)\n{\n    return 1;\n}\n'}
PLANTED = [('a function in another style', {'a.c': 'int f(void) { return 1 ; }\n'}, 'not formatted')]
