#!/usr/bin/env bash
# Runs each fuzz target of the given packages for FUZZTIME, and goes on after a
# failure: the input found is left in the package's testdata/fuzz.
# Usage: FUZZTIME=20s scripts/fuzz.sh ./...
set -euo pipefail

fuzztime=${FUZZTIME:-20s}
found=0
failed=()

packages=$(go list "${@:-./...}")
for package in $packages; do
	listing=$(go test -list '^Fuzz' "$package") # ends the script if it doesn't compile
	for target in $(grep '^Fuzz' <<<"$listing" || true); do
		found=$((found + 1))
		echo "== $package $target ($fuzztime)"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" -fuzzminimizetime 100x "$package" ||
			failed+=("$package $target")
	done
done

echo "$found fuzz targets, ${#failed[@]} failed"
if ((${#failed[@]} > 0)); then
	printf '  %s\n' "${failed[@]}"
	exit 1
fi
