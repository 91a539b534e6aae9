// Package jsconfig signs what a page inside WeChat calls wx.config with.
//
// Its job: an appid and the address of a page become appId, timestamp, nonceStr and
// signature. Its neighbours: the front door asks over the bus; the app's jsapi_ticket
// comes from the token authority; package wechat signs.
//
// It guarantees that only pages of the app's own domains are signed for, whoever asks,
// and that the ticket stays here.
//
// It leaves to others: which domains WeChat's console has been told of, and everything
// that a page does with the JS-SDK.
package jsconfig
