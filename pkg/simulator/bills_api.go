package simulator

import (
	"bytes"
	"compress/gzip"
	"crypto/sha1" // what bills are summed with
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	// downloadLife is how long a download_url is good for: five minutes by WeChat Pay's
	// pages of 2024-12-27, thirty seconds by older ones. Speed divides it.
	downloadLife     = 5 * time.Minute
	billDownloadPath = "/v3/billdownload/file"
	// billMonths is how far back bills can be asked for, but for those that /control
	// made of an older day.
	billMonths = 3
	gzipped    = "GZIP"
)

// billFile is a file that can be fetched for a while.
type billFile struct {
	text    []byte
	gzip    bool
	expires time.Time
}

// billDesk hands out files by token. A restart forgets them: their URLs have expired.
type billDesk struct {
	mu    sync.Mutex
	files map[string]billFile
}

func (d *billDesk) leave(token string, f billFile, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.files == nil {
		d.files = map[string]billFile{}
	}
	for old, file := range d.files {
		if now.After(file.expires) {
			delete(d.files, old)
		}
	}
	d.files[token] = f
}

func (d *billDesk) fetch(token string, now time.Time) (billFile, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	file, known := d.files[token]
	return file, known && !now.After(file.expires)
}

// tradeBill answers where a trade bill is, and its sum.
func (s *Simulator) tradeBill(c *call) (reply, error) {
	query, refused := billQuery(c.request, "bill_type", billAll, billSuccess, billRefund)
	if refused != nil {
		return reply{}, refused
	}
	text, err := s.tradeBillOf(query["bill_date"], query["bill_type"])
	if err != nil {
		return reply{}, err
	}
	return s.handOut(c, text, query["tar_type"] == gzipped)
}

// fundFlowBill has the account BASIC only; nothing ever happens on the others.
func (s *Simulator) fundFlowBill(c *call) (reply, error) {
	query, refused := billQuery(c.request, "account_type", "BASIC", "OPERATION", "FEES")
	if refused != nil {
		return reply{}, refused
	}
	day, err := s.closedDay(query["bill_date"])
	if err != nil {
		return reply{}, err
	}
	text, rows := day.fundBill()
	if rows == 0 || query["account_type"] != "BASIC" {
		return reply{}, noStatement()
	}
	return s.handOut(c, text, query["tar_type"] == gzipped)
}

// billQuery reads the query string of both kinds; the first value is the default.
func billQuery(r *http.Request, kind string, kinds ...string) (map[string]string, *refusal) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, requestError("query", "the query string is malformed")
	}
	fields := map[string]string{kind: kinds[0]}
	for _, name := range sortedKeys(values) {
		if name != "bill_date" && name != kind && name != "tar_type" {
			return nil, requestError("query", name+" is not a parameter of this request")
		}
		if len(values[name]) != 1 {
			return nil, requestError("query", name+" is given twice")
		}
		fields[name] = values.Get(name)
	}
	if _, err := time.Parse(time.DateOnly, fields["bill_date"]); err != nil {
		return nil, requestError("query", "bill_date is required and must read yyyy-MM-dd")
	}
	if !slices.Contains(kinds, fields[kind]) {
		return nil, requestError("query", fmt.Sprintf("%s must be one of %v", kind, kinds))
	}
	if tar, given := fields["tar_type"]; given && tar != gzipped {
		return nil, requestError("query", "tar_type must be GZIP or left out")
	}
	return fields, nil
}

func (s *Simulator) tradeBillOf(date, kind string) ([]byte, error) {
	day, err := s.closedDay(date)
	if err != nil {
		return nil, err
	}
	text, rows := day.tradeBill(kind)
	if rows == 0 {
		return nil, noStatement()
	}
	return text, nil
}

// closedDay is a day's closed books, or why there are none.
func (s *Simulator) closedDay(date string) (billDay, error) {
	start, err := time.ParseInLocation(time.DateOnly, date, beijing())
	if err != nil {
		return billDay{}, requestError("query", "bill_date must read yyyy-MM-dd")
	}
	now := s.now()
	if date >= dateOf(now) {
		return billDay{}, invalidRequest(0, "bill_date must be a past day in Beijing")
	}
	if s.fault(FaultBillNotReady, "") {
		return billDay{}, statementCreating()
	}
	creating, err := s.settleDay(start)
	if err != nil {
		return billDay{}, err
	}
	day, known := s.books.billDay(date)
	switch {
	case known:
		return day, nil
	case date < dateOf(now.In(beijing()).AddDate(0, -billMonths, 0)):
		return billDay{}, invalidRequest(0, "bill_date is more than three months ago")
	case creating:
		return billDay{}, statementCreating()
	}
	return billDay{}, noStatement()
}

func noStatement() *refusal {
	return &refusal{status: http.StatusBadRequest, code: "NO_STATEMENT_EXIST", message: "there is no bill: nothing happened that day"}
}

func statementCreating() *refusal {
	return &refusal{status: http.StatusBadRequest, code: "STATEMENT_CREATING", message: "the bill is being made; try again after 10:00 Beijing time"}
}

// handOut makes a download_url on the address that was asked.
func (s *Simulator) handOut(c *call, text []byte, compressed bool) (reply, error) {
	token, err := s.random.text(64, alphanumeric)
	if err != nil {
		return reply{}, err
	}
	now := s.now()
	s.desk.leave(token, billFile{text, compressed, now.Add(s.shortened(downloadLife))}, now)
	link := url.URL{Scheme: "http", Host: c.request.Host, Path: billDownloadPath, RawQuery: "token=" + token}
	if c.request.TLS != nil {
		link.Scheme = "https"
	}
	if compressed {
		link.RawQuery += "&tartype=gzip"
	}
	sum := sha1.Sum(text)
	return reply{http.StatusOK, map[string]string{"hash_type": "SHA1", "hash_value": hex.EncodeToString(sum[:]), "download_url": link.String()}}, nil
}

// fileBody is an answer that is not JSON and, as WeChat Pay's bills, not signed.
type fileBody struct {
	contentType string
	bytes       []byte
}

// downloadBill wants a signed request like any other; only its answer is not signed.
func (s *Simulator) downloadBill(c *call) (reply, error) {
	query, err := url.ParseQuery(c.request.URL.RawQuery)
	if err != nil || len(query["token"]) != 1 {
		return reply{}, requestError("query", "token is required")
	}
	file, good := s.desk.fetch(query.Get("token"), s.now())
	if !good {
		return reply{}, invalidRequest(0, "下载链接过期,请重新请求文件下载")
	}
	if wanted := query.Has("tartype"); wanted != file.gzip || wanted && query.Get("tartype") != "gzip" {
		return reply{}, requestError("query", "use download_url exactly as it was given")
	}
	body, err := file.body()
	return reply{http.StatusOK, body}, err
}

func (f billFile) body() (fileBody, error) {
	if !f.gzip {
		return fileBody{"text/plain; charset=utf-8", f.text}, nil
	}
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	if _, err := writer.Write(f.text); err != nil {
		return fileBody{}, fmt.Errorf("compress bill: %w", err)
	}
	if err := writer.Close(); err != nil {
		return fileBody{}, fmt.Errorf("compress bill: %w", err)
	}
	return fileBody{"application/x-gzip", packed.Bytes()}, nil
}

// answerFile writes a file; tampering with it makes its sum wrong.
func (s *Simulator) answerFile(w http.ResponseWriter, f fileBody, spoil Forgery) {
	body := f.bytes
	if spoil == ForgedTamperedBody {
		body = append(bytes.Clone(body), ' ')
	}
	s.setRequestID(w, 0)
	w.Header().Set("Content-Type", f.contentType)
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body) // the caller may be gone
}
