# SPDX-License-Identifier: Apache-2.0
# Source this before meson or pkg-config: it puts the libraries that scripts/setup unpacked below build/deps first.
# On Debian 13 that folder is empty and everything comes from the system.

_sluice_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
_sluice_deps="${SLUICE_DEPS:-$_sluice_root/build/deps}/pkgconfig"
case ":${PKG_CONFIG_PATH-}:" in
*":$_sluice_deps:"*) ;;
*) PKG_CONFIG_PATH="$_sluice_deps${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}" ;;
esac
export PKG_CONFIG_PATH
unset _sluice_root _sluice_deps
