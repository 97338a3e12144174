// Package section replaces the generated part of a page that's otherwise written by hand.
//
// The part lies between two comments, which name it:
//
//	<!-- begin figures -->
//	<!-- end figures -->
package section

import (
	"bytes"
	"fmt"
	"os"
)

// Replace puts text between the comments of a section.
func Replace(file, name, text string) error {
	page, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := []byte("<!-- begin "+name+" -->\n"), []byte("<!-- end "+name+" -->\n")
	head, rest, found := bytes.Cut(page, begin)
	_, tail, ended := bytes.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s: no lines %q and %q, in this order", file, begin, end)
	}
	return os.WriteFile(file, bytes.Join([][]byte{head, begin, []byte("\n" + text + "\n"), end, tail}, nil), 0o644)
}
