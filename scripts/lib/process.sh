# SPDX-License-Identifier: Apache-2.0
# Processes by recorded pid *and* start time, so that a reused pid is never taken for ours; and free ports. Needs common.sh.

# process_start_time PID: when the kernel started it (clock ticks since boot); fails when there is no such process or it is a zombie.
process_start_time() {
	local stat fields
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	read -r -a fields <<<"${stat##*) }"
	[ "${fields[0]}" != Z ] || return 1
	echo "${fields[19]}"
}

# process_state PID: the kernel's one letter (T is stopped).
process_state() {
	local stat
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	stat=${stat##*) }
	echo "${stat%% *}"
}

# process_record FILE PID: remembers a process that was just started.
process_record() {
	local start
	start=$(process_start_time "$2") || return 1
	echo "$2 $start" >"$1"
}

# process_recorded FILE: prints the pid in FILE if that very process still runs.
process_recorded() {
	local pid start
	{ read -r pid start <"$1"; } 2>/dev/null || return 1
	[ "$(process_start_time "$pid")" = "$start" ] || return 1
	echo "$pid"
}

# process_wait_gone FILE TENTHS: waits until the recorded process is gone, at most TENTHS tenths of a second.
process_wait_gone() {
	local left=$2
	while process_recorded "$1" >/dev/null; do
		[ "$left" -gt 0 ] || return 1
		left=$((left - 1))
		sleep 0.1
	done
}

# ports_free COUNT DIR: prints COUNT ports that nobody listens on, one to a line, and reserves them for DIR. They lie below the range from
# which the kernel serves outgoing connections, so that no connection takes one while its process restarts.
ports_free() { /usr/bin/python3 "$SLUICE_ROOT/scripts/lib/ports.py" reserve "$1" "$2"; }

# ports_release DIR: gives back what DIR reserved.
ports_release() { /usr/bin/python3 "$SLUICE_ROOT/scripts/lib/ports.py" release "$1"; }
