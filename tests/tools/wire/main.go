// SPDX-License-Identifier: Apache-2.0

// Command wire speaks Locket's protocols with the code their own projects publish, so that what we
// wrote from the specifications is checked by somebody else's reading of them.
package main

import (
	"fmt"
	"os"
)

type command struct {
	name string
	help string
	run  func(args []string) error
}

func commands() []command {
	return []command{
		{"emit", "DIR: writes every message, every field set, as DIR/<full name>.<variant>.bin", emit},
		{"check", "DIR FIXTURES: decodes DIR's files and compares them as messages", check},
		{"mount", "--socket S ...: mounts through a provider's socket, prints the answer as JSON", mount},
		{"serve", "--socket S ...: serves a provider until SIGTERM", serve},
		{"register", "--kubelet-registration-path P ...: registers a driver with kubelet", register},
	}
}

func usage() int {
	for _, c := range commands() {
		fmt.Fprintf(os.Stderr, "wire %s %s\n", c.name, c.help)
	}
	return 2
}

func main() {
	if len(os.Args) < 2 {
		os.Exit(usage())
	}
	for _, c := range commands() {
		if c.name != os.Args[1] {
			continue
		}
		if err := c.run(os.Args[2:]); err != nil {
			fmt.Fprintf(os.Stderr, "wire %s: %v\n", c.name, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(usage())
}
