package wechat

import (
	"strconv"
)

// Bounds of a message's tree. Real ones have about 20 elements, 4 levels deep.
const (
	maxFields    = 500
	maxDepth     = 8
	maxFieldName = 64
)

// fieldTree collects the texts of a message under their paths, whichever way
// it is written.
type fieldTree struct {
	fields map[string]string
	open   []level
	total  int
}

// level is one element that is open: its path, and how often each name came
// below it.
type level struct {
	path   string
	seen   map[string]int
	parent bool // it has elements of its own
}

func newFieldTree() *fieldTree {
	return &fieldTree{fields: map[string]string{}, open: []level{{seen: map[string]int{}}}}
}

// enter opens an element below the current one. At the top each name comes
// once: signer and reader must not see different things. Below, lists repeat.
func (t *fieldTree) enter(name string) *RejectError {
	parent := &t.open[len(t.open)-1]
	parent.parent = true
	t.total++
	switch n := parent.seen[name]; {
	case !plainName(name):
		return reject(RejectMalformed, "the message holds an element with an unusual name")
	case t.total > maxFields:
		return reject(RejectMalformed, "the message holds more than %d elements", maxFields)
	case len(t.open) > maxDepth:
		return reject(RejectMalformed, "the message is nested more than %d deep", maxDepth)
	case n > 0 && len(t.open) == 1:
		return reject(RejectMalformed, "the message holds %s twice", name)
	case n > 0:
		parent.seen[name]++
		name += "[" + strconv.Itoa(n) + "]"
	default:
		parent.seen[name] = 1
	}
	path := name
	if parent.path != "" {
		path = parent.path + "." + name
	}
	t.open = append(t.open, level{path: path, seen: map[string]int{}})
	return nil
}

// leave closes the current element; text is kept where it holds nothing else.
func (t *fieldTree) leave(text string) {
	last := t.open[len(t.open)-1]
	if !last.parent {
		t.fields[last.path] = text
	}
	t.open = t.open[:len(t.open)-1]
}

func plainName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return name != "" && len(name) <= maxFieldName
}

// holdsElements: text of an element that has elements of its own is no value.
func (t *fieldTree) holdsElements() bool { return t.open[len(t.open)-1].parent }
