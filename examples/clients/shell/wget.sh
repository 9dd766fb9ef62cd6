. "${0%/*}/kit.sh"
connect() {
  wget -qO- --tries=1 --read-timeout=100 --header="Last-Event-ID: $last" "$url" # needs
}
follow
