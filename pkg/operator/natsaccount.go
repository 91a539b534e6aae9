package operator

import (
	"strings"

	"github.com/fenflow/fenflow/pkg/pay"
)

// natsAccountTemplate is an account of deploy/nats.conf. An account for each subscriber,
// and not a user beside others: the server does not check where an answer is sent, so in
// one account a business system could have events delivered into another's inbox. What
// crosses over is what is listed: its own consumer's, in both forms of acknowledgement
// (see the worker's in nats.conf for why the domain is written out).
const natsAccountTemplate = `# NAME, a business system of merchant MCHID
SUBSCRIBER_NAME {
  users: [{
    nkey: NKEY
    permissions {
      publish {
        allow: [
          "fenflow.events.CONSUMER.INFO.EVENT.NAME", "fenflow.events.CONSUMER.MSG.NEXT.EVENT.NAME"
          "$JS.ACK.EVENT.NAME.>", "$JS.ACK._.*.EVENT.NAME.>"
        ]
      }
      subscribe {allow: ["_INBOX_NAME.>"]}
    }
  }]
  imports: [
    {service: {account: FENFLOW, subject: "$JS.API.CONSUMER.INFO.EVENT.NAME"}, to: "fenflow.events.CONSUMER.INFO.EVENT.NAME"}
    {service: {account: FENFLOW, subject: "$JS.API.CONSUMER.MSG.NEXT.EVENT.NAME"}, to: "fenflow.events.CONSUMER.MSG.NEXT.EVENT.NAME"}
    {service: {account: FENFLOW, subject: "$JS.ACK.EVENT.NAME.>"}}
    {service: {account: FENFLOW, subject: "$JS.ACK._.*.EVENT.NAME.>"}}
  ]
}
`

// NATSAccount is what the broker's configuration needs so that a subscriber gets in
// with its key, and to its own consumer only.
func NATSAccount(s pay.Subscriber) string {
	// "SUBSCRIBER_" is the account's and "NAME" within it the subscriber's: one pass,
	// so that a name is never replaced within a name.
	return strings.NewReplacer("MCHID", string(s.MchID), "SUBSCRIBER_NAME", "SUBSCRIBER_"+string(s.Name), "NKEY", s.NKey, "NAME", string(s.Name)).Replace(natsAccountTemplate)
}
