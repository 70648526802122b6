// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// How many fillings a message needs so that each alternative of each oneof in it is seen.
func variants(d protoreflect.MessageDescriptor) int {
	most := 1
	for i := 0; i < d.Oneofs().Len(); i++ {
		most = max(most, d.Oneofs().Get(i).Fields().Len())
	}
	for i := 0; i < d.Fields().Len(); i++ {
		if child := d.Fields().Get(i).Message(); child != nil {
			most = max(most, variants(child))
		}
	}
	return most
}

// Sets every field, of each oneof the one the variant picks, to a value that only this field has.
func fill(m protoreflect.Message, variant int) {
	fields := m.Descriptor().Fields()
	for i := 0; i < fields.Len(); i++ {
		f := fields.Get(i)
		if o := f.ContainingOneof(); o != nil && f != o.Fields().Get(variant%o.Fields().Len()) {
			continue
		}
		fillField(m, f, variant)
	}
}

func fillField(m protoreflect.Message, f protoreflect.FieldDescriptor, variant int) {
	switch {
	case f.IsMap():
		entry := m.Mutable(f).Map()
		key := scalar(f.MapKey(), "key", 0).MapKey()
		entry.Set(key, scalar(f.MapValue(), string(f.Name()), 0))
	case f.IsList() && f.Message() != nil:
		list := m.Mutable(f).List()
		for n := 0; n < 2; n++ {
			fill(list.AppendMutable().Message(), variant+n)
		}
	case f.IsList():
		list := m.Mutable(f).List()
		for n := 0; n < 2; n++ {
			list.Append(scalar(f, string(f.Name()), n))
		}
	case f.Message() != nil:
		fill(m.Mutable(f).Message(), variant)
	default:
		m.Set(f, scalar(f, string(f.Name()), 0))
	}
}

// Numbers are beyond what a smaller or unsigned type would keep, text is beyond ASCII.
func scalar(f protoreflect.FieldDescriptor, name string, n int) protoreflect.Value {
	number := int64(f.Number()) + int64(n)
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(values.Len() - 1).Number())
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(-1000 - number))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1<<40 + number)
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(fmt.Sprintf("%s-%d-\u00fc\u20ac\U0001f511", name, n))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{0, 0xff, 0x80, byte(number), 0})
	}
	panic(fmt.Sprintf("%s: fill.go does not know the kind %s", f.FullName(), f.Kind()))
}
