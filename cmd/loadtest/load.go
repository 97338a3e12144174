package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-net/sluice/loadtest"
	"github.com/sluice-net/sluice/loadtest/result"
)

// load is what the flags ask for. Its errors name the flag.
func (c *runCommand) load() (loadtest.Load, error) {
	l := loadtest.Load{
		Connections: c.Connections,
		ConnectRate: c.ConnectRate,
		InFlight:    c.InFlight,
		Rate:        c.Rate,
		Poisson:     c.Arrival == "poisson",
		Think:       c.Think,
		Lifetime:    c.Lifetime,
		Churn:       c.Churn,
		WarmUp:      c.WarmUp,
		Duration:    c.Duration,
		Messages:    c.Messages,
		Timeout:     c.Timeout,
		Interval:    c.Interval,
		MaxLag:      c.MaxLag,
		Resume:      c.TLSResume,
		Seed:        c.Seed,
		Unverified:  !c.Verify,
	}
	for _, step := range []struct {
		flag string
		set  func(*loadtest.Load) error
	}{
		{"URL", c.setTargets},
		{"--size", c.setSizes},
		{"--codec", c.setCodec},
		{"--source", c.setSources},
		{"--hostile", c.setHostile},
		{"--tls", c.setTLS},
		{"--start-at", c.setStart},
	} {
		if err := step.set(&l); err != nil {
			return l, fmt.Errorf("%s: %w", step.flag, err)
		}
	}
	if c.Connections < 1 {
		return l, fmt.Errorf("--connections %d: want at least 1", c.Connections)
	}
	if c.Interval == 0 {
		return l, errors.New("--interval 0s: want at least 1ms")
	}
	if c.Procs < 1 || c.Procs > c.Connections {
		return l, fmt.Errorf("--procs %d: want at least 1, and no more than the %d of --connections", c.Procs, c.Connections)
	}
	return l, c.takePart(&l)
}

func (c *runCommand) setTargets(l *loadtest.Load) error {
	for _, url := range c.URL {
		t, err := loadtest.ParseTarget(url)
		if err != nil {
			return err
		}
		l.Targets = append(l.Targets, t)
	}
	return nil
}

func (c *runCommand) setSizes(l *loadtest.Load) (err error) {
	if c.SizeFile == "" {
		l.Sizes, err = loadtest.ParseSizes(c.Size)
		return err
	}
	f, err := os.Open(c.SizeFile)
	if err != nil {
		return err
	}
	defer f.Close()
	l.Sizes, err = loadtest.ReadSizes(f)
	return err
}

func (c *runCommand) setCodec(l *loadtest.Load) error {
	if c.Script != "" {
		f, err := os.Open(c.Script)
		if err != nil {
			return err
		}
		defer f.Close()
		l.Codec, err = loadtest.ReadScript(f, c.Verify)
		return err
	}
	binary, text := loadtest.Binary, loadtest.Text
	if !c.Verify {
		binary, text = loadtest.Constant, loadtest.Constant
	}
	switch c.Codec {
	case "echo":
		l.Codec = loadtest.Echo{Payload: binary}
	case "text":
		l.Codec = loadtest.Echo{Payload: text}
	case "line":
		l.Codec = loadtest.Line{Payload: text}
	default: // length and the digit of the prefix
		digit, little := strings.CutSuffix(strings.TrimPrefix(c.Codec, "length"), "le")
		n, err := strconv.Atoi(digit)
		if err != nil {
			return err
		}
		l.Codec = loadtest.LengthPrefixed{Payload: binary, Bytes: n, LittleEndian: little}
	}
	return nil
}

func (c *runCommand) setSources(l *loadtest.Load) (err error) {
	if c.Source != "" {
		l.Sources, err = loadtest.ParseSources(c.Source)
	}
	return err
}

func (c *runCommand) setHostile(l *loadtest.Load) (err error) {
	if c.Hostile != "" {
		l.Hostile, err = loadtest.ParseHostile(c.Hostile)
	}
	return err
}

func (c *runCommand) setTLS(l *loadtest.Load) error {
	config := &tls.Config{
		ServerName:         c.TLSSNI,
		NextProtos:         c.TLSALPN,
		InsecureSkipVerify: c.TLSInsecure,
	}
	if c.TLSCA != "" {
		pem, err := os.ReadFile(c.TLSCA)
		if err != nil {
			return err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s: no certificate is in it: want PEM", c.TLSCA)
		}
	}
	if c.TLSCert != "" {
		key := c.TLSKey
		if key == "" {
			key = c.TLSCert
		}
		pair, err := tls.LoadX509KeyPair(c.TLSCert, key)
		if err != nil {
			return err
		}
		config.Certificates = []tls.Certificate{pair}
	} else if c.TLSKey != "" {
		return errors.New("a --tls-key needs its --tls-cert")
	}
	l.TLS = config
	return nil
}

// setStart reads a time of day as the next one that comes.
func (c *runCommand) setStart(l *loadtest.Load) error {
	if c.StartAt == "" {
		return nil
	}
	if at, err := time.Parse(time.RFC3339Nano, c.StartAt); err == nil {
		l.StartAt = at
		return nil
	}
	clock, err := time.ParseInLocation("15:04:05", c.StartAt, time.Local)
	if err != nil {
		return fmt.Errorf("%q: want a time such as 15:04:05 or 2006-01-02T15:04:05Z", c.StartAt)
	}
	now := time.Now()
	l.StartAt = time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), clock.Second(), 0, time.Local)
	if l.StartAt.Before(now) {
		l.StartAt = l.StartAt.AddDate(0, 0, 1)
	}
	return nil
}

// objectives reads --slo.
func (c *runCommand) objectives() ([]result.Objective, error) {
	var all []result.Objective
	for _, text := range c.SLO {
		some, err := result.ParseObjectives(text)
		if err != nil {
			return nil, fmt.Errorf("--slo: %w", err)
		}
		all = append(all, some...)
	}
	return all, nil
}
