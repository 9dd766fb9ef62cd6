#!/usr/bin/env bash
# Shows that chaos finds what it is there to find: each patch of testdata/broken
# makes an edge that breaks the promise in one way, and a run with some faults
# must say so. It takes some minutes, and is run by hand.
#
#   infra/chaos/broken.sh            all of them
#   infra/chaos/broken.sh NAME...    some: the patches' names without .patch
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/chaos" ./infra/chaos

# faults are what shows it.
faults() {
  case $1 in
    skip-at-hand-over) echo edge-kill,reset-clients ;;
    no-epoch-check) echo recreate,recreate-late ;;
    drop-on-leader-change) echo leader-kill,consumers-removed ;;
    believe-without-quorum) echo partition-beside-60s ;;
    wrong-heartbeat-id) echo edge-kill ;;
    *) echo "no faults are named for $1" >&2; exit 1 ;;
  esac
}

missed=0
names=("$@")
[ ${#names[@]} -gt 0 ] || names=($(basename -s .patch infra/chaos/testdata/broken/*.patch))
for name in "${names[@]}"; do
  rm -rf "$work/tree"
  mkdir "$work/tree"
  git archive HEAD | tar -x -C "$work/tree"
  (cd "$work/tree" && git apply "$root/infra/chaos/testdata/broken/$name.patch")
  (cd "$work/tree" && go build -o "$work/edge" ./functions/cmd/edge)
  status=0
  "$work/chaos" --edge "$work/edge" --each --faults "$(faults "$name")" > "$work/said" 2>&1 || status=$?
  counts=$(grep -E '^[0-9]+ lost, ' "$work/said" || true)
  if [ "$status" -eq 1 ] && [ -n "$counts" ]; then
    echo "caught $name: $counts"
  else
    echo "MISSED $name: status $status, $(tail -n 3 "$work/said")"
    missed=1
  fi
done
exit "$missed"
