# SPDX-License-Identifier: Apache-2.0
"""The tool as people call it, and the Python writer against it. Arguments: sluice-check, the folder of this file."""
import os
import re
import shlex
import subprocess
import sys
import tempfile

TOOL, HERE = sys.argv[1:]
COMMAND = [*shlex.split(os.environ.get('MESON_EXE_WRAPPER', '')), TOOL]  # of a cross build: through the emulator
sys.path.insert(0, HERE)
import history  # noqa: E402

BAD = os.path.join(HERE, 'data', 'lost-write.bad.txt')
GOOD = os.path.join(HERE, 'data', 'lost-write.good.txt')


def check(*arguments):
    """(exit status, standard output, standard error) of the tool."""
    done = subprocess.run([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def judged(folder, text, *options):
    """The tool's result for a text history."""
    path = os.path.join(folder, 'history.txt')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    return check(*options, path)


def clean_histories_end_with_status_0(_):
    status, out, _ = check(GOOD)
    assert status == 0, status
    assert len(out.splitlines()) == 1 and out.endswith(' violations=0\n'), out


def violations_end_with_status_1_and_a_line_each(_):
    status, out, _ = check(BAD)
    lines = out.splitlines()
    assert status == 1 and len(lines) == 2, out
    assert re.fullmatch(r'lost-write t1-0 value=1\.2 offset=1( at| \S+lost-write\.bad\.txt:\d+)+', lines[0]), lines[0]
    assert lines[1].endswith(' violations=1'), lines[1]


def explain_shows_the_records(_):
    _, out, _ = check('--explain', BAD)
    assert '    I2: an acknowledged' in out, out
    assert 'lost-write.bad.txt:6: 130 p1 ok produce t1-0 value=1.2 offset=1\n' in out, out


def several_files_are_one_history(folder):
    first = os.path.join(folder, 'first')
    with open(first, 'w', encoding='utf-8') as file:
        file.write('100 p1 invoke produce t1-0 value=1.1\n110 p1 ok produce t1-0 value=1.1 offset=0\n')
    assert check(first)[0] == 1
    second = os.path.join(folder, 'second')
    with open(second, 'w', encoding='utf-8') as file:
        file.write('200 p2 invoke poll\n210 p2 ok poll t1-0 value=1.1 offset=0 final\n')
    assert check(first, second)[0] == 0 and check(second, first)[0] == 0
    assert check('--partial', first)[0] == 0


def limits_turn_measures_into_violations(folder):
    text = '1000 p1 invoke produce t1-0 value=1.1\n9000 p1 info produce t1-0 value=1.1\n'
    status, out, _ = judged(folder, text)
    assert status == 0 and 'gap_max_us=8000' in out, out
    assert judged(folder, text, '--gap-max-ms=8')[0] == 0
    status, out, _ = judged(folder, text, '--gap-max-ms=7')
    assert status == 1 and out.startswith('gap t1-0'), out


def unusable_input_ends_with_status_2(folder):
    for arguments in ([os.path.join(folder, 'missing')], [folder], [GOOD, os.path.join(folder, 'missing')]):
        status, out, err = check(*arguments)
        assert status == 2 and not out and 'sluice-check: ' in err, (arguments, status, out, err)
    status, _, err = judged(folder, '# fine\n1 p1 ok nonsense\n')
    assert status == 2 and 'history.txt:2: ' in err, err
    status, _, err = judged(folder, '# nothing\n')
    assert status == 2 and 'empty' in err, err


def many_violations_are_counted_but_not_all_printed(folder):
    text = ''.join(f'{number} p1 ok health arg=1\n' for number in range(100))
    status, out, _ = judged(folder, text)
    assert status == 1 and len(out.splitlines()) == 34, out
    assert 'health: 100 in all\n' in out and out.endswith(' violations=100\n'), out


def the_python_writer_is_understood(folder):
    path = os.path.join(folder, 'client-1')
    with history.History(path, client=1, seed=42) as file:
        file.invoke('produce', 1, key=(1, 0), value=(1, 1))
        file.ok('produce', 1, key=(1, 0), value=(1, 1), offset=0, node=2)
        file.invoke('produce', 1, key=(1, 0), value=(1, 2))
        file.ok('produce', 1, key=(1, 0), value=(1, 2), offset=1, error=-1, epoch=7)
        file.invoke('poll', 2, call=9)
        file.ok('poll', 2, call=9, key=(1, 0), value=(1, 2), offset=1, flags=('final', 'uncommitted'))
    status, out, err = check('--explain', path)
    assert status == 1 and out.startswith('lost-write t1-0 value=1.1 offset=0 at'), (out, err)
    assert re.search(r'client-1:1: \d+ p1 ok produce t1-0 value=1.1 offset=0 node=2\n', out), out
    assert re.search(r'client-1:5: \d+ p2 ok poll t1-0 value=1.2 offset=1 call=9 final uncommitted\n', out), out


def the_python_writer_knows_the_same_names(_):
    with open(os.path.join(HERE, 'history.h'), encoding='utf-8') as file:
        text = file.read()

    def table(name):
        body = re.search(rf'#define HISTORY_{name}\(X\)(.*?[^\\])\n', text, re.DOTALL).group(1)
        return re.findall(r'X\(\w+, (?:(0x\w+), )?"([\w-]+)"', body)
    assert [text for _, text in table('TYPES')] == list(history.TYPES)
    assert [text for _, text in table('OPS')] == list(history.OPS)
    assert [text for _, text in table('WHATS')] == list(history.WHATS)
    assert {text: int(bit, 16) for bit, text in table('FLAGS')} == history.FLAGS


def a_killed_writer_leaves_a_history(folder):
    path = os.path.join(folder, 'torn')
    with history.History(path, client=1) as file:
        file.ok('health', 1, arg=0)
        file.ok('health', 1, arg=0)
    os.truncate(path, os.path.getsize(path) - 1)
    status, out, err = check(path)
    assert status == 0 and out.startswith('records=1 '), (out, err)


TESTS = (clean_histories_end_with_status_0, violations_end_with_status_1_and_a_line_each, explain_shows_the_records,
         several_files_are_one_history, limits_turn_measures_into_violations, unusable_input_ends_with_status_2,
         many_violations_are_counted_but_not_all_printed, the_python_writer_is_understood, the_python_writer_knows_the_same_names,
         a_killed_writer_leaves_a_history)


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
                print(f'not ok {number} - {test.__name__}\n# line {error.__traceback__.tb_next.tb_lineno}: {str(error)[:2000]!r}')
    return 1 if failed else 0


sys.exit(main())
