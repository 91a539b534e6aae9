package devstack

import (
	"fmt"
	"net/url"
	"time"
)

// describe prints the addresses and one next step.
func (s *Stack) describe() {
	s.say("\nfenflow is up; everything listens on loopback only.\n")
	for _, line := range [][2]string{
		{"notifications", s.NotifyURL() + "/notify/v3/" + s.merchant.Mchid},
		{"business API", s.APIURL() + "/v1/orders"},
		{"front door", s.FrontURL() + "/wx/…"},
		{"operators' API", s.ConsoleURL() + "/operator/v1/status"},
		{"operator's token", s.token},
		{"stand-in WeChat Pay", s.SimulatorURL() + "/  (open it in a browser: orders, with a Pay button)"},
		{"metrics", httpURL(s.ports.admin) + "/metrics (ingest), " + httpURL(s.ports.workerAdmin) + "/metrics (worker)"},
		{"NATS", s.NATSURL() + "  user subscriber, password " + s.passwords["subscriber"]},
		{"NATS accounts", s.AccountsFile() + "  (after a change: kill -HUP the pid of nats, below; twice, a second apart)"},
		{"PostgreSQL", s.postgres.URL(databaseName)},
		{"Redis", s.redis.URL()},
		{"configuration", s.options.path("merchant", "fenflow.yaml")},
		{"logs", s.options.path("log")},
	} {
		s.say("  %-20s %s", line[0], line[1])
	}
	for _, p := range s.processes {
		pid, _ := p.status()
		s.say("  %-20s pid %d", p.name, pid)
	}
	if shop := s.ShopURL(); shop != "" {
		s.say("\nOpen this address to buy something as a buyer inside WeChat:\n\n  %s\n\nOutside WeChat, with a QR code: %s/ in another browser.",
			s.SimulatorURL()+"/weixin/inside?"+url.Values{"url": {shop + "/"}}.Encode(), shop)
	}
	s.say("\nNext: place an order, pay it (here, or with the Pay button), and look at it, as the shop and as an operator:\n\n%s\n", s.nextStep())
}

func (s *Stack) nextStep() string {
	no := time.Now().UTC().Format("20060102150405") // the books are kept: yesterday's number is paid
	return fmt.Sprintf(`  curl -sS %s/v1/orders -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' \
    -d '{"out_trade_no":"T%s","appid":"%s","client":"native","description":"One pot of tea","amount_fen":100,"currency":"CNY"}'
  curl -sS -X POST %s/control/orders/T%s/pay -d '{}'
  sleep 1; curl -sS %s/v1/orders/T%s -H 'Authorization: Bearer %s'
  FENFLOW_URL=%s FENFLOW_TOKEN=%s go run ./cmd/fenflow order show T%s`,
		s.APIURL(), s.merchant.APIKey, no, s.merchant.Appid, s.SimulatorURL(), no, s.APIURL(), no, s.merchant.APIKey, s.ConsoleURL(), s.token, no)
}
