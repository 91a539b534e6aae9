package pay

import "time"

// DeliveryFilter picks a page of the archive, the newest delivery first. After…
// is the last one of the page before; zero: the first page.
type DeliveryFilter struct {
	MchID      MchID          // empty: of every merchant
	Kinds      []DeliveryKind // empty: what WeChat Pay sent by itself
	Since      time.Time      // received then or later
	Limit      int
	AfterID    DeliveryID
	AfterMchID MchID
	Bytes      bool // with headers and body
}

// Wants says whether the filter is for a kind.
func (f DeliveryFilter) Wants(kind DeliveryKind) bool {
	if len(f.Kinds) == 0 {
		return kind.Notification()
	}
	for _, k := range f.Kinds {
		if k == kind {
			return true
		}
	}
	return false
}

// DeliveryPage is a page of the archive. One may be short, and have others after
// it all the same: a look at the archive takes only so many rows.
type DeliveryPage struct {
	Deliveries []Delivery
	More       bool
	LastID     DeliveryID // what the page after begins behind
	LastMchID  MchID
	LastAt     time.Time // its receipt
}
