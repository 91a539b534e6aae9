package problem

import "net/http"

// Table lists every kind, in the order of its codes; Internal is the last.
// A code that was published never changes its meaning.
func Table() []Entry {
	return []Entry{
		{Config, "FEN-1001", "configuration is not usable", "Correct the keys named in the message; `fenflow config check` reports all problems at once.", http.StatusInternalServerError, Retry, ExitConfig},
		{SecretUnreadable, "FEN-1002", "a key file cannot be used", "Look at the named file: does it exist, may this user read it, does it hold what its key in fenflow.yaml says? Then run `fenflow config check --secrets`.", http.StatusInternalServerError, Retry, ExitConfig},
		{MigrationsPending, "FEN-1003", "the database schema is older than this program", "Run `fenflow migrate up`, then start the role again.", http.StatusServiceUnavailable, Retry, ExitPending},
		{NotDurable, "FEN-1004", "an acknowledgement would not mean that data is on disk", "Change the setting named in the message; traffic is taken again after the next proof.", http.StatusServiceUnavailable, Retry, ExitConfig},
		{Usage, "FEN-1005", "the command line is not understood", "Run the command with `--help`.", http.StatusBadRequest, Ack, ExitUsage},
		{MigrationFailed, "FEN-1006", "migration failed", "The message is the database's own. Migrations that are listed as applied stay; correct the cause and run `fenflow migrate up` again.", http.StatusInternalServerError, Ack, ExitInternal},

		{UnknownMerchant, "FEN-2001", "merchant is not configured", "Compare the mchid in the notify URL with `merchants` in fenflow.yaml (`fenflow config show`).", http.StatusNotFound, DeadLetter, ExitNotFound},
		{BadNotification, "FEN-2002", "notification is malformed", "Nothing to do if WeChat Pay did not send it. Otherwise look at the dead letter's bytes.", http.StatusBadRequest, DeadLetter, ExitRefused},
		{StaleTimestamp, "FEN-2003", "notification's timestamp is off by 5 minutes or more", "Check this machine's clock (NTP). A replayed old notification is refused on purpose.", http.StatusUnauthorized, DeadLetter, ExitDenied},
		{SignatureRejected, "FEN-2004", "signature rejected", "Compare the key of the named serial with the merchant platform (`fenflow config check`). Forgeries and WeChat's own SIGNTEST probes end here and need nothing.", http.StatusUnauthorized, DeadLetter, ExitDenied},
		{UnknownKey, "FEN-2005", "signing key is not known", "A new platform certificate is fetched by itself. A new `PUB_KEY_ID_…` must be added to `wechatpay_public_keys`; WeChat Pay repeats the notification meanwhile.", http.StatusServiceUnavailable, Retry, ExitUnavailable},
		{NoKeys, "FEN-2006", "merchant has no key to verify with", "Configure `wechatpay_public_keys`, or set `platform_certificates: true` and check that a worker runs.", http.StatusServiceUnavailable, Retry, ExitUnavailable},
		{DecryptFailed, "FEN-2007", "content cannot be decrypted", "Check `api_v3_key_files` (or `api_v2_key_files`): keep the previous key as the second entry after a change, then replay the dead letter.", http.StatusUnprocessableEntity, DeadLetter, ExitRefused},
		{Mismatch, "FEN-2008", "payment is of another merchant, app or currency", "Compare the dead letter with the order; it is never booked by itself.", http.StatusUnprocessableEntity, DeadLetter, ExitRefused},
		{UnknownOrder, "FEN-2009", "payment is for an order that is not known", "It settles by itself once the order appears; after ten minutes an operator decides.", http.StatusUnprocessableEntity, DeadLetter, ExitNotFound},

		{Invalid, "FEN-3001", "request has invalid fields", "Correct the fields listed in `errors` and send the request again.", http.StatusUnprocessableEntity, Ack, ExitUsage},
		{Malformed, "FEN-3002", "request cannot be read", "Send one JSON document with the documented fields and nothing else.", http.StatusBadRequest, Ack, ExitUsage},
		{Unauthorized, "FEN-3003", "API key is missing or not known", "Send `Authorization: Bearer fk_…`. `fenflow key new` makes a key; its SHA-256 belongs into `api_keys` of the merchant.", http.StatusUnauthorized, Ack, ExitDenied},
		{NotFound, "FEN-3004", "there is no such thing", "Check the number and the merchant of the API key.", http.StatusNotFound, Ack, ExitNotFound},
		{MethodNotAllowed, "FEN-3005", "method is not allowed here", "Use a method of the `Allow` header.", http.StatusMethodNotAllowed, Ack, ExitUsage},
		{TooLarge, "FEN-3006", "body is too large", "Send less; the limit is in the message.", http.StatusRequestEntityTooLarge, Ack, ExitUsage},
		{UnsupportedMedia, "FEN-3007", "media type is not supported", "Send `Content-Type: application/json` (v2 notifications: XML).", http.StatusUnsupportedMediaType, Ack, ExitUsage},
		{Forbidden, "FEN-3008", "token may only read", "Use a token of role `operate`: `fenflow token create NAME --role operate` makes one.", http.StatusForbidden, Ack, ExitDenied},
		{TooManyRequests, "FEN-3009", "too many requests", "Wait as long as `Retry-After` says, then go on more slowly. After ten unknown tokens within a minute an address is refused for a minute, with any token that was not good there within the hour.", http.StatusTooManyRequests, Ack, ExitUnavailable},
		{TokenRejected, "FEN-3010", "operator's token is missing, not known or revoked", "Send `Authorization: Bearer fft_…`. `fenflow token create NAME` makes a token; `fenflow token ls` lists those there are.", http.StatusUnauthorized, Ack, ExitDenied},
		{UnknownNumber, "FEN-3011", "number leads to no order", "Compare it with its source, character by character, and leave out `mchid`. Messages that could not be settled are among the dead letters: `fenflow dead-letter ls`.", http.StatusNotFound, Ack, ExitNotFound},
		{UnknownLetter, "FEN-3012", "there is no such dead letter", "Dead letters are named by their delivery id; `fenflow dead-letter ls` lists them.", http.StatusNotFound, Ack, ExitNotFound},
		{UnknownToken, "FEN-3013", "there is no live token of this name", "`fenflow token ls` lists all tokens, revoked ones too.", http.StatusNotFound, Ack, ExitNotFound},
		{BooksRestored, "FEN-3015", "books are older than what was told", "They were restored from a backup, or lost their last commits: run `fenflow recover --since T`, with the time of the backup or an earlier one. Until it has ended nobody moves them; notifications and commands wait in NATS.", http.StatusServiceUnavailable, Retry, ExitUnavailable},

		{Conflict, "FEN-4001", "number is taken by another order", "Use a new out_trade_no, or repeat the first request unchanged.", http.StatusConflict, Ack, ExitRefused},
		{Refused, "FEN-4002", "refused for good", "The reason is in the message; a repeat of the same request ends the same way.", http.StatusUnprocessableEntity, Ack, ExitRefused},
		{Expired, "FEN-4003", "command came too late and was not carried out", "Send the same request again, with the same number.", http.StatusServiceUnavailable, Ack, ExitUnavailable},
		{Unavailable, "FEN-4004", "outcome is not known yet", "Repeat the same request with the same number; it cannot take effect twice.", http.StatusServiceUnavailable, Ack, ExitUnavailable},
		{NumberInUse, "FEN-4005", "number is in use at WeChat Pay with other parameters", "Use a new out_trade_no. The order under this number is checked by itself.", http.StatusConflict, Ack, ExitRefused},
		{OrderPaid, "FEN-4006", "order is paid", "A paid order cannot be closed. Deliver it, or give the money back with `POST /v1/refunds`.", http.StatusConflict, Ack, ExitRefused},
		{NotPaid, "FEN-4007", "order is not paid", "Wait for `order.paid`, or ask with `POST /v1/orders/{out_trade_no}/check`; then send the same request again. Money that is held for an operator is named by its transaction_id.", http.StatusUnprocessableEntity, Ack, ExitRefused},
		{RefundNumberTaken, "FEN-4008", "out_refund_no is taken by another refund", "Read it with `GET /v1/refunds/{out_refund_no}`. To repeat a refund, send its first request unchanged; only a refund that was never asked for gets a new number, because every number pays once.", http.StatusConflict, Ack, ExitRefused},
		{RefundExceeds, "FEN-4009", "refund is more than is left of the payment", "The message says how much is left; `GET /v1/orders/{out_trade_no}/history` lists the refunds that took the rest. Nothing was recorded under this number.", http.StatusUnprocessableEntity, Ack, ExitRefused},
		{NotAbnormal, "FEN-4010", "refund is not abnormal", "Read it with `GET /v1/refunds/{out_refund_no}`: only an abnormal refund is driven on; all others go on or end by themselves.", http.StatusConflict, Ack, ExitRefused},
		{DriveUnderWay, "FEN-4011", "refund is being driven on already", "The earlier request stands and is carried out by itself. Read the refund with `GET /v1/refunds/{out_refund_no}`; ask again only if it is still `abnormal` and `failure` says why WeChat Pay refused.", http.StatusConflict, Ack, ExitRefused},
		{AmbiguousNumber, "FEN-4012", "number means several orders", "Ask again for one of `candidates`: its out_trade_no, with its `mchid`.", http.StatusConflict, Ack, ExitRefused},
		{LetterSettled, "FEN-4013", "dead letter is settled, discarded or being replayed", "Nothing is left to do with what is settled or discarded. If it is being replayed, read it again in a minute.", http.StatusConflict, Ack, ExitRefused},
		{TokenNameTaken, "FEN-4014", "a live token has this name already", "Choose another name, or revoke that token first: `fenflow token revoke NAME`.", http.StatusConflict, Ack, ExitRefused},
		{NotReplayable, "FEN-4015", "dead letter is no notification, so it cannot be replayed", "Look at it with `fenflow dead-letter show ID`, settle by hand what it means, and discard it with `fenflow dead-letter discard ID --reason TEXT`.", http.StatusUnprocessableEntity, Ack, ExitRefused},
		{SinceTooLate, "FEN-4019", "recovery would begin after the backup", "Begin earlier: with the time at which the backup was begun, or before. Too early costs time and nothing else.", http.StatusUnprocessableEntity, Ack, ExitRefused},

		{BrokerUnavailable, "FEN-5001", "NATS cannot be reached, or is full or slow", "Check NATS and its stream limits; nothing was acknowledged, so WeChat Pay and shops repeat.", http.StatusServiceUnavailable, Retry, ExitUnavailable},
		{DatabaseUnavailable, "FEN-5002", "PostgreSQL cannot be reached", "Check PostgreSQL and `postgres.url`; messages wait in NATS meanwhile.", http.StatusServiceUnavailable, Retry, ExitUnavailable},
		{NoWorker, "FEN-5003", "no worker answered in time", "Check that a worker runs and is ready; then send the request again.", http.StatusServiceUnavailable, Retry, ExitUnavailable},
		{Unhealthy, "FEN-5004", "a role is not healthy", "The answer of its `/readyz` names the check that fails and why.", http.StatusServiceUnavailable, Retry, ExitUnavailable},

		{Internal, "FEN-9001", "internal error", "Look for this moment in the log of the role, and report it.", http.StatusInternalServerError, DeadLetter, ExitInternal},
	}
}
