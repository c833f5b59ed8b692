# SPDX-License-Identifier: Apache-2.0
"""What every lint needs: the files of the tree, and one way to say that something is wrong with one of them."""
import os

SOURCE = ('.c', '.h')
ROOMS_OF_CODE = ('common', 'proto', 'controller', 'broker', 'client', 'standalone', 'gateway', 'tests', 'scripts', 'deploy', '.ci')
SKIPPED_FOLDERS = ('__pycache__', '.git', '.sluice', '.cache')


def files(root, *suffixes):
    """Paths below `root`, relative to it and sorted, without build folders; only those that end in one of `suffixes`."""
    found = []
    for folder, folders, names in os.walk(root):
        top = os.path.relpath(folder, root) == '.'
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS
                            and not (top and (name == 'build' or name.startswith('build-'))))
        for name in sorted(names):
            if not suffixes or name.endswith(suffixes):
                found.append(os.path.normpath(os.path.relpath(os.path.join(folder, name), root)))
    return found


def read(root, path):
    """The lines of one file, without line ends; a file that is not text has none."""
    try:
        with open(os.path.join(root, path), encoding='utf-8') as file:
            return file.read().split('\n')
    except UnicodeDecodeError:
        return []


def is_script(root, path):
    """Whether a file without a known ending starts with `#!`."""
    if '.' in os.path.basename(path):
        return False
    try:
        with open(os.path.join(root, path), 'rb') as file:
            return file.read(2) == b'#!'
    except OSError:
        return False


def finding(path, line, text):
    """One complaint, in the form that editors understand."""
    return f'{path}:{line}: {text}'
