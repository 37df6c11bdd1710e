#!/usr/bin/env bash
# Runs the tests of this package that need a cluster in containers: brings up deploy/docker-compose.yml with bin/'s programs,
# under names and ports of its own, and takes everything down again, whatever happens. Without an engine it says so and passes.
set -euo pipefail
cd "$(dirname "$0")/../.."

skip() {
	echo "drills-docker: skipped: $1"
	exit 0
}
command -v docker >/dev/null || skip "there is no docker command"
if ! why=$(timeout 20 docker version --format '{{.Server.Version}}' 2>&1); then
	skip "no Docker engine answers: ${why##*$'\n'}"
fi
if docker compose version >/dev/null 2>&1; then
	compose=(docker compose)
elif command -v docker-compose >/dev/null; then
	compose=(docker-compose)
else
	skip "there is neither docker compose nor docker-compose"
fi

export QUORUMKV_DRILL_PROJECT=quorumkv-drill-$$
export QUORUMKV_IMAGE=$QUORUMKV_DRILL_PROJECT
export QUORUMKV_PORT_1='' QUORUMKV_PORT_2='' QUORUMKV_PORT_3='' # any free ones
compose+=(--project-name "$QUORUMKV_DRILL_PROJECT" --file deploy/docker-compose.yml)

finish() {
	status=$?
	trap '' INT TERM HUP # a second Ctrl-C would leave the half of it
	if [ $status -ne 0 ] && [ $status -lt 128 ]; then
		"${compose[@]}" logs --tail=40 || true
	fi
	docker ps --quiet --filter "label=quorumkv-drill=$QUORUMKV_DRILL_PROJECT" | xargs -r docker rm --force >/dev/null || true
	"${compose[@]}" down --volumes --timeout 2 || true
	docker image rm "$QUORUMKV_IMAGE" >/dev/null 2>&1 || true
	exit $status
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

docker build --quiet --tag "$QUORUMKV_IMAGE" --file deploy/Dockerfile bin
"${compose[@]}" up --detach
(cd test && "${GO:-go}" test -count=1 -timeout 5m -v -run Docker ./drills)
