package main

import "testing"

// The list follows the code: each mutant has its text to change, once.
func TestListFollowsTheCode(t *testing.T) {
	t.Chdir("../..")
	for _, m := range mutants {
		if _, err := m.overlay(t.TempDir()); err != nil {
			t.Error(err)
		}
	}
}
