package secure

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Reload reads all files again, of certificates (also those that were set), of authorities and
// of revocations. What was given in memory stays. Connections see all that has changed at
// once, and only those that begin after it.
//
// What can't be read, a key that is half written or not its certificate's, and a
// certificate that is out of date in the place of one that isn't, leave what was there in
// use; the others are replaced all the same. The error names the files.
func (x *Context) Reload() error {
	changed, err := x.reload()
	for _, c := range changed {
		x.note(c)
	}
	return err
}

func (x *Context) reload() (changed []*tls.Certificate, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for s := range x.sources.all() {
		last := s.loaded
		if err := s.reload(); err != nil {
			errs = append(errs, err)
		}
		if s.loaded != last {
			changed = append(changed, s.loaded)
		}
	}
	if x.config.Revoked != nil {
		if err := x.config.Revoked.Reload(); err != nil {
			errs = append(errs, err)
		}
	}
	if err := x.reloadAuthoritiesLocked(); err != nil {
		errs = append(errs, err)
	}
	x.publishLocked()
	return changed, errors.Join(errs...)
}

// reloadAuthoritiesLocked has connections trust what the files have now, once that's published.
// Sessions are resumed only if what was verified in them is still trusted: crypto/tls sees to
// that.
func (x *Context) reloadAuthoritiesLocked() error {
	if len(x.roots.files)+len(x.clientCAs.files) == 0 {
		return nil
	}
	err := errors.Join(x.roots.reload(), x.clientCAs.reload())
	x.shared = x.shared.Clone()
	x.shared.RootCAs, x.shared.ClientCAs = x.roots.pool(), x.clientCAs.pool()
	if err != nil {
		return fmt.Errorf("secure: %w", err)
	}
	return nil
}

// reload reads the source's files. After an error, and if they're the same, nothing has
// changed.
func (s *source) reload() error {
	if s.from.CertFile == "" && s.from.KeyFile == "" && s.from.OCSPStapleFile == "" {
		return nil
	}
	next, err := s.from.load()
	if err != nil {
		return fmt.Errorf("secure: %w", err)
	}
	stale := s.stale
	if !next.Leaf.Equal(s.loaded.Leaf) && bytes.Equal(next.OCSPStaple, s.loaded.OCSPStaple) {
		stale = next.OCSPStaple // it speaks of the one before
	}
	if bytes.Equal(next.OCSPStaple, stale) {
		next.OCSPStaple = nil
	}
	if slices.EqualFunc(next.Certificate, s.loaded.Certificate, bytes.Equal) && bytes.Equal(next.OCSPStaple, s.loaded.OCSPStaple) {
		return nil
	}
	if err := checkDates(next.Leaf); err != nil && checkDates(s.loaded.Leaf) == nil {
		return fmt.Errorf("secure: %s: %w", s.from, err)
	}
	s.loaded, s.stale = next, stale
	return nil
}

// Watch calls Reload when one of the files has changed, until ctx ends or the ticks do: at
// each tick it looks at their times and sizes.
//
//	go x.Watch(ctx, time.Tick(10*time.Second))
//
// A failure is logged once for each change, and tried again at each tick.
func (x *Context) Watch(ctx context.Context, tick <-chan time.Time) {
	w := watch{x: x}
	for {
		select {
		case <-ctx.Done():
			return
		case _, ok := <-tick:
			if !ok {
				return
			}
			w.look()
		}
	}
}

// settling is how old a file has to be for its time to tell of the next change: file
// systems keep time in steps of up to two seconds.
const settling = 2 * time.Second

// watch is what Watch knows.
type watch struct {
	x      *Context
	files  []fileState
	read   bool   // … as they are, and long enough after they changed
	failed string // the last failure; "": there was none
}

type fileState struct {
	name string
	info os.FileInfo // nil: it isn't there
}

func (f fileState) same(g fileState) bool {
	if f.name != g.name || f.info == nil || g.info == nil {
		return f.name == g.name && f.info == nil && g.info == nil
	}
	return f.info.Size() == g.info.Size() && f.info.ModTime().Equal(g.info.ModTime()) && os.SameFile(f.info, g.info)
}

func (w *watch) look() {
	now := w.x.fileStates() // before reading: what changes meanwhile is seen the next time
	same := slices.EqualFunc(now, w.files, fileState.same)
	if same && w.read {
		return
	}
	w.files = now
	err := w.x.Reload()
	w.read = err == nil && !slices.ContainsFunc(now, func(f fileState) bool {
		return f.info != nil && time.Since(f.info.ModTime()) < settling
	})
	switch {
	case err == nil && w.failed != "":
		w.failed = ""
		w.x.log.Info("TLS certificates: all files can be read again")
	case err != nil && (!same || err.Error() != w.failed):
		w.failed = err.Error()
		w.x.log.Error("TLS certificates: what could not be read stays as it was", "error", err)
	}
}

// fileStates looks at all files that Reload would read, in the order of their names.
func (x *Context) fileStates() []fileState {
	x.mu.Lock()
	defer x.mu.Unlock()
	names := slices.Concat(x.roots.files, x.clientCAs.files)
	for s := range x.sources.all() {
		names = append(names, s.from.CertFile, s.from.KeyFile, s.from.OCSPStapleFile)
	}
	if x.config.Revoked != nil {
		names = append(names, x.config.Revoked.files...)
	}
	slices.Sort(names)
	var all []fileState
	for _, name := range slices.Compact(names) {
		if name == "" {
			continue
		}
		info, err := os.Stat(name)
		if err != nil {
			info = nil
		}
		all = append(all, fileState{name, info})
	}
	return all
}
