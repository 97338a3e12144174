#!/usr/bin/env bash
# Prints, for each of the given folders, the share of statements that its own
# tests reach ("own"), and that the tests of any of the folders reach ("any").
# Profiles are left in cover/: `go tool cover -html=cover/all.out` shows the lines.
# Usage: scripts/cover.sh buffers conn
set -euo pipefail

packages=()
for folder in "$@"; do
	if [[ -d $folder ]]; then
		packages+=("$(go list "./$folder")")
	else
		echo "no package $folder yet" >&2
	fi
done
((${#packages[@]} > 0)) || exit 1

rm -rf cover
mkdir cover
profiles=()
for package in "${packages[@]}"; do
	profile="cover/${package//\//.}.out"
	go test -covermode=atomic -coverpkg="$(IFS=,; echo "${packages[*]}")" \
		-coverprofile="$profile" "$package" 2>&1 |
		sed '/^warning: no packages being tested depend on/d; s/\tcoverage: .*//'
	profiles+=("$profile")
done

# A line of a profile is "file:block statements hits"; the same block is in every profile.
awk '
	BEGIN { print "mode: atomic" }
	FNR > 1 { statements[$1] = $2; hits[$1] += $3 }
	END { for (block in statements) print block, statements[block], hits[block] }
' "${profiles[@]}" >cover/all.out

awk '
	function percent(n, of) { return of > 0 ? 100*n/of : 0 }
	FNR == 1 { tests = FILENAME; sub(/^cover\//, "", tests); sub(/\.out$/, "", tests); next }
	{
		package = $1; sub(/\/[^\/]*$/, "", package)
		dotted = package; gsub(/\//, ".", dotted)
		statements[$1] = $2; of[$1] = package
		if ($3 > 0) any[$1] = 1
		if ($3 > 0 && dotted == tests) own[$1] = 1
	}
	END {
		for (block in statements) {
			package = of[block]; n = statements[block]
			all[package] += n; allTotal += n
			if (block in any) { anySum[package] += n; anyTotal += n }
			if (block in own) { ownSum[package] += n; ownTotal += n }
		}
		line = "%-50s %6.1f%% %6.1f%% %10d\n"
		printf "\n%-50s %7s %7s %10s\n", "statements reached by tests", "own", "any", "of"
		fflush()
		for (package in all)
			printf line, package, percent(ownSum[package], all[package]), percent(anySum[package], all[package]), all[package] | "sort"
		close("sort")
		printf line, "total", percent(ownTotal, allTotal), percent(anyTotal, allTotal), allTotal
	}
' "${profiles[@]}"
