package ingest

import (
	"net/http"

	"github.com/fenflow/fenflow/pkg/httpedge"
	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/problem"
)

// maxKeyBytes bounds what is hashed for a stranger; ours have 46.
const maxKeyBytes = 256

// authorize finds whose request this is. A missing, broken and unknown key get
// the same answer, after comparing with every key (see Directory.ByAPIKey).
func (h *APIHandler) authorize(r *http.Request) (m merchant.Merchant, keyName string, err error) {
	key, given := httpedge.Bearer(r)
	if given && key != "" && len(key) <= maxKeyBytes {
		if m, keyName, known := h.Merchants.ByAPIKey(key); known {
			return m, keyName, nil
		}
	}
	return merchant.Merchant{}, "", problem.New(problem.Unauthorized, "")
}
