package queue

import (
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

// eachMinute is a wall-clock minute, so that several reconcilers ring at the
// same moment and the lock makes one task of it; and a reconciler that restarts
// often still rings.
const eachMinute = "* * * * *"

// calendar is what is rung for by the clock. Every reconciler has one: doubles
// are harmless, and no reconciler is the one that must not die.
type calendar []*asynq.PeriodicTaskConfig

func newCalendar(kinds []Kind, every time.Duration) (calendar, error) {
	var c calendar
	for _, kind := range kinds {
		if !kind.isPeriodic() {
			return nil, fmt.Errorf("a task of kind %q cannot stand in the calendar: only sweeps and upkeep can", kind)
		}
		task, err := pack(Task{Kind: kind})
		if err != nil {
			return nil, err
		}
		spec := "@every " + every.String()
		if kind == Upkeep {
			spec = eachMinute
		}
		c = append(c, &asynq.PeriodicTaskConfig{Cronspec: spec, Task: task})
	}
	return c, nil
}

// GetConfigs gives asynq the whole calendar.
func (c calendar) GetConfigs() ([]*asynq.PeriodicTaskConfig, error) { return c, nil }
