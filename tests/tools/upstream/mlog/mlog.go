// SPDX-License-Identifier: Apache-2.0

// Package mlog has the names by which the driver starts and ends its log, over klog alone.
package mlog

import (
	"context"
	"os"

	"k8s.io/klog/v2"
)

// Format is how a line looks. There is one here.
type Format string

// The formats that the driver knows.
const (
	FormatText Format = "text"
	FormatJSON Format = "json"
)

// Setup returns what is to be called at the end.
func Setup() func() {
	return klog.Flush
}

// ValidateAndSetKlogLevelAndFormatGlobally leaves both as the flags of klog have set them.
func ValidateAndSetKlogLevelAndFormatGlobally(context.Context, klog.Level, Format) error {
	return nil
}

// Error tells of an error.
func Error(words string, err error) {
	klog.ErrorS(err, words)
}

// Fatal tells of an error and ends the program.
func Fatal(err error) {
	klog.ErrorS(err, "fatal")
	klog.Flush()
	os.Exit(1)
}
