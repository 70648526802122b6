// SPDX-License-Identifier: Apache-2.0

package main

import (
	"sort"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
	provider "sigs.k8s.io/secrets-store-csi-driver/provider/v1alpha1"
)

// The services we speak. A method the specification still calls alpha is not among them.
func services() []protoreflect.ServiceDescriptor {
	return []protoreflect.ServiceDescriptor{
		csi.File_csi_proto.Services().ByName("Identity"),
		csi.File_csi_proto.Services().ByName("Node"),
		serviceOf(registration.Registration_ServiceDesc.ServiceName),
		serviceOf(provider.CSIDriverProvider_ServiceDesc.ServiceName),
	}
}

func serviceOf(name string) protoreflect.ServiceDescriptor {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		panic(err) // linked in above: cannot be missing
	}
	return d.(protoreflect.ServiceDescriptor)
}

type byName map[protoreflect.FullName]protoreflect.MessageDescriptor

// Every message that a call of those services can carry, nested ones too, by name. Well-known types
// and map entries show inside of the messages that hold them.
func messages() []protoreflect.MessageDescriptor {
	seen := byName{}
	for _, s := range services() {
		for i := 0; i < s.Methods().Len(); i++ {
			m := s.Methods().Get(i)
			if proto.GetExtension(m.Options(), csi.E_AlphaMethod).(bool) {
				continue
			}
			collect(m.Input(), seen)
			collect(m.Output(), seen)
		}
	}
	list := make([]protoreflect.MessageDescriptor, 0, len(seen))
	for _, m := range seen {
		list = append(list, m)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].FullName() < list[j].FullName() })
	return list
}

func collect(m protoreflect.MessageDescriptor, seen byName) {
	if seen[m.FullName()] != nil || m.ParentFile().Package() == "google.protobuf" {
		return
	}
	if !m.IsMapEntry() {
		seen[m.FullName()] = m
	}
	for i := 0; i < m.Fields().Len(); i++ {
		if child := m.Fields().Get(i).Message(); child != nil {
			collect(child, seen)
		}
	}
}

func newMessage(d protoreflect.MessageDescriptor) protoreflect.Message {
	t, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		panic(err) // found by its descriptor: its type is linked in
	}
	return t.New()
}
