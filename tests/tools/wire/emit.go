// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

type visitor func(file string, d protoreflect.MessageDescriptor, variant int) error

func eachFixture(visit visitor) error {
	for _, d := range messages() {
		for v := 0; v < variants(d); v++ {
			if err := visit(fmt.Sprintf("%s.%d.bin", d.FullName(), v), d, v); err != nil {
				return fmt.Errorf("%s, variant %d: %w", d.FullName(), v, err)
			}
		}
	}
	return nil
}

func emit(args []string) error {
	if len(args) != 1 {
		return errors.New("want DIR")
	}
	if err := os.MkdirAll(args[0], 0o755); err != nil {
		return err
	}
	return eachFixture(func(file string, d protoreflect.MessageDescriptor, variant int) error {
		m := newMessage(d)
		fill(m, variant)
		bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Interface())
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(args[0], file), inOrder(d, bytes), 0o644)
	})
}

// What somebody else wrote must be the message that emit wrote, with nothing unknown in it; and the
// same message with fields that upstream does not have must still be that message to upstream.
func check(args []string) error {
	if len(args) != 2 {
		return errors.New("want DIR and FIXTURES")
	}
	count := 0
	err := eachFixture(func(file string, d protoreflect.MessageDescriptor, variant int) error {
		ours, err := decode(filepath.Join(args[0], file), d)
		if err != nil {
			return err
		}
		fixture, err := decode(filepath.Join(args[1], file), d)
		if err != nil {
			return err
		}
		want := newMessage(d)
		fill(want, variant)
		if !proto.Equal(fixture, want.Interface()) {
			return errors.New("the fixture is not what this program emits")
		}
		if !proto.Equal(ours, want.Interface()) {
			return fmt.Errorf("not equal:\nwant %v\nhave %v", want.Interface(), ours)
		}
		count++
		return checkExtended(filepath.Join(args[0], "extended."+file), d, want.Interface())
	})
	if err == nil {
		fmt.Printf("%d messages equal\n", count)
	}
	return err
}

func checkExtended(path string, d protoreflect.MessageDescriptor, want proto.Message) error {
	bytes, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // of our descriptors only a few have fields of our own
	}
	if err != nil {
		return err
	}
	whole, known := newMessage(d), newMessage(d)
	if err := proto.Unmarshal(bytes, whole.Interface()); err != nil {
		return err
	}
	if len(whole.GetUnknown()) == 0 {
		return errors.New("the extended message has nothing that upstream does not know")
	}
	discard := proto.UnmarshalOptions{DiscardUnknown: true}
	if err := discard.Unmarshal(bytes, known.Interface()); err != nil {
		return err
	}
	if !proto.Equal(known.Interface(), want) {
		return fmt.Errorf("fields of our own change what upstream reads:\n%v", known.Interface())
	}
	fmt.Printf("%s is read without our fields\n", d.FullName())
	return nil
}

func decode(path string, d protoreflect.MessageDescriptor) (proto.Message, error) {
	bytes, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := newMessage(d).Interface()
	return m, proto.Unmarshal(bytes, m)
}
