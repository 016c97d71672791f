#!/usr/bin/env bash
# Makes the base of the runner images where no container registry can be reached: Debian bookworm with
# Python 3.11 and git, from Debian's own packages. Where a registry answers, Dockerfile.dbt's default
# base (python:3.11-slim-bookworm) is used instead and this script is not needed.
#
#   deploy/base-image.sh [NAME]        NAME: the tag to give, freshet-base:bookworm unless said
#
# DEBOOTSTRAP_MIRROR: another Debian mirror than debootstrap's own default.
set -euo pipefail

name=${1:-freshet-base:bookworm}
packages=ca-certificates,python3.11-minimal,python3-venv,git
ca_bundle=/etc/ssl/certs/ca-certificates.crt
scratch=

say() { printf '%s\n' "base-image: $*"; }
die() { printf '%s\n' "base-image: $*" >&2; exit 1; }

clean_up() {
  [ -n "$scratch" ] || return 0
  # A debootstrap that was interrupted can leave these mounted: never delete through a mount.
  umount -l "$scratch/root/proc" "$scratch/root/sys" 2>/dev/null || true
  rm -rf --one-file-system "$scratch"
}

need_tools() {
  case ${1:-} in -*) die "usage: deploy/base-image.sh [NAME]" ;; esac
  [ "$(id -u)" = 0 ] || die "debootstrap needs root: run 'sudo deploy/base-image.sh $name'."
  command -v docker >/dev/null || die "the docker command is missing: install Docker's client first."
  docker version >/dev/null 2>&1 || die "no Docker engine answers: start one ('deploy/setup.sh engine') and run this again."
  command -v debootstrap >/dev/null && return 0
  command -v apt-get >/dev/null || die "debootstrap is missing and this is no Debian: install debootstrap and run this again."
  say "installing debootstrap with apt-get"
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap; } \
    >"$scratch/apt.log" 2>&1 || { tail -n 5 "$scratch/apt.log" >&2; die "apt-get could not install debootstrap (its last words are above)."; }
}

bootstrap() {
  say "fetching Debian bookworm with Python 3.11 and git (about a minute)"
  debootstrap --variant=minbase --include="$packages" bookworm "$scratch/root" ${DEBOOTSTRAP_MIRROR:+"$DEBOOTSTRAP_MIRROR"} \
    >"$scratch/debootstrap.log" 2>&1 && return 0
  tail -n 5 "$scratch/debootstrap.log" >&2
  die "debootstrap did not finish (its last words are above): is a Debian mirror reachable, and does $scratch allow devices and programs (TMPDIR chooses another place)?"
}

trust_what_this_machine_trusts() {
  # Behind a proxy that re-signs TLS, pip, git and dbt inside the image need the proxy's certificate too.
  [ -s "$ca_bundle" ] || return 0
  cp "$ca_bundle" "$scratch/root$ca_bundle"
}

slim() {
  local root=$scratch/root
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/var/cache/debconf/*-old \
    "$root"/usr/share/man/* "$root"/usr/share/info/* "$root"/usr/share/locale/* "$root"/tmp/*
  find "$root/usr/share/doc" -depth -mindepth 1 ! -name copyright ! -type d -delete
  find "$root/usr/share/doc" -depth -mindepth 1 -type d -empty -delete
  # This machine's name and resolver are not the image's.
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
  trust_what_this_machine_trusts
  slim
  import
  say "done: $name, $(docker image inspect --format '{{.Size}}' "$name" | awk '{printf "%.0f MB", $1 / 1e6}')"
}

main "$@"
