#!/usr/bin/env bash
# Goes on for DURATION: fresh seeds on the simulated machine, and beside them churn over
# real sockets under the race detector. Stops at the first failure and prints it; ends
# with a summary.
# Usage: DURATION=10m scripts/soak.sh
set -euo pipefail

duration=${DURATION:-10m}
case $duration in
	*h) seconds=$((${duration%h} * 3600)) ;;
	*m) seconds=$((${duration%m} * 60)) ;;
	*) seconds=${duration%s} ;;
esac
end=$((SECONDS + seconds))

work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT

# The tests that are storms of connections, or of bytes.
churn='Storm|Churn|Faulted|Pushing|Races|Fairness|Stress|Random|Abort'

go test -c -o "$work/sim" ./internal/sim
go test -c -race -o "$work/server" ./server
go test -c -race -o "$work/engine" ./internal/engine

# repeat NAME COMMAND...: runs it until the time is over, and counts.
repeat() {
	local name=$1 rounds=0
	shift
	while ((SECONDS < end)); do
		if ! "$@" >"$work/$name.log" 2>&1; then
			touch "$work/$name.failed"
			return 1
		fi
		rounds=$((rounds + 1))
		echo "$rounds" >"$work/$name.rounds"
	done
}

readonly per_round=10000
first=$((RANDOM * 32768 * 32768 + RANDOM * 32768 + RANDOM))
seeds() {
	"$work/sim" -test.run '^TestSeeds$' -seed "$first" -seeds "$per_round"
	first=$((first + per_round))
}
echo "for $duration: seeds from $first, and $churn over real sockets"

(cd internal/sim && repeat seeds seeds) &
(cd server && repeat server "$work/server" -test.run "$churn" -test.shuffle=on) &
(cd internal/engine && repeat engine "$work/engine" -test.run "$churn" -test.shuffle=on) &
wait

count() { cat "$work/$1.rounds" 2>/dev/null || echo 0; }
echo "simulated: $(($(count seeds) * per_round)) seeds"
echo "server: $(count server) rounds under the race detector"
echo "internal/engine: $(count engine) rounds under the race detector"
status=0
for name in seeds server engine; do
	if [[ -e $work/$name.failed ]]; then
		status=1
		echo "FAILED: $name"
		tail -200 "$work/$name.log"
	fi
done
((status != 0)) || echo 'no failure'
exit "$status"
