package cli

import (
	"strconv"
	"strings"

	"github.com/fenflow/fenflow/pkg/operatorapi"
)

// rolesText says which roles are there; what to do about one that is not comes
// below, where nothing cuts it.
func (c *commandLine) rolesText(s operatorapi.Status) string {
	var rows [][]cell
	var fixes strings.Builder
	for _, r := range s.Roles {
		mark, count := markOf(r.State), ""
		row := []cell{{c.mark(mark)}, {string(r.Role)}, one(r.State), {}, {}, {}}
		if r.Processes > 0 {
			count = strconv.Itoa(r.Processes)
		}
		row[3] = cell{count}
		if r.Since != nil {
			row[4] = cell{instant(*r.Since)}
		}
		row[5] = cell(r.Versions)
		rows = append(rows, row)
		if mark != markOK {
			fixes.WriteString(plain(string(r.Role)+": "+strings.TrimSpace(sentence(value(r.Detail))+" "+value(r.NextStep))) + "\n")
		}
	}
	return c.grid([]string{"", "ROLE", "STATE", "PROCESSES", "SINCE", "VERSION"}, rows...) + apart(fixes.String())
}

// apart leaves a line before what is said below a table.
func apart(text string) string {
	if text == "" {
		return ""
	}
	return "\n" + text
}

func markOf(state operatorapi.RoleStatusState) mark {
	switch state {
	case operatorapi.RoleAlive:
		return markOK
	case operatorapi.RoleMissing:
		return markFail
	case operatorapi.RoleUnknown:
	}
	return markWarn
}

// sentence ends what does not end by itself.
func sentence(s string) string {
	if s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}
