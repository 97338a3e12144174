package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/sluice-net/sluice/loadtest/compare"
)

// compareCommand is loadtest compare.
type compareCommand struct {
	A string `arg:"" name:"a" help:"The result in JSON to compare with."`
	B string `arg:"" name:"b" help:"The result in JSON that is compared."`

	Threshold part `default:"5%" help:"How much worse B may be before the exit code is 5; of A's figure." placeholder:"PART"`
	Force     bool `help:"Compare runs although their loads differ. Invalid runs are never compared."`
	JSON      bool `name:"json" help:"Write JSON instead of a table."`
}

// part is a flag such as 5% or 0.05.
type part float64

// UnmarshalText is called by kong.
func (v *part) UnmarshalText(text []byte) error {
	digits, percent := strings.CutSuffix(string(text), "%")
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(n >= 0) { // NaN is neither
		return fmt.Errorf("%q: want a part such as 5%% or 0.05", text)
	}
	if percent {
		n /= 100
	}
	*v = part(n)
	return nil
}

// Run implements the command.
func (c *compareCommand) Run(p process) error {
	a, err := readResult(c.A)
	if err != nil {
		return err
	}
	b, err := readResult(c.B)
	if err != nil {
		return err
	}
	found := compare.Compare(a, b, compare.Options{Threshold: float64(c.Threshold), Force: c.Force})
	if c.JSON {
		err = json.NewEncoder(p.stdout).Encode(found)
	} else {
		err = found.WriteTable(p.stdout)
	}
	switch worse := found.Worse(); {
	case err != nil:
		return err
	case len(worse) > 0:
		return &exit{exitWorse, fmt.Errorf("%s is worse than %s: %s", c.B, c.A, strings.Join(worse, ", "))}
	case len(found.Refused) > 0:
		return &exit{exitSaturated, fmt.Errorf("can't compare: %s", strings.Join(found.Refused, "; "))}
	}
	return nil
}
