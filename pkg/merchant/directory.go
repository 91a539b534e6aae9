package merchant

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"

	"github.com/fenflow/fenflow/pkg/pay"
)

// Directory is an immutable set of merchants.
type Directory struct {
	all     []Merchant
	byMchID map[pay.MchID]int
}

// NewDirectory refuses a merchant that is there twice and an API key that two
// merchants would share.
func NewDirectory(merchants []Merchant) (*Directory, error) {
	d := &Directory{all: slices.Clone(merchants), byMchID: make(map[pay.MchID]int, len(merchants))}
	owners := map[[32]byte]pay.MchID{}
	var problems []error
	for i, m := range d.all {
		if _, twice := d.byMchID[m.MchID]; twice {
			problems = append(problems, fmt.Errorf("merchant %s is configured twice: remove one", m.MchID))
		}
		d.byMchID[m.MchID] = i
		for _, k := range m.APIKeys {
			if owner, taken := owners[k.SHA256]; taken {
				problems = append(problems, fmt.Errorf("API key %q of merchant %s is also a key of merchant %s: make a new one with `fenflow key new`", k.Name, m.MchID, owner))
			}
			owners[k.SHA256] = m.MchID
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return d, nil
}

// ByMchID finds a merchant by its number.
func (d *Directory) ByMchID(id pay.MchID) (Merchant, bool) {
	if i, ok := d.byMchID[id]; ok {
		return d.all[i], true
	}
	return Merchant{}, false
}

// ByAppID finds the merchant that an app belongs to, for what names the app and
// nothing else. An app of several merchants is nobody's.
func (d *Directory) ByAppID(id pay.AppID) (m Merchant, a App, ok bool) {
	for _, one := range d.all {
		for _, app := range one.Apps {
			switch {
			case app.AppID != id:
			case ok:
				return Merchant{}, App{}, false
			default:
				m, a, ok = one, app, true
			}
		}
	}
	return m, a, ok
}

// ByAPIKey finds whose key this is. It compares with every key in constant
// time, so that the time it takes says nothing about how close a guess was.
func (d *Directory) ByAPIKey(plain string) (m Merchant, keyName string, ok bool) {
	sum := sha256.Sum256([]byte(plain))
	found, name := -1, ""
	for i := range d.all {
		for _, k := range d.all[i].APIKeys {
			if subtle.ConstantTimeCompare(sum[:], k.SHA256[:]) == 1 {
				found, name = i, k.Name
			}
		}
	}
	if found < 0 {
		return Merchant{}, "", false
	}
	return d.all[found], name, true
}

// All lists the merchants in the order in which they were configured.
func (d *Directory) All() []Merchant { return slices.Clone(d.all) }
