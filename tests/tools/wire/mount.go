// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	provider "sigs.k8s.io/secrets-store-csi-driver/provider/v1alpha1"
)

type mountedFile struct {
	Path     string `json:"path"`
	Mode     int32  `json:"mode"`
	Contents []byte `json:"contents"` // base64, as encoding/json writes bytes
}

type mountAnswer struct {
	Code     string            `json:"code"`
	Message  string            `json:"message,omitempty"`
	Runtime  string            `json:"runtime,omitempty"`
	Error    string            `json:"error,omitempty"`
	Versions map[string]string `json:"versions"`
	Files    []mountedFile     `json:"files"`
	Trailers metadata.MD       `json:"trailers,omitempty"`
}

func dial(socket string) (*grpc.ClientConn, error) {
	return grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

func printJSON(v any) error {
	out := json.NewEncoder(os.Stdout)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

func mount(args []string) error {
	set := flag.NewFlagSet("mount", flag.ExitOnError)
	attributes, secrets, current := pairs{}, pairs{}, pairs{}
	socket := set.String("socket", "", "the provider's socket")
	target := set.String("target", "/nowhere", "target_path")
	permission := set.String("permission", "420", "file mode, as JSON")
	timeout := set.Duration("timeout", 20*time.Second, "deadline of the call")
	set.Var(attributes, "attr", "key=value or key=@FILE of attributes")
	set.Var(secrets, "secret", "key=value or key=@FILE of secrets")
	set.Var(current, "current", "id=version of current_object_version")
	if err := set.Parse(args); err != nil {
		return err
	}
	conn, err := dial(*socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	request, err := mountRequest(attributes, secrets, current)
	if err != nil {
		return err
	}
	request.TargetPath = *target
	request.Permission = *permission
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	return mountAndPrint(ctx, provider.NewCSIDriverProviderClient(conn), request)
}

// The driver sends its maps as JSON text; a map without entries is "null" there.
func mountRequest(attributes, secrets, current pairs) (*provider.MountRequest, error) {
	attributesText, err := json.Marshal(attributes)
	if err != nil {
		return nil, err
	}
	secretsText := []byte("null")
	if len(secrets) > 0 {
		if secretsText, err = json.Marshal(secrets); err != nil {
			return nil, err
		}
	}
	request := &provider.MountRequest{Attributes: string(attributesText), Secrets: string(secretsText)}
	for _, id := range sortedKeys(current) {
		version := &provider.ObjectVersion{Id: id, Version: current[id]}
		request.CurrentObjectVersion = append(request.CurrentObjectVersion, version)
	}
	return request, nil
}

func mountAndPrint(ctx context.Context, client provider.CSIDriverProviderClient,
	request *provider.MountRequest) error {
	answer := mountAnswer{Versions: map[string]string{}, Files: []mountedFile{}}
	version, err := client.Version(ctx, &provider.VersionRequest{Version: "v1alpha1"})
	if err != nil {
		return fmt.Errorf("version: %w", err)
	}
	answer.Runtime = version.GetRuntimeName() + " " + version.GetRuntimeVersion()
	response, err := client.Mount(ctx, request, grpc.Trailer(&answer.Trailers))
	answer.Code = status.Code(err).String()
	answer.Message = status.Convert(err).Message()
	answer.Error = response.GetError().GetCode()
	for _, v := range response.GetObjectVersion() {
		answer.Versions[v.GetId()] = v.GetVersion()
	}
	for _, f := range response.GetFiles() {
		answer.Files = append(answer.Files, mountedFile{f.GetPath(), f.GetMode(), f.GetContents()})
	}
	return printJSON(answer)
}
