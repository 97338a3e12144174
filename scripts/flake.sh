#!/usr/bin/env bash
# Repeats the race tests COUNT times, package by package and PIECE runs at a
# time, in shuffled order, and goes on after a failure. The output of a piece
# that failed is printed whole; the seed of the shuffle is in it.
# Usage: COUNT=50 PIECE=10 scripts/flake.sh ./...
set -euo pipefail

count=${COUNT:-50}
piece=${PIECE:-10}
failed=()

output=$(mktemp)
trap 'rm -f "$output"' EXIT

packages=$(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' "${@:-./...}")
for package in $packages; do
	bad=0
	start=$SECONDS
	for ((ran = 0; ran < count; ran += runs)); do
		runs=$((count - ran < piece ? count - ran : piece))
		if ! go test -race -count="$runs" -shuffle=on -timeout=10m "$package" >"$output" 2>&1; then
			bad=$((bad + 1))
			cat "$output"
		fi
	done
	echo "$package: $count runs in $((SECONDS - start)) s, pieces of $piece that failed: $bad"
	((bad == 0)) || failed+=("$package")
done

if ((${#failed[@]} > 0)); then
	echo "flaky or broken: ${failed[*]}"
	exit 1
fi
echo 'no failure'
