package h5_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/testkit/provision"
)

// patience with a browser and a whole stack on a busy machine of two cores.
const patience = 90 * time.Second

// browser is headless Chromium; each buyer has a context of cookies of their own.
type browser struct{ ctx context.Context } //nolint:containedctx // chromedp keeps the browser in it

// phone is one tab, as wide as a phone.
type phone struct {
	t   *testing.T
	ctx context.Context //nolint:containedctx // chromedp keeps the tab in it

	mu      sync.Mutex
	fetched []string
	errors  []string // of scripts
}

func newBrowser(t *testing.T) browser {
	t.Helper()
	program, err := provision.Chromium(t.Context(), t.Output())
	require.NoError(t, err)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true))
	// Not t.Context(): it ends before the clean-up that closes the browser.
	ctx, release := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(release)
	first, closeFirst := chromedp.NewContext(ctx)
	t.Cleanup(closeFirst)
	require.NoError(t, chromedp.Do(first))
	return browser{first}
}

func (b browser) phone(t *testing.T) *phone {
	t.Helper()
	tab, closeTab := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	p := &phone{t: t}
	require.NoError(t, chromedp.Listen(tab, p.note))
	p.ctx, closeTab = context.WithTimeout(tab, 2*patience)
	t.Cleanup(closeTab)
	command(p, network.Enable, network.EnableParams{})
	command(p, runtime.Enable, cdp.Empty{})
	p.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	return p
}

func (p *phone) note(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.fetched = append(p.fetched, e.Request.URL)
	case *runtime.EventExceptionThrown:
		p.errors = append(p.errors, e.ExceptionDetails.Text)
	}
}

// asked are the addresses that were fetched, in order.
func (p *phone) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.fetched...)
}

func (p *phone) wellBehaved() {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.Empty(p.t, p.errors, "no script failed")
}

func command[P, R any](p *phone, c cdp.Command[P, R], params P) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, c, params)
	require.NoError(p.t, err)
}

func (p *phone) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	require.NoError(p.t, chromedp.Do(p.ctx, steps...))
}

func (p *phone) open(url string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url))
}

// sees waits until this is true on whatever page the phone is by then.
func (p *phone) sees(condition string) {
	p.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		holds, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool](`Boolean(`+condition+`)`))
		if err == nil && holds {
			return
		}
		if time.Now().After(deadline) {
			p.keep("what-it-saw-instead")
			require.Failf(p.t, "the phone does not get to see it", "%s; last error %v; it shows\n%s", condition, err, ask[string](p, `location.href + "\n" + document.body.innerText`))
		}
		select {
		case <-p.ctx.Done():
			require.NoError(p.t, p.ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// tap waits until this is there and visible, and taps it.
func (p *phone) tap(selector string) {
	p.t.Helper()
	p.sees(`(e => e && !e.disabled && e.checkVisibility())(document.querySelector(` + quoted(selector) + `))`)
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// cashier presses a button of WeChat's cashier, which lies over the page.
func (p *phone) cashier(button string) {
	p.t.Helper()
	p.sees(`document.querySelector("#weixin-cashier")?.shadowRoot.getElementById(` + quoted(button) + `)`)
	ask[bool](p, `(document.querySelector("#weixin-cashier").shadowRoot.getElementById(`+quoted(button)+`).click(), true)`)
}

func ask[T any](p *phone, script string) T {
	p.t.Helper()
	answer, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	require.NoError(p.t, err)
	return answer
}

// keep leaves a picture of the page among the test's artefacts (go test -artifacts).
func (p *phone) keep(name string) {
	p.t.Helper()
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	require.NoError(p.t, err)
	require.NotEmpty(p.t, picture)
	require.NoError(p.t, os.WriteFile(filepath.Join(p.t.ArtifactDir(), name+".png"), picture, 0o644))
}

// looks: readable by everybody on every phone.
func (p *phone) looks(name string) {
	p.t.Helper()
	require.Empty(p.t, ask[[]string](p, `[...document.querySelectorAll("input")].filter(e => !e.labels.length).map(e => e.outerHTML)`), "every field has a label")
	require.Empty(p.t, ask[[]string](p, `[...document.querySelectorAll("button,img")].filter(e => e.checkVisibility() && !(e.innerText || e.getAttribute("aria-label") || e.hasAttribute("alt"))).map(e => e.outerHTML)`),
		"everything has a name")
	require.Empty(p.t, ask[[]string](p, `[...document.querySelectorAll("button,label")].filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 44).map(e => e.outerHTML)`),
		"a finger hits it")
	for _, width := range []int64{320, 390, 430} {
		p.do(chromedp.EmulateViewport(width, 844, chromedp.EmulateMobile))
		require.False(p.t, ask[bool](p, `document.documentElement.scrollWidth > innerWidth`), "nothing sticks out sideways at %d", width)
		p.keep(name + "-" + map[int64]string{320: "small", 390: "phone", 430: "large"}[width])
	}
	command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	p.keep(name + "-dark")
	command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{})
	p.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
}
