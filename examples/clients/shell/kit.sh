# What the shell adapters share: they are run as ADAPTER.sh URL [needs], and
# define connect, which prints the body of one connection, with $last as its
# Last-Event-ID. Without needs that is all; with it, follow comes back with the
# last id, as ../../curl_client.sh does.
set -u
url=$1 needs=${2:-}
last='' retry=1

say() { # KIND VALUE [ID DATA]
  local text=${4-}
  text=${text//\\/\\\\} text=${text//\"/\\\"} text=${text//$'\n'/\\n}
  case $1 in
    event) printf '{"event":"%s","id":"%s","data":"%s"}\n' "$2" "$3" "$text" ;;
    *) printf '{"%s":"%s"}\n' "$1" "$2" ;;
  esac
}

# read_blocks says the complete blocks of standard input.
read_blocks() {
  local line id='' type=message data='' lines=0
  while IFS= read -r line; do
    case $line in
      '')
        [ "$lines" -gt 0 ] && say event "$type" "$id" "$data" && last=$id
        id='' type=message data='' lines=0
        ;;
      id:*) id=${line#id: } ;;
      event:*) type=${line#event: } ;;
      data:*)
        [ "$lines" -gt 0 ] && data+=$'\n'
        data+=${line#data: } lines=$((lines + 1))
        ;;
      retry:*) retry=$(printf '%d.%03d' $((${line#retry: } / 1000)) $((${line#retry: } % 1000))) ;;
    esac
  done
}

follow() {
  while true; do
    read_blocks < <(connect 2> /dev/null)
    [ "$needs" = needs ] || break
    say error again
    sleep "$retry"
  done
  say closed end
}
