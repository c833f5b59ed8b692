# SPDX-License-Identifier: Apache-2.0
"""Runs the suites that the tree offers and sums them up; scripts/test builds first and calls this.

Suites are discovered: the meson tests of a build folder, grouped by their first suite, and the executable files
tests/*/*.test, grouped by folder. A .test file may say in its first lines `# mode: quick|full|long` (default full),
`# budget: SECONDS` (its time limit is three times that) and `# build: asan|release`. It prints TAP, or ends with status 0,
1, or 77 (skipped; its last line is the reason). A line `# figure: TEXT` is a measurement, shown below its suite. The last line of all output is `N passed, N failed, N skipped`.
"""
import argparse
import glob
import json
import os
import re
import signal
import subprocess
import sys
import time

MODES = ['quick', 'full', 'long']
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TAP_LINE = re.compile(r'^\s*(not ok|ok)\b(.*)$')
FIGURE = re.compile(r'^#\s*figure:\s*(.*)$', re.MULTILINE)
TAP_SKIP = re.compile(r'#\s*skip\b\S*\s*(.*)$', re.IGNORECASE)
TAP_CAUSE = re.compile(r'^#\s*(\w*(?:Error|Exception|Expired)\b.*)$')
SKIP_STATUS = 77


class Count:
    """Passed, failed and skipped tests of one program or suite, with a line for each one that did not pass, and what they measured."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.remarks = []
        self.figures = []

    def add(self, other):
        """Adds another count to this one."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.remarks += other.remarks
        self.figures += other.figures

    def fail(self, what):
        """Counts one failure and keeps what to print about it."""
        self.failed += 1
        self.remarks.append('FAIL ' + what)

    def skip(self, what):
        """Counts one skipped test with its reason."""
        self.skipped += 1
        self.remarks.append('SKIP ' + what)

    def total(self):
        """All tests seen."""
        return self.passed + self.failed + self.skipped

    def line(self):
        """The summary in the form that the last line of the run has."""
        return f'{self.passed} passed, {self.failed} failed, {self.skipped} skipped'


def count_tap(name, output):
    """Counts the subtests in TAP output; one that speaks no TAP gives an empty count. A failure names the exception before it."""
    count = Count()
    cause = ''
    for line in output.splitlines():
        match = TAP_LINE.match(line)
        if not match:
            raised = TAP_CAUSE.match(line)
            cause = f' ({raised.group(1)[:300]})' if raised else cause
            if line.startswith('Bail out!'):
                count.fail(f'{name}: {line}')
            continue
        skip = TAP_SKIP.search(match.group(2))
        if skip:
            count.skip(f'{name}: {skip.group(1) or "no reason given"}')
        elif match.group(1) == 'ok':
            count.passed += 1
        else:
            count.fail(f'{name}:{match.group(2)}{cause}')
        cause = ''
    return count


def planned(output):
    """The number of subtests in the TAP plan, or None without one."""
    match = re.search(r'^1\.\.(\d+)', output, re.MULTILINE)
    return int(match.group(1)) if match else None


def count_program(name, output, status, detail=''):
    """Counts one finished program: its subtests if it prints TAP, else itself by its exit status."""
    count = count_tap(name, output)
    count.figures = FIGURE.findall(output)
    plan = planned(output)
    if count.total() == 0 and plan is None:
        lines = [text for text in output.splitlines() if text.strip()] or ['no reason given']
        if status == 0:
            count.passed += 1
        elif status == SKIP_STATUS:
            count.skip(f'{name}: {lines[-1].strip()}')
        else:
            count.fail(f'{name}: {detail or "exit status " + str(status)}')
        return count
    if plan is not None and count.total() < plan:
        count.fail(f'{name}: planned {plan} tests, ended after {count.total()} ({detail or "exit status " + str(status)})')
    elif count.total() == 0:
        count.fail(f'{name}: ran no test')
    elif status != 0 and count.failed == 0:
        count.fail(f'{name}: {detail or "exit status " + str(status)} though no subtest failed')
    return count


def count_meson_entry(entry):
    """Counts one line of meson's testlog.json."""
    result = entry['result']
    status = entry.get('returncode', 0)
    if result in ('OK', 'EXPECTEDFAIL'):
        status = 0
    elif result == 'SKIP' and status in (0, SKIP_STATUS):
        status = SKIP_STATUS if not planned(entry.get('stdout', '')) else 0
    elif status == 0:
        status = 1
    return count_program(entry['name'], entry.get('stdout', ''), status, detail=f'{result.lower()} (status {entry.get("returncode")})')


def tail(text, lines=40):
    """The last lines of a failed program's output, indented."""
    return ''.join('    | ' + line + '\n' for line in text.splitlines()[-lines:])


def run_meson(build, suite, names):
    """Runs the meson tests of one suite and counts them from meson's own log."""
    logs = os.path.join(build, 'meson-logs')
    logfile = os.path.join(logs, f'sluice-{suite}.json')
    if os.path.exists(logfile):
        os.unlink(logfile)
    command = ['meson', 'test', '-C', build, '--no-rebuild', '--logbase', f'sluice-{suite}'] + names
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    count = Count()
    if not os.path.exists(logfile):
        count.fail(f'{suite}: meson test wrote no log')
        print(tail(done.stdout))
        return count
    seen = 0
    with open(logfile, encoding='utf-8', errors='replace') as log:
        for line in log:
            entry = json.loads(line)
            one = count_meson_entry(entry)
            seen += 1
            if one.failed:
                print(tail(entry.get('stdout', '') + entry.get('stderr', '')))
            count.add(one)
    if seen < len(names):
        count.fail(f'{suite}: {len(names)} tests exist, {seen} ran')
    return count


def directives(path):
    """The `# key: value` lines at the top of a .test file."""
    found = {'mode': 'full', 'budget': '120', 'build': 'asan'}
    with open(path, encoding='utf-8') as file:
        for line in list(file)[:20]:
            match = re.match(r'^#\s*(mode|budget|build):\s*(\S+)', line)
            if match:
                found[match.group(1)] = match.group(2)
    return found


def run_script(path, build, limit_s):
    """Runs one .test file in a process group of its own, ends the group at the time limit, and counts it."""
    name = os.path.relpath(path, ROOT)
    environment = dict(os.environ, SLUICE_ROOT=ROOT, SLUICE_BUILD=build)
    process = subprocess.Popen([path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace',
                               env=environment, cwd=ROOT, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=limit_s)
        detail = ''
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            output, _ = process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
        detail = f'still running after {limit_s:.0f} s'
    status = process.returncode if not detail else 1
    one = count_program(name, output, status, detail)
    if one.failed:
        print(tail(output))
    return one


def meson_suites(build):
    """{suite: [test name]} of a build folder; a test belongs to the first suite it names."""
    text = subprocess.run(['meson', 'introspect', '--tests', build], check=True, stdout=subprocess.PIPE, text=True).stdout
    suites = {}
    for test in json.loads(text):
        suite = test['suite'][0].split(':')[-1] if test['suite'] else 'other'
        suites.setdefault(suite, []).append(test['name'])
    return suites


def script_suites():
    """{suite: [path]} of the executable tests/*/*.test files."""
    suites = {}
    for path in sorted(glob.glob(os.path.join(ROOT, 'tests', '*', '*.test'))):
        suites.setdefault(os.path.basename(os.path.dirname(path)), []).append(path)
    return suites


def read_budgets():
    """{suite: (seconds, mode)} from budgets.txt."""
    budgets = {}
    with open(os.path.join(ROOT, 'scripts', 'lib', 'budgets.txt'), encoding='utf-8') as file:
        for line in file:
            if line.strip() and not line.startswith('#'):
                suite, seconds, mode = line.split()
                budgets[suite] = (int(seconds), mode)
    return budgets


def wanted(mode, running):
    """Whether something of `mode` belongs to a run of mode `running`."""
    return MODES.index(mode) <= MODES.index(running)


def report(suite, count, took, seconds):
    """Prints the line of a suite that ran, and its remarks."""
    late = '' if took <= seconds else '   OVER BUDGET: split it or move it to --long'
    print(f'{"FAIL" if count.failed else "ok":5}{suite:10} {count.line():36} {took:6.1f} s of {seconds} s{late}')
    for remark in count.remarks + count.figures:
        print('     ' + remark)
    sys.stdout.flush()


def run_suite(suite, options, names, scripts, budgets):
    """Runs one suite, its meson tests and then its scripts, as far as they belong to this run. Returns the count."""
    started = time.monotonic()
    seconds, mode = budgets.get(suite, (60, 'full'))
    count = Count()
    if names and wanted(mode, options.mode):
        count.add(run_meson(options.build, suite, names))
    for path in scripts:
        say = directives(path)
        if not wanted(say['mode'], options.mode):
            continue
        if not os.access(path, os.X_OK):
            count.fail(f'{os.path.relpath(path, ROOT)}: not executable')
            continue
        build = options.release if say['build'] == 'release' else options.build
        count.add(run_script(path, build, 3 * float(say['budget'])))
    if count.total():
        report(suite, count, time.monotonic() - started, seconds)
    return count


def run_also(also, options, budgets):
    """Runs one suite with the programs of another build folder, given as LABEL=SUITE:BUILD. Returns the count."""
    label, place = also.split('=', 1)
    suite, build = place.split(':', 1)
    started = time.monotonic()
    names = meson_suites(build).get(suite, [])
    count = run_meson(build, suite, names) if names else Count()
    for path in script_suites().get(suite, []):
        say = directives(path)
        if wanted(say['mode'], options.mode):
            count.add(run_script(path, build, 3 * float(say['budget'])))
    if not count.total():
        count.fail(f'{label}: no tests of suite {suite}')
    report(label, count, time.monotonic() - started, budgets.get(label, (60, 'full'))[0])
    return count


def order(suites, budgets):
    """Suites in the order of budgets.txt, unknown ones last."""
    known = list(budgets)
    return sorted(suites, key=lambda suite: (known.index(suite) if suite in known else len(known), suite))


def needs_release(mode):
    """Whether a .test file that belongs to `mode` asks for the release build."""
    for paths in script_suites().values():
        for path in paths:
            say = directives(path)
            if say['build'] == 'release' and wanted(say['mode'], mode):
                return True
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--mode', choices=MODES, default='full')
    parser.add_argument('--build', help='the build folder whose meson tests run')
    parser.add_argument('--release', help='the release build folder')
    parser.add_argument('--suite', action='append', default=[], help='only this suite; may be repeated')
    parser.add_argument('--also', action='append', default=[], metavar='LABEL=SUITE:BUILD', help='a suite with the programs of another build folder')
    parser.add_argument('--extra', action='append', default=[], metavar='SUITE/NAME:STATUS:REASON',
                        help='a result that the caller found itself (a build is a test too)')
    parser.add_argument('--needs-release', action='store_true', help='exit 0 when this mode needs the release build')
    options = parser.parse_args()
    if options.needs_release:
        return 0 if needs_release(options.mode) else 1
    budgets = read_budgets()
    meson = meson_suites(options.build)
    scripts = script_suites()
    total = Count()
    for suite in order(set(meson) | set(scripts), budgets):
        if options.suite and suite not in options.suite:
            continue
        total.add(run_suite(suite, options, meson.get(suite, []), scripts.get(suite, []), budgets))
    for also in options.also:
        total.add(run_also(also, options, budgets))
    for extra in options.extra:
        name, status, reason = extra.split(':', 2)
        one = count_program(name, reason, int(status), detail=reason)
        print(f'{"FAIL" if one.failed else "ok":5}{name:10} {one.line()}')
        for remark in one.remarks:
            print('     ' + remark)
        total.add(one)
    if total.total() == 0:
        print('no test ran: that is a failure')
    print(total.line())
    return 1 if total.failed or total.total() == 0 else 0


if __name__ == '__main__':
    sys.exit(main())
