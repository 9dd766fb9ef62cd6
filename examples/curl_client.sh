#!/usr/bin/env bash
# Prints the events of a Sluice stream and resumes after a cut.
#
#   curl_client.sh [URL] [TOPIC...]      needs: bash, curl
#   COUNT=10           stop after 10 events
#   LAST_EVENT_ID=...  begin after that event
set -u

url=${1:-http://localhost:8000/stream}
last_id=${LAST_EVENT_ID:-}
count=${COUNT:-0}
longest_wait_ms=30000
retry_ms=5000
failures=0
events=0

query=()
for topic in "${@:2}"; do
  query+=(--data-urlencode "topic=$topic")
done

headers=$(mktemp)
curl_pid=
trap '[ -n "$curl_pid" ] && kill "$curl_pid" 2>/dev/null; rm -f "$headers"' EXIT
trap 'exit 130' INT TERM

# dispatch handles one complete block: $id, $type and $data.
dispatch() {
  [ -n "$id" ] && last_id=$id
  failures=0
  case $type in
    heartbeat) ;;
    system) printf 'system: %s\n' "$data" >&2 ;;
    *)
      printf '%s %s %s\n' "$id" "$type" "$data"
      events=$((events + 1))
      [ "$events" -eq "$count" ] && exit 0
      [ "$type" = end ] && exit 0 # by convention the last one that was asked for
      ;;
  esac
}

while true; do
  # 100 s without a byte means a dead line: the server sends something every 30.
  resume=()
  [ -n "$last_id" ] && resume=(-H "Last-Event-ID: $last_id")
  : > "$headers"
  exec 3< <(exec curl -sS -N --get --connect-timeout 10 --speed-limit 1 --speed-time 100 \
    -D "$headers" -H 'Accept: text/event-stream' "${resume[@]}" "${query[@]}" "$url")
  curl_pid=$!

  # A blank line ends a block. What the cut left incomplete is dropped.
  id='' type=message data='' lines=0
  while IFS= read -r line <&3; do
    line=${line%$'\r'}
    case $line in
      '')
        [ "$lines" -gt 0 ] && dispatch
        id='' type=message data='' lines=0
        ;;
      id:*) id=${line#id:} id=${id# } ;;
      event:*) type=${line#event:} type=${type# } ;;
      data:*)
        part=${line#data:} part=${part# }
        [ "$lines" -gt 0 ] && data+=$'\n'
        data+=$part lines=$((lines + 1))
        ;;
      retry:*)
        part=${line#retry:} part=${part# }
        case $part in '' | *[!0-9]*) ;; *) retry_ms=$part ;; esac
        ;;
    esac
  done
  exec 3<&-
  wait "$curl_pid" 2>/dev/null
  curl_pid=

  # The last status line counts: a proxy may have answered before it.
  status=$(awk '/^HTTP\// { code = $2 } END { print code + 0 }' "$headers")
  after=$(awk 'tolower($1) == "retry-after:" { n = $2 + 0 } END { print n + 0 }' "$headers")
  case $status in
    200 | 0 | 408 | 429 | 5??) printf 'connection ended (status %s)\n' "$status" >&2 ;;
    *)
      printf 'refused: status %s\n' "$status" >&2
      exit 1
      ;;
  esac
  wait_ms=$((retry_ms << (failures < 6 ? failures : 6)))
  [ "$wait_ms" -gt "$longest_wait_ms" ] && wait_ms=$longest_wait_ms
  [ "$wait_ms" -lt $((after * 1000)) ] && wait_ms=$((after * 1000))
  wait_ms=$((wait_ms * (75 + RANDOM % 51) / 100))
  failures=$((failures + 1))
  sleep "$((wait_ms / 1000)).$(printf '%03d' $((wait_ms % 1000)))"
done
