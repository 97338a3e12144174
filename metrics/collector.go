package metrics

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-net/sluice/server"
)

// Collector is a prometheus.Collector over servers. The zero value has none.
type Collector struct {
	// Guarded by mu.
	mu      sync.Mutex
	servers []*server.Server
	loops   []*loops // of servers that have started; those of a shared Mux once
}

var _ prometheus.Collector = (*Collector)(nil)

// NewCollector makes a Collector with these servers; see Add. They may be started
// before or afterwards.
func NewCollector(servers ...*server.Server) (*Collector, error) {
	c := new(Collector)
	for _, s := range servers {
		if err := c.Add(s); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Add has a server collected from now on. The label server is its Config.Name, or
// "default" without one; it's an error if there's another of that name.
func (c *Collector) Add(s *server.Server) error {
	if s == nil {
		return errors.New("metrics: the server is nil: add what server.New returned")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.servers {
		if nameOf(other) == nameOf(s) {
			return fmt.Errorf("metrics: two servers are named %q: give them different names in server.Config.Name", nameOf(s))
		}
	}
	c.servers = append(c.servers, s)
	return nil
}

// Remove forgets a server, such as one that has ended and makes way for its successor.
// Its share of the sums over Muxes and Allocators goes with it, which looks like a
// restart to Prometheus. A server that isn't there is no error.
func (c *Collector) Remove(s *server.Server) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.servers = slices.DeleteFunc(c.servers, func(other *server.Server) bool { return other == s })
	c.loops = slices.DeleteFunc(c.loops, func(l *loops) bool {
		return !slices.ContainsFunc(c.servers, func(s *server.Server) bool { return s.Mux() == l.mux })
	})
}

// unnamed is the label of a server without a name: an empty one would be no label.
const unnamed = "default"

func nameOf(s *server.Server) string {
	if s.Name() == "" {
		return unnamed
	}
	return label(s.Name())
}

// label makes any text a label value, which must be UTF-8; the path of a socket needn't
// be.
func label(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	return strconv.Quote(text)
}

// The states in server.Stats.
const (
	stateNew      = "new"
	stateRunning  = "running"
	stateDraining = "draining"
	stateStopped  = "stopped"
)

// sight is one server as a scrape or a probe sees it.
type sight struct {
	server *server.Server
	name   string
	stats  server.Stats
	ready  bool
	loops  *loops // nil: not started
}

// look takes a look at all servers, in the order in which they were added.
func (c *Collector) look() []sight {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]sight, 0, len(c.servers))
	for _, s := range c.servers {
		one := sight{server: s, name: nameOf(s), ready: s.Ready(), stats: s.Stats()}
		if one.stats.State != stateNew {
			one.loops = c.loopsLocked(s.Mux())
		}
		all = append(all, one)
	}
	return all
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, f := range listenerFigures {
		descs <- f.desc
	}
	for _, f := range lengths {
		descs <- f.desc
	}
	for _, f := range families {
		descs <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	all := c.look()
	sendProcess(metrics, all)
	for _, s := range all {
		sendServer(metrics, s)
	}
	sendLoops(metrics, all)
	sendBuffers(metrics, all)
}
