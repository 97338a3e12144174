package metrics

import (
	"crypto/tls"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-net/sluice/buffers"
	"github.com/sluice-net/sluice/conn"
	"github.com/sluice-net/sluice/internal/engine"
	"github.com/sluice-net/sluice/internal/reactor"
	"github.com/sluice-net/sluice/server"
)

// family is a metric's name, meaning, labels and kind.
type family struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

const prefix = "sluice_"

func counter(name, help string, labels ...string) family {
	return family{prometheus.NewDesc(prefix+name, help, labels, nil), prometheus.CounterValue}
}

func gauge(name, help string, labels ...string) family {
	return family{prometheus.NewDesc(prefix+name, help, labels, nil), prometheus.GaugeValue}
}

func histogram(name, help string, labels ...string) family {
	return family{prometheus.NewDesc(prefix+name, help, labels, nil), prometheus.UntypedValue} // its metrics are no single values
}

// send panics if the labels aren't those of the family.
func (f family) send(metrics chan<- prometheus.Metric, value float64, labels ...string) {
	metrics <- prometheus.MustNewConstMetric(f.desc, f.kind, value, labels...)
}

// sendDurations is send for a histogram.
func (f family) sendDurations(metrics chan<- prometheus.Metric, d server.Durations, labels ...string) {
	buckets, below := make(map[float64]uint64, len(d.Bounds)), uint64(0)
	for i, bound := range d.Bounds {
		below += d.Counts[i]
		buckets[bound.Seconds()] = below
	}
	metrics <- prometheus.MustNewConstHistogram(f.desc, d.Count(), d.Sum.Seconds(), buckets, labels...)
}

// listenerFigure has the labels server and listener alone.
type listenerFigure struct {
	family
	of func(server.ListenerStats) uint64
}

var listenerFigures = []listenerFigure{
	{
		counter("connections_accepted_total", "Connections that began their life; outgoing ones are counted when the attempt begins.", "server", "listener"),
		func(l server.ListenerStats) uint64 { return l.Accepted },
	},
	{
		counter("received_bytes_total", "Application bytes received.", "server", "listener"),
		func(l server.ListenerStats) uint64 { return l.ReceivedBytes },
	},
	{
		counter("sent_bytes_total", "Application bytes handed to the kernel.", "server", "listener"),
		func(l server.ListenerStats) uint64 { return l.SentBytes },
	},
	{
		counter("reads_total", "Reads that were completed.", "server", "listener"),
		func(l server.ListenerStats) uint64 { return l.Reads },
	},
	{
		counter("writes_total", "System calls that sent something.", "server", "listener"),
		func(l server.ListenerStats) uint64 { return l.Writes },
	},
	{
		counter("callback_panics_total", "Callbacks that panicked; each has closed its connection.", "server", "listener"),
		func(l server.ListenerStats) uint64 { return l.Panics },
	},
	{
		gauge("write_buffered_bytes", "Output that the peers haven't taken yet.", "server", "listener"),
		func(l server.ListenerStats) uint64 { return uint64(max(l.BufferedBytes, 0)) },
	},
	{
		gauge("connections_write_blocked", "Connections whose output has risen above its high watermark and isn't down at the low one.", "server", "listener"),
		func(l server.ListenerStats) uint64 { return uint64(max(l.Blocked, 0)) },
	},
}

// lengths are the histograms with the labels server and listener.
var lengths = []struct {
	family
	of func(server.ListenerStats) server.Durations
}{
	{
		histogram("connection_duration_seconds", "How long connections that have ended were established.", "server", "listener"),
		func(l server.ListenerStats) server.Durations { return l.Lives },
	},
	{
		histogram("callback_duration_seconds", fmt.Sprintf("How long callbacks take: a sample, one in %d.", reactor.SampleEvery), "server", "listener"),
		func(l server.ListenerStats) server.Durations { return l.Calls },
	},
}

// The families that take more than a figure of server.ListenerStats.
var (
	buildInfo = gauge("build_info", "The version of Sluice, its revision if the program is built from its repository, and of Go; always 1.", "version", "revision", "goversion")
	ready     = gauge("ready", "Whether all servers serve: started, not draining, and no event loop has failed.")
	draining  = gauge("draining", "Whether a server is draining.")

	listenerInfo        = gauge("listener_info", "An address that a listener is bound to; always 1.", "server", "listener", "transport", "address")
	connectionsRejected = counter("connections_rejected_total", "Connections that the kernel had accepted and that were refused, by why.", "server", "listener", "reason")
	connectionsClosed   = counter("connections_closed_total", "Connections that ended, by why.", "server", "listener", "reason")
	connectionsOpen     = gauge("connections_open", "Connections that are open: handshaking (also connecting), established, or draining (shut down and not closed yet).", "server", "listener", "state")
	connectionsLimit    = gauge("connections_limit", "The most connections that a listener has open or, without a listener, a server over all of them; +Inf without a limit.", "server", "listener")
	drainPhase          = gauge("drain_phase", "1 for the phase that a server's drain is in, 0 for the others.", "server", "phase")
	acceptErrors        = counter("accept_errors_total", "Failures to accept a connection, by errno.", "server", "listener", "error")
	acceptQueue         = gauge("accept_queue_length", "Connections that wait in the kernel to be accepted; of TCP listeners, while they accept.", "server", "listener")
	acceptQueueLimit    = gauge("accept_queue_limit", "The most connections that the kernel has wait to be accepted; beyond it drops them.", "server", "listener")
	tlsHandshakes       = counter("tls_handshakes_total", "TLS handshakes that succeeded.", "server", "listener", "version", "resumed")
	tlsFailures         = counter("tls_handshake_failures_total", "TLS handshakes that came to nothing, by why.", "server", "listener", "reason")
	tlsLengths          = histogram("tls_handshake_duration_seconds", "How long TLS handshakes took that succeeded.", "server", "listener")
	tlsNotAfter         = gauge("tls_certificate_not_after_timestamp_seconds", "When the first of a listener's certificates expires.", "server", "listener")
	connectionsHeld     = gauge("connections_held", "Connections that are closed, but still referenced by the program.", "server")

	reactorEvents      = counter("reactor_events_total", "Dispatches of an event loop: events, tasks and timers.", "reactor")
	reactorConnections = gauge("reactor_connections", "Connections placed on an event loop.", "reactor")
	reactorTasks       = gauge("reactor_pending_tasks", "Posted tasks that an event loop hasn't run yet.", "reactor")
	reactorBusy        = counter("reactor_busy_seconds_total", "Time that an event loop spent in dispatches, estimated by samples.", "reactor")
	reactorTurns       = histogram("reactor_turn_duration_seconds", "How long dispatches of the event loops take, estimated by samples.")
	timersActive       = gauge("timers_active", "Timers that are set on the event loops: the framework's and the program's.")
	reactorPanics      = counter("reactor_panics_total", "Calls that panicked on the event loops: callbacks, and what was posted.")
	reactorSlow        = counter("reactor_slow_calls_total", "Calls that kept their event loop for so long that the watchdog has reported them.")

	buffersBytes       = gauge("buffers_bytes", "Capacity of the memory blocks in use, and of those in the free lists.", "state")
	buffersOutstanding = gauge("buffers_outstanding_blocks", "Memory blocks in use.")
	buffersGets        = counter("buffers_gets_total", "Memory blocks handed out.")
	buffersMisses      = counter("buffers_misses_total", "Memory blocks that weren't in a pool and had to be allocated.")
	buffersMisuses     = counter("buffers_misuses_total", "Uses of a released buffer, as far as they could be recognised.")
	buffersLeaked      = counter("buffers_leaked_total", "Buffers that were dropped without a release, among those that were followed.")
)

// families are those above.
var families = []family{
	buildInfo, ready, draining,
	listenerInfo, connectionsRejected, connectionsClosed, connectionsOpen, connectionsLimit, connectionsHeld, drainPhase,
	acceptErrors, acceptQueue, acceptQueueLimit,
	tlsHandshakes, tlsFailures, tlsLengths, tlsNotAfter,
	reactorEvents, reactorConnections, reactorTasks, reactorBusy, reactorTurns, timersActive, reactorPanics, reactorSlow,
	buffersBytes, buffersOutstanding, buffersGets, buffersMisses, buffersMisuses, buffersLeaked,
}

func sendProcess(metrics chan<- prometheus.Metric, all []sight) {
	version, revision := build()
	buildInfo.send(metrics, 1, version, revision, runtime.Version())
	ready.send(metrics, truth(allReady(all)))
	draining.send(metrics, truth(slices.ContainsFunc(all, func(s sight) bool { return s.stats.State == stateDraining })))
}

// allReady is what /readyz says as well. Nothing isn't ready.
func allReady(all []sight) bool {
	return len(all) > 0 && !slices.ContainsFunc(all, func(s sight) bool { return !s.ready })
}

func sendServer(metrics chan<- prometheus.Metric, s sight) {
	connectionsLimit.send(metrics, limit(s.stats.Limit), s.name, "")
	connectionsHeld.send(metrics, float64(s.stats.Held), s.name)
	for p := server.DrainNone; p <= server.DrainOver; p++ {
		drainPhase.send(metrics, truth(s.stats.Drain.Phase == p), s.name, p.String())
	}
	for name, l := range s.stats.Listeners {
		name := label(name)
		for _, f := range listenerFigures {
			f.send(metrics, float64(f.of(l)), s.name, name)
		}
		connectionsLimit.send(metrics, limit(l.Limit), s.name, name)
		for r, n := range l.Rejected {
			connectionsRejected.send(metrics, float64(n), s.name, name, r.String())
		}
		for _, f := range lengths {
			f.sendDurations(metrics, f.of(l), s.name, name)
		}
		for r := conn.ReasonNone + 1; int(r) < engine.Reasons; r++ {
			connectionsClosed.send(metrics, float64(l.Closed[r]), s.name, name, r.String())
		}
		for errno, n := range l.AcceptErrnos {
			acceptErrors.send(metrics, float64(n), s.name, name, errno)
		}
		for phase, n := range map[engine.Phase]int{
			engine.PhaseHandshaking: l.Handshaking, engine.PhaseEstablished: l.Established, engine.PhaseDraining: l.Draining,
		} {
			connectionsOpen.send(metrics, float64(n), s.name, name, phase.String())
		}
		if l.Queue.Known {
			acceptQueue.send(metrics, float64(l.Queue.Length), s.name, name)
			acceptQueueLimit.send(metrics, float64(l.Queue.Limit), s.name, name)
		}
		if l.TLS != nil {
			sendTLS(metrics, *l.TLS, s.name, name)
		}
	}
	for name, bound := range s.server.Addrs() {
		// With ReusePort the sockets share an address.
		slices.SortFunc(bound, func(a, b conn.Addr) int { return strings.Compare(a.String(), b.String()) })
		for _, a := range slices.Compact(bound) {
			listenerInfo.send(metrics, 1, s.name, label(name), s.stats.Listeners[name].Transport, label(a.String()))
		}
	}
}

func sendTLS(metrics chan<- prometheus.Metric, t server.TLSStats, labels ...string) {
	for kind, n := range t.Handshakes {
		version := strings.TrimPrefix(tls.VersionName(kind.Version), "TLS ")
		tlsHandshakes.send(metrics, float64(n), slices.Concat(labels, []string{version, strconv.FormatBool(kind.Resumed)})...)
	}
	for why, n := range t.Failures {
		tlsFailures.send(metrics, float64(n), slices.Concat(labels, []string{why.String()})...)
	}
	tlsLengths.sendDurations(metrics, t.Lengths, labels...)
	if !t.NotAfter.IsZero() {
		tlsNotAfter.send(metrics, float64(t.NotAfter.Unix()), labels...)
	}
}

// sendLoops sends each loop once, whichever servers are on it.
func sendLoops(metrics chan<- prometheus.Metric, all []sight) {
	var panics, slow uint64
	var timers int64
	turns := reactor.NewHistogram(reactor.CallBounds).Durations()
	sent := map[*loops]bool{}
	for _, s := range all {
		if s.loops == nil || sent[s.loops] || len(s.stats.Reactors) == 0 {
			continue
		}
		sent[s.loops] = true
		panics += s.stats.Panics
		slow += s.stats.Slow
		for i, r := range s.stats.Reactors {
			number := strconv.Itoa(s.loops.first + i)
			reactorEvents.send(metrics, float64(r.Events), number)
			reactorConnections.send(metrics, float64(r.Connections), number)
			reactorTasks.send(metrics, float64(r.Posts), number)
			reactorBusy.send(metrics, r.Busy.Seconds(), number)
			timers += r.Timers
			turns = turns.Plus(r.Turns)
		}
	}
	timersActive.send(metrics, float64(timers))
	reactorTurns.sendDurations(metrics, turns)
	reactorPanics.send(metrics, float64(panics))
	reactorSlow.send(metrics, float64(slow))
}

// sendBuffers sums over the Allocators, each of which may serve several servers.
func sendBuffers(metrics chan<- prometheus.Metric, all []sight) {
	var sum buffers.Stats
	seen := map[*buffers.Allocator]bool{}
	for _, s := range all {
		a := s.server.Allocator()
		if seen[a] {
			continue
		}
		seen[a] = true
		b := s.stats.Buffers
		sum.Gets += b.Gets
		sum.Misses += b.Misses
		sum.Outstanding += b.Outstanding
		sum.InUse += b.InUse
		sum.Pooled += b.Pooled
		sum.Misuses += b.Misuses
		sum.Leaked += b.Leaked
	}
	// While blocks move between loops, one may be seen given back before it's seen
	// handed out.
	buffersBytes.send(metrics, float64(max(sum.InUse, 0)), "in_use")
	buffersBytes.send(metrics, float64(max(sum.Pooled, 0)), "pooled")
	buffersOutstanding.send(metrics, float64(max(sum.Outstanding, 0)))
	buffersGets.send(metrics, float64(sum.Gets))
	buffersMisses.send(metrics, float64(sum.Misses))
	buffersMisuses.send(metrics, float64(sum.Misuses))
	buffersLeaked.send(metrics, float64(sum.Leaked))
}

// limit is one of connections: infinite if there's none, so that open/limit is 0 then.
func limit(n int) float64 {
	if n == 0 {
		return math.Inf(1)
	}
	return float64(n)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

const (
	module  = "github.com/sluice-net/sluice"
	unknown = "unknown"
)

// build is Sluice's version and revision, which don't change while the process runs.
var build = sync.OnceValues(func() (version, revision string) { return versionIn(debug.ReadBuildInfo()) })

// versionIn reads a program's build information. The revision in it is the main
// module's.
func versionIn(info *debug.BuildInfo, ok bool) (version, revision string) {
	version, revision = unknown, unknown
	if !ok {
		return version, revision
	}
	if info.Main.Path != module {
		for _, m := range info.Deps {
			if m.Path == module {
				version = m.Version
			}
		}
		return version, revision
	}
	if info.Main.Version != "" {
		version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			revision = s.Value
		}
	}
	return version, revision
}
