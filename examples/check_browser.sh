#!/usr/bin/env bash
# Runs the browser checks of check/browser.mjs against a server.
#
#   check_browser.sh [BASE_URL]      needs: node, npm, Chromium
set -eu
check=$(dirname "$0")/check
npm ci --silent --no-audit --no-fund --prefix "$check"
exec node "$check/browser.mjs" "$@"
