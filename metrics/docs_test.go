package metrics_test

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-net/sluice/internal/testenv"
)

const (
	operations = "../docs/operations.md"
	alerts     = "../deploy/prometheus/alerts.yml"
	alertsTest = "../deploy/prometheus/alerts_test.yml"
)

func text(t *testing.T, path string) string {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

// exported are the figures of a busy server, by name: their type and labels, as
// docs/operations.md has them.
func exported(t *testing.T) map[string]string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(collectorFor(t, busy(t)))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range families {
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		all[f.GetName()] = strings.ToLower(f.GetType().String()) + " by " + strings.Join(labels, ", ")
	}
	return all
}

// TestOperationsListsTheFigures holds docs/operations.md to what is exported: each figure,
// with its type and labels, and no other.
func TestOperationsListsTheFigures(t *testing.T) {
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (counter|gauge|histogram) \\| ([a-z, ]*)\\|")
	listed := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(text(t, operations), -1) {
		var labels []string
		for label := range strings.SplitSeq(m[3], ",") {
			if label = strings.TrimSpace(label); label != "" {
				labels = append(labels, label)
			}
		}
		slices.Sort(labels)
		listed["sluice_"+m[1]] = m[2] + " by " + strings.Join(labels, ", ")
	}
	has := exported(t)
	for name, kind := range has {
		switch {
		case strings.HasPrefix(name, "sluice_accept_queue_") && listed[name] != "": // not on every system
		case listed[name] != kind:
			t.Errorf("%s is a %s, and listed as %q", name, kind, listed[name])
		}
	}
	for name := range listed {
		if has[name] == "" && !strings.HasPrefix(name, "sluice_accept_queue_") {
			t.Errorf("%s is listed, and doesn't exist", name)
		}
	}
}

// TestAlerts has Prometheus's own tool check and run the rules for alerts.
func TestAlerts(t *testing.T) {
	promtool := testenv.Tool(t, "promtool")
	for _, args := range [][]string{{"check", "rules", alerts}, {"test", "rules", alertsTest}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v: %s", args, err, out)
		}
	}
}

// TestAlertsAreAboutWhatExists holds that the rules use figures that are exported, that
// each is tested, and that docs/operations.md says what to do about it.
func TestAlertsAreAboutWhatExists(t *testing.T) {
	rules, tests, doc, has := text(t, alerts), text(t, alertsTest), text(t, operations), exported(t)
	for _, name := range regexp.MustCompile(`sluice_[a-z_]+`).FindAllString(rules, -1) {
		if has[name] == "" && !strings.HasPrefix(name, "sluice_accept_queue_") {
			t.Errorf("%s doesn't exist", name)
		}
	}
	all := regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(rules, -1)
	if len(all) == 0 {
		t.Fatal("there are no rules")
	}
	for _, m := range all {
		if n := strings.Count(tests, "alertname: "+m[1]); n < 2 {
			t.Errorf("%s: %d tests; want one that it comes, and one that it doesn't", m[1], n)
		}
		if !strings.Contains(doc, "\n### "+m[1]+"\n") {
			t.Errorf("%s isn't in %s", m[1], operations)
		}
	}
}
