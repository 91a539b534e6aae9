package store

import (
	"context"
	_ "embed"
	"time"

	"github.com/fenflow/fenflow/pkg/pay"
)

var (
	//go:embed queries/message_seen.sql
	messageSeenSQL string
	//go:embed queries/remember_message.sql
	rememberMessageSQL string
	//go:embed queries/forget_messages.sql
	forgetMessagesSQL string
)

// keepMessages is as long as the stream keeps server messages.
const keepMessages = 7 * 24 * time.Hour

// MessageSeen says whether a server message of an app was remembered as published.
func (s *Store) MessageSeen(ctx context.Context, appid pay.AppID, key string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var seen bool
	err := s.db.GetContext(ctx, &seen, messageSeenSQL, string(appid), key)
	return seen, failed(ctx, "look for a message", err)
}

// RememberMessage notes that a server message is published.
func (s *Store) RememberMessage(ctx context.Context, appid pay.AppID, key string, at time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := s.db.ExecContext(ctx, rememberMessageSQL, string(appid), key, instant(at))
	return failed(ctx, "remember a message", err)
}

// ForgetMessages drops the memory of messages that is older than a week, so many at
// most, and says how many it dropped.
func (s *Store) ForgetMessages(ctx context.Context, now time.Time, limit int) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	result, err := s.db.ExecContext(ctx, forgetMessagesSQL, instant(now.Add(-keepMessages)), limit)
	if err != nil {
		return 0, failed(ctx, "forget messages", err)
	}
	dropped, err := result.RowsAffected()
	return dropped, failed(ctx, "forget messages", err)
}
