// What a page finds inside WeChat: the file that res.wx.qq.com serves, and the
// bridge that the phone adds. Written for the stand-in; it shares nothing with the
// real file but its interface.
(function (window, document) {
  'use strict';
  if (window.WeixinJSBridge) return;

  var base = new URL(document.currentScript.src).origin;
  var config = null;        // what wx.config was given, once it was found right
  var asked = false;        // wx.config was called
  var waiting = [];         // callbacks of wx.ready
  var failed = null;        // why wx.config was refused
  var onError = null;
  var shared = {};          // what the page wants to be shared as
  var cashierOpen = false;

  function post(path, body) {
    return fetch(base + path, {
      method: 'POST', credentials: 'include',
      headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body)
    }).then(function (r) { return r.json(); });
  }

  // ---- the cashier -------------------------------------------------------

  var style = ':host{all:initial;position:fixed;inset:0;z-index:2147483647}' +
    '*{box-sizing:border-box}' +
    '.shade{position:fixed;inset:0;background:#000a;display:flex;align-items:flex-end;justify-content:center}' +
    '.sheet{width:100%;max-width:26rem;background:#fff;color:#17201b;border-radius:1.1rem 1.1rem 0 0;padding:1.3rem 1.3rem 1.6rem;' +
    'font:1rem/1.5 system-ui,"PingFang SC","Noto Sans","Noto Sans CJK SC",sans-serif;text-align:center}' +
    '@media (min-width:34rem){.shade{align-items:center}.sheet{border-radius:1.1rem}}' +
    'h2{font-size:1rem;font-weight:600;margin:0 0 .9rem}.sum{font-size:2.6rem;line-height:1.1;font-weight:680;margin:.2rem 0;font-variant-numeric:tabular-nums}' +
    'dl{display:grid;grid-template-columns:auto 1fr;gap:.3rem 1rem;text-align:left;border-top:1px solid #e3e6e4;margin:1.1rem 0;padding-top:.9rem;font-size:.95rem}' +
    'dt{color:#59635d}dd{margin:0;text-align:right;overflow-wrap:anywhere}' +
    'button{display:block;width:100%;font:inherit;font-weight:600;padding:.75rem;border:0;border-radius:.6rem;margin-top:.6rem;cursor:pointer;background:#eef1ef;color:#17201b}' +
    '#pay{background:#07803d;color:#fff;font-size:1.08rem}#lie{background:none;color:#a8071a;font-weight:400;font-size:.9rem}' +
    'button:focus-visible{outline:3px solid #2f5f9e;outline-offset:2px}.bad{color:#a8071a;margin:.6rem 0 0}';

  function yuan(fen) { return '¥' + (fen / 100).toFixed(2); }

  function element(tag, text, id) {
    var e = document.createElement(tag);
    if (text) e.textContent = text;
    if (id) e.id = id;
    return e;
  }

  function sheetOf(offer) {
    var sheet = element('div'), facts = element('dl');
    sheet.className = 'sheet';
    sheet.setAttribute('role', 'dialog');
    sheet.setAttribute('aria-modal', 'true');
    sheet.setAttribute('aria-label', 'WeChat Pay');
    sheet.append(element('h2', 'WeChat Pay 微信支付'));
    var sum = element('p', yuan(offer.bill.amount_fen));
    sum.className = 'sum';
    [['To', offer.bill.merchant], ['For', offer.bill.description], ['Paid by', offer.payer]].forEach(function (pair) {
      facts.append(element('dt', pair[0]), element('dd', pair[1]));
    });
    sheet.append(sum, facts, element('button', 'Pay 支付', 'pay'), element('button', 'Cancel 取消', 'cancel'),
      element('button', 'Say "ok" without paying', 'lie'));
    return sheet;
  }

  // showCashier answers ok, cancel or fail, as a person at the phone decides.
  function showCashier(offer, params, answer) {
    var host = element('div', '', 'weixin-cashier'), root = host.attachShadow({ mode: 'open' });
    var css = element('style', style), shade = element('div'), sheet = sheetOf(offer);
    shade.className = 'shade';
    shade.append(sheet);
    root.append(css, shade);
    document.documentElement.append(host);
    cashierOpen = true;
    function end(result) { cashierOpen = false; host.remove(); answer(result); }
    root.getElementById('cancel').onclick = function () { end({ err_msg: 'get_brand_wcpay_request:cancel' }); };
    root.getElementById('lie').onclick = function () { end({ err_msg: 'get_brand_wcpay_request:ok' }); };
    root.getElementById('pay').onclick = function () {
      root.querySelectorAll('button').forEach(function (b) { b.disabled = true; });
      post('/weixin/pay', params).then(end, function () { end(unreachable()); });
    };
    root.getElementById('pay').focus();
  }

  function unreachable() {
    return { err_msg: 'get_brand_wcpay_request:fail', err_desc: 'the stand-in cannot be reached' };
  }

  function brandPay(params, answer) {
    if (cashierOpen) return answer({ err_msg: 'get_brand_wcpay_request:fail', err_desc: 'the cashier is open already' });
    post('/weixin/pay?preview=1', params).then(function (offer) {
      if (!offer.bill) {
        console.error('WeChat stand-in: ' + offer.err_desc);
        return answer(offer);
      }
      showCashier(offer, params, answer);
    }, function () { answer(unreachable()); });
  }

  // ---- the bridge --------------------------------------------------------

  // weixinOutside stands before this script where the browser is nobody's phone.
  if (!window.weixinOutside) window.WeixinJSBridge = {
    invoke: function (name, params, callback) {
      callback = callback || function () {};
      if (name === 'getBrandWCPayRequest') return brandPay(params || {}, callback);
      if (name === 'getNetworkType') return setTimeout(callback, 0, { err_msg: 'network_type:wifi' });
      setTimeout(callback, 0, { err_msg: 'system:function_not_exist' });
    },
    call: function (name) {
      if (name === 'closeWindow') location.href = base + '/weixin/inside';
    },
    on: function () {}
  };
  function announce() { if (window.WeixinJSBridge) document.dispatchEvent(new Event('WeixinJSBridgeReady')); }
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', announce);
  else setTimeout(announce, 0);

  // ---- wx ----------------------------------------------------------------

  // settle calls back as the real file does: by the end of errMsg, and complete.
  function settle(options, name, word, extra) {
    var result = Object.assign({ errMsg: name + ':' + word }, extra || {});
    options = options || {};
    if (word === 'ok' && options.success) options.success(result);
    else if (word === 'cancel' && options.cancel) options.cancel(result);
    else if (word.indexOf('fail') === 0 || word.indexOf('the ') === 0) {
      console.error('WeChat stand-in: ' + result.errMsg);
      if (options.fail) options.fail(result);
    }
    if (options.complete) options.complete(result);
  }

  // allowed: an interface works after wx.ready, and only if it was asked for.
  function allowed(name, options) {
    if (!config) {
      settle(options, name, 'fail, the permission value is offline verifying');
      return false;
    }
    if (config.jsApiList.indexOf(name) < 0) {
      settle(options, name, 'fail, the permission value is not in jsApiList');
      return false;
    }
    return true;
  }

  function method(name, work) {
    wx[name] = function (options) {
      setTimeout(function () { if (allowed(name, options)) work(options || {}); }, 0);
    };
  }

  var wx = {
    config: function (given) {
      asked = true;
      var page = location.href.split('#')[0];
      var query = new URLSearchParams({ appid: given.appId || '', timestamp: String(given.timestamp), nonceStr: given.nonceStr || '',
        signature: given.signature || '', url: page });
      fetch(base + '/weixin/jsconfig?' + query, { credentials: 'include' }).then(function (r) { return r.json(); }).then(function (answer) {
        if (given.debug) console.log('wx.config', answer.errMsg);
        if (answer.errMsg !== 'config:ok') {
          failed = answer;
          console.error('WeChat stand-in: ' + answer.errMsg);
          if (onError) onError(answer);
          return;
        }
        config = Object.assign({}, given, { jsApiList: given.jsApiList || [] });
        waiting.splice(0).forEach(function (callback) { callback(); });
      }, function () {
        failed = { errMsg: 'config:fail, the stand-in cannot be reached' };
        if (onError) onError(failed);
      });
    },
    ready: function (callback) { if (config) setTimeout(callback, 0); else waiting.push(callback); },
    error: function (callback) {
      onError = callback;
      if (failed) setTimeout(callback, 0, failed);
    },
    checkJsApi: function (options) {
      setTimeout(function () {
        if (!config) return settle(options, 'checkJsApi', 'fail, the permission value is offline verifying');
        var result = {};
        (options.jsApiList || []).forEach(function (name) { result[name] = typeof wx[name] === 'function'; });
        settle(options, 'checkJsApi', 'ok', { checkResult: result });
      }, 0);
    },
    // standIn is for tests: the real object has no such thing.
    standIn: { shared: shared, asked: function () { return asked; } }
  };

  method('chooseWXPay', function (o) {
    brandPay({ appId: config.appId, timeStamp: o.timestamp, nonceStr: o.nonceStr, package: o.package, signType: o.signType, paySign: o.paySign },
      function (result) {
        var word = result.err_msg.split(':')[1];
        settle(o, 'chooseWXPay', word === 'fail' && result.err_desc ? 'fail, ' + result.err_desc : word);
      });
  });
  ['updateAppMessageShareData', 'updateTimelineShareData'].forEach(function (name) {
    method(name, function (o) {
      var link;
      try { link = new URL(o.link); } catch (e) { link = null; }
      if (!o.title || !link) return settle(o, name, 'fail, title and link are needed');
      if (link.hostname !== location.hostname) return settle(o, name, 'fail, link must lie under a JS-safe domain');
      shared[name] = { title: o.title, desc: o.desc, link: o.link, imgUrl: o.imgUrl };
      settle(o, name, 'ok');
    });
  });
  ['hideOptionMenu', 'showOptionMenu', 'hideMenuItems', 'showMenuItems', 'hideAllNonBaseMenuItem', 'showAllNonBaseMenuItem'].forEach(function (name) {
    method(name, function (o) { settle(o, name, 'ok'); });
  });
  method('getNetworkType', function (o) { settle(o, 'getNetworkType', 'ok', { networkType: 'wifi' }); });
  method('closeWindow', function (o) { settle(o, 'closeWindow', 'ok'); location.href = base + '/weixin/inside'; });

  window.wx = window.jWeixin = wx;
})(window, document);
