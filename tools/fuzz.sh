#!/usr/bin/env bash
# Runs every native fuzz target of the module in turn: tools/fuzz.sh 30s
set -euo pipefail
cd "$(dirname "$0")/.."
duration=${1:-30s}
grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' . | while read -r file; do
  dir=$(dirname "$file")
  grep -oE '^func Fuzz[A-Za-z0-9_]+' "$file" | cut -d' ' -f2 | while read -r target; do
    echo "== $dir $target ($duration)"
    go test -run '^$' -fuzz "^${target}\$" -fuzztime "$duration" -fuzzminimizetime 10x "$dir"
  done
done
