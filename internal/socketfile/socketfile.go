package socketfile

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
)

// Clear makes the way free for a Unix-domain listener: a socket file that nobody answers on
// is stale and removed, anything else is left alone and refused. A path that begins with @
// has none.
func Clear(path string) (stale bool, err error) {
	if path[0] == '@' {
		return false, nil
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case info.Mode().Type() != fs.ModeSocket:
		return false, fmt.Errorf("%s exists and isn't a socket: remove it, or choose another path", path)
	}
	c, err := net.Dial("unix", path)
	switch {
	case err == nil:
		_ = c.Close()
		return false, fmt.Errorf("%s is in use by a running server: stop it, or choose another path", path)
	case errors.Is(err, syscall.EAGAIN):
		return false, fmt.Errorf("%s is in use by a running server whose backlog is full: stop it, or choose another path", path)
	case !errors.Is(err, syscall.ECONNREFUSED):
		return false, fmt.Errorf("can't tell whether %s is in use (%w): remove it, or choose another path", path, err)
	}
	if err := os.Remove(path); err != nil {
		return false, err
	}
	return true, nil
}

// File is a Unix-domain listener's file, to be removed when it closes, if it's still the
// same.
type File struct {
	path string
	info fs.FileInfo
}

// Opened is the file that a listener has just made; nil if its path has none.
func Opened(path string) *File {
	if path == "" || path[0] == '@' {
		return nil
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil // somebody removed it already
	}
	return &File{path, info}
}

// Remove removes it. f may be nil.
func (f *File) Remove() {
	if f == nil {
		return
	}
	if info, err := os.Lstat(f.path); err == nil && os.SameFile(info, f.info) {
		_ = os.Remove(f.path)
	}
}
