package simulator

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// journal is a file of JSON lines, appended to and never changed. It is not synced
// to disk: it outlives the process, kill -9 included, and not a power cut, which a
// stand-in need not survive.
type journal struct {
	file *os.File
	size int64
}

// openJournal hands every complete line to apply and cuts off a torn last line,
// which a killed process may leave. A damaged line elsewhere is an error.
func openJournal(dir string, apply func(entry) error) (*journal, error) {
	if err := os.MkdirAll(dir, secretDirMode); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, journalInStateDir), os.O_RDWR|os.O_CREATE, secretMode)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j := &journal{file: file}
	if err := j.replay(apply); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return j, nil
}

func (j *journal) replay(apply func(entry) error) error {
	reader := bufio.NewReader(j.file)
	for number := 1; ; number++ {
		line, err := reader.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read journal: %w", err)
		}
		if err := applyLine(line, apply); err != nil {
			return fmt.Errorf("journal line %d: %w", number, err)
		}
		j.size += int64(len(line))
	}
	return j.rewind()
}

func applyLine(line []byte, apply func(entry) error) error {
	var entries []entry
	if err := json.Unmarshal(line, &entries); err != nil {
		return fmt.Errorf("parse entries: %w", err)
	}
	for _, e := range entries {
		if err := apply(e); err != nil {
			return err
		}
	}
	return nil
}

// append writes entries as one line with one call, so that they are there
// together or not at all. What a failed write left is cut off, or the next line
// would join it.
func (j *journal) append(entries ...entry) error {
	line, err := json.Marshal(entries)
	if err != nil {
		return fmt.Errorf("encode entries: %w", err)
	}
	line = append(line, '\n')
	if _, err := j.file.Write(line); err != nil {
		return errors.Join(fmt.Errorf("append: %w", err), j.rewind())
	}
	j.size += int64(len(line))
	return nil
}

func (j *journal) rewind() error {
	if err := j.file.Truncate(j.size); err != nil {
		return fmt.Errorf("cut off torn entry: %w", err)
	}
	if _, err := j.file.Seek(j.size, io.SeekStart); err != nil {
		return fmt.Errorf("seek to end: %w", err)
	}
	return nil
}

func (j *journal) close() error { return j.file.Close() }
