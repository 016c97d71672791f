#!/usr/bin/env bash
# Builds a base for the runner images from Debian's packages, for machines that cannot reach a container registry: Debian
# bookworm with Python 3.11 and git. Elsewhere Dockerfile.dbt's default base (python:3.11-slim-bookworm) is used instead.
#
#   deploy/base-image.sh [NAME]        NAME: the tag (default: freshet-base:bookworm)
#
# DEBOOTSTRAP_MIRROR: a Debian mirror (default: debootstrap's own).
set -euo pipefail

name=${1:-freshet-base:bookworm}
packages=ca-certificates,python3.11-minimal,python3-venv,git
ca_bundle=/etc/ssl/certs/ca-certificates.crt
scratch=

say() { printf '%s\n' "base-image: $*"; }
die() { printf '%s\n' "base-image: $*" >&2; exit 1; }

clean_up() {
  [ -n "$scratch" ] || return 0
  # An interrupted debootstrap can leave these mounted, and nothing may be deleted through a mount.
  umount -l "$scratch/root/proc" "$scratch/root/sys" 2>/dev/null || true
  rm -rf --one-file-system "$scratch"
}

need_tools() {
  case ${1:-} in -*) die "usage: deploy/base-image.sh [NAME]" ;; esac
  [ "$(id -u)" = 0 ] || die "debootstrap needs root: run 'sudo deploy/base-image.sh $name'."
  command -v docker >/dev/null || die "the docker command is missing: install Docker's client first."
  docker version >/dev/null 2>&1 || die "no Docker engine answers: start one ('deploy/setup.sh engine') and run this again."
  command -v debootstrap >/dev/null && return 0
  command -v apt-get >/dev/null || die "debootstrap is missing, and there is no apt-get to install it: install debootstrap and run this again."
  say "installing debootstrap with apt-get"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap; } \
    >"$scratch/apt.log" 2>&1 || { tail -n 5 "$scratch/apt.log" >&2; die "apt-get could not install debootstrap (see the end of its output above)."; }
}

bootstrap() {
  say "fetching Debian bookworm with Python 3.11 and git (about a minute)"
  debootstrap --variant=minbase --include="$packages" bookworm "$scratch/root" ${DEBOOTSTRAP_MIRROR:+"$DEBOOTSTRAP_MIRROR"} \
    >"$scratch/debootstrap.log" 2>&1 && return 0
  tail -n 5 "$scratch/debootstrap.log" >&2
  die "debootstrap did not finish (see the end of its output above): is a Debian mirror reachable, and may $scratch contain devices and programs (if not, set TMPDIR)?"
}

copy_certificates() {
  # Behind a proxy that re-signs TLS, pip, git and dbt in the image need the proxy's certificate too.
  [ -s "$ca_bundle" ] || return 0
  cp "$ca_bundle" "$scratch/root$ca_bundle"
}

slim() {
  local root=$scratch/root
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/var/cache/debconf/*-old \
    "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/tmp/*
  find "$root/usr/share/doc" -depth -mindepth 1 ! -name copyright ! -type d -delete
  find "$root/usr/share/doc" -depth -mindepth 1 -type d -empty -delete
  # The host name and resolver of this machine do not belong in the image.
  rm -f "$root/etc/hostname" "$root/etc/resolv.conf"
}

import() {
  say "importing it into Docker as $name"
  tar --numeric-owner -C "$scratch/root" -c . | docker import \
    --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'ENV LANG=C.UTF-8' \
    --change 'CMD ["python3"]' \
    --message 'Debian bookworm with Python 3.11, by deploy/base-image.sh' - "$name" >/dev/null
}

main() {
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  scratch=$(mktemp -d "${TMPDIR:-/tmp}/freshet-base.XXXXXX")
  need_tools "$@"
  bootstrap
  copy_certificates
  slim
  import
  say "done: $name, $(docker image inspect --format '{{.Size}}' "$name" | awk '{printf "%.0f MB", $1 / 1e6}')"
}

main "$@"
