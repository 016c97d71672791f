#!/usr/bin/env bash
# Prepares a machine for Freshet. Each step checks first, and does nothing if it is already done.
#
#   deploy/setup.sh [python|engine|image|images|series|browser|promtool|compose]...      default: python engine image
#
#   python   .venv with the locked dependencies (PYTHON: the interpreter)
#   engine   a running Docker engine; as root on Debian, installs and starts one if necessary
#   image    the runner image dbt-runner:latest with all adapters (BASE_IMAGE: its base)
#   images   small runner images with older dbt versions, for the tests; "python -m app images build" makes full ones
#   browser  Chromium, for the tests of pages and for pictures
#   promtool the checker of metrics and alert rules, from Debian's package prometheus, into .cache/bin; nothing is started
#   compose  Docker Compose, for the tests of deploy/compose
set -euo pipefail
cd "$(dirname "$0")/.."

readonly default_base=python:3.11-slim-bookworm own_base=freshet-base:bookworm image=dbt-runner
readonly small_minors=(1.10 1.7) small_adapters="duckdb postgres"
readonly pull_timeout_s=120 engine_timeout_s=60
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin  # dockerd lives there, and not every user's PATH has it
scratch=$(mktemp -d "${TMPDIR:-/tmp}/freshet-setup.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

say() { printf '%s\n' "setup: $*"; }
die() { printf '%s\n' "setup: $*" >&2; exit 1; }

# Runs a command and shows the end of its output only if it fails.
quietly() {
  "$@" >"$scratch/log" 2>&1 </dev/null && return 0
  tail -n 15 "$scratch/log" >&2
  return 1
}

if command -v sha256sum >/dev/null; then sha256=(sha256sum); else sha256=(shasum -a 256); fi

may_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  quietly apt-get update -qq || return 1
  quietly apt-get install -y -qq --no-install-recommends "$@"
}

# --- python ---------------------------------------------------------------------------------------

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3 /usr/bin/python3; do
    if is_new_enough "$candidate"; then printf '%s\n' "$candidate"; return 0; fi
  done
  return 1
}

need_python() {
  python=$(find_python) && return 0
  may_install || die "Python 3.11 or newer is missing: install it (Debian: 'apt-get install python3 python3-venv') and run this again."
  say "installing Python with apt-get (half a minute)"
  apt_install python3 python3-venv || die "apt-get could not install Python (see the end of its output above)."
  python=$(find_python) || die "Debian's Python is older than 3.11: install a newer one and name it in PYTHON."
}

need_venv_module() {
  "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 && return 0
  local package
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  may_install || die "$python cannot create virtual environments: run 'apt-get install $package' as root, then run this again."
  say "installing $package with apt-get (half a minute)"
  apt_install "$package" || die "apt-get could not install $package (see the end of its output above)."
}

python_step() {
  local wanted stamp=.venv/.freshet-setup
  wanted=$("${sha256[@]}" requirements.lock pyproject.toml)
  if is_new_enough .venv/bin/python && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return 0; fi
  if ! is_new_enough .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    need_python
    need_venv_module
    quietly "$python" -m venv --clear .venv || die "$python could not create .venv (see the end of its output above)."
  fi
  say "installing the locked Python packages into .venv (about a minute the first time)"
  export PIP_DISABLE_PIP_VERSION_CHECK=1
  quietly .venv/bin/python -m pip install --no-deps --require-hashes -r requirements.lock \
    || die "pip could not install requirements.lock (see the end of its output above): is a package index reachable?"
  quietly .venv/bin/python -m pip install --no-deps -e . \
    || die "pip could not install Freshet itself into .venv (see the end of its output above)."
  printf '%s\n' "$wanted" >"$stamp"
}

# --- engine ---------------------------------------------------------------------------------------

engine_answers() { docker version >/dev/null 2>"$scratch/docker"; }

last_lines() { tail -n 3 "$1" | tr '\n' ' '; }

wait_for_engine() {  # pid of dockerd, if this script started it
  local second
  for ((second = 0; second < engine_timeout_s; second++)); do
    engine_answers && return 0
    [ -z "${1:-}" ] || kill -0 "$1" 2>/dev/null || return 1
    sleep 1
  done
  return 1
}

install_engine() {
  command -v dockerd >/dev/null && command -v docker >/dev/null && return 0
  may_install || die "No Docker engine answers and none is installed: install Docker, start it, or name a remote engine in DOCKER_HOST."
  say "installing Docker with apt-get (about a minute)"
  apt_install docker.io iptables ca-certificates || die "apt-get could not install docker.io (see the end of its output above)."
}

start_engine() {
  if [ -d /run/systemd/system ]; then
    quietly systemctl start docker || die "systemd could not start Docker: see 'journalctl -u docker'."
    wait_for_engine || die "Docker was started by systemd but does not answer: $(last_lines "$scratch/docker")"
    say "started Docker with systemd; it keeps running"
    return 0
  fi
  local log=/var/log/freshet-dockerd.log
  touch "$log" 2>/dev/null || log=$(mktemp "${TMPDIR:-/tmp}/freshet-dockerd.XXXXXX")
  setsid nohup dockerd >"$log" 2>&1 </dev/null &
  if ! wait_for_engine $!; then
    kill $! 2>/dev/null || true
    die "dockerd did not start; the end of $log says: $(last_lines "$log")"
  fi
  say "started a Docker engine, which keeps running (process $!, log in $log)"
}

need_named_engine() {
  command -v docker >/dev/null || die "The docker command is missing: install Docker's client to reach the engine at $DOCKER_HOST."
  engine_answers || die "The Docker engine at DOCKER_HOST ($DOCKER_HOST) does not answer: start it, or unset DOCKER_HOST."
}

engine_step() {
  if [ -n "${DOCKER_HOST:-}" ]; then need_named_engine; return 0; fi
  if command -v docker >/dev/null; then
    engine_answers && return 0
    if grep -qi 'permission denied' "$scratch/docker"; then
      die "The user $(id -un) may not use Docker's socket: add it to the group docker and log in again."
    fi
  fi
  if [ "$(id -u)" != 0 ]; then
    die "No Docker engine answers: start it (as root: 'systemctl start docker' or 'dockerd'), install Docker, or name a remote engine in DOCKER_HOST."
  fi
  install_engine
  engine_answers || start_engine
}

# --- image ----------------------------------------------------------------------------------------

# A hash of everything that goes into an image, stored in its label io.freshet.context.
context_hash() {  # version of dbt, adapters
  local minor=${1%.*} sources=(Dockerfile.dbt app/runner/program)
  sources+=("deploy/dbt/$minor.txt" deploy/dbt/overrides.txt deploy/dbt/uv.txt deploy/dbt/columns.txt)
  [ ! -f "deploy/dbt/$minor.overrides" ] || sources+=("deploy/dbt/$minor.overrides")
  { printf '%s\n' "${BASE_IMAGE:-}" "$1" "$2"
    find "${sources[@]}" -type f ! -path '*/__pycache__/*' -exec "${sha256[@]}" {} + | sort
  } | "${sha256[@]}" | cut -d' ' -f1
}

image_exists() { docker image inspect "$1" >/dev/null 2>&1; }

label_of() { docker image inspect --format '{{index .Config.Labels "io.freshet.context"}}' "$1" 2>/dev/null || true; }

pull_default_base() {
  image_exists "$default_base" && return 0
  say "pulling $default_base from the registry (up to half a minute)"
  local limit=()
  ! command -v timeout >/dev/null || limit=(timeout "$pull_timeout_s")
  ${limit[@]+"${limit[@]}"} docker pull -q "$default_base" >/dev/null 2>&1 </dev/null
}

choose_base() {
  base=${BASE_IMAGE:-$default_base}
  if [ -n "${BASE_IMAGE:-}" ] || pull_default_base; then return 0; fi
  base=$own_base
  image_exists "$own_base" && return 0
  say "no registry answered: building $own_base from Debian's packages instead (about a minute)"
  deploy/base-image.sh "$own_base" || die "The runner image needs a base: $default_base from a registry, or $own_base (see above)."
}

# Builds one image, unless all of its tags already belong to an image with the same context.
need_image() {  # version of dbt, adapters, tags...
  local version=$1 adapters=$2 wanted tag base previous current=yes named=()
  shift 2
  wanted=$(context_hash "$version" "$adapters")
  for tag in "$@"; do
    named+=(-t "$image:$tag")
    [ "$(label_of "$image:$tag")" = "$wanted" ] || current=no
  done
  [ $current = no ] || return 0
  choose_base
  say "building $image:$1 with dbt $version for $adapters on $base (a minute or two the first time)"
  previous=$(docker image inspect --format '{{.Id}}' "$image:$1" 2>/dev/null || true)
  quietly docker build -f Dockerfile.dbt --build-arg BASE_IMAGE="$base" --build-arg DBT_VERSION="$version" \
    --build-arg DBT_ADAPTERS="$adapters" ${PIP_INDEX_URL:+--build-arg PIP_INDEX_URL} \
    --label io.freshet.context="$wanted" "${named[@]}" . \
    || die "docker build of the runner image did not finish (see the end of its output above)."
  # The image that was replaced; Docker refuses to remove it while it is in use.
  [ -z "$previous" ] || docker image rm "$previous" >/dev/null 2>&1 || true
}

need_sources() {
  [ -f app/runner/program/__main__.py ] || die "app/runner/program/__main__.py is missing: this checkout is incomplete."
  engine_answers || die "No Docker engine answers: run 'deploy/setup.sh engine' first."
}

default_of() { sed -n "s/^ARG $1=\"\{0,1\}\([^\"]*\)\"\{0,1\}$/\1/p" Dockerfile.dbt | head -n 1; }

image_step() {
  need_sources
  local version
  version=$(default_of DBT_VERSION)
  need_image "$version" "$(default_of DBT_ADAPTERS)" latest "${version%.*}"
}

images_step() { small_images "${small_minors[@]}"; }

# Every version for which series of edits run.
series_step() { small_images "${small_minors[@]}" 1.8 1.9; }

small_images() {  # minor versions of dbt
  need_sources
  local minor
  for minor in "$@"; do
    need_image "$(sed -n 's/^dbt-core==\([^ ]*\).*/\1/p' "deploy/dbt/$minor.txt")" "$small_adapters" "$minor"
  done
}

# --- browser --------------------------------------------------------------------------------------

browser_step() {
  local candidate
  for candidate in chromium chromium-browser google-chrome; do
    if command -v "$candidate" >/dev/null; then return 0; fi
  done
  may_install || die "Chromium is not installed: install it and run this again."
  say "installing Chromium with apt-get (about a minute)"
  apt_install chromium fonts-dejavu-core fonts-liberation || die "apt-get could not install Chromium (see the end of its output above)."
}

# --- promtool -------------------------------------------------------------------------------------

# Unpacked, not installed: the package would start a server.
promtool_step() {
  if command -v promtool >/dev/null || [ -x .cache/bin/promtool ]; then return 0; fi
  command -v apt-get >/dev/null || die "promtool is not installed: install Prometheus, which contains it, and run this again."
  say "unpacking promtool from Debian's package prometheus (half a minute)"
  [ "$(id -u)" != 0 ] || quietly apt-get update -qq || true
  (cd "$scratch" && quietly apt-get download prometheus) || die "apt-get could not download prometheus (see the end of its output above)."
  quietly dpkg-deb -x "$scratch"/prometheus_*.deb "$scratch/prometheus" || die "the package prometheus could not be unpacked."
  mkdir -p .cache/bin
  mv "$scratch/prometheus/usr/bin/promtool" .cache/bin/promtool
}

# --- compose --------------------------------------------------------------------------------------

compose_step() {
  if docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null; then return 0; fi
  may_install || die "Docker Compose is not installed: install it and run this again."
  say "installing Docker Compose with apt-get (about a minute)"
  apt_install docker-compose || die "apt-get could not install docker-compose (see the end of its output above)."
}

# --- which steps ----------------------------------------------------------------------------------

main() {
  [ $# -gt 0 ] || set -- python engine image
  local step
  for step in "$@"; do
    case $step in
      python | engine | image | images | series | browser | promtool | compose) "${step}_step" ;;
      *) die "usage: deploy/setup.sh [python|engine|image|images|series|browser|promtool|compose]..." ;;
    esac
  done
}

main "$@"
