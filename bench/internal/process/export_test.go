//go:build linux

package process

var (
	ParseStat   = parseStat
	ParseStatus = parseStatus
)
