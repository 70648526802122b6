// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"sort"
	"strings"
)

// A flag that may be given many times: k=v, or k=@FILE for what must not be in an argument list.
type pairs map[string]string

func (p pairs) String() string { return "" }

func (p pairs) Set(text string) error {
	key, value, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("%q is not key=value", text)
	}
	if file, isFile := strings.CutPrefix(value, "@"); isFile {
		bytes, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		value = string(bytes)
	}
	p[key] = value
	return nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
