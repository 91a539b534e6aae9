// Package menu reads and changes the custom menu of official accounts, for
// operators.
//
// Its neighbours: the console asks it over the broker; wechat makes the calls, with
// the access token of its token authority; store has the audit log; app/worker runs
// it, for it takes an app's secret.
//
// It guarantees that who changes a menu, and why, is in the audit log before WeChat
// is asked; that a menu beyond WeChat's limits is refused with the button named, and
// WeChat not asked; and that a menu reaches WeChat as it was given, with every field
// that we do not know.
//
// It leaves to others: who may do it (operator), conditional menus, and what a
// button's click means (message).
package menu
