package result_test

import (
	"reflect"
	"testing"

	"github.com/sluice-net/sluice/loadtest/result"
)

// Each field of a load is told if it differs, by itself; but for the length of the intervals,
// which no server sees.
func TestDifferences(t *testing.T) {
	t.Parallel()
	whole := func() result.Load {
		var l result.Load
		for _, f := range reflect.ValueOf(&l).Elem().Fields() {
			set(f, 1)
		}
		return l
	}
	if d := whole().Differences(whole()); len(d) > 0 {
		t.Errorf("of the same: %v", d)
	}
	for f := range reflect.TypeFor[result.Load]().Fields() {
		other := whole()
		set(reflect.ValueOf(&other).Elem().FieldByIndex(f.Index), 2)
		d := whole().Differences(other)
		want := 1
		if f.Name == "Interval" {
			want = 0
		}
		if len(d) != want {
			t.Errorf("%s: %v", f.Name, d)
		}
	}
}

func set(f reflect.Value, n int) {
	switch f.Kind() {
	case reflect.Int, reflect.Int64:
		f.SetInt(int64(n))
	case reflect.Uint64:
		f.SetUint(uint64(n))
	case reflect.Float64:
		f.SetFloat(float64(n))
	case reflect.String:
		f.SetString(string(rune('a' + n)))
	case reflect.Bool:
		f.SetBool(n == 2)
	case reflect.Map:
		f.Set(reflect.ValueOf(map[string]uint64{"reset": uint64(n)}))
	default:
		panic("a load has a field of kind " + f.Kind().String())
	}
}

// A rate that was shared out to seven processes is the same after the sum.
func TestDifferencesOfSums(t *testing.T) {
	t.Parallel()
	part := 1000.0 * (1.0 / 7)
	a, b := result.Load{Rate: 1000}, result.Load{Rate: part + part + part + part + part + part + part}
	if a.Rate == b.Rate {
		t.Fatal("the sum has no other digits; choose another number")
	}
	if d := a.Differences(b); len(d) > 0 {
		t.Error(d)
	}
	b.Rate = 1000.01
	if d := a.Differences(b); len(d) != 1 || d[0].String() != "rate 1000 and 1000.01" {
		t.Error(d)
	}
}
