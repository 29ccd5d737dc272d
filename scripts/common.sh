# What the scripts share; sourced, never run.
# shellcheck shell=bash

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
dist=$root/.build/dist

say() { printf '%s\n' "$*"; }

die() {
  printf '%s: %s\n' "${0##*/}" "$*" >&2
  exit 1
}

# Prints the comment block at the head of the calling script: its --help.
help() {
  sed -n '2,/^[^#]/{ s/^# \{0,1\}//; t show; d; :show; p }' "$0"
}

# A heading that is easy to find in a long log.
step() { printf '\n== %s\n' "$*"; }

need_root() {
  [ "$(id -u)" = 0 ] ||
    die "needs root: it creates network namespaces and starts cnid in them (try: sudo $0)"
}

need_toolchain() {
  command -v swift >/dev/null ||
    die "the Swift 6.3 toolchain is not in PATH (https://www.swift.org/install/linux/)"
}

# need_debian FILE=PACKAGE ...: installs the Debian packages whose FILE (a command, or a path) is
# missing.
need_debian() {
  local pair file missing=()
  for pair in "$@"; do
    file=${pair%%=*}
    case $file in
      /*) [ -e "$file" ] && continue ;;
      *) command -v "$file" >/dev/null && continue ;;
    esac
    missing+=("${pair#*=}")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "missing and no apt-get to install it with: ${missing[*]}"
  [ "$(id -u)" = 0 ] || die "Debian packages are missing (as root: apt-get install ${missing[*]})"
  say "installing from Debian: ${missing[*]}"
  # One package list is enough for all the packages; an old list is refreshed only when it fails.
  if ! apt_install "${missing[@]}" >/dev/null 2>&1; then
    apt-get update -qq || die "apt-get update failed (is the network there?)"
    apt_install "${missing[@]}" >/dev/null || die "could not install: ${missing[*]}"
  fi
}

apt_install() {
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o DPkg::Lock::Timeout=120 "$@"
}

# debian_file PACKAGE PATH: prints where a file of a Debian package is: in .build/tools, because
# installing the package would start its service.
debian_file() {
  local package=$1 file=$root/.build/tools/$1/$2 scratch
  if [ ! -e "$file" ]; then
    mkdir -p "$(dirname "$file")"
    scratch=$(mktemp -d "$root/.build/tools/XXXXXX")
    chmod 0755 "$scratch"
    (
      cd "$scratch"
      apt-get download -qq "$package" || { apt-get update -qq && apt-get download -qq "$package"; }
      dpkg -x ./"$package"_*.deb files
    ) >/dev/null 2>&1 || die "could not get $package from Debian (is the network there?)"
    mv "$scratch/files/$2" "$file"
    rm -rf "$scratch"
  fi
  say "$file"
}

# debian_tree NAME PACKAGE ...: prints a directory, .build/tools/NAME, that has the files of Debian
# packages and of those of their dependencies that this machine lacks. Installing them would start
# their services and write to /etc and /run. Programs from the tree run with
# LD_LIBRARY_PATH=TREE/usr/lib/x86_64-linux-gnu.
debian_tree() {
  local tree=$root/.build/tools/$1 scratch
  shift
  # The list of packages is what the tree was made of.
  if [ "$(cat "$tree/packages" 2>/dev/null)" != "$*" ]; then
    command -v apt-get >/dev/null || die "no apt-get to get $* with"
    mkdir -p "$root/.build/tools"
    scratch=$(mktemp -d "$root/.build/tools/XXXXXX")
    chmod 0755 "$scratch"
    (
      download() {
        apt_install --download-only --reinstall -o "Dir::Cache::archives=$scratch/archives" "$@"
      }
      mkdir -p "$scratch/archives/partial" "$scratch/tree"
      download "$@" || { apt-get update -qq && download "$@"; } || exit 1
      for archive in "$scratch"/archives/*.deb; do dpkg -x "$archive" "$scratch/tree" || exit 1; done
      printf '%s\n' "$*" >"$scratch/tree/packages"
    ) >/dev/null 2>&1 || {
      rm -rf "$scratch"
      die "could not get from Debian (is the network there?): $*"
    }
    rm -rf "$tree"
    mv "$scratch/tree" "$tree"
    rm -rf "$scratch"
  fi
  say "$tree"
}

# open_vswitch_tree: prints the tree with Debian's Open vSwitch and OVN.
open_vswitch_tree() {
  debian_tree open-vswitch openvswitch-common openvswitch-switch ovn-common ovn-central ovn-host
}

# True if the programs in .build/dist are older than something that they are made of.
stale() {
  [ -x "$dist/cnid" ] && [ -x "$dist/cni-shim" ] || return 0
  local oldest=$dist/cnid
  [ "$dist/cni-shim" -ot "$oldest" ] && oldest=$dist/cni-shim
  [ -n "$(find "$root/Sources" "$root/Package.swift" "$root/scripts/build" \
    -newer "$oldest" -print -quit)" ]
}
