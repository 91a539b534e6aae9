'use strict';
// What a page needs of fenflow's front door: login, pay parameters, and the order
// by query. It holds no secret and knows no price; take it over as it is.

class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || problem.error || 'HTTP ' + status);
    this.status = status;
    this.code = problem.code || '';
  }
}

// fetchJSON answers with the body, or throws a Refused with the problem.
async function fetchJSON(method, url, session, body) {
  const headers = {};
  if (session) headers.Authorization = 'Bearer ' + session;
  if (body) headers['Content-Type'] = 'application/json';
  const response = await fetch(url, { method, headers, body: body && JSON.stringify(body), referrerPolicy: 'strict-origin' });
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
}

function randomText() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

class FrontDoor {
  constructor(base) {
    this.base = base;
    this.session = sessionStorage.getItem('session') || '';
    this.appid = sessionStorage.getItem('appid') || '';
    if (Number(sessionStorage.getItem('expires')) < Date.now() + 60000) this.session = '';
  }

  // logIn leaves the page for WeChat and comes back to it with ?ticket=. Only who
  // keeps the verifier can spend that ticket: a page address is easily passed on.
  async logIn(appid) {
    const verifier = randomText();
    sessionStorage.setItem('verifier', verifier);
    sessionStorage.setItem('appid', appid);
    const challenge = base64url(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier)));
    const back = new URL(location.href.split('#')[0]);
    back.searchParams.delete('ticket');
    location.assign(`${this.base}/wx/oauth/${appid}/start?return_to=${encodeURIComponent(back)}&challenge=${challenge}`);
  }

  // takeTicket spends the ticket in the page's address, if there is one, and enters
  // the page again without it. On iOS, WeChat holds wx.config to the address that
  // was really entered, so history.replaceState would not do.
  async takeTicket() {
    const here = new URL(location.href);
    const ticket = here.searchParams.get('ticket');
    const verifier = sessionStorage.getItem('verifier');
    if (!ticket) return false;
    sessionStorage.removeItem('verifier');
    here.searchParams.delete('ticket');
    here.hash = ''; // browsers carry #wechat_redirect through the redirects
    if (verifier && this.appid) { // else somebody passed the address on: nothing to spend
      try {
        const login = await fetchJSON('POST', `${this.base}/wx/login/${this.appid}`, '', { ticket, verifier });
        sessionStorage.setItem('session', login.session);
        sessionStorage.setItem('expires', String(Date.parse(login.expires_at)));
      } catch (refused) {
        history.replaceState(null, '', here);
        throw refused;
      }
    }
    location.replace(here);
    return true;
  }

  forget() {
    this.session = '';
    sessionStorage.removeItem('session');
  }

  payParameters(no, redirect) {
    return this.ask('POST', no, '/pay', redirect ? { redirect_url: redirect } : {});
  }

  // check has WeChat Pay asked now; order reads what is known.
  check(no) { return this.ask('POST', no, '/check'); }
  order(no) { return this.ask('GET', no, ''); }
  ask(method, no, act, body) { return fetchJSON(method, `${this.base}/wx/orders/${encodeURIComponent(no)}${act}`, this.session, body); }

  // follow asks ever more rarely until the order is final, or for about two minutes.
  // show is given each answer; it returns false to end this.
  async follow(no, show) {
    for (const seconds of [0, 1, 1, 2, 2, 3, 5, 8, 13, 21, 34, 34]) {
      await new Promise((go) => setTimeout(go, seconds * 1000));
      const asks = seconds === 0 || seconds > 2; // those in between wait for the notification
      let order;
      try {
        order = await (asks ? this.check(no) : this.order(no));
      } catch (refused) {
        if (refused.status >= 400 && refused.status < 500 && refused.status !== 429) throw refused;
        continue; // no network, or nobody there: the next time
      }
      if (show(order) === false || ['paid', 'closed', 'failed'].includes(order.state)) return;
    }
  }

  async configure(wx, jsApiList) {
    const url = encodeURIComponent(location.href.split('#')[0]);
    const config = await fetchJSON('GET', `${this.base}/wx/jsconfig/${this.appid}?url=${url}`);
    return new Promise((ready, failed) => {
      wx.ready(ready);
      wx.error((e) => failed(new Error((e && e.errMsg) || 'wx.config')));
      wx.config(Object.assign({ debug: false, jsApiList }, config));
    });
  }
}

// What these two resolve to is what WeChat told the page: good for a word to the
// buyer, never a proof. Whether it is paid, only a query says.
function payInBridge(parameters) {
  return new Promise((told) => {
    const invoke = () => WeixinJSBridge.invoke('getBrandWCPayRequest', parameters, (r) => told(String(r.err_msg).split(':')[1]));
    if (typeof WeixinJSBridge !== 'undefined') invoke();
    else document.addEventListener('WeixinJSBridgeReady', invoke, { once: true });
  });
}

function payInSDK(wx, parameters) {
  return new Promise((told) => {
    wx.chooseWXPay(Object.assign({}, parameters, { success: () => told('ok'), cancel: () => told('cancel'), fail: () => told('fail') }));
  });
}
