package provision

import (
	"context"
	"io"
	"slices"
)

// oldestChromium is the first with the headless mode that is the whole browser
// (developer.chrome.com, "Chrome Headless mode").
const oldestChromium = 112

// Chromium finds or installs a browser for the tests of pages and returns the program.
func Chromium(ctx context.Context, log io.Writer) (bin string, err error) {
	return provide(ctx, log, part{
		name:  "Chromium",
		chose: "FENFLOW_CHROMIUM_BIN",
		candidates: func(context.Context) []string {
			return slices.Concat(
				programOnPath("chromium"), programOnPath("google-chrome"), programOnPath("google-chrome-stable"),
				// On Ubuntu this may be a snap's stub that only says how to get one; the check tells.
				programOnPath("chromium-browser"),
				existing("/usr/bin/chromium", "/Applications/Chromium.app/Contents/MacOS/Chromium",
					"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
			)
		},
		check: func(ctx context.Context, bin string) (string, error) {
			return version(ctx, bin, `Chrom(?:e|ium)\D* (\d+[.\d]*)`, oldestChromium)
		},
		apt:    []string{"chromium"},
		brew:   "google-chrome", // a cask; brew finds it by its name alone
		advice: "install Chromium or Google Chrome 112 or newer, or set FENFLOW_CHROMIUM_BIN to the program",
	})
}
