// Package weixin is the WeChat side of the stand-in platform: what a shop meets
// before and beside the payment itself.
//
// Its job: the consent and QR pages of open.weixin.qq.com, the parts of
// api.weixin.qq.com that logins, the JS-SDK, menus and messages need, the sender of
// server messages, and a page that plays "inside WeChat" with a working wx object.
//
// Its neighbours: pkg/simulator mounts it at the root, beside the pay side, which it
// reaches through Cashier only. Like that package it imports nothing of fenflow: each
// signature and cipher here is made by code of its own.
//
// What it guarantees: every refusal is WeChat's own JSON with its error code under
// HTTP 200; codes are spent once and belong to one appid; the openid of a person
// under an appid is the same in every run. Secrets are never printed.
//
// What it leaves to others: remembering. Codes, tokens, menus and people that were
// made at run time live in memory and end with the process, as a login does.
package weixin
