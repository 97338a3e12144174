package compare

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-net/sluice/loadtest/result"
)

// refusals are the reasons not to compare two runs.
func refusals(a, b *result.Result, force bool) []string {
	var why []string
	for _, s := range []struct {
		name string
		r    *result.Result
	}{{"A", a}, {"B", b}} {
		if reasons := saturations(s.r); len(reasons) > 0 {
			why = append(why, fmt.Sprintf("%s is an invalid run: its client was saturated (%s)", s.name, strings.Join(reasons, ", ")))
		}
	}
	if force {
		return why
	}
	if different := differences(a, b); len(different) > 0 {
		why = append(why, "the loads differ: "+strings.Join(different, ", "))
	}
	return why
}

func saturations(r *result.Result) []string {
	var reasons []string
	for _, c := range r.Clients {
		for _, s := range c.Saturated {
			if !slices.Contains(reasons, string(s.Reason)) {
				reasons = append(reasons, string(s.Reason))
			}
		}
	}
	return reasons
}

// differences are what was asked for in one run and not in the other, as far as a server
// sees it. Where it listened, how long the run was and where its figures went are the
// caller's: two builds often listen beside each other.
func differences(a, b *result.Result) []string {
	var all []string
	for _, d := range a.Load.Differences(b.Load) {
		all = append(all, d.String())
	}
	if x, y := schemes(a), schemes(b); x != y {
		all = append(all, fmt.Sprintf("transport %s and %s", x, y))
	}
	return all
}

// schemes are such as "tcp+tls".
func schemes(r *result.Result) string {
	var all []string
	for _, t := range r.Targets {
		scheme, _, _ := strings.Cut(t, ":")
		if !slices.Contains(all, scheme) {
			all = append(all, scheme)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "+")
}

// warnings are what may be the cause of a change beside the server: a client of another kind
// is as much of a difference as another build. The host's name isn't: containers have random
// ones.
func warnings(a, b *result.Result) []string {
	if x, y := clients(a), clients(b); x != y {
		return []string{fmt.Sprintf("the clients differ: %s and %s", x, y)}
	}
	return nil
}

// clients are such as "2 of linux/amd64, go1.26, 4 processors".
func clients(r *result.Result) string {
	number := map[string]int{}
	for _, c := range r.Clients {
		number[fmt.Sprintf("%s/%s, %s, %d processors", c.OS, c.Arch, c.Go, c.Processors)]++
	}
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(number)) {
		words = append(words, fmt.Sprintf("%d of %s", number[kind], kind))
	}
	return strings.Join(words, " and ")
}
