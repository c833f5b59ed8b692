# SPDX-License-Identifier: Apache-2.0
# Helpers shared by the scripts in this folder. Source it; it sets SLUICE_ROOT and SLUICE_PROGRAMS and defines functions, and does nothing else.

SLUICE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

# What a cluster needs, as build targets.
SLUICE_PROGRAMS=(controller/sluice-controller broker/sluice-broker standalone/sluice-standalone client/sluice)

# say MESSAGE...: one line of progress on stdout.
say() { printf '==> %s\n' "$*"; }

# note MESSAGE...: a detail below the last `say`.
note() { printf '    %s\n' "$*"; }

# die MESSAGE...: one line on stderr that names the cause and the next step; exit status 1.
die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# need_value OPTION COUNT: dies unless OPTION is followed by a value. COUNT is $# at that point.
need_value() { [ "$2" -ge 2 ] || die "$1 needs a value; see --help"; }
