// Command mkimage writes a container image from files on this machine, without a
// container engine: one layer of the named files, the same bytes for the same
// input, saved as a file that containerd imports or pushed to a registry.
package main

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

type options struct {
	tag, out, rootfs, user, workdir string
	files, dirs, env, entry, cmd    list
}

func main() {
	log.SetFlags(0)
	o := parse()
	image, err := build(o)
	if err != nil {
		log.Fatalf("mkimage: %v", err)
	}
	if err := save(image, o); err != nil {
		log.Fatalf("mkimage: %v", err)
	}
}

func parse() options {
	var o options
	flag.StringVar(&o.tag, "tag", "", "name of the image")
	flag.StringVar(&o.out, "out", "", "file to write")
	flag.StringVar(&o.rootfs, "rootfs", "", "tar file to take as a first layer")
	flag.StringVar(&o.user, "user", "", "user of the image")
	flag.StringVar(&o.workdir, "workdir", "", "working directory of the image")
	flag.Var(&o.files, "file", "SOURCE:DESTINATION:MODE, repeatable")
	flag.Var(&o.dirs, "dir", "DIRECTORY:MODE, repeatable")
	flag.Var(&o.env, "env", "NAME=VALUE, repeatable")
	flag.Var(&o.entry, "entrypoint", "one word of the entry point, repeatable")
	flag.Var(&o.cmd, "cmd", "one word of the command, repeatable")
	flag.Parse()
	return o
}

func build(o options) (v1.Image, error) {
	var layers []v1.Layer
	if o.rootfs != "" {
		layer, err := tarball.LayerFromFile(o.rootfs)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	if len(o.files)+len(o.dirs) > 0 {
		layer, err := layerOf(o)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	image, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return nil, err
	}
	return configure(image, o)
}

func configure(image v1.Image, o options) (v1.Image, error) {
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", architecture()
	file.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	file.Config = v1.Config{
		User: o.user, WorkingDir: o.workdir, Env: o.env, Entrypoint: o.entry, Cmd: o.cmd,
	}
	return mutate.ConfigFile(image, file)
}

func architecture() string {
	if value := os.Getenv("ARCH"); value != "" {
		return value
	}
	return "amd64"
}

// layerOf packs directories first, then files, each in the order of their names.
func layerOf(o options) (v1.Layer, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	sort.Strings(o.dirs)
	for _, d := range o.dirs {
		if err := addDir(w, d); err != nil {
			return nil, err
		}
	}
	for _, f := range o.files {
		if err := addFile(w, f); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	content := buffer.Bytes()
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
}

func addDir(w *tar.Writer, argument string) error {
	parts := strings.Split(argument, ":")
	if len(parts) != 2 {
		return fmt.Errorf("-dir %q is not DIRECTORY:MODE", argument)
	}
	mode, err := strconv.ParseInt(parts[1], 8, 64)
	if err != nil {
		return err
	}
	return w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeDir, Name: inside(parts[0]) + "/", Mode: mode, ModTime: time.Unix(0, 0),
	})
}

func addFile(w *tar.Writer, argument string) error {
	parts := strings.Split(argument, ":")
	if len(parts) != 3 {
		return fmt.Errorf("-file %q is not SOURCE:DESTINATION:MODE", argument)
	}
	mode, err := strconv.ParseInt(parts[2], 8, 64)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(parts[0])
	if err != nil {
		return err
	}
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: inside(parts[1]), Mode: mode,
		Size: int64(len(content)), ModTime: time.Unix(0, 0),
	}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = w.Write(content)
	return err
}

func inside(name string) string { return strings.TrimPrefix(path.Clean(name), "/") }

func save(image v1.Image, o options) error {
	tag, err := name.NewTag(o.tag, name.WeakValidation)
	if err != nil {
		return err
	}
	temporary := o.out + ".part"
	if err := tarball.WriteToFile(temporary, tag, image); err != nil {
		return err
	}
	return os.Rename(temporary, o.out)
}
