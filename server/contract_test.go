package server_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/sluice-net/sluice/server"
)

// docs/contract.md has every callback; that its links lead to tests is checked with all links.
func TestContractHasEveryCallback(t *testing.T) {
	text, err := os.ReadFile("../docs/contract.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, iface := range []reflect.Type{reflect.TypeFor[server.Callback](), reflect.TypeFor[server.WriteCallback]()} {
		for i := range iface.NumMethod() {
			if name := iface.Method(i).Name; strings.HasPrefix(name, "On") && !strings.Contains(string(text), name) {
				t.Errorf("%s isn't in docs/contract.md", name)
			}
		}
	}
}
