package bus

import (
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Drift is one setting of a stream that is not what it must be.
type Drift struct {
	Stream, Setting, Have, Want string
	safe                        bool // may be mended without losing a message
}

// String says what is wrong and what to do.
func (d Drift) String() string {
	fix := "restart a worker, which mends it"
	if !d.safe {
		fix = "change it by hand, or make the stream anew once it is settled and empty"
	}
	return fmt.Sprintf("stream %s: %s is %s, must be %s; %s", d.Stream, d.Setting, d.Have, d.Want, fix)
}

// mend compares a stream with what it must be, and gives the configuration
// with all that is safe to change put right.
func mend(want jetstream.StreamConfig, info *jetstream.StreamInfo) (jetstream.StreamConfig, []Drift) {
	have := info.Config
	var drifts []Drift
	check := func(setting string, differs, safe bool, h, w any, set func()) {
		if !differs {
			return
		}
		drifts = append(drifts, Drift{want.Name, setting, fmt.Sprint(h), fmt.Sprint(w), safe})
		if safe {
			set()
		}
	}
	check("storage", have.Storage != want.Storage, false, have.Storage, want.Storage, nil)
	check("persist_mode", have.PersistMode != want.PersistMode, false, persistMode(have.PersistMode), persistMode(want.PersistMode), nil)
	check("retention", have.Retention != want.Retention, false, have.Retention, want.Retention, nil)
	check("sealed", have.Sealed, false, true, false, nil)
	check("discard", have.Discard != want.Discard, true, have.Discard, want.Discard, func() { have.Discard = want.Discard })
	check("no_ack", have.NoAck, true, true, false, func() { have.NoAck = false })
	// Fewer replicas than asked for is a risk, more is none.
	check("replicas", have.Replicas < want.Replicas, true, have.Replicas, want.Replicas, func() { have.Replicas = want.Replicas })
	check("subjects", !slices.Equal(have.Subjects, want.Subjects), true, have.Subjects, want.Subjects, func() { have.Subjects = want.Subjects })
	// A lower limit than what is stored would be a limit that nothing fits in.
	check("max_bytes", have.MaxBytes != want.MaxBytes, uint64(want.MaxBytes) >= info.State.Bytes,
		have.MaxBytes, want.MaxBytes, func() { have.MaxBytes = want.MaxBytes })
	check("max_msgs", have.MaxMsgs != want.MaxMsgs, true, have.MaxMsgs, want.MaxMsgs, func() { have.MaxMsgs = want.MaxMsgs })
	check("max_msgs_per_subject", have.MaxMsgsPerSubject != want.MaxMsgsPerSubject, want.MaxMsgsPerSubject < 0,
		have.MaxMsgsPerSubject, want.MaxMsgsPerSubject, func() { have.MaxMsgsPerSubject = want.MaxMsgsPerSubject })
	check("max_msg_size", have.MaxMsgSize != want.MaxMsgSize, true, have.MaxMsgSize, want.MaxMsgSize, func() { have.MaxMsgSize = want.MaxMsgSize })
	// A shorter age drops messages at once.
	check("max_age", have.MaxAge != want.MaxAge, longer(have.MaxAge, want.MaxAge), have.MaxAge, want.MaxAge, func() { have.MaxAge = want.MaxAge })
	check("duplicate_window", have.Duplicates != want.Duplicates, true, have.Duplicates, want.Duplicates, func() { have.Duplicates = want.Duplicates })
	check("allow_atomic", have.AllowAtomicPublish != want.AllowAtomicPublish, true, have.AllowAtomicPublish, want.AllowAtomicPublish,
		func() { have.AllowAtomicPublish = want.AllowAtomicPublish })
	check("allow_direct", !have.AllowDirect && want.AllowDirect, true, have.AllowDirect, want.AllowDirect, func() { have.AllowDirect = true })
	check("deny_delete", !have.DenyDelete && want.DenyDelete, true, have.DenyDelete, want.DenyDelete, func() { have.DenyDelete = true })
	check("deny_purge", !have.DenyPurge && want.DenyPurge, true, have.DenyPurge, want.DenyPurge, func() { have.DenyPurge = true })
	check("republish", !sameRePublish(have.RePublish, want.RePublish), true, have.RePublish, want.RePublish, func() { have.RePublish = want.RePublish })
	return have, drifts
}

func longer(have, want time.Duration) bool {
	return want == 0 || (have != 0 && want > have)
}

func sameRePublish(a, b *jetstream.RePublish) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func persistMode(m jetstream.PersistModeType) string {
	if m == jetstream.AsyncPersistMode {
		return "async"
	}
	return "default"
}
