package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// What is written here has the same digits as in the report (loadtest/report, number.go), and
// goes on to the next unit where those round up to it.

// duration writes a time with three digits: 1.23ms.
func duration(d time.Duration) string {
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{time.Second, "s"}, {time.Millisecond, "ms"}, {time.Microsecond, "µs"}} {
		if v := float64(d) / float64(unit.size); v >= roundsUp {
			return digits(v) + unit.name
		}
	}
	return strconv.FormatInt(int64(d), 10) + "ns"
}

// roundsUp is from where three digits make 1.00.
const roundsUp = 0.9995

// digits writes three of them, or all before the point.
func digits(x float64) string {
	if x == 0 {
		return "0"
	}
	after := func() int { return max(2-int(math.Floor(math.Log10(x))), 0) }
	power := math.Pow10(after())
	x = math.Round(x*power) / power // 9.999 is 10.0 and not 10.00
	return strconv.FormatFloat(x, 'f', after(), 64)
}

// count writes a number with commas between thousands.
func count(n uint64) string {
	text := strconv.FormatUint(n, 10)
	var b strings.Builder
	for i, digit := range text {
		if i > 0 && (len(text)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// rate writes a number per second.
func rate(perSecond float64) string {
	if perSecond < 100 {
		return digits(perSecond) + "/s"
	}
	return count(uint64(perSecond+0.5)) + "/s"
}

// throughput writes bytes per second.
func throughput(perSecond float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "GB/s"}, {1e6, "MB/s"}, {1e3, "kB/s"}} {
		if perSecond >= roundsUp*unit.size {
			return digits(perSecond/unit.size) + " " + unit.name
		}
	}
	return fmt.Sprintf("%.0f B/s", perSecond)
}

// sparks are the heights of a sparkline.
var sparks = []rune("▁▂▃▄▅▆▇█")

// sparkline draws values from 0 up.
func sparkline(values []float64) string {
	var most float64
	for _, v := range values {
		most = max(most, v)
	}
	line := make([]rune, len(values))
	for i, v := range values {
		line[i] = sparks[0]
		if most > 0 {
			line[i] = sparks[int(v/most*float64(len(sparks)-1)+0.5)]
		}
	}
	return string(line)
}
