package compare

import (
	"fmt"
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

// differences are what was asked for in one run and not in the other.
func differences(a, b *result.Result) []string {
	var all []string
	differ := func(name string, a, b any) {
		if a != b {
			all = append(all, fmt.Sprintf("%s %v and %v", name, orNone(a), orNone(b)))
		}
	}
	x, y := a.Load, b.Load
	differ("mode", x.Mode, y.Mode)
	differ("connections", x.Connections, y.Connections)
	differ("in flight", x.InFlight, y.InFlight)
	differ("rate", x.Rate, y.Rate)
	differ("arrival", x.Arrival, y.Arrival)
	differ("sizes", x.Sizes, y.Sizes)
	differ("codec", x.Codec, y.Codec)
	differ("verified", x.Verified, y.Verified)
	differ("transport", strings.Join(schemes(a), "+"), strings.Join(schemes(b), "+"))
	if len(all) > 0 {
		return all
	}
	differ("command line", strings.Join(loadWords(a.Command), " "), strings.Join(loadWords(b.Command), " "))
	return all
}

func orNone(v any) any {
	if v == "" {
		return "none"
	}
	return v
}

func schemes(r *result.Result) []string {
	var all []string
	for _, t := range r.Targets {
		scheme, _, _ := strings.Cut(t, ":")
		if !slices.Contains(all, scheme) {
			all = append(all, scheme)
		}
	}
	slices.Sort(all)
	return all
}

// elsewhere are the flags that change nothing about the load: where results go, when it
// begins, what is wanted of it. Those with true have a value.
var elsewhere = map[string]bool{
	"json": true, "csv": true, "hdr": true, "html": true, "metrics": true,
	"slo": true, "start-at": true, "seed": true, "quiet": false, "q": false,
}

// loadWords are the parts of a command line that make its load, sorted. The targets aren't
// among them: two builds often listen beside each other.
func loadWords(command []string) []string {
	var words []string
	for i := 1; i < len(command); i++ {
		word := command[i]
		flag, _, joined := strings.Cut(strings.TrimLeft(word, "-"), "=")
		hasValue, skip := elsewhere[flag]
		switch {
		case strings.HasPrefix(word, "-") && skip:
			if hasValue && !joined {
				i++
			}
		case strings.HasPrefix(word, "-") && !joined && i+1 < len(command) && !strings.HasPrefix(command[i+1], "-") && !isURL(command[i+1]):
			words = append(words, word+"="+command[i+1])
			i++
		case !isURL(word):
			words = append(words, word)
		}
	}
	slices.Sort(words)
	return words
}

func isURL(word string) bool { return !strings.HasPrefix(word, "-") && strings.Contains(word, "://") }
