package result

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Load is what was asked for. Of merged results the numbers are sums.
type Load struct {
	Mode        Mode          `json:"mode"`
	Connections int           `json:"connections"`
	ConnectRate float64       `json:"connect_rate,omitempty"` // per second, at the beginning; 0: all at once
	InFlight    int           `json:"in_flight"`              // on each connection, at most
	Rate        float64       `json:"rate,omitempty"`         // messages per second, of an open loop
	Arrival     string        `json:"arrival,omitempty"`      // "constant" or "poisson", of an open loop
	Think       time.Duration `json:"think_ns,omitempty"`     // between a reply and the next message
	Lifetime    time.Duration `json:"lifetime_ns,omitempty"`  // of a connection; 0: the run's
	Churn       uint64        `json:"churn,omitempty"`        // messages of a connection; 0: no limit
	Resume      float64       `json:"resume,omitempty"`       // part of the TLS connections that resume a session
	Timeout     time.Duration `json:"timeout_ns,omitempty"`   // of connections and replies; 0: unknown
	Sizes       string        `json:"sizes"`                  // as on the command line
	Codec       string        `json:"codec"`
	Verified    bool          `json:"verified"`
	Interval    time.Duration `json:"interval_ns"`

	// Hostile is how many clients misbehaved beside those that were measured, by kind.
	Hostile map[string]uint64 `json:"hostile,omitempty"`
}

// Mode is how the load is paced.
type Mode string

// The modes.
const (
	ClosedLoop Mode = "closed" // the next message waits for a reply
	OpenLoop   Mode = "open"   // messages have planned times
)

// A Difference is something that was asked for in one load and not in another.
type Difference struct {
	Field LoadField
	A, B  string
}

// String is such as "connections 10 and 20".
func (d Difference) String() string { return fmt.Sprintf("%s %s and %s", d.Field, d.A, d.B) }

// LoadField names what loads differ in, in people's words.
type LoadField string

// The fields of a [Load]. How long the intervals are is none of them: the server doesn't see
// it.
const (
	FieldMode        LoadField = "mode"
	FieldConnections LoadField = "connections"
	FieldConnectRate LoadField = "connect rate"
	FieldInFlight    LoadField = "in flight"
	FieldRate        LoadField = "rate"
	FieldArrival     LoadField = "arrival"
	FieldThink       LoadField = "think time"
	FieldLifetime    LoadField = "lifetime"
	FieldChurn       LoadField = "churn"
	FieldResume      LoadField = "resumption"
	FieldTimeout     LoadField = "timeout"
	FieldSizes       LoadField = "sizes"
	FieldCodec       LoadField = "codec"
	FieldVerified    LoadField = "verified"
	FieldHostile     LoadField = "hostile clients"
)

// Differences are what the loads differ in, in the order of the fields.
func (l Load) Differences(o Load) []Difference {
	var all []Difference
	differ := func(field LoadField, a, b any) {
		if x, y := fmt.Sprint(a), fmt.Sprint(b); x != y {
			all = append(all, Difference{field, orNone(x), orNone(y)})
		}
	}
	differ(FieldMode, l.Mode, o.Mode)
	differ(FieldConnections, l.Connections, o.Connections)
	differ(FieldConnectRate, number(l.ConnectRate), number(o.ConnectRate))
	differ(FieldInFlight, l.InFlight, o.InFlight)
	differ(FieldRate, number(l.Rate), number(o.Rate))
	differ(FieldArrival, l.Arrival, o.Arrival)
	differ(FieldThink, l.Think, o.Think)
	differ(FieldLifetime, l.Lifetime, o.Lifetime)
	differ(FieldChurn, l.Churn, o.Churn)
	differ(FieldResume, number(l.Resume), number(o.Resume))
	if l.Timeout != 0 && o.Timeout != 0 {
		differ(FieldTimeout, l.Timeout, o.Timeout)
	}
	differ(FieldSizes, l.Sizes, o.Sizes)
	differ(FieldCodec, l.Codec, o.Codec)
	differ(FieldVerified, l.Verified, o.Verified)
	differ(FieldHostile, numbers(l.Hostile), numbers(o.Hostile))
	return all
}

// number has nine digits: the last ones of a rate that was shared out to processes and summed
// up again may be others.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 9, 64) }

// numbers are such as "reset=10,slowloris=50", as on the command line.
func numbers(hostile map[string]uint64) string {
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(hostile)) {
		if n := hostile[kind]; n > 0 {
			words = append(words, fmt.Sprintf("%s=%d", kind, n))
		}
	}
	return strings.Join(words, ",")
}

func orNone(text string) string {
	if text == "" || text == "0" || text == "0s" {
		return "none"
	}
	return text
}
