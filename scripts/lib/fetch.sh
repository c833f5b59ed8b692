# SPDX-License-Identifier: Apache-2.0
# Fetches Debian packages with an apt configuration of its own and unpacks them below a folder, so that the machine's apt
# sources, package database and development packages stay as they are. Needs common.sh and no root.
# apt checks the archive's signature (debian-archive-keyring) and every package's hash; nothing here weakens that.

FETCH_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# fetch_mirrors LABEL CODENAME: the addresses from which this machine takes that part of Debian, one to a line.
fetch_mirrors() {
	apt-get indextargets --format '$(LABEL)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)' 'Created-By: Packages' 2>/dev/null |
		awk -F'|' -v label="$1" -v codename="$2" '$1 == label && $2 == codename && $3 == "main" { print $4 }' | sort -u
}

# fetch_sources CODENAME SUITE...: sources.list lines for SUITEs, from the mirrors that the machine uses for CODENAME.
fetch_sources() {
	local codename=$1 uri suite
	shift
	uri=$(fetch_mirrors Debian "$codename" | head -n 1)
	[ -n "$uri" ] || die "apt has no source of Debian $codename main (or was never updated): run 'apt-get update' and try again"
	for suite in "$@"; do
		echo "deb [signed-by=$FETCH_KEYRING] $uri $suite main"
	done
	uri=$(fetch_mirrors Debian-Security "$codename-security" | head -n 1)
	[ -n "$uri" ] || return 0
	for suite in "$@"; do
		case "$suite" in
		*-backports) ;;
		*) echo "deb [signed-by=$FETCH_KEYRING] $uri $suite-security main" ;;
		esac
	done
}

# fetch_configure DIR ARCH: writes the private apt configuration below DIR/apt; DIR/apt/sources.list must exist.
# The machine's own settings (proxy, time-outs) are read first and stay in force; its sources, pins and hooks do not.
fetch_configure() {
	local apt=$1/apt
	mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/none"
	: >"$apt/status"
	cat >"$apt/apt.conf" <<CONF
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear Acquire::IndexTargets::deb::DEP-11;
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "$apt/none";
Dir::Etc::preferences "$apt/preferences";
Dir::Etc::preferencesparts "$apt/none";
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
APT::Architecture "$2";
APT::Architectures { "$2"; };
APT::Sandbox::User "root";
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
	: >"$apt/preferences"
}

# fetch_apt DIR COMMAND ARGUMENT...: one quiet apt call with the configuration below DIR; its whole output is shown when it fails.
fetch_apt() {
	local dir=$1 out
	shift
	if ! out=$(apt-get -q -c "$dir/apt/apt.conf" "$@" 2>&1); then
		printf '%s\n' "$out" >&2
		die "apt could not do '$1' with the private configuration in $dir/apt (is the mirror reachable, and does it carry these suites?)"
	fi
}

# fetch_download DIR PACKAGE/SUITE...: the named packages, and no others, as DIR/debs/*.deb.
fetch_download() {
	local dir=$1
	shift
	mkdir -p "$dir/debs"
	(cd "$dir/debs" && fetch_apt "$dir" download "$@")
}

# fetch_closure DIR PACKAGE...: the packages and all they depend on, as DIR/debs/*.deb.
fetch_closure() {
	local dir=$1
	shift
	mkdir -p "$dir/debs"
	fetch_apt "$dir" install -y --no-install-recommends --download-only \
		-o "Dir::Cache::archives=$dir/debs/" "$@"
	rm -rf "$dir/debs/partial" "$dir/debs/lock"
}

# fetch_unpack DIR: checks that every package in DIR/debs is whole and unpacks it below DIR/root.
fetch_unpack() {
	local dir=$1 deb
	rm -rf "$dir/root"
	mkdir -p "$dir/root"
	for deb in "$dir"/debs/*.deb; do
		dpkg-deb --contents "$deb" >/dev/null || die "$deb is damaged: remove it and run scripts/setup again"
		dpkg -x "$deb" "$dir/root"
	done
}

# fetch_drop_dangling DIR: removes links to shared libraries whose package was not fetched, so that the static library beside
# them is linked and no rpath is needed.
fetch_drop_dangling() { find "$1/root/usr/lib" -name '*.so*' -xtype l -delete; }

# fetch_pkgconfig DIR: rewrites the packages' .pc files to DIR/root, relative to themselves, as DIR/pkgconfig/*.pc.
# What a static library needs becomes a public requirement; a library that is only shared gets an rpath.
fetch_pkgconfig() {
	local dir=$1 pc name libdir
	mkdir -p "$dir/pkgconfig"
	for pc in "$dir/root/usr/lib"/*/pkgconfig/*.pc; do
		[ -e "$pc" ] || continue
		name=$(basename "$pc")
		libdir=$(basename "$(dirname "$(dirname "$pc")")")
		sed -e 's|^prefix=.*|prefix=${pcfiledir}/../root/usr|' -e 's|^exec_prefix=.*|exec_prefix=${prefix}|' \
			-e "s|^libdir=.*|libdir=\${prefix}/lib/$libdir|" -e 's|^includedir=.*|includedir=${prefix}/include|' \
			-e 's|^Requires.private:|Requires:|' "$pc" >"$dir/pkgconfig/$name"
		case "$name" in
		yyjson.pc) sed -i 's|^Libs: .*|& -Wl,-rpath,${libdir}|' "$dir/pkgconfig/$name" ;;
		esac
	done
}
