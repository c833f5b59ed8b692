# SPDX-License-Identifier: Apache-2.0
"""Runs one lint: on planted offenders first, then on the tree. Prints TAP. `run.py NAME [--root DIR] [--build DIR]`.

A lint is a module with check(root) -> findings, CLEAN (files it must accept) and PLANTED (title, files, text that a
finding must contain), or one with self_test() and, for the build folder, check_build(root, build). An optional skip() gives a reason.
"""
import argparse
import importlib
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True


class Tap:
    """Numbers results and prints them as TAP."""

    def __init__(self):
        self.count = self.failed = 0

    def result(self, held, title, details=(), skip=None):
        """One test; `details` become diagnostics."""
        self.count += 1
        self.failed += 0 if held else 1
        print(('ok' if held else 'not ok') + f' {self.count} - {title}' + (f' # SKIP {skip}' if skip else ''))
        for line in details:
            print(f'# {line}')

    def end(self):
        """Prints the plan; returns the exit status."""
        print(f'1..{self.count}')
        return 1 if self.failed else 0


def plant(folder, files):
    """Writes {path: text} below `folder`."""
    for path, text in files.items():
        full = os.path.join(folder, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w', encoding='utf-8') as file:
            file.write(text)


def findings_of(lint, files):
    """What a lint says about a tree that consists of `files`."""
    with tempfile.TemporaryDirectory() as folder:
        plant(folder, files)
        return lint.check(folder)


def run(lint, name, options):
    """All tests of one lint; returns the exit status."""
    tap = Tap()
    reason = lint.skip() if hasattr(lint, 'skip') else None
    if reason:
        tap.result(True, f'{name}: the tree', skip=reason)
        return tap.end()
    for title, files, text in getattr(lint, 'PLANTED', []):
        found = findings_of(lint, files)
        tap.result(any(text in line for line in found), f'{name} finds {title}', found)
    if hasattr(lint, 'CLEAN'):
        found = findings_of(lint, lint.CLEAN)
        tap.result(not found, f'{name} accepts what is right', found)
    for title, held in lint.self_test() if hasattr(lint, 'self_test') else ():
        tap.result(held, f'{name}: {title}')
    if hasattr(lint, 'check'):
        found = lint.check(options.root)
        tap.result(not found, f'{name}: the tree', found)
    if hasattr(lint, 'check_build'):
        found, absent = lint.check_build(options.root, options.build)
        tap.result(not found, f'{name}: the archives of this build', found)
        for room in absent:
            tap.result(True, f'{name}: {room}', skip=f'{room} has no sources')
    return tap.end()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n', maxsplit=1)[0])
    parser.add_argument('lint')
    parser.add_argument('--root', default=os.path.join(HERE, '..', '..'))
    parser.add_argument('--build', default=os.path.join(HERE, '..', '..', 'build'))
    options = parser.parse_args()
    options.root = os.path.abspath(options.root)
    return run(importlib.import_module(options.lint), options.lint, options)


if __name__ == '__main__':
    sys.exit(main())
