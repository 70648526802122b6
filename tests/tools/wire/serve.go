// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	provider "sigs.k8s.io/secrets-store-csi-driver/provider/v1alpha1"
)

// A provider as somebody else would write one: it knows upstream's protocol and nothing of ours.
type server struct {
	provider.UnimplementedCSIDriverProviderServer
	writing bool
	values  string // a JSON map of path to text, read at each Mount: tests rotate by it
	record  string // a file that gets a line of JSON per Mount; empty: none
	lock    sync.Mutex
}

type seenMount struct {
	Attributes map[string]string `json:"attributes"`
	Secrets    map[string]string `json:"secrets"`
	Target     string            `json:"target"`
	Permission string            `json:"permission"`
	Current    map[string]string `json:"current"`
	Unknown    int               `json:"unknown"` // bytes of fields that upstream does not have
}

func (s *server) Version(context.Context,
	*provider.VersionRequest) (*provider.VersionResponse, error) {
	return &provider.VersionResponse{
		Version: "v1alpha1", RuntimeName: "wire", RuntimeVersion: "0.0.1",
	}, nil
}

func (s *server) Mount(_ context.Context,
	in *provider.MountRequest) (*provider.MountResponse, error) {
	mode, err := s.understand(in)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	text, err := os.ReadFile(s.values)
	if err != nil {
		return nil, status.Error(codes.Unavailable, "the store is away")
	}
	values := map[string]string{}
	if err := json.Unmarshal(text, &values); err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	out := &provider.MountResponse{}
	for _, path := range sortedKeys(values) {
		sum := sha256.Sum256([]byte(values[path]))
		version := &provider.ObjectVersion{Id: path, Version: hex.EncodeToString(sum[:8])}
		out.ObjectVersion = append(out.ObjectVersion, version)
		if !s.writing {
			file := &provider.File{Path: path, Mode: int32(mode), Contents: []byte(values[path])}
			out.Files = append(out.Files, file)
		} else if err := writeInto(in.GetTargetPath(), path, values[path], mode); err != nil {
			return nil, status.Error(codes.Internal, err.Error())
		}
	}
	return out, nil
}

// Reads the request as upstream's providers do: three texts of JSON.
func (s *server) understand(in *provider.MountRequest) (os.FileMode, error) {
	seen := seenMount{
		Target: in.GetTargetPath(), Permission: in.GetPermission(), Current: map[string]string{},
	}
	if err := json.Unmarshal([]byte(in.GetAttributes()), &seen.Attributes); err != nil {
		return 0, fmt.Errorf("attributes: %w", err)
	}
	if err := json.Unmarshal([]byte(in.GetSecrets()), &seen.Secrets); err != nil {
		return 0, fmt.Errorf("secrets: %w", err)
	}
	var mode os.FileMode
	if err := json.Unmarshal([]byte(in.GetPermission()), &mode); err != nil {
		return 0, fmt.Errorf("permission: %w", err)
	}
	for _, v := range in.GetCurrentObjectVersion() {
		seen.Current[v.GetId()] = v.GetVersion()
	}
	seen.Unknown = len(in.ProtoReflect().GetUnknown())
	return mode, s.remember(&seen)
}

func (s *server) remember(seen *seenMount) error {
	if s.record == "" {
		return nil
	}
	line, err := json.Marshal(seen)
	if err != nil {
		return err
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	file, err := os.OpenFile(s.record, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.Write(append(line, '\n'))
	return err
}

func writeInto(target, path, text string, mode os.FileMode) error {
	whole := filepath.Join(target, path)
	if err := os.MkdirAll(filepath.Dir(whole), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(whole, []byte(text), mode); err != nil {
		return err
	}
	return os.Chmod(whole, mode)
}

func serve(args []string) error {
	set := flag.NewFlagSet("serve", flag.ExitOnError)
	socket := set.String("socket", "", "where to listen")
	mode := set.String("mode", "returning", "returning or writing")
	values := set.String("values", "", "a JSON file, path to text, read at each Mount")
	record := set.String("record", "", "a file that gets a line of JSON per Mount")
	socketMode := set.String("socket-mode", "600", "octal")
	if err := set.Parse(args); err != nil {
		return err
	}
	if *mode != "returning" && *mode != "writing" {
		return errors.New("--mode is returning or writing")
	}
	permission, err := strconv.ParseUint(*socketMode, 8, 9)
	if err != nil {
		return err
	}
	listener, err := net.Listen("unix", *socket)
	if err != nil {
		return err
	}
	if err := os.Chmod(*socket, os.FileMode(permission)); err != nil {
		return err
	}
	grpcServer := grpc.NewServer()
	service := &server{writing: *mode == "writing", values: *values, record: *record}
	provider.RegisterCSIDriverProviderServer(grpcServer, service)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-ended
		grpcServer.Stop()
	}()
	return grpcServer.Serve(listener)
}
