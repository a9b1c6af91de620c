#!/usr/bin/env bash
# Builds the judge if it is not in its cache yet (some minutes, once), then runs the transcripts and the operator's API
# tests on both servers, and six Python clients on ours. `make dev` comes first.
#   tests/conformance/run.sh [pytest arguments]       HEADSTAY_JUDGE=DIR  where the judge is kept
set -euo pipefail
cd "$(dirname "$0")/../.."
CACHE=${HEADSTAY_JUDGE:-/var/cache/headstay-judge}
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

missing=""
for pair in etcd:etcd-server openssl:openssl jq:jq; do
  command -v "${pair%%:*}" > /dev/null || missing="$missing ${pair##*:}"
done
if [ ! -x "$CACHE/build/bin/kube-apiserver" ]; then
  # shellcheck disable=SC1091
  if [ "$(. /etc/os-release && echo "$ID $VERSION_ID")" != "debian 12" ]; then
    echo "The judge is built from Debian 12's sources: build it there, and copy $CACHE here." >&2
    exit 1
  fi
  missing="$missing golang-1.19-go rsync dpkg-dev make gcc"
fi
if [ -n "$missing" ]; then
  as_root apt-get update -q > /dev/null
  # shellcheck disable=SC2086
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing > /dev/null
fi
if [ ! -x "$CACHE/build/bin/kube-apiserver" ]; then
  echo "==> Building a real kube-apiserver as judge (about 5 minutes, once)"
  tests/conformance/judge/build-kubernetes.sh "$CACHE/build"
  rm -rf "$CACHE/build/k" "$CACHE/build/r2"
fi
exec .venv/bin/pytest -q -s "${@:-tests/conformance}"
