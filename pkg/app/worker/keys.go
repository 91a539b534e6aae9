package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fenflow/fenflow/pkg/app/boot"
	"github.com/fenflow/fenflow/pkg/certificates"
	"github.com/fenflow/fenflow/pkg/pay"
)

const (
	// lookEvery: key files are read again each minute, and on SIGHUP.
	lookEvery = time.Minute
	// lookGap bounds how often notifications with unknown keys make us read
	// the files.
	lookGap = 5 * time.Second
)

// keys brings keys up to date: those of files, and platform certificates.
type keys struct {
	merchants    *merchants
	certificates *certificates.Service
	now          func() time.Time

	mu     sync.Mutex
	looked time.Time
}

// Refresh is for a notification that names a merchant or a key that is not
// known: the edge may have read a changed configuration first.
func (k *keys) Refresh(ctx context.Context, mchid pay.MchID) error {
	if err := k.look(ctx, lookGap); err != nil {
		return err
	}
	return k.certificates.Refresh(ctx, mchid)
}

// watch reads the files each minute and on SIGHUP. What is wrong is told; the
// keys that were good stay in use.
func (k *keys) watch(env boot.Env) func(context.Context) error {
	return func(ctx context.Context) error {
		ticker := time.NewTicker(lookEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
			case <-env.Reload:
			case <-ctx.Done():
				return nil
			}
			if err := k.look(ctx, 0); err != nil {
				env.Logger.ErrorContext(ctx, "configuration was not read again; what was read before stays in use", "error", err)
			}
		}
	}
}

// look reads the files unless that was done within the gap.
func (k *keys) look(ctx context.Context, gap time.Duration) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now().Sub(k.looked) < gap {
		return nil
	}
	k.looked = k.now()
	next, err := k.merchants.watcher.Look()
	if len(next.Changed) == 0 {
		return err
	}
	if takeErr := k.merchants.take(next); takeErr != nil {
		return errors.Join(err, takeErr)
	}
	for _, mchid := range next.Changed {
		if loadErr := k.certificates.Load(ctx, mchid); loadErr != nil {
			err = errors.Join(err, fmt.Errorf("merchant %s: %w", mchid, loadErr))
		}
	}
	k.merchants.env.Logger.InfoContext(ctx, "merchants changed", "mchids", next.Changed)
	return err
}
