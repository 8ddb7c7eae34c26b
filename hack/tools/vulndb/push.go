package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// push stores a database folder as an artifact of one layer, of the media types by
// which Trivy knows its databases.
func push(dir, to string) error {
	kind := strings.TrimPrefix(strings.ReplaceAll(filepath.Base(dir), "-", ""), "trivy")
	reference, err := name.ParseReference(to)
	if err != nil {
		return err
	}
	content, err := pack(dir)
	if err != nil {
		return err
	}
	image, err := artifact(content, kind)
	if err != nil {
		return err
	}
	return remote.Write(reference, image)
}

func artifact(content []byte, kind string) (v1.Image, error) {
	layerType := types.MediaType(fmt.Sprintf("application/vnd.aquasec.trivy.%s.layer.v1.tar+gzip", kind))
	base := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	base = mutate.ConfigMediaType(base, types.MediaType("application/vnd.aquasec.trivy.config.v1+json"))
	return mutate.Append(base, mutate.Addendum{
		Layer:       static.NewLayer(content, layerType),
		MediaType:   layerType,
		Annotations: map[string]string{"org.opencontainers.image.title": kind + ".tar.gz"},
	})
}

func pack(dir string) ([]byte, error) {
	var buffer bytes.Buffer
	compressed := gzip.NewWriter(&buffer)
	archive := tar.NewWriter(compressed)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: entry.Name(), Mode: 0o644, Size: int64(len(content))}
		if err := archive.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := archive.Write(content); err != nil {
			return nil, err
		}
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}
