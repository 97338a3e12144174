#!/usr/bin/env bash
# Compares the Go benchmarks of the working tree with those of a commit. Both sides' test
# binaries are built once and take turns, so that what the machine does meanwhile meets both.
#
#	PKG=./buffers BENCH=Get BASE=HEAD~1 COUNT=10 scripts/benchstat.sh
set -euo pipefail

pkg=${PKG:?a package, such as PKG=./buffers}
bench=${BENCH:-.}
base=${BASE:-HEAD}
count=${COUNT:-10}

[[ $pkg == ./* && $pkg != *...* ]] || { echo "PKG=$pkg: one package, written ./NAME" >&2; exit 2; }
root=$PWD
scratch=$(mktemp -d)
trap 'git worktree remove --force "$scratch/base" 2>/dev/null || true; rm -rf "$scratch"' EXIT

git worktree add --quiet --detach "$scratch/base" "$base"
(cd "$scratch/base" && go test -c -o "$scratch/old.test" "$pkg")
go test -c -o "$scratch/new.test" "$pkg"

for ((i = 1; i <= count; i++)); do
	printf '\rround %d of %d' "$i" "$count" >&2
	for side in old new; do
		dir=$root/$pkg
		[[ $side == new ]] || dir=$scratch/base/$pkg
		(cd "$dir" && "$scratch/$side.test" -test.run '^$' -test.bench "$bench" -test.benchmem) >>"$scratch/$side"
	done
done
echo >&2
cd bench
go tool benchstat "$base=$scratch/old" "working tree=$scratch/new"
