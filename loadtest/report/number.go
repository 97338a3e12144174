package report

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// space keeps a number and its unit on one line.
const space = "\u00a0"

// timeUnits are the units of a time, the largest first.
var timeUnits = []struct {
	name string
	size float64
}{
	{"s", float64(time.Second)},
	{"ms", float64(time.Millisecond)},
	{"µs", float64(time.Microsecond)},
	{"ns", 1},
}

// duration is a measured time to three digits: 45.2 µs.
func duration(d time.Duration) string {
	for _, u := range timeUnits {
		if v := float64(d) / u.size; v >= 0.9995 && u.size > 1 {
			return digits(v, 3) + space + u.name
		}
	}
	return count(uint64(max(d, 0))) + space + "ns" // which has no parts
}

// tickDuration is a round time on an axis: 200 µs.
func tickDuration(ns float64) string {
	for _, u := range timeUnits {
		if v := ns / u.size; v >= 0.9995 || u.size == 1 {
			return strconv.FormatFloat(v, 'g', 4, 64) + space + u.name
		}
	}
	return ""
}

// digits has so many significant ones, but never fewer than the whole number has.
func digits(v float64, significant int) string {
	if v == 0 {
		return "0"
	}
	after := func() int { return max(significant-1-int(math.Floor(math.Log10(math.Abs(v)))), 0) }
	power := math.Pow10(after())
	v = math.Round(v*power) / power // 9.999 is 10.0 and not 10.00
	text := strconv.FormatFloat(v, 'f', after(), 64)
	whole, part, fraction := strings.Cut(text, ".")
	if !fraction {
		return grouped(whole)
	}
	return grouped(whole) + "." + part
}

// count is a whole number: 1,234,567.
func count[N int | uint64](n N) string { return grouped(strconv.FormatUint(uint64(n), 10)) }

func grouped(whole string) string {
	sign := ""
	if rest, negative := strings.CutPrefix(whole, "-"); negative {
		sign, whole = "−", rest
	}
	for at := len(whole) - 3; at > 0; at -= 3 {
		whole = whole[:at] + "," + whole[at:]
	}
	return sign + whole
}

// rate is a number per second; small ones have digits after the point.
func rate(perSecond float64) string {
	if perSecond >= 100 {
		return digits(math.Round(perSecond), 1)
	}
	return digits(perSecond, 3)
}

// scaled is a large number in short: 12.5 M. Axes have it.
func scaled(v float64) string {
	for _, u := range []struct {
		name string
		size float64
	}{{"G", 1e9}, {"M", 1e6}, {"k", 1e3}} {
		if v >= u.size {
			return strconv.FormatFloat(v/u.size, 'g', 4, 64) + space + u.name
		}
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}

// bytesRate is bytes per second, in decimal units.
func bytesRate(v float64) string {
	for _, u := range []struct {
		name string
		size float64
	}{{"GB/s", 1e9}, {"MB/s", 1e6}, {"kB/s", 1e3}} {
		if v >= 0.9995*u.size {
			return digits(v/u.size, 3) + space + u.name
		}
	}
	return digits(math.Round(v), 1) + space + "B/s"
}

// percent is a part of 1: 0.012 %.
func percent(part float64) string {
	if part > 0.1 {
		return digits(100*part, 3) + space + "%"
	}
	return digits(100*part, 2) + space + "%"
}

// span is a length of time as people say it: 1 min 30 s.
func span(d time.Duration) string {
	if d < time.Minute {
		if d = d.Round(100 * time.Millisecond); d%time.Second == 0 {
			return count(int(d/time.Second)) + space + "s"
		}
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + space + "s"
	}
	d = d.Round(time.Second)
	var words []string
	for _, u := range []struct {
		name string
		size time.Duration
	}{{"h", time.Hour}, {"min", time.Minute}, {"s", time.Second}} {
		if n := d / u.size; n > 0 {
			words = append(words, count(int(n))+space+u.name)
			d %= u.size
		}
	}
	return strings.Join(words, " ")
}
