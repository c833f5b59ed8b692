# SPDX-License-Identifier: Apache-2.0
"""Every scenario prints what its file says and breaks no promise. Arguments: sluice-sim, the folder of the scenarios."""
import glob
import os
import subprocess
import sys

SIM, FOLDER = sys.argv[1:]


def main():
    """TAP on standard output; the exit status."""
    files = sorted(glob.glob(os.path.join(FOLDER, '*.txt')))
    failed = 0 if files else 1
    print(f'1..{len(files)}')
    for number, path in enumerate(files, 1):
        done = subprocess.run([SIM, '--scenario', path], stdout=subprocess.PIPE, text=True, timeout=120, check=False)
        good = done.returncode == 0
        failed += not good
        print(f'{"ok" if good else "not ok"} {number} - {os.path.basename(path)[:-4]}')
        if not good:
            print('# ' + '\n# '.join(done.stdout.splitlines()[-12:]))
    return 1 if failed else 0


sys.exit(main())
