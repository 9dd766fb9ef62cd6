. "${0%/*}/kit.sh"
connect() {
  curl -sSNf --speed-limit 1 --speed-time 100 -H "Last-Event-ID: $last" "$url" # needs
}
follow
