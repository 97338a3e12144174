package main

import (
	"reflect"
	"testing"
)

func TestCustomServers(t *testing.T) {
	var got customServers
	for _, text := range []string{"old=./echod --listen tcp://{addr} --admin ''", `new="my echod" {addr}`} {
		if err := got.Set(text); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	want := customServers{
		{"old", []string{"./echod", "--listen", "tcp://{addr}", "--admin", ""}},
		{"new", []string{"my echod", "{addr}"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, text := range []string{"", "old", "=x {addr}", "old=", "old=x", "old='x {addr}"} {
		if err := new(customServers).Set(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}
