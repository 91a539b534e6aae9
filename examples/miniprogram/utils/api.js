// What the pages need of the shop's back end and of fenflow's front door. There is
// no secret here, and no price: the shop knows both.
const config = require('../config.js');

let session = ''; // in memory only: a new start logs in again
let login = null; // the login that is under way, for all who wait for it

function promised(call, options) {
  return new Promise((success, fail) => call(Object.assign({}, options, { success, fail })));
}

async function send(method, url, data) {
  const header = { 'content-type': 'application/json' };
  if (session) header.Authorization = 'Bearer ' + session;
  const answer = await promised(wx.request, { method, url, data, header, timeout: 30000 });
  return { status: answer.statusCode, body: answer.data };
}

function refused(answer) {
  const problem = answer.body || {};
  const error = new Error(problem.detail || problem.title || problem.error || 'HTTP ' + answer.status);
  error.status = answer.status;
  error.code = problem.code || '';
  return error;
}

// logIn trades a fresh code for a session. phoneCode is what the phone number button
// gives, once the buyer agreed. WeChat's session_key never comes here.
async function logIn(phoneCode) {
  const { code } = await promised(wx.login, {});
  const appid = wx.getAccountInfoSync().miniProgram.appId;
  session = '';
  const answer = await send('POST', `${config.front}/wx/login/${appid}`, phoneCode ? { code, phone_code: phoneCode } : { code });
  if (answer.status !== 200) throw refused(answer);
  session = answer.body.session;
}

// logInOnce has all who need a session wait for the same login.
function logInOnce() {
  const done = () => { login = null; };
  if (!login) {
    login = logIn();
    login.then(done, done);
  }
  return login;
}

// call logs in when that is needed: at first, and again, once, when the session ran out.
async function call(method, url, data) {
  if (!session) await logInOnce();
  const used = session;
  let answer = await send(method, url, data);
  if (answer.status === 401) {
    if (session === used) await logInOnce();
    answer = await send(method, url, data);
  }
  if (answer.status < 200 || answer.status > 299) throw refused(answer);
  return answer.body;
}

const order = (no, act, method) => call(method, `${config.front}/wx/orders/${encodeURIComponent(no)}${act}`, method === 'POST' ? {} : undefined);

async function items() {
  const answer = await send('GET', `${config.shop}/config.json`);
  if (answer.status !== 200) throw refused(answer);
  return answer.body.items;
}

// place orders at the shop. The same requestID is the same order, however often it is sent.
const place = (item, requestID) => call('POST', `${config.shop}/shop/orders`, { request_id: requestID, item, client: 'mini_program' });

const read = (no) => order(no, '', 'GET'); // what is known
const check = (no) => order(no, '/check', 'POST'); // has WeChat Pay asked now

// pay hands the parameters to WeChat as they came. What it answers is good for a
// word to the buyer and proves nothing.
async function pay(no) {
  const made = await order(no, '/pay', 'POST');
  try {
    await promised(wx.requestPayment, made.request_payment);
    return 'ok';
  } catch (error) {
    return /cancel/.test(error.errMsg) ? 'cancel' : 'fail';
  }
}

// follow asks ever more rarely until the order is final, or for about two minutes.
// show is given each answer; it returns false to end this.
async function follow(no, show) {
  for (const seconds of [0, 1, 1, 2, 2, 3, 5, 8, 13, 21, 34, 34]) {
    await new Promise((go) => setTimeout(go, seconds * 1000));
    let now;
    try {
      now = await (seconds === 0 || seconds > 2 ? check(no) : read(no));
    } catch (error) {
      if (error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
      continue; // no network, or nobody there: the next time
    }
    if (show(now) === false || ['paid', 'closed', 'failed'].includes(now.state)) return;
  }
}

module.exports = { logIn, items, place, read, check, pay, follow };
