package server

import (
	"fmt"
	"reflect"
	"strings"
)

// checkCallback refuses a callback type with a method that was probably meant to be a
// callback and isn't one: it would never be called, and nobody would know.
func checkCallback(cb Callback) error {
	t := reflect.TypeOf(cb)
	known := callbackNames()
	for i := range t.NumMethod() {
		name := t.Method(i).Name
		if !strings.HasPrefix(name, "On") || known[name] {
			continue
		}
		for callback := range known {
			if distance(name, callback) <= 2 {
				return fmt.Errorf("server: %v has %s; did you mean %s?", t, name, callback)
			}
		}
	}
	if _, has := t.MethodByName("OnWriteCompleted"); has {
		if _, ok := cb.(WriteCallback); !ok {
			return fmt.Errorf("server: %v has OnWriteCompleted, but not as WriteCallback wants it: OnWriteCompleted(c *conn.Stream, b *buffers.Buffer)", t)
		}
	}
	return nil
}

// callbackNames are the names of all callbacks.
func callbackNames() map[string]bool {
	names := map[string]bool{}
	for _, t := range []reflect.Type{reflect.TypeFor[Callback](), reflect.TypeFor[WriteCallback]()} {
		for i := range t.NumMethod() {
			if name := t.Method(i).Name; strings.HasPrefix(name, "On") {
				names[name] = true
			}
		}
	}
	return names
}

// distance is how many letters have to be inserted, removed or replaced to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
