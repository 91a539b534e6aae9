package reverify

import (
	"context"
	"log/slog"

	"github.com/fenflow/fenflow/pkg/merchant"
	"github.com/fenflow/fenflow/pkg/pay"
	"github.com/fenflow/fenflow/pkg/problem"
	"github.com/fenflow/fenflow/pkg/wechatpay"
)

// Samples are what the edge turned away.
type Samples interface {
	Sample(ctx context.Context, sequence uint64) (s wechatpay.Sample, found bool, err error)
	WalkSamples(ctx context.Context, before uint64, visit func(wechatpay.Sample) bool) error
}

// Merchants have the keys of now.
type Merchants interface {
	Credentials(mchid pay.MchID) (*merchant.Credentials, bool)
}

// Keys are brought up to date for a message that names an unknown one.
type Keys interface {
	Refresh(ctx context.Context, mchid pay.MchID) error
}

// Lane takes what is to be settled.
type Lane interface {
	PublishReplay(ctx context.Context, env wechatpay.Envelope) error
}

// Audit is where acts are written down.
type Audit interface {
	WriteAudit(ctx context.Context, e pay.AuditEntry) error
}

// Options are what a Service works with.
type Options struct {
	Samples   Samples
	Merchants Merchants
	Keys      Keys
	Lane      Lane
	Audit     Audit
	Retryable func(error) bool // of Audit
	NewID     func() (pay.DeliveryID, error)
	Log       *slog.Logger
}

// Service looks at samples again.
type Service struct{ Options }

// New makes a Service.
func New(o Options) *Service { return &Service{o} }

// MaxAtOnce is how many samples one question may name.
const MaxAtOnce = 100

// Reverify says of each sample whether it would pass now. Nothing is changed.
func (s *Service) Reverify(ctx context.Context, sequences []uint64) ([]Verdict, error) {
	samples, err := s.read(ctx, sequences)
	if err != nil {
		return nil, err
	}
	verdicts, fresh := make([]Verdict, len(samples)), refreshed{}
	for i, sample := range samples {
		verdicts[i] = s.judge(ctx, sample, fresh)
	}
	return verdicts, nil
}

// Publish hands the samples that pass to the replay lane, and no other, each
// after it was written down who asked for it. A sample that is not there ends it
// before anything is published.
func (s *Service) Publish(ctx context.Context, sequences []uint64, actor, why string) ([]Verdict, error) {
	samples, err := s.read(ctx, sequences)
	if err != nil {
		return nil, err
	}
	verdicts, fresh, away := make([]Verdict, len(samples)), refreshed{}, ""
	for i, sample := range samples {
		v := s.judge(ctx, sample, fresh)
		switch {
		case !v.Passes:
		case away != "": // what failed once would fail again, and somebody waits
			v.Unpublished = "not tried: " + away
		default:
			if err := s.publish(ctx, &v, sample.Envelope, actor, why); err != nil {
				s.Log.WarnContext(ctx, "a sample was not published", "mchid", v.MchID, "delivery_id", v.DeliveryID, "sequence", v.Sequence, "error", err)
				away = problem.EntryOf(err).Title
				v.Unpublished = away
			}
		}
		verdicts[i] = v
	}
	return verdicts, nil
}

// publish writes down who and why first: an entry about a message that was not
// published after all does no harm, a message without an entry does.
func (s *Service) publish(ctx context.Context, v *Verdict, env wechatpay.Envelope, actor, why string) error {
	if !usable(env.DeliveryID) {
		id, err := s.NewID()
		if err != nil {
			return problem.Wrap(problem.Internal, err, "")
		}
		env.DeliveryID, v.DeliveryID = id, string(id)
	}
	err := s.Audit.WriteAudit(ctx, pay.AuditEntry{
		MchID: env.MchID, Actor: actor, Action: "rejected.publish", Subject: string(env.DeliveryID),
		Detail: map[string]any{"reason": why, "sequence": v.Sequence, "key_id": v.KeyID, "rejected_for": v.RejectedFor},
	})
	switch {
	case err != nil && s.Retryable(err):
		return problem.Wrap(problem.DatabaseUnavailable, err, "")
	case err != nil:
		return problem.Wrap(problem.Internal, err, "")
	}
	if err := s.Lane.PublishReplay(ctx, env); err != nil {
		return problem.Wrap(problem.BrokerUnavailable, err, "")
	}
	v.Published = true
	return nil
}

func (s *Service) read(ctx context.Context, sequences []uint64) ([]wechatpay.Sample, error) {
	samples := make([]wechatpay.Sample, len(sequences))
	for i, sequence := range sequences {
		var err error
		if samples[i], err = s.sample(ctx, sequence); err != nil {
			return nil, err
		}
	}
	return samples, nil
}

func (s *Service) sample(ctx context.Context, sequence uint64) (wechatpay.Sample, error) {
	sample, found, err := s.Samples.Sample(ctx, sequence)
	switch {
	case err != nil:
		return sample, problem.Wrap(problem.BrokerUnavailable, err, "samples cannot be read at the moment")
	case !found:
		return sample, problem.Newf(problem.UnknownSample, "number %d", sequence)
	}
	return sample, nil
}
