package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference writes the reference page of all settings.
func Reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	sample := Config{Entries: []Entry{{
		Apps: make([]AppEntry, 1), WeChatPayPublicKeys: make([]PublicKeyRef, 1), APIKeys: make([]APIKeyEntry, 1),
	}}}
	section := ""
	for _, f := range fieldsOf(&sample) {
		f.key = strings.ReplaceAll(f.key, "[0]", "[]")
		if s, _, _ := strings.Cut(f.key, "."); s != section {
			section = s
			fmt.Fprintf(&b, "\n## %s\n\n| key | type | default | held by | meaning |\n|---|---|---|---|---|\n", strings.TrimSuffix(section, "[]"))
		}
		b.WriteString(f.row())
	}
	return b.String()
}

func (f field) row() string {
	standard, held := "", "all"
	if f.standard != "" {
		standard = "`" + f.standard + "`"
	}
	if f.roles != nil {
		held = strings.Join(f.roles, ", ")
	}
	name := "`" + f.key + "`"
	switch {
	case f.onlyEnv:
		name += "<br>only `" + f.env + "`, `" + f.env + fileSuffix + "`"
	case f.secret():
		name += "<br>`" + f.env + "`, `" + f.env + fileSuffix + "`"
	case f.env != "":
		name += "<br>`" + f.env + "`"
	}
	doc := f.doc
	if f.value.Kind() == reflect.Slice && f.env != "" {
		doc += " In the variable: separated by commas."
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", name, f.typeName(), standard, held, doc)
}

const referenceHead = `<!-- Generated from pkg/config by ` + "`make generate`" + `; do not edit. -->
# Configuration

Every program reads, in this order, the later ones winning:

1. a YAML file: ` + "`--config FILE`, else `FENFLOW_CONFIG`, else `fenflow.yaml`" + ` in the working directory if it is there;
2. environment variables (below each key; an empty one counts as unset);
3. flags: ` + "`--set key=value`" + `.

A relative path in the file is relative to the file. A secret may come from a file: put ` + "`_FILE`" + ` behind its variable's name.
An unknown key is an error. ` + "`fenflow config check`" + ` reports all problems at once; ` + "`fenflow config show`" + ` prints each value
with its origin, secrets redacted.

"Held by" says which roles are given a value: ingest opens no secret file of a merchant, even when it is named. Merchants,
their keys and the key files are read again each minute and on SIGHUP; a reload that fails changes nothing. All other
settings need a restart.
`
