// Package browser opens the pages that drills report with in a real browser, Debian's chromium without a window, and looks
// whether a person would see what is there to see. Set QUORUMKV_SCREENSHOTS to a directory to look as well.
package browser
