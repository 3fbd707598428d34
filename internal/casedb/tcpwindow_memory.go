package casedb

import (
	"fmt"
	"sync"
	"time"
)

// TCPWindowMemory keeps answers of TCPWindowDays for days that are complete, so that
// each costs its pass over the partitions once. What it keeps holds as long as
// the day's batches are the same, all of them judged; while the country of a
// source is missing, it also holds only until a registry has answered again. It
// is safe for concurrent use.
type TCPWindowMemory struct {
	mu   sync.Mutex // guards days
	days map[string]windowMemo
}

type windowMemo struct {
	batches dayBatches
	answer  TCPWindowDay
}

// maxWindowMemory bounds the days kept, all questions together.
const maxWindowMemory = 1 << 14

// dayBatches is what the ledger says of a day.
type dayBatches struct {
	Sensors int   `db:"sensors"` // 0 also if observations of the day were dropped
	Batches int64 `db:"batches"`
	Judged  int64 `db:"judged"`
	Newest  int64 `db:"newest"`
	Network int64 `db:"network"` // the newest answer of a registry
}

func (ask *TCPWindowQuestion) memoryKey(day, end time.Time) string {
	return fmt.Sprint(day.Unix(), end.Unix(), ask.Port, ask.Window, ask.Countries, ask.Prefixes)
}

// recall returns the answer, with day as its day, if it still holds.
func (m *TCPWindowMemory) recall(key string, day time.Time, batches dayBatches) (TCPWindowDay, bool) {
	if m == nil {
		return TCPWindowDay{}, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	kept, ok := m.days[key]
	kept.answer.Day = day
	if kept.answer.Unjudged == 0 {
		batches.Network = kept.batches.Network
	}
	return kept.answer, ok && kept.batches == batches
}

func (m *TCPWindowMemory) keep(key string, batches dayBatches, answer TCPWindowDay) {
	if m == nil || batches.Judged < batches.Batches {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.days == nil || len(m.days) >= maxWindowMemory {
		m.days = map[string]windowMemo{}
	}
	m.days[key] = windowMemo{batches, answer}
}
