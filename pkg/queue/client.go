package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// wakeTimeout bounds one wake-up: whoever rings has a customer waiting, and
// loses at most a second by going without.
const wakeTimeout = 200 * time.Millisecond

// Client rings for reconcilers. It is safe for concurrent use.
type Client struct {
	redis *redis.Client
	asynq *asynq.Client
	cut   context.CancelFunc
}

// NewClient reads the address and dials when it is first needed: only an
// address that cannot be read is an error.
func NewClient(redisURL string) (*Client, error) {
	options, err := parseURL(redisURL)
	if err != nil {
		return nil, err
	}
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = wakeTimeout, wakeTimeout, wakeTimeout
	life, cut := context.WithCancel(context.Background())
	options.Dialer = dialUntil(life, options)
	client := redis.NewClient(options)
	return &Client{redis: client, asynq: asynq.NewClientFromRedisClient(client), cut: cut}, nil
}

// Wake asks for one task now. A twin that still waits or runs is as good: that
// is success. An error only says that nobody was woken, within 200 ms; the
// next sweep does the work all the same.
func (c *Client) Wake(ctx context.Context, t Task) error {
	task, err := pack(t)
	if err != nil {
		return fmt.Errorf("wake a reconciler: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, wakeTimeout)
	defer cancel()
	if _, err := c.asynq.EnqueueContext(ctx, task); err != nil && !errors.Is(err, asynq.ErrDuplicateTask) {
		return fmt.Errorf("wake a reconciler for %s: Redis did not take it, the next sweep comes without: %w", t.Kind, err)
	}
	return nil
}

// Close drops the connections.
func (c *Client) Close() error {
	defer c.cut()
	if err := c.redis.Close(); err != nil {
		return fmt.Errorf("close Redis client: %w", err)
	}
	return nil
}
