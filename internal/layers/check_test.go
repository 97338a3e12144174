package layers_test

import (
	"fmt"
	"slices"
	"strings"
)

// source is one package as written: the imports of all its files, whatever
// their build constraints.
type source struct {
	pkg     string // from the module's root
	imports []imported
}

type imported struct {
	path string // import path
	at   string // file:line, from the module's root
	test bool   // in a _test.go file
}

// check returns one message for each rule that the packages break.
func check(pkgs []source) []string {
	var broken []string
	for _, p := range pkgs {
		row, known := rowOf(p.pkg)
		if !known {
			broken = append(broken, fmt.Sprintf(
				"%s: a package without a rule: add it to the table in internal/layers/table_test.go with a reason", p.pkg))
		}
		for _, i := range p.imports {
			if known && !i.test {
				broken = append(broken, checkLayer(p, row, i)...)
			}
			broken = append(broken, checkBans(p, i)...)
		}
	}
	return broken
}

func checkLayer(p source, row layer, i imported) []string {
	target, ours := relative(i.path)
	if !ours || slices.ContainsFunc(row.may, func(pattern string) bool { return matches(pattern, target) }) {
		return nil
	}
	may := "nothing of this module"
	if len(row.may) > 0 {
		may = strings.Join(row.may, ", ")
	}
	return []string{fmt.Sprintf("%s: %s may not import %s\n\tit may import: %s\n\tbecause: %s",
		i.at, p.pkg, target, may, row.why)}
}

func checkBans(p source, i imported) []string {
	var broken []string
	for _, b := range bans {
		switch {
		case !matches(b.path+"/...", i.path):
		case b.test && i.test:
		case slices.ContainsFunc(b.only, func(pattern string) bool { return matches(pattern, p.pkg) }):
		default:
			only := strings.Join(b.only, ", ")
			if b.test {
				only = "test files"
			}
			broken = append(broken, fmt.Sprintf("%s: %s may not import %s\n\tonly for: %s\n\tbecause: %s",
				i.at, p.pkg, i.path, only, b.why))
		}
	}
	return broken
}

// rowOf returns the first row for a package.
func rowOf(pkg string) (layer, bool) {
	i := slices.IndexFunc(layers, func(l layer) bool { return matches(l.pkg, pkg) })
	if i < 0 {
		return layer{}, false
	}
	return layers[i], true
}

// relative strips the module's path off an import of ours; the root package is ".".
func relative(path string) (string, bool) {
	if path == module {
		return ".", true
	}
	return strings.CutPrefix(path, module+"/")
}

// matches reports whether path is the pattern, or, for "x/...", x or below x.
func matches(pattern, path string) bool {
	root, below := strings.CutSuffix(pattern, "/...")
	return path == root || below && strings.HasPrefix(path, root+"/")
}
