package ingest

import (
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/request"
)

// Limits of a scene (WeChat Pay doc 4012791834).
const (
	maxAppName = 64
	maxAppURL  = 128 // of bundle and package names, too
)

// sceneBody is where an H5 order is paid, on the bus.
type sceneBody struct {
	PayerClientIP string `json:"payer_client_ip,omitempty"`
	H5Type        string `json:"h5_type,omitempty"`
	AppName       string `json:"app_name,omitempty"`
	AppURL        string `json:"app_url,omitempty"`
	BundleID      string `json:"bundle_id,omitempty"`
	PackageName   string `json:"package_name,omitempty"`
}

func bodyOf(s pay.Scene) sceneBody {
	return sceneBody{s.PayerClientIP, string(s.Type), s.AppName, s.AppURL, s.BundleID, s.PackageName}
}

// sceneFields are the names of a scene's fields, in the order of its digest.
func sceneFields() []string {
	return []string{"payer_client_ip", "h5_type", "app_name", "app_url", "bundle_id", "package_name"}
}

func sceneOf(f *request.Fields) pay.Scene {
	return pay.Scene{
		PayerClientIP: f.Text("payer_client_ip", false, pay.MaxPayerIP),
		Type:          pay.H5Type(f.Text("h5_type", false, request.MaxShort)),
		AppName:       f.Text("app_name", false, maxAppName),
		AppURL:        f.Text("app_url", false, maxAppURL),
		BundleID:      f.Text("bundle_id", false, maxAppURL),
		PackageName:   f.Text("package_name", false, maxAppURL),
	}
}

// checkScene: WeChat Pay wants to know where an H5 order is paid, and of no other.
func checkScene(f *request.Fields, client pay.Client, s pay.Scene) {
	if client != pay.ClientH5 {
		for _, name := range sceneFields() {
			if f.Given(name) {
				f.Bad(name, "is given; only client %q has it, not %q", string(pay.ClientH5), string(client))
			}
		}
		return
	}
	if !f.Given("payer_client_ip") {
		f.Bad("payer_client_ip", "is missing; client %q needs the buyer's IP address, as your server sees it", string(client))
	} else if err := pay.CheckPayerIP(s.PayerClientIP); s.PayerClientIP != "" && err != nil {
		f.Bad("payer_client_ip", "is %q; it %s", s.PayerClientIP, err)
	}
	if !f.Given("h5_type") {
		f.Bad("h5_type", "is missing; client %q needs what its page runs in: Wap (a browser), iOS or Android (a view in an app)", string(client))
	} else if s.Type != "" && !s.Type.Known() {
		f.Bad("h5_type", "is %q; it must be Wap, iOS or Android", string(s.Type))
	}
}

// sceneMeaning is what a scene adds to an order's digest: nothing where there is none.
func sceneMeaning(s pay.Scene) []request.Meaning {
	var said []request.Meaning
	for i, value := range []string{s.PayerClientIP, string(s.Type), s.AppName, s.AppURL, s.BundleID, s.PackageName} {
		if value != "" {
			said = append(said, request.Meaning{Name: sceneFields()[i], Value: value})
		}
	}
	return said
}
