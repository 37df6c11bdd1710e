package browser

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/quorumkv/quorumkv/internal/drill/report"
)

// start starts the browser, which ends with the test.
func start(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no chromium in PATH: apt-get install chromium, and run again")
	}
	// Root, in a container, has no sandbox; the pages are our own.
	ctx, cancel := chromedp.NewContext(t.Context(), chromedp.WithAllocatorOptions(chromedp.ExecPath(path), chromedp.NoSandbox))
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// view is how a page is looked at.
type view struct {
	name          string
	width, height int64
	scheme        string // of colours
	rare          bool   // not for every page
}

var views = []view{
	{"desktop", 1280, 800, "light", false},
	{"desktop-dark", 1280, 800, "dark", true},
	{"phone", 390, 844, "light", false},
	{"phone-dark", 390, 844, "dark", true},
	{"small-phone", 320, 640, "light", true},
	{"tablet", 768, 1024, "light", true},
}

// page is a report in a tab, with whatever the browser complained about or asked others for.
type page struct {
	ctx      context.Context
	mu       sync.Mutex
	troubles []string
}

func open(t *testing.T, browser context.Context, r *report.Report, v view) *page {
	t.Helper()
	dir := t.TempDir()
	if err := r.Write(dir); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, time.Minute)
	t.Cleanup(cancel)
	p := &page{ctx: ctx}
	address := (&url.URL{Scheme: "file", Path: filepath.Join(dir, report.PageName)}).String()
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if e.Request.URL != address && !strings.HasPrefix(e.Request.URL, "data:") {
				p.trouble("it asked for " + e.Request.URL)
			}
		case *runtime.EventConsoleAPICalled:
			p.trouble("it wrote to the console: " + string(e.Type))
		case *runtime.EventExceptionThrown:
			p.trouble("a script failed: " + e.ExceptionDetails.Text)
		case *log.EventEntryAdded:
			p.trouble("the browser says: " + e.Entry.Text)
		}
	})
	if err == nil {
		_, err = chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}},
		})
	}
	if err == nil {
		_, err = chromedp.Call(ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: v.width, Height: v.height, DeviceScaleFactor: 1, Mobile: v.width < 500,
		})
	}
	if err == nil {
		err = chromedp.Do(ctx, chromedp.Navigate(address))
	}
	if err != nil {
		t.Fatalf("open %s: %v", address, err)
	}
	return p
}

func (p *page) trouble(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.troubles = append(p.troubles, text)
}

// evaluate runs a script in the page.
func evaluate[T any](t *testing.T, p *page, script string) T {
	t.Helper()
	result, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// screenshot keeps a picture of the whole page if somebody wants to see it.
func (p *page) screenshot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("QUORUMKV_SCREENSHOTS")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}
