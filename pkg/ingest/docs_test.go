package ingest_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fenflow/fenflow/pkg/problem"
)

const apiPage = "../../docs/reference/api.md"

// theRoutes are the addresses of the business API, with the one method of each.
func theRoutes() map[string]string {
	return map[string]string{
		"/v1/orders": "POST", "/v1/orders/{out_trade_no}": "GET", "/v1/orders/{out_trade_no}/close": "POST", "/v1/orders/{out_trade_no}/check": "POST",
		"/v1/orders/{out_trade_no}/history": "GET", "/v1/orders/{out_trade_no}/qr.svg": "GET", "/v1/orders/{out_trade_no}/qr.png": "GET", "/v1/refunds": "POST", "/v1/refunds/{out_refund_no}": "GET",
		"/v1/refunds/{out_refund_no}/abnormal": "POST", "/v1/commands/{command_id}": "GET",
		"/v1/sessions/introspect": "POST", "/v1/accounts/{account_id}": "GET", "/v1/accounts/{account_id}/refresh": "POST",
	}
}

func pathOf(route string) string {
	return strings.NewReplacer("{out_trade_no}", "order-0001", "{out_refund_no}", "R1", "{command_id}", "0191d5e4-7a3b-7c00-8000-000000000001", "{account_id}", accountID).Replace(route)
}

func TestDocs_describe_every_address_and_no_other(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(apiPage)
	require.NoError(t, err)
	described := map[string]string{}
	for _, heading := range regexp.MustCompile("(?m)^## `([A-Z]+) (/[^`]+)`$").FindAllStringSubmatch(string(page), -1) {
		described[heading[2]] = heading[1]
	}
	require.Equal(t, theRoutes(), described)
}

// What a reader copies from the pages must work: each request of an example is
// sent, and none is turned away.
func TestDocs_examples_are_taken(t *testing.T) {
	t.Parallel()
	example := regexp.MustCompile(`(?s)curl -sS (?:-X ([A-Z]+) )?http://127\.0\.0\.1:8081(/v1/\S+)(.*?)(?:\n` + "```" + `)`)
	body := regexp.MustCompile(`(?s)-d '(.*)'`)
	seen := 0
	pages, err := filepath.Glob("../../docs/*/*.md")
	require.NoError(t, err)
	for _, page := range append(pages, "../../README.md") {
		raw, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, found := range example.FindAllStringSubmatch(string(raw), -1) {
			method, given := found[1], ""
			if content := body.FindStringSubmatch(found[3]); content != nil {
				given = content[1]
			}
			if method == "" && given != "" {
				method = http.MethodPost
			}
			if given != "" {
				require.Contains(t, found[3], "Content-Type: application/json", page)
			}
			b := newBench(t)
			b.worker.answer = says(`{"status":200,"body":{}}`)
			answer := b.send(ask(method, found[2], given))
			require.Contains(t, []int{http.StatusOK, http.StatusAccepted}, answer.Code, "%s: %s %s: %s", page, method, found[2], answer.Body)
			seen++
		}
	}
	require.GreaterOrEqual(t, seen, 10)
}

func TestDocs_name_the_codes_that_there_are(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, page := range []string{apiPage, "../../docs/how-to/refunds.md"} {
		raw, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, row := range regexp.MustCompile("(?:\\*\\*(\\d{3})\\*\\*[^*\\n]*?)`(FEN-\\d{4})`").FindAllStringSubmatch(string(raw), -1) {
			entry, known := problem.ByCode(row[2])
			require.True(t, known, row[2])
			require.Equal(t, row[1], strconv.Itoa(entry.Status), row[2])
			checked++
		}
	}
	require.GreaterOrEqual(t, checked, 10)
}
