// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// Tells kubelet of a driver that does not do so itself, in the place and by the flags of the program
// that is deployed beside such drivers.
type registrar struct {
	registration.UnimplementedRegistrationServer
	info  *registration.PluginInfo
	ended chan error
}

func (r *registrar) GetInfo(context.Context,
	*registration.InfoRequest) (*registration.PluginInfo, error) {
	return r.info, nil
}

func (r *registrar) NotifyRegistrationStatus(_ context.Context,
	in *registration.RegistrationStatus) (*registration.RegistrationStatusResponse, error) {
	if !in.GetPluginRegistered() {
		r.ended <- errors.New("kubelet: " + in.GetError())
	}
	return &registration.RegistrationStatusResponse{}, nil
}

func nameOf(driver string) (string, error) {
	conn, err := dial(driver)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	answer, err := csi.NewIdentityClient(conn).GetPluginInfo(
		ctx, &csi.GetPluginInfoRequest{}, grpc.WaitForReady(true))
	return answer.GetName(), err
}

func register(args []string) error {
	set := flag.NewFlagSet("register", flag.ExitOnError)
	driver := set.String("csi-address", "/csi/csi.sock", "the driver's socket")
	path := set.String("kubelet-registration-path", "", "the same, as kubelet has it")
	folder := set.String("plugin-registration-path", "/registration", "where kubelet looks")
	_ = set.Int("v", 0, "says nothing anyway")
	if err := set.Parse(args); err != nil {
		return err
	}
	name, err := nameOf(*driver)
	if err != nil {
		return err
	}
	socket := filepath.Join(*folder, name+"-reg.sock")
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	r := &registrar{ended: make(chan error, 2), info: &registration.PluginInfo{
		Type: "CSIPlugin", Name: name, Endpoint: *path, SupportedVersions: []string{"1.0.0"},
	}}
	server := grpc.NewServer()
	registration.RegisterRegistrationServer(server, r)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() { r.ended <- server.Serve(listener) }()
	select {
	case err = <-r.ended:
	case <-signals:
	}
	server.Stop()
	return err
}
