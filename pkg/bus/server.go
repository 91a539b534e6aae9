package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// ServerState is what a NATS server says of itself on its monitoring port.
type ServerState struct {
	Name, Version string
	Now           time.Time     // its clock
	AskedAt       time.Time     // our clock, half-way between question and answer
	Blur          time.Duration // how far AskedAt may be off: half of what that took
	MaxStore      int64         // jetstream.max_file_store
	UsedStore     uint64
	StoreDir      string // on its machine
}

// LookAtServer reads one monitoring port.
func LookAtServer(ctx context.Context, url string) (ServerState, error) {
	var said struct {
		ID        string    `json:"server_id"`
		Name      string    `json:"server_name"`
		Version   string    `json:"version"`
		Now       time.Time `json:"now"`
		JetStream struct {
			Config *struct {
				MaxStore int64  `json:"max_storage"`
				StoreDir string `json:"store_dir"`
			} `json:"config"`
			Stats *struct {
				Store uint64 `json:"storage"`
			} `json:"stats"`
		} `json:"jetstream"`
	}
	asked := time.Now()
	if err := readMonitor(ctx, url, "/varz", &said); err != nil {
		return ServerState{}, err
	}
	if said.ID == "" {
		return ServerState{}, fmt.Errorf("read /varz: is not that of a NATS server")
	}
	took := time.Since(asked)
	state := ServerState{Name: said.Name, Version: said.Version, Now: said.Now.UTC(), AskedAt: asked.Add(took / 2).UTC(), Blur: took / 2}
	if c := said.JetStream.Config; c != nil {
		state.MaxStore, state.StoreDir = c.MaxStore, c.StoreDir
	}
	if s := said.JetStream.Stats; s != nil {
		state.UsedStore = s.Store
	}
	return state, nil
}

// ReservedBytes is what the streams may hold in all, with limits as they must be.
func (l Limits) ReservedBytes() int64 {
	l = l.orDefaults()
	return l.Notify + l.Command + l.Event + l.Rejected + l.Message + keysBytes
}

// StreamFills says how full each stream is. Role worker may.
func (b *Bus) StreamFills(ctx context.Context) ([]StreamHealth, error) {
	var all []StreamHealth
	for _, want := range b.streamConfigs() {
		stream, err := b.js.Stream(ctx, want.Name)
		if err != nil {
			return nil, fmt.Errorf("look at stream %s: %w", want.Name, classify(err))
		}
		info := stream.CachedInfo()
		all = append(all, StreamHealth{
			Stream: want.Name, Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: info.Config.MaxBytes,
			Fill: fillOf(info.State.Bytes, info.Config.MaxBytes), OldestAt: info.State.FirstTime,
		})
	}
	return all, nil
}

// ReadVerdict reads the verdict on durability that the edge goes by; nil: no
// worker has written one. Role notify may.
func (b *Bus) ReadVerdict(ctx context.Context) (*Verdict, error) {
	all, err := b.readAllKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the durability verdict: %w", err)
	}
	written, there := all[keyDurability]
	if !there {
		return nil, nil //nolint:nilnil // none is an answer
	}
	var v Verdict
	if err := json.Unmarshal(written.data, &v); err != nil {
		return nil, fmt.Errorf("read the durability verdict: %w", err)
	}
	return &v, nil
}
