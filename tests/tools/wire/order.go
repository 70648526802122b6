// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sort"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

type rawField struct {
	number protowire.Number
	bytes  []byte // with its tag
}

// Puts fields into the order of their numbers, nested messages too. Go writes oneofs last, others
// do not; both are legal, but only one of them can be compared byte by byte.
func inOrder(d protoreflect.MessageDescriptor, message []byte) []byte {
	var fields []rawField
	for len(message) > 0 {
		number, kind, tag := protowire.ConsumeTag(message)
		length := protowire.ConsumeFieldValue(number, kind, message[tag:])
		if tag < 0 || length < 0 {
			panic("not a message: proto.Marshal wrote it")
		}
		whole := message[:tag+length]
		if child := d.Fields().ByNumber(number).Message(); child != nil {
			value, _ := protowire.ConsumeBytes(whole[tag:])
			whole = protowire.AppendTag(nil, number, kind)
			whole = protowire.AppendBytes(whole, inOrder(child, value))
		}
		fields = append(fields, rawField{number, whole})
		message = message[tag+length:]
	}
	sort.SliceStable(fields, func(i, j int) bool { return fields[i].number < fields[j].number })
	ordered := []byte{}
	for _, f := range fields {
		ordered = append(ordered, f.bytes...)
	}
	return ordered
}
