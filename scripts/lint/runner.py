# SPDX-License-Identifier: Apache-2.0
"""Proves that scripts/test counts right: a runner that overlooks a failure makes every other test worthless."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import run_tests  # noqa: E402

# (what, output, exit status, expected passed, failed, skipped)
CASES = [
    ('a program without TAP that succeeds', 'fine\n', 0, 1, 0, 0),
    ('a program without TAP that fails', 'bad\n', 1, 0, 1, 0),
    ('status 77 is a skip', 'no clang here\n', 77, 0, 0, 1),
    ('subtests are counted', '1..3\nok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP no kcat\n', 1, 1, 1, 1),
    ('a failed subtest counts though the status is 0', '1..1\nnot ok 1 - a\n', 0, 0, 1, 0),
    ('a bad status counts though all subtests pass', '1..1\nok 1 - a\n', 1, 1, 1, 0),
    ('a crash before the plan is met is a failure', '1..3\nok 1 - a\n', -11, 1, 1, 0),
    ('an early end with status 0 is a failure', '1..3\nok 1 - a\n', 0, 1, 1, 0),
    ('an empty plan is a failure', '1..0\n', 0, 0, 1, 0),
    ('bail out is a failure', 'ok 1 - a\nBail out! disk full\n', 0, 1, 1, 0),
]

# (what, meson log entry, expected passed, failed, skipped)
ENTRIES = [
    ('a meson time-out is a failure', {'name': 'x', 'result': 'TIMEOUT', 'stdout': '', 'returncode': -15}, 0, 1, 0),
    ('a meson error is a failure', {'name': 'x', 'result': 'ERROR', 'stdout': '1..1\nok 1 - a\n', 'returncode': 0}, 1, 1, 0),
    ('a meson skip is a skip', {'name': 'x', 'result': 'SKIP', 'stdout': 'why\n', 'returncode': 77}, 0, 0, 1),
    ('a meson crash is a failure', {'name': 'x', 'result': 'FAIL', 'stdout': '', 'returncode': -11}, 0, 1, 0),
]


def self_test():
    """(title, whether it held) for each case."""
    for what, output, status, *expected in CASES:
        count = run_tests.count_program('x', output, status)
        yield what, [count.passed, count.failed, count.skipped] == expected
    for what, entry, *expected in ENTRIES:
        count = run_tests.count_meson_entry(entry)
        yield what, [count.passed, count.failed, count.skipped] == expected
    reason = run_tests.count_program('x', 'first\nno clang here\n', 77).remarks
    figures = run_tests.count_program('x', '1..1\n# figure: 12 ms\nok 1 - a\n', 0).figures
    yield 'a figure is kept', figures == ['12 ms']
    yield 'a skip keeps its reason', reason == ['SKIP x: no clang here']
