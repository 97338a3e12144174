package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrVersion is wrapped by [Read]'s error for a format that it doesn't know.
var ErrVersion = errors.New("unknown version")

// Write writes a result as JSON.
func Write(w io.Writer, r *Result) error {
	return json.NewEncoder(w).Encode(r)
}

// Read reads what [Write] wrote. What is no result, or of a version that isn't known, is an
// error.
func Read(r io.Reader) (*Result, error) {
	var got Result
	if err := json.NewDecoder(r).Decode(&got); err != nil {
		return nil, fmt.Errorf("not a result of loadtest: %w", err)
	}
	switch {
	case got.Version == 0:
		return nil, errors.New("not a result of loadtest: there's no version in it")
	case got.Version > Version:
		return nil, fmt.Errorf("%w %d; this program reads up to %d: use a newer one", ErrVersion, got.Version, Version)
	}
	return &got, nil
}
