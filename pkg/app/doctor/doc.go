// Package doctor finds what is wrong with an installation, and how to mend it.
//
// Its job: look at the configuration, at PostgreSQL, NATS, Redis, WeChat Pay's
// hosts, the front door and its apps, the keys and this machine, each thing by a check of its own, and give a
// finding for each. It works from configuration and files, so that it works when
// nothing else does. Its neighbours: config says where everything is; store, bus,
// queue, wechatpay and wechat know what their part must be like; `fenflow doctor` prints
// what is found.
//
// It guarantees that it changes nothing; that no secret is in a finding; that a
// check that hangs or panics fails alone; and an answer within 20 seconds.
//
// It leaves to others: mending.
package doctor
