# SPDX-License-Identifier: Apache-2.0
"""The history that a seed leaves is judged by sluice-check as the simulator judged it. Arguments: sluice-sim, sluice-check."""
import re
import subprocess
import sys
import tempfile

SIM, CHECK = sys.argv[1:]


def run(*command):
    """(exit status, standard output)."""
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=False)
    return done.returncode, done.stdout


def both(folder, seed, *options):
    """Verdicts of the simulator and of the tool: (exit status, kinds of violations)."""
    status, out = run(SIM, '--seed', str(seed), '--seconds', '8', '--keep', folder, *options)
    sim = status, set(re.findall(r'^violation (\S+): ', out, re.MULTILINE))
    status, out = run(CHECK, f'{folder}/seed-{seed}.history')
    assert 'records=' in out, out
    return sim, (status, {line.split()[0].rstrip(':') for line in out.splitlines() if not line.startswith('records=')})


def a_clean_seed_is_clean_for_the_tool(folder):
    sim, tool = both(folder, 5, '--faults', 'pause')
    assert sim == tool == (0, set()), (sim, tool)


def a_bad_seed_is_bad_for_the_same_reasons(folder):
    for seed in range(1, 40):
        sim, tool = both(folder, seed, '--mutant', 'ignore-a-follower', '--report-only')
        assert sim == tool, (seed, sim, tool)
        if sim[1]:
            return
    raise AssertionError('the mutant shows in no seed')


TESTS = (a_clean_seed_is_clean_for_the_tool, a_bad_seed_is_bad_for_the_same_reasons)


def main():
    """Runs all tests, prints TAP; the exit status."""
    failed = 0
    print(f'1..{len(TESTS)}')
    for number, test in enumerate(TESTS, 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                test(folder)
                print(f'ok {number} - {test.__name__}')
            except AssertionError as error:
                failed += 1
                print(f'not ok {number} - {test.__name__}\n# {str(error)[:1000]!r}')
    return 1 if failed else 0


sys.exit(main())
