//go:build linux

package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	// grace is how long a server has between SIGTERM and SIGKILL.
	grace = 3 * time.Second
	// keptOutput bounds what is kept of a server's output, for error messages.
	keptOutput = 4 << 10
)

// A Process is a running server.
type Process struct {
	// Immutable.
	cmd    *exec.Cmd
	output *tail
	exited chan struct{}

	// Written before exited is closed, read only after.
	err error
}

// Start runs a command pinned to a CPU (AnyCPU: not pinned), with env appended
// to this process's environment. The end of ctx kills it.
func Start(ctx context.Context, args, env []string, cpu int) (*Process, error) {
	p := &Process{output: new(tail), exited: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.WaitDelay = grace
	// A group of its own, so that Ctrl-C reaches only the parent, which ends its
	// servers in order; the death signal is for a parent that was killed.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := onCPU(cpu, p.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	go p.reap()
	return p, nil
}

func (p *Process) reap() {
	p.err = p.cmd.Wait()
	close(p.exited)
}

// PID returns the process id, which is the server's own until Exited.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed once the process has ended and has been reaped.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Failure describes a process that ended by itself; call it once Exited.
func (p *Process) Failure() error {
	<-p.exited
	return fmt.Errorf("server ended: %w; its output ends with: %q", errOr(p.err, "exit status 0"), p.output.String())
}

// Output returns the end of what the process has written so far.
func (p *Process) Output() string { return p.output.String() }

// Stop ends the process, by force if it doesn't listen, and reaps it. How it
// took the signal doesn't matter. Stop may be called again.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.exited:
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// Kill ends the process by force, and reaps it. It may be called again, also after Stop.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.exited
}

func errOr(err error, text string) error {
	if err == nil {
		return errors.New(text)
	}
	return err
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte // guarded by mu
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if extra := len(t.buf) - keptOutput; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}
