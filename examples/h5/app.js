'use strict';
// The page of the tea shop. Money is the shop's and WeChat Pay's business: prices
// come from the shop, orders are placed by the shop, and what is paid is asked.

const $ = (id) => document.getElementById(id);
const two = (zh, en) => {
  const small = document.createElement('span');
  small.lang = 'en';
  small.textContent = en;
  return [document.createTextNode(zh), small];
};
const yuan = (fen) => '¥' + (fen / 100).toFixed(2);

const states = {
  created: ['订单已提交', 'Placed'],
  awaiting_payment: ['尚未付款', 'Not paid yet'],
  paid: ['已付款，谢谢！', 'Paid. Thank you!'],
  closed: ['订单已关闭', 'Closed: it can no longer be paid'],
  failed: ['下单失败', 'WeChat Pay did not take the order'],
};
const ways = {
  bridge: ['微信支付', 'WeixinJSBridge', 'jsapi'],
  sdk: ['微信支付（JS-SDK）', 'wx.chooseWXPay', 'jsapi'],
  native: ['扫码支付', 'Native: scan a QR code', 'native'],
  h5: ['手机浏览器支付', 'H5: go to the WeChat app', 'h5'],
};

let shop; // /config.json
let door; // FrontDoor
let inside = false; // inside WeChat
let sdk; // a promise: wx.config has been accepted
let following = 0; // the follower that may still show something
let shown; // the order on the page

function say(zh, en, bad) {
  $('say').replaceChildren(...(zh ? two(zh, en) : []));
  $('say').classList.toggle('bad', Boolean(bad));
}

function see(id) {
  for (const section of ['door', 'counter', 'order']) $(section).hidden = section !== id;
}

// sorry tells what went wrong. Who has no session any more logs in again: by
// itself inside WeChat, where nobody notices, but not over and over.
function sorry(error) {
  if (error.status === 401) {
    door.forget();
    return needLogin(error);
  }
  say(`出错了，请重试。（${error.code || error.message}）`, 'That did not work; please try again.', true);
}

function needLogin(refused) {
  const last = Number(sessionStorage.getItem('tried'));
  if (inside && Date.now() - last > 30000) {
    sessionStorage.setItem('tried', String(Date.now()));
    say('正在用微信登录…', 'Logging in with WeChat…');
    return door.logIn(shop.appid);
  }
  if (refused) say(`请重新登录。（${refused.code || refused.message}）`, 'Please log in again.', true);
  else say('', '');
  see('door');
}

function render() {
  $('items').replaceChildren(...shop.items.map((item) => {
    const row = document.createElement('li');
    const name = document.createElement('span');
    name.textContent = item.name;
    const buy = document.createElement('button');
    buy.type = 'button';
    buy.id = 'buy-' + item.id;
    buy.textContent = yuan(item.amount_fen);
    buy.setAttribute('aria-label', `购买 Buy ${item.name} ${yuan(item.amount_fen)}`);
    buy.onclick = () => once(buy, () => order(item));
    row.append(name, buy);
    return row;
  }));
  const offered = inside ? ['bridge', 'sdk'] : ['native', 'h5'];
  $('ways').append(...offered.map((id, i) => {
    const label = document.createElement('label');
    const radio = Object.assign(document.createElement('input'), { type: 'radio', name: 'way', value: id, checked: i === 0 });
    const text = document.createElement('span');
    text.append(...two(ways[id][0], ways[id][1]));
    label.append(radio, text);
    return label;
  }));
}

const way = () => document.querySelector('input[name=way]:checked').value;

// once keeps a button from being pressed while it works.
async function once(button, act) {
  if (button.disabled) return;
  button.disabled = true;
  try {
    await act();
  } catch (error) {
    sorry(error);
  } finally {
    button.disabled = false;
  }
}

// order has the shop place it. The request's id is kept until there is an answer:
// a second tap, or one after the network was away, is the same order.
async function order(item) {
  const client = ways[way()][2];
  const kept = `request:${item.id}:${client}`;
  const id = sessionStorage.getItem(kept) || randomText();
  sessionStorage.setItem(kept, id);
  say('正在下单…', 'Placing your order…');
  const placed = await fetchJSON('POST', 'shop/orders', door.session, { request_id: id, item: item.id, client });
  sessionStorage.removeItem(kept);
  sessionStorage.setItem('order', placed.out_trade_no);
  show(await door.order(placed.out_trade_no));
  say('', '');
  $('order-title').focus();
  await pay();
}

function show(order) {
  shown = order;
  see('order');
  const [zh, en] = states[order.state] || [order.state, order.state];
  $('what').textContent = order.description;
  $('amount').textContent = yuan(order.amount_fen);
  $('number').textContent = order.out_trade_no;
  if ($('state').dataset.state !== order.state) { // what is read aloud is said once
    $('state').dataset.state = order.state;
    $('state').replaceChildren(...two(zh, en));
    $('state').className = 'state ' + ({ paid: 'good', closed: 'bad', failed: 'bad' }[order.state] || '');
  }
  $('pay').hidden = !order.payable || order.client === 'native' && !$('code').hidden;
  $('check').hidden = order.state !== 'awaiting_payment';
  if (order.state === 'paid' || !order.payable) $('code').hidden = true;
}

// pay has the parameters made, hands them to WeChat unchanged, and then asks what
// came of it, whatever WeChat told the page.
async function pay() {
  const { out_trade_no: no, client } = shown;
  if (client === 'jsapi' && !inside) return say('这个订单请在微信里付款。', 'This order is to be paid inside WeChat.', true);
  const back = new URL(location.pathname, location.origin);
  back.searchParams.set('order', no);
  const made = await door.payParameters(no, client === 'h5' ? back.href : '');
  if (made.h5) return location.assign(made.h5.url);
  if (made.native) {
    $('qr').src = made.native.qr_png;
    $('code').hidden = false;
    $('pay').hidden = true;
    return void follow(no);
  }
  if (way() === 'sdk') await sdk;
  const told = await (way() === 'sdk' ? payInSDK(window.wx, made.choose_wx_pay) : payInBridge(made.wei_xin_js_bridge));
  if (told === 'cancel') say('您取消了付款。', 'You cancelled.');
  if (told === 'fail') say('微信没有完成付款。', 'WeChat did not complete the payment.', true);
  follow(no, told === 'ok');
}

// follow shows what WeChat Pay says, and says so when somebody claimed that it is paid.
async function follow(no, claimed) {
  const mine = ++following;
  let last;
  let answers = 0;
  if (claimed) say('正在向微信支付查询…', 'Asking WeChat Pay…');
  try {
    await door.follow(no, (order) => {
      if (mine !== following) return false;
      show(last = order);
      if (claimed && ++answers === 3 && order.state === 'awaiting_payment') say('微信支付尚未确认收款，继续查询中…', 'WeChat Pay has confirmed no payment yet. Still asking…');
      return true;
    });
    if (mine !== following) return;
    if (last && last.state !== 'awaiting_payment') say('', '');
    else say('微信支付尚未确认收款。', 'WeChat Pay has confirmed no payment yet.');
  } catch (error) {
    if (mine === following) sorry(error);
  }
}

function leave() {
  following++;
  sessionStorage.removeItem('order');
  $('code').hidden = true;
  say('', '');
  history.replaceState(null, '', location.pathname);
  see('counter');
}

// share says what a friend sees, and leaves out whatever stands behind the "?".
function share(wx) {
  const link = location.origin + location.pathname;
  const card = { title: '茶铺 · The Tea Shop', link, imgUrl: new URL('tea.png', link).href, success: () => {} };
  wx.updateAppMessageShareData(Object.assign({ desc: '来喝杯茶吧。Come and have a cup of tea.' }, card));
  wx.updateTimelineShareData(card);
}

function load(src) {
  return new Promise((done, failed) => {
    document.head.append(Object.assign(document.createElement('script'), { src, onload: done, onerror: () => failed(new Error(src)) }));
  });
}

async function start() {
  shop = await fetchJSON('GET', 'config.json');
  door = new FrontDoor(shop.front);
  await load(shop.jweixin).catch(() => say('微信 JS-SDK 没有加载。', 'WeChat’s JS-SDK did not load.', true));
  inside = /MicroMessenger/i.test(navigator.userAgent) || typeof WeixinJSBridge !== 'undefined';
  $('place').replaceChildren(...(inside ? two('微信内', 'in WeChat') : two('微信外', 'outside WeChat')));
  $('place').hidden = false;
  $('outside').hidden = inside;
  $('login').onclick = () => once($('login'), () => door.logIn(inside ? shop.appid : shop.website_appid || shop.appid));
  $('pay').onclick = () => once($('pay'), pay);
  $('check').onclick = () => void follow(shown.out_trade_no, true);
  $('back').onclick = leave;
  render();
  try {
    if (await door.takeTicket()) return; // the page is entered again
  } catch (error) {
    say(`登录没有成功，请再试一次。（${error.code || error.message}）`, 'The login did not work; please try again.', true);
    return see('door');
  }
  if (!door.session) return needLogin();
  if (inside && window.wx) {
    sdk = door.configure(window.wx, ['chooseWXPay', 'updateAppMessageShareData', 'updateTimelineShareData']).then(() => share(window.wx));
    sdk.catch((error) => say(`分享和 JS-SDK 支付不可用。（${error.code || error.message}）`, 'Sharing, and payment by JS-SDK, do not work here.', true));
  }
  const open = new URLSearchParams(location.search).get('order') || sessionStorage.getItem('order');
  say('', '');
  if (!open) return see('counter');
  try {
    show(await door.order(open)); // come back from WeChat, or entered again
    follow(open);
  } catch (error) {
    if (error.status !== 404) throw error;
    leave();
  }
}

start().catch(sorry);
