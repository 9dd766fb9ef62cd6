#!/usr/bin/env bash
# Runs the Go, Python, curl and Node clients against a server whose log grows,
# through a proxy that cuts every connection in the middle, and wants from each
# the same events: every one after the common start, once, in order.
#
#   check.sh [BASE_URL] [COUNT]      needs: go, python3 with requests, curl, node and npm
#
# The publishers of the server are to send events of the type data only.
set -eu

base=${1:-http://localhost:8000}
count=${2:-40}
cut_bytes=3000
patience=180 # seconds for the slowest client

cd "$(dirname "$0")"
python3 -c 'import requests' || {
  echo "python_client.py needs requests: install python3-requests" >&2
  exit 1
}
npm ci --silent --no-audit --no-fund --prefix node

work=$(mktemp -d)
proxy_pid=
trap '[ -n "$proxy_pid" ] && kill "$proxy_pid" 2>/dev/null; rm -rf "$work"' EXIT
go build -o "$work/go_client" ./go_client

mkfifo "$work/hold"
node check/proxy.mjs "$base" "$cut_bytes" < "$work/hold" > "$work/proxy" &
proxy_pid=$!
exec 9> "$work/hold" # the proxy ends when this does
for _ in $(seq 100); do
  [ -s "$work/proxy" ] && break
  sleep 0.1
done
stream=$(cat "$work/proxy")/stream

# Where to start: the position that a fresh client is told.
start=$(curl -sN --max-time 5 "$base/stream" | awk '/^id: / { print $2; exit }') || true
[ -n "$start" ] || {
  echo "no event id from $base/stream" >&2
  exit 1
}
echo "every client: $count events after $start"

export COUNT=$count LAST_EVENT_ID=$start
names=(go python curl node)
pids=()
timeout "$patience" "$work/go_client" "$stream" > "$work/go.out" 2> "$work/go.err" & pids+=($!)
timeout "$patience" python3 python_client.py "$stream" > "$work/python.out" 2> "$work/python.err" & pids+=($!)
timeout "$patience" ./curl_client.sh "$stream" > "$work/curl.out" 2> "$work/curl.err" & pids+=($!)
timeout "$patience" node node/node_client.mjs "$stream" > "$work/node.out" 2> "$work/node.err" & pids+=($!)

failed=0
wrong() {
  echo "$1: $2" >&2
  tail -n 5 "$work/$1.err" >&2
  failed=1
}
for i in "${!names[@]}"; do
  name=${names[$i]}
  wait "${pids[$i]}" || { wrong "$name" "ended with status $?"; continue; }
  next=$((16#${start:24} + 1))
  while read -r id _; do
    [ $((16#${id:24})) -eq "$next" ] || { wrong "$name" "event $id where number $next of the log was due"; break; }
    next=$((next + 1))
  done < "$work/$name.out"
  lines=$(wc -l < "$work/$name.out")
  [ "$lines" -eq "$count" ] || wrong "$name" "$lines events instead of $count"
  cmp -s "$work/go.out" "$work/$name.out" || wrong "$name" "not what the Go client got"
  resumed=$(grep -c 'resumed' "$work/$name.err" || true)
  [ "$resumed" -gt 1 ] || wrong "$name" "was never cut and resumed: raise COUNT"
  [ "$failed" -eq 1 ] || echo "$name: $lines events in order, $resumed connections"
done
exit "$failed"
