package layers_test

import (
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// readSources finds the packages of the module at root, as "./..." would, and
// reads their imports.
//
// It parses the files in this process and doesn't ask `go list`, for two
// reasons: `go list` sees the files of one OS and one set of tags, and files
// opened by another process are unknown to the cache of test results, which
// would then go on reporting an old pass.
func readSources(root string) ([]source, error) {
	byPkg := map[string]*source{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipFolder(path, rel)
		}
		if !strings.HasSuffix(rel, ".go") || ignored(entry.Name()) {
			return nil
		}
		rel = filepath.ToSlash(rel)
		imports, err := readImports(path, rel)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(rel))
		if byPkg[pkg] == nil {
			byPkg[pkg] = &source{pkg: pkg}
		}
		byPkg[pkg].imports = append(byPkg[pkg].imports, imports...)
		return nil
	})
	var pkgs []source
	for _, p := range byPkg {
		pkgs = append(pkgs, *p)
	}
	slices.SortFunc(pkgs, func(a, b source) int { return strings.Compare(a.pkg, b.pkg) })
	return pkgs, err
}

// skipFolder returns fs.SkipDir for the folders that "./..." leaves out.
func skipFolder(path, rel string) error {
	if rel == "." {
		return nil
	}
	if name := filepath.Base(rel); ignored(name) || name == "testdata" || name == "vendor" {
		return fs.SkipDir
	}
	switch _, err := os.Stat(filepath.Join(path, "go.mod")); {
	case err == nil:
		return fs.SkipDir // a module of its own
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return err
	}
}

func ignored(name string) bool {
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func readImports(path, rel string) ([]imported, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var imports []imported
	for _, spec := range file.Imports {
		target, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		imports = append(imports, imported{
			path: target,
			at:   fmt.Sprintf("%s:%d", rel, files.Position(spec.Pos()).Line),
			test: strings.HasSuffix(rel, "_test.go"),
		})
	}
	return imports, nil
}

// moduleRoot returns the folder of this module's go.mod, from a test's working folder.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil {
			if !strings.HasPrefix(string(mod), "module "+module+"\n") {
				return "", fmt.Errorf("%s does not begin with %q", filepath.Join(dir, "go.mod"), "module "+module)
			}
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working folder")
		}
		dir = filepath.Dir(dir)
	}
}
