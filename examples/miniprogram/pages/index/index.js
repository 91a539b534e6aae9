const api = require('../../utils/api.js');

const states = {
  created: { zh: '订单已提交', en: 'Placed' },
  awaiting_payment: { zh: '尚未付款', en: 'Not paid yet' },
  paid: { zh: '已付款，谢谢！', en: 'Paid. Thank you!' },
  closed: { zh: '订单已关闭', en: 'Closed: it can no longer be paid' },
  failed: { zh: '下单失败', en: 'WeChat Pay did not take the order' },
};
const yuan = (fen) => (fen / 100).toFixed(2);
const newID = () => Date.now().toString(36) + '-' + Math.random().toString(36).slice(2);

Page({
  data: { items: [], order: null, state: {}, note: {}, busy: false, phone: false },
  requests: {}, // by item: the id of a request that has no answer yet
  following: 0,

  onLoad() {
    return this.work(async () => {
      const items = await api.items();
      this.setData({ items: items.map((i) => Object.assign({ price: yuan(i.amount_fen) }, i)) });
    });
  },

  onUnload() {
    this.following++;
  },

  say(zh, en, bad) {
    this.setData({ note: zh ? { zh, en, bad: Boolean(bad) } : {} });
  },

  // work does one thing at a time, and tells when it went wrong.
  async work(act) {
    if (this.data.busy) return;
    this.setData({ busy: true });
    try {
      await act();
    } catch (error) {
      this.say(`出错了，请重试。（${error.code || error.message || error.errMsg}）`, 'That did not work; please try again.', true);
    } finally {
      this.setData({ busy: false });
    }
  },

  // buy has the shop place the order. A tap after one that got no answer is the same order.
  buy(event) {
    const item = event.currentTarget.dataset.item;
    return this.work(async () => {
      this.requests[item] = this.requests[item] || newID();
      this.say('正在下单…', 'Placing your order…');
      const placed = await api.place(item, this.requests[item]);
      delete this.requests[item];
      this.show(await api.read(placed.out_trade_no));
      await this.pay(placed.out_trade_no);
    });
  },

  payAgain() {
    return this.work(() => this.pay(this.data.order.out_trade_no));
  },

  // pay asks WeChat Pay what came of it, whatever WeChat told this page.
  async pay(no) {
    const told = await api.pay(no);
    if (told === 'cancel') this.say('您取消了付款。', 'You cancelled.');
    else if (told === 'fail') this.say('微信没有完成付款。', 'WeChat did not complete the payment.', true);
    else this.say('正在向微信支付查询…', 'Asking WeChat Pay…');
    this.follow(no);
  },

  check() {
    return this.work(async () => {
      const order = await api.check(this.data.order.out_trade_no);
      this.show(order);
      if (order.state === 'awaiting_payment') this.say('微信支付尚未确认收款。', 'WeChat Pay has confirmed no payment yet.');
      else this.say();
    });
  },

  async follow(no) {
    const mine = ++this.following;
    try {
      await api.follow(no, (order) => {
        if (mine !== this.following) return false;
        this.show(order);
        return true;
      });
      if (mine !== this.following) return;
      if (this.data.order.state !== 'awaiting_payment') this.say();
      else this.say('微信支付尚未确认收款。', 'WeChat Pay has confirmed no payment yet.');
    } catch (error) {
      if (mine === this.following) this.say(`查询失败，请重试。（${error.code || error.message || error.errMsg}）`, 'Asking did not work; please try again.', true);
    }
  },

  show(order) {
    this.setData({ order: Object.assign({ amount: yuan(order.amount_fen) }, order), state: states[order.state] || { zh: order.state, en: '' } });
  },

  // leavePhone logs in once more, with the code that stands for the phone number.
  leavePhone(event) {
    if (!event.detail.code) return undefined; // the buyer declined
    return this.work(async () => {
      await api.logIn(event.detail.code);
      this.setData({ phone: true });
      this.say('谢谢。', 'Thank you.');
    });
  },

  leave() {
    this.following++;
    this.setData({ order: null, state: {} });
    this.say();
  },
});
