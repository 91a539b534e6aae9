package provision

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// line is the first line that a program prints, or nothing.
func line(ctx context.Context, program string, args ...string) []string {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil || firstLine(out) == "" {
		return nil
	}
	return []string{firstLine(out)}
}

// newestFirst are the folders that match, the highest version number first.
func newestFirst(patterns ...string) []string {
	var found []string
	for _, pattern := range patterns {
		// The patterns are constants; a bad one would find nothing.
		matching, _ := filepath.Glob(pattern)
		found = append(found, matching...)
	}
	slices.SortStableFunc(found, func(a, b string) int { return cmp.Compare(numberIn(b), numberIn(a)) })
	return found
}

func numberIn(path string) int {
	number, err := strconv.Atoi(regexp.MustCompile(`\d+`).FindString(path))
	if err != nil {
		return 0
	}
	return number
}

// brewFolders are the folders of the programs of those formulas that Homebrew
// has installed: versioned formulas are not on the PATH.
func brewFolders(ctx context.Context, formulas ...string) []string {
	brew, err := exec.LookPath("brew")
	if err != nil {
		return nil
	}
	var found []string
	for _, formula := range formulas {
		for _, prefix := range line(ctx, brew, "--prefix", formula) {
			found = append(found, existing(filepath.Join(prefix, "bin"))...)
		}
	}
	return found
}

// folderOnPath is where the program on the PATH really is: Debian and others
// link single programs from elsewhere.
func folderOnPath(program string) []string {
	for _, path := range programOnPath(program) {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			return []string{filepath.Dir(target)}
		}
	}
	return nil
}

func programOnPath(program string) []string {
	path, err := exec.LookPath(program)
	if err != nil {
		return nil
	}
	return []string{path}
}

func existing(paths ...string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		_, err := os.Stat(path)
		return err != nil
	})
}

func inFolders(folders []string, program string) []string {
	var found []string
	for _, folder := range folders {
		found = append(found, existing(filepath.Join(folder, program))...)
	}
	return found
}
