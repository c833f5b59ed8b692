# SPDX-License-Identifier: Apache-2.0
"""Production programs hold nothing of the planted bugs. Arguments: sluice-sim, then the programs.

The simulator must hold them, or this test would look for the wrong thing."""
import subprocess
import sys


def traces(program):
    """Symbols and texts of a program that speak of mutants."""
    symbols = subprocess.run(['nm', program], stdout=subprocess.PIPE, text=True, check=True).stdout.lower().split()
    with open(program, 'rb') as file:
        content = file.read()
    found = [name for name in symbols if 'mutant' in name or 'probe_met' in name]
    return found + [text for text in ('truncate-to-high-watermark', 'ack-before-isr') if text.encode() in content]


def main():
    """TAP on standard output."""
    simulator, programs = sys.argv[1], sys.argv[2:]
    results = [(bool(traces(simulator)), 'the simulator holds mutants', '')]
    results += [(not traces(program), f'{program} holds none', ' '.join(traces(program))) for program in programs]
    print(f'1..{len(results)}')
    for number, (good, what, why) in enumerate(results, 1):
        print(f'{"ok" if good else "not ok"} {number} - {what}')
        if why:
            print(f'# {why}')
    return 0 if all(good for good, _, _ in results) else 1


sys.exit(main())
