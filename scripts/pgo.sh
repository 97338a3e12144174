#!/usr/bin/env bash
# Measures where echod spends its time under several loads, and writes that to
# cmd/echod/default.pgo, by which `go build` decides what to inline. To be run again when
# the way of a byte has changed; an old profile only helps less.
set -euo pipefail

readonly admin=127.0.0.1:7979
readonly shapes=(64x100 64x1000 16Kx100 64x100/pipeline=16 connect:64x100)
readonly seconds=15

scratch=$(mktemp -d)
driver=
trap '[[ -z $driver ]] || kill "$driver" 2>/dev/null || true; rm -rf "$scratch"' EXIT

go build -pgo=off -trimpath -o "$scratch/echod" ./cmd/echod
(cd bench && go build -o "$scratch/echobench" ./cmd/echobench)

for shape in "${shapes[@]}"; do
	echo "$shape"
	(cd bench && exec "$scratch/echobench" -servers "" -shapes "$shape" -reps 1 -duration $((seconds + 4))s -quiet -server \
		echod="$scratch/echod --listen tcp://{addr} --admin $admin --pprof --reactors 1 --log-level error") >/dev/null &
	driver=$!
	until curl -sf -o /dev/null "http://$admin/metrics"; do
		kill -0 "$driver" || { echo "the load has ended before echod was asked" >&2; exit 1; }
		sleep 0.1
	done
	curl -sf -o "$scratch/${shape//[^a-zA-Z0-9]/-}.pprof" "http://$admin/debug/pprof/profile?seconds=$seconds"
	wait "$driver"
	driver=
done
go tool pprof -proto "$scratch"/*.pprof >"$scratch/merged"
mv "$scratch/merged" cmd/echod/default.pgo
ls -l cmd/echod/default.pgo
