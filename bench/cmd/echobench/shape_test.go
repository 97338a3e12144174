package main

import (
	"reflect"
	"testing"
)

func TestShapes(t *testing.T) {
	for _, tt := range []struct {
		text  string
		want  shapes
		again string // as String writes it, where that's different
	}{
		{"64x100", shapes{{Size: 64, Conns: 100, Pipeline: 1, Active: 100, Loops: 1}}, ""},
		{"8x1, 16Kx100,1Mx2", shapes{
			{Size: 8, Conns: 1, Pipeline: 1, Active: 1, Loops: 1},
			{Size: 16 << 10, Conns: 100, Pipeline: 1, Active: 100, Loops: 1},
			{Size: 1 << 20, Conns: 2, Pipeline: 1, Active: 2, Loops: 1},
		}, "8x1,16Kx100,1024Kx2"},
		{"64x100/pipeline=16", shapes{{Size: 64, Conns: 100, Pipeline: 16, Active: 100, Loops: 1}}, ""},
		{"64x10000/active=100", shapes{{Size: 64, Conns: 10_000, Pipeline: 1, Active: 100, Loops: 1}}, ""},
		{"fanout:64x1000/loops=2", shapes{{Kind: publishing, Size: 64, Conns: 1000, Pipeline: 1, Active: 1000, Loops: 2}}, ""},
		{"connect:64x100", shapes{{Kind: connecting, Size: 64, Conns: 100, Pipeline: 1, Active: 100, Loops: 1}}, ""},
		{"idle:64x15000,echo:64x1", shapes{
			{Kind: idling, Size: 64, Conns: 15_000, Pipeline: 1, Active: 15_000, Loops: 1},
			{Size: 64, Conns: 1, Pipeline: 1, Active: 1, Loops: 1},
		}, "idle:64x15000,64x1"},
		{text: ""},
		{text: "64"},
		{text: "x100"},
		{text: "7x1"},
		{text: "64x0"},
		{text: "64x1x1"},
		{text: "K1x1"},
		{text: "burst:64x1"},
		{text: "64x1/loops"},
		{text: "64x1/loops=0"},
		{text: "64x1/speed=1"},
		{text: "64x100/active=0"},
		{text: "64x100/active=30"},
		{text: "64x100/active=200"},
		{text: "fanout:64x100/pipeline=2"},
		{text: "idle:64x100/active=50"},
	} {
		var got shapes
		err := got.Set(tt.text)
		if (err != nil) != (tt.want == nil) || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: got %v, %v, want %v", tt.text, got, err, tt.want)
		}
		if tt.again == "" {
			tt.again = tt.text
		}
		if err == nil && got.String() != tt.again {
			t.Errorf("%q: String is %q", tt.text, got.String())
		}
	}
}
