package result

import "time"

// Version is the version of the format that this package writes.
const Version = 1

// A Result is one run, of one process or merged from several.
type Result struct {
	Version int       `json:"version"`
	Started time.Time `json:"started"` // when the load began; intervals count from here
	Ended   time.Time `json:"ended"`

	Command []string `json:"command"` // the command line
	Targets []string `json:"targets"` // URLs
	Load    Load     `json:"load"`

	// Clients are the processes that made the load, in the order of merging.
	Clients []Client `json:"clients"`

	// Intervals are in the order of their starts.
	Intervals []Interval `json:"intervals"`

	// Examples has the first error of each kind. How many there were is in the intervals.
	Examples map[ErrorKind]Example `json:"examples,omitempty"`

	// Stopped says that the run was ended early, by a person or a signal.
	Stopped bool `json:"stopped,omitempty"`

	// Objectives are those of the run, with what became of them.
	Objectives []Verdict `json:"objectives,omitempty"`
}

// A Client is a process that made load, and what limited it.
type Client struct {
	Host       string `json:"host"`
	OS         string `json:"os"`
	Arch       string `json:"arch"`
	Go         string `json:"go"`
	Processors int    `json:"processors"` // that Go code runs on at a time: GOMAXPROCS

	DescriptorLimit int `json:"descriptor_limit,omitempty"` // 0: unknown

	// Saturated says why the figures are the client's and not the server's. Empty: they
	// aren't.
	Saturated []Saturation `json:"saturated,omitempty"`
}

// Saturation is a limit that the client itself has met.
type Saturation struct {
	Reason SaturationReason `json:"reason"`
	Detail string           `json:"detail"` // what was seen, and what to do about it
}

// SaturationReason names a limit of the client.
type SaturationReason string

// The reasons.
const (
	ScheduleLag SaturationReason = "schedule_lag" // the client did late what it had to do
	CPU         SaturationReason = "cpu"          // all processors of the client were busy
	Starved     SaturationReason = "starved"      // other processes had the client's processors
	Descriptors SaturationReason = "descriptors"
	Ports       SaturationReason = "ports"
)

// Valid reports whether no client has been saturated.
func (r *Result) Valid() bool {
	for _, c := range r.Clients {
		if len(c.Saturated) > 0 {
			return false
		}
	}
	return true
}

// An Example is the first error of its kind.
type Example struct {
	At   time.Duration `json:"at_ns"` // since the start
	Text string        `json:"text"`
}
