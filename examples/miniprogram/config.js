// Where the shop's back end and fenflow's front door are. Both hosts have to be
// listed in the console of the mini program (request 合法域名), over https.
module.exports = {
  shop: 'http://127.0.0.1:8095',
  front: 'http://127.0.0.1:8082',
};
