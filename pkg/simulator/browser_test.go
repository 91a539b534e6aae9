package simulator_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
	"github.com/wechatpay-apiv3/wechatpay-go/services/payments/native"

	"github.com/fenflow/fenflow/pkg/simulator"
	"github.com/fenflow/fenflow/pkg/testkit/provision"
)

// patience with a browser on a busy machine of two cores.
const patience = 2 * time.Minute

// browser is headless Chromium.
type browser struct {
	ctx context.Context //nolint:containedctx // chromedp keeps the browser in it

	mu      sync.Mutex
	fetched []string
}

// newBrowser has scripts switched off: the pages of the pay side do without.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	b := newScriptedBrowser(t)
	command(t, b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	return b
}

func newScriptedBrowser(t *testing.T) *browser {
	t.Helper()
	program, err := provision.Chromium(t.Context(), t.Output())
	require.NoError(t, err)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.WindowSize(1100, 900))
	// Not t.Context(): it ends before the clean-up that closes the browser.
	ctx, release := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(release)
	tab, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	b := &browser{}
	require.NoError(t, chromedp.Listen(tab, b.note))
	b.ctx, closeTab = context.WithTimeout(tab, patience)
	t.Cleanup(closeTab)
	command(t, b, network.Enable, network.EnableParams{})
	return b
}

func (b *browser) note(event any) {
	if sent, is := event.(*network.EventRequestWillBeSent); is {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.fetched = append(b.fetched, sent.Request.URL)
	}
}

func command[P, R any](t *testing.T, b *browser, c cdp.Command[P, R], params P) {
	t.Helper()
	_, err := chromedp.Call(b.ctx, c, params)
	require.NoError(t, err)
}

func (b *browser) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	require.NoError(t, chromedp.Do(b.ctx, steps...))
}

// press hits a key that leads to another page and waits for that page.
func (b *browser) press(t *testing.T, key string, shows chromedp.CSS) {
	t.Helper()
	_, err := chromedp.RunResponse(b.ctx, chromedp.KeyEvent(key))
	require.NoError(t, err)
	b.do(t, chromedp.WaitVisible(shows))
}

func (b *browser) open(t *testing.T, url string, shows chromedp.CSS) {
	t.Helper()
	b.do(t, chromedp.Navigate(url), chromedp.WaitVisible(shows))
}

// tabTo presses Tab until the focus is on something with this text, and says what
// it met on the way.
func (b *browser) tabTo(t *testing.T, text string) []string {
	t.Helper()
	var met []string
	for range 50 {
		b.do(t, chromedp.KeyEvent(kb.Tab))
		name := ask[string](t, b, `(e => e.getAttribute("aria-label") || (e.labels && e.labels.length ? e.labels[0].firstChild.data : e.innerText).trim().slice(0, 60))(document.activeElement)`)
		met = append(met, name)
		if name == text {
			require.True(t, ask[bool](t, b, `document.activeElement.matches(":focus-visible") && getComputedStyle(document.activeElement).outlineStyle !== "none"`),
				"who uses the keyboard sees where it is")
			return met
		}
	}
	require.Failf(t, "the keyboard does not reach it", "%s; it reached %q", text, met)
	return nil
}

func ask[T any](t *testing.T, b *browser, script string) T {
	t.Helper()
	answer, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	require.NoError(t, err)
	return answer
}

// keep leaves a picture of the page among the test's artefacts (go test -artifacts).
func (b *browser) keep(t *testing.T, name string) {
	t.Helper()
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	require.NoError(t, err)
	require.NotEmpty(t, picture)
	require.NoError(t, os.WriteFile(filepath.Join(t.ArtifactDir(), name+".png"), picture, 0o644))
}

func (b *browser) labelled(t *testing.T) {
	t.Helper()
	require.Empty(t, ask[[]string](t, b, `[...document.querySelectorAll("input:not([type=hidden]),select")].filter(e => !e.labels.length).map(e => e.name)`),
		"every field has a label")
	require.Empty(t, ask[[]string](t, b, `[...document.querySelectorAll("[tabindex]")].filter(e => e.tabIndex > 0).map(e => e.outerHTML)`),
		"the focus goes in the order of reading")
	require.False(t, ask[bool](t, b, `document.documentElement.scrollWidth > innerWidth`), "nothing sticks out sideways")
}

// TestCashier places an order as a shop does and pays it as a person with a
// keyboard does.
func TestCashier(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *simulator.Options) { o.Speed = 1000 })
	shop := newReceiver(t, noContent)
	service := native.NativeApiService{Client: b.sdk(t)}
	placed, _, err := service.Prepay(t.Context(), b.nativeRequest("cashier-1", b.notifyURL(shop)))
	require.NoError(t, err)

	w := newBrowser(t)
	w.open(t, b.url+"/", "table")
	w.labelled(t)
	w.keep(t, "orders")
	w.tabTo(t, "cashier-1")
	w.press(t, kb.Enter, "svg.qr")
	require.Contains(t, ask[string](t, w, `document.querySelector("svg.qr").getAttribute("aria-label")`), *placed.CodeUrl)
	w.labelled(t)
	w.keep(t, "order-not-paid")

	require.Equal(t, []string{"Orders", "Faults", "Inside WeChat", "Pay 2.50 yuan"}, w.tabTo(t, "Pay 2.50 yuan"))
	w.press(t, kb.Enter, `.state.paid`)
	require.Equal(t, "paid", ask[string](t, w, `document.querySelector("h1 .state").innerText`))
	require.Len(t, b.simulator.Ledger().Payments, 1)
	require.Len(t, shop.all(), 1, "the page that follows shows the first notification")
	require.False(t, ask[bool](t, w, `!!document.querySelector("form[action$='/pay']")`), "what is paid is not paid again")

	w.do(t, chromedp.Click(chromedp.CSS("summary")), chromedp.WaitVisible(chromedp.CSS("details[open] pre")))
	exchange := ask[string](t, w, `document.querySelector("details").innerText`)
	require.Contains(t, exchange, "TRANSACTION.SUCCESS")
	require.Contains(t, exchange, shop.all()[0].body, "the request as it was sent")
	require.Contains(t, exchange, "Wechatpay-Signature: "+shop.all()[0].header.Get("Wechatpay-Signature"))
	require.Contains(t, exchange, "204 (no body)")
	require.Contains(t, exchange, `"trade_state": "SUCCESS"`, "decrypted for the reader")

	status, body := b.post(t, "/control/orders/cashier-1/refund", `{"amount_fen":100,"reason":"one cup was cold"}`)
	require.Less(t, status, 300, body)
	require.Eventually(t, func() bool { return b.simulator.Ledger().Refunds[0].Status == simulator.RefundSuccess }, soon, tick)
	b.settled(t)
	w.do(t, chromedp.Reload(), chromedp.WaitVisible(chromedp.CSS(".state.refunded")), chromedp.Click(chromedp.CSS("summary")))
	require.Contains(t, ask[string](t, w, `document.querySelector("[aria-label=Refunds]").innerText`), "one cup was cold")
	require.Contains(t, ask[string](t, w, `document.querySelector("details").innerText`), "REFUND.SUCCESS")
	w.labelled(t)
	w.keep(t, "order-refunded")
	w.looks(t)
	w.onlyOwn(t, b)
}

// looks keeps pictures of the paid order in the dark and on a phone.
func (b *browser) looks(t *testing.T) {
	t.Helper()
	command(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
	b.keep(t, "order-dark")
	b.do(t, chromedp.EmulateViewport(375, 700, chromedp.EmulateMobile))
	b.labelled(t)
	b.keep(t, "order-phone")
}

// onlyOwn: the page asked nobody else for anything.
func (b *browser) onlyOwn(t *testing.T, own bench) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.NotEmpty(t, b.fetched)
	for _, url := range b.fetched {
		require.True(t, strings.HasPrefix(url, own.url+"/"), url)
	}
}

// TestFaultSwitches switches a fault on and off by hand and sees it happen.
func TestFaultSwitches(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(o *simulator.Options) { o.Speed = 1000 })
	shop := newReceiver(t, noContent)
	b.place(t, "faulty-1", b.notifyURL(shop))
	w := newBrowser(t)
	w.open(t, b.url+"/faults", "main")
	w.tabTo(t, "Switch on notice_drop")
	w.press(t, kb.Enter, "ul.on")
	require.Len(t, b.simulator.Faults(), 1)
	require.Equal(t, simulator.FaultNoticeDrop, b.simulator.Faults()[0].Kind)
	w.labelled(t)
	w.keep(t, "faults")
	w.tabTo(t, "Switch off notice_drop")
	w.press(t, kb.Enter, ".empty")
	require.Empty(t, b.simulator.Faults())

	w.open(t, b.url+"/orders/faulty-1", "select")
	count := chromedp.CSS("input[name=count]")
	w.do(t, chromedp.SetValue(chromedp.CSS("select[name=kind]"), string(simulator.FaultNoticeDuplicate)), chromedp.SendKeys(count, "1"))
	w.press(t, kb.Enter, "ul.on")
	set := b.simulator.Faults()[0]
	require.Equal(t, []any{simulator.FaultNoticeDuplicate, 1, "faulty-1"}, []any{set.Kind, set.Count, set.OutTradeNo})
	w.tabTo(t, "Pay 1.00 yuan")
	w.press(t, kb.Enter, ".state.paid")
	require.Eventually(t, func() bool { return len(shop.all()) == 2 }, soon, tick, "told once, and told again")
	w.onlyOwn(t, b)
}
