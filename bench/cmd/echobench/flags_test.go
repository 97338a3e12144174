package main

import (
	"reflect"
	"testing"
)

func TestShapes(t *testing.T) {
	for _, tt := range []struct {
		text string
		want shapes
	}{
		{"64x100", shapes{{64, 100}}},
		{"8x1, 16Kx100,1Mx2", shapes{{8, 1}, {16 << 10, 100}, {1 << 20, 2}}},
		{"", nil},
		{"64", nil},
		{"x100", nil},
		{"7x1", nil},
		{"64x0", nil},
		{"64x1x1", nil},
		{"K1x1", nil},
	} {
		var got shapes
		err := got.Set(tt.text)
		if (err != nil) != (tt.want == nil) || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
}

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
