package result

import (
	"encoding/csv"
	"io"
	"slices"
	"strconv"
	"strings"
)

// csvPercentiles are the columns that each metric has, with the longest.
var csvPercentiles = []struct {
	name string
	p    float64
}{{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}}

// WriteCSV writes a row for each interval. Times are in nanoseconds. Errors are in one column
// as kind=count, separated by blanks. A metric that didn't occur leaves its columns empty.
func WriteCSV(w io.Writer, r *Result) error {
	c := csv.NewWriter(w)
	head := []string{"phase", "start_ns", "length_ns", "planned", "sent", "received", "bytes_sent", "bytes_received",
		"connected", "closed", "open", "client_cpu_ns", "errors"}
	for _, m := range Metrics {
		head = append(head, string(m)+"_count")
		for _, p := range csvPercentiles {
			head = append(head, string(m)+"_"+p.name+"_ns")
		}
		head = append(head, string(m)+"_max_ns")
	}
	if err := c.Write(head); err != nil {
		return err
	}
	for _, i := range r.Intervals {
		if err := c.Write(csvRow(i)); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func csvRow(i Interval) []string {
	row := []string{string(i.Phase), strconv.FormatInt(int64(i.Start), 10), strconv.FormatInt(int64(i.Length), 10)}
	for _, n := range []uint64{i.Planned, i.Sent, i.Received, i.BytesSent, i.BytesReceived, i.Connected, i.Closed, i.Open, uint64(i.ClientCPU)} {
		row = append(row, strconv.FormatUint(n, 10))
	}
	row = append(row, joinErrors(i.Errors))
	var before *Histogram // of which the cells are
	var cells []string
	for _, m := range Metrics {
		if h := i.Histograms[m]; cells == nil || !h.equal(before) {
			before, cells = h, csvCells(h.Expand())
		}
		row = append(row, cells...)
	}
	return row
}

func csvCells(h *Histogram) []string {
	if h.Count() == 0 {
		return make([]string, len(csvPercentiles)+2)
	}
	cells := []string{strconv.FormatUint(h.Count(), 10)}
	for _, p := range csvPercentiles {
		cells = append(cells, strconv.FormatInt(int64(h.Percentile(p.p)), 10))
	}
	return append(cells, strconv.FormatInt(int64(h.Max()), 10))
}

func joinErrors(errs map[ErrorKind]uint64) string {
	words := make([]string, 0, len(errs))
	for kind, n := range errs {
		words = append(words, string(kind)+"="+strconv.FormatUint(n, 10))
	}
	slices.Sort(words)
	return strings.Join(words, " ")
}
