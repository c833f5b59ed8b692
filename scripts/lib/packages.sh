# SPDX-License-Identifier: Apache-2.0
# The one list of Debian packages that Sluice needs; nothing else in the repository names them.
# Source it with DEBIAN set to 12 or 13.

# To build.
PACKAGES_BUILD="build-essential meson ninja-build pkg-config python3 python3-protobuf protobuf-compiler nanopb libnanopb-dev
	libuv1-dev libisal-dev liblz4-dev libzstd-dev libsnappy-dev zlib1g-dev libdeflate-dev libcyaml-dev libyaml-dev
	uthash-dev check procps"

# To test: reference clients, their codecs, and the tools of the checks.
PACKAGES_TEST="kcat openssl librdkafka-dev python3-confluent-kafka python3-kafka python3-lz4 python3-snappy python3-zstandard
	valgrind clang clang-format git"

# To build for aarch64 and to run what was built.
PACKAGES_CROSS="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"

# Libraries that a cross build links: unpacked below build/deps-arm64, never installed.
PACKAGES_TARGET="libuv1-dev libisal-dev liblz4-dev libzstd-dev libsnappy-dev zlib1g-dev libdeflate-dev libcyaml-dev
	libyaml-dev libnanopb-dev uthash-dev check"

# package/suite pairs that Debian 12 lacks or has too old: unpacked below build/deps, never installed.
# A runtime package stands here only where the -dev package has no static library.
PACKAGES_FETCH=""

case "$DEBIAN" in
12)
	PACKAGES_TEST="$PACKAGES_TEST libclang-rt-14-dev"
	PACKAGES_FETCH="libraft-dev/bookworm-backports libmbedtls-dev/trixie libllhttp-dev/trixie libyyjson-dev/trixie
		libyyjson0/trixie"
	;;
*)
	PACKAGES_BUILD="$PACKAGES_BUILD libraft-dev libmbedtls-dev libllhttp-dev libyyjson-dev libprotobuf-dev"
	PACKAGES_TARGET="$PACKAGES_TARGET libraft-dev libmbedtls-dev libllhttp-dev libyyjson-dev"
	PACKAGES_TEST="$PACKAGES_TEST libclang-rt-19-dev"
	;;
esac
