package bus

import (
	"fmt"
	"strings"

	"github.com/fenflow/fenflow/pkg/pay"
)

// The streams.
const (
	StreamNotify   = "NOTIFY"
	StreamCommand  = "COMMAND"
	StreamEvent    = "EVENT"
	StreamRejected = "REJECTED"
	streamKeys     = "KV_platform_keys" // a key-value bucket is a stream of this name
)

// The lanes of notifications that have a consumer each.
const (
	SubjectLive   = "pay.notify.live.*"
	SubjectReplay = "pay.notify.replay"
)

// Requests between roles, answered by the worker. Those to act have a subject
// space of their own: whoever may read need not be let act.
const (
	RequestVerifyV2    = "fenflow.verify.v2"
	RequestVerifyKeys  = "fenflow.verify.keys"
	RequestReadOrder   = "fenflow.read.order"
	RequestReadHistory = "fenflow.read.history"
	RequestReadRefund  = "fenflow.read.refund"
	RequestReadCommand = "fenflow.read.command"
	RequestActCheck    = "fenflow.act.check"
	RequestActAbnormal = "fenflow.act.abnormal"
	RequestReadAccount = "fenflow.read.account"
	RequestActProfile  = "fenflow.act.profile"
)

// Requests of the front door. Those about an order carry the buyer's session,
// which the worker verifies itself.
const (
	RequestWeChatAuthorize = "fenflow.wechat.authorize" // a code of the web for a ticket
	RequestWeChatLogin     = "fenflow.wechat.login"     // a ticket, or a code of an app, for a session
	RequestWeChatJSConfig  = "fenflow.wechat.jsconfig"  // what a page calls wx.config with
	RequestWeChatMessage   = "fenflow.wechat.message"   // a server message as it came
	RequestWeChatOrder     = "fenflow.wechat.order"     // a buyer's own order
	RequestWeChatCheck     = "fenflow.wechat.check"     // the same, after asking WeChat Pay
	RequestWeChatPay       = "fenflow.wechat.pay"       // what its buyer pays with
)

// Requests of operators, which the console asks the worker: for what takes a
// merchant's secret or the broker.
const (
	RequestOperateSubscriber  = "fenflow.operate.subscriber"
	RequestOperateKeys        = "fenflow.operate.keys"        // which keys each merchant has
	RequestOperateMerchant    = "fenflow.operate.merchant"    // one merchant's keys against its stored traffic
	RequestOperateRejected    = "fenflow.operate.rejected"    // samples of what was turned away
	RequestOperateReverify    = "fenflow.operate.reverify"    // whether they would pass now
	RequestOperatePublish     = "fenflow.operate.publish"     // those that do, to be settled
	RequestOperateEvents      = "fenflow.operate.events"      // as they are stored
	RequestOperateConnections = "fenflow.operate.connections" // which roles are there
	RequestOperateRehearse    = "fenflow.operate.rehearse"    // what settling messages again would change
	RequestOperateReplay      = "fenflow.operate.replay"      // settle them, if their orders are as a rehearsal saw them
	RequestOperateRepublish   = "fenflow.operate.republish"   // put archived notifications on the replay lane
	RequestOperateLane        = "fenflow.operate.lane"        // how far that lane is
	RequestOperateRecover     = "fenflow.operate.recover"     // restored books
	RequestOperateRecoverable = "fenflow.operate.recoverable" // what there is to recover
	RequestOperateMenu        = "fenflow.operate.menu"        // the menu of an official account
)

// The durable consumers of the lanes, without which nothing in NOTIFY counts as settled.
const (
	durableLive   = "settle-live"
	durableReplay = "settle-replay"

	durableCommand = "command-" // and the merchant's number
)

// SubscriberConsumer is the durable consumer on EVENT that the worker makes
// for business systems, and SubscriberAPIPrefix the JetStream API prefix under
// which deploy/nats.conf lets them reach it.
const (
	SubscriberConsumer  = "business"
	SubscriberAPIPrefix = "fenflow.events"
)

const (
	subjectLive     = "pay.notify.live."
	subjectRejected = "pay.rejected."
	subjectCommand  = "pay.command."
	subjectEvent    = "pay.event."

	keyPrefix   = "$KV.platform_keys."
	keysChanged = "fenflow.platform." // where the broker repeats each stored key
	keysRead    = "fenflow.keys"      // deploy/nats.conf maps it to the bucket's direct get
)

// token refuses what would change the shape of a subject.
func token(what, s string) error {
	if s == "" || strings.ContainsAny(s, ".*> \t\r\n") {
		return fmt.Errorf("%s %q cannot be part of a subject", what, s)
	}
	return nil
}

// nounVerb refuses what is not two tokens, such as "order.create".
func nounVerb(what, s string) error {
	noun, verb, _ := strings.Cut(s, ".")
	if token(what, noun) != nil || token(what, verb) != nil {
		return fmt.Errorf("%s %q must be two words with a dot between", what, s)
	}
	return nil
}

func eventSubject(e pay.Outgoing) (string, error) {
	if err := token("mchid", string(e.MchID)); err != nil {
		return "", err
	}
	if err := nounVerb("fact", string(e.Fact)); err != nil {
		return "", err
	}
	return subjectEvent + string(e.MchID) + "." + string(e.Fact), nil
}

func commandSubject(c pay.Command) (string, error) {
	if err := token("mchid", string(c.MchID)); err != nil {
		return "", err
	}
	if err := nounVerb("command kind", string(c.Kind)); err != nil {
		return "", err
	}
	return subjectCommand + string(c.Kind) + "." + string(c.MchID), nil
}
