package ingest

import (
	"errors"
	"time"
)

// CheckKeys fails when no merchant has a key to verify with. One that has none
// while others do is a metric and an alert: the rest must keep their traffic.
func CheckKeys(merchants Merchants, keys *Keys, now time.Time) error {
	for _, m := range merchants.All() {
		if keys.Count(m.MchID, now) > 0 {
			return nil
		}
	}
	return errors.New("no merchant has a key of WeChat Pay: configure wechatpay_public_keys, or start a worker, which fetches platform certificates")
}
