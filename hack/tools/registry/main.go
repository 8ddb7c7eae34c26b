// Command registry serves an OCI registry in memory that lists referrers by its API, over TLS and for one user: the
// opposite of Debian's registry, which has no such API. It says where it listens in a file of assignments that shells
// read, with the names that .cluster/env has.
package main

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/registry"
)

const user = "factory"

func main() {
	log.SetFlags(0)
	folder := flag.String("folder", "", "folder for the authority's certificate and the file of assignments")
	address := flag.String("listen", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	if err := serve(*folder, *address, os.Getenv("REGISTRY_PASSWORD")); err != nil {
		log.Fatalf("registry: %v", err)
	}
}

func serve(folder, address, password string) error {
	if folder == "" || password == "" {
		return fmt.Errorf("-folder and the variable REGISTRY_PASSWORD are needed")
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	host := listener.Addr().String()
	certificate, authority, err := certify(host)
	if err != nil {
		return err
	}
	ca := filepath.Join(folder, "ca.crt")
	if err := os.WriteFile(ca, authority, 0o644); err != nil {
		return err
	}
	inner := registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0)))
	server := &http.Server{Handler: guarded(password, conforming(inner)), TLSConfig: certificate}
	told := fmt.Sprintf("REGISTRY='%s'\nREGISTRY_CA='%s'\nREGISTRY_USER='%s'\nREGISTRY_PASSWORD='%s'\nREGISTRY_REFERRERS='api'\n",
		host, ca, user, password)
	part := filepath.Join(folder, "env.part")
	if err := os.WriteFile(part, []byte(told), 0o600); err != nil {
		return err
	}
	if err := os.Rename(part, filepath.Join(folder, "env")); err != nil {
		return err
	}
	return server.ServeTLS(listener, "", "")
}

func guarded(password string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, given, _ := r.BasicAuth()
		if name != user || subtle.ConstantTimeCompare([]byte(given), []byte(password)) != 1 {
			w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
			http.Error(w, `{"errors":[{"code":"UNAUTHORIZED"}]}`, http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// conforming adds what the distribution specification wants of a registry with a referrers API and the module leaves
// out: the header OCI-Subject, and that tags go with the manifest that is deleted by its digest.
func conforming(inner http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if repository, reference, ok := manifestOf(r.URL.Path); ok {
			switch {
			case r.Method == http.MethodPut:
				if err := sayKept(w, r); err != nil {
					http.Error(w, err.Error(), http.StatusBadRequest)
					return
				}
			case r.Method == http.MethodDelete && strings.HasPrefix(reference, "sha256:"):
				dropTags(inner, repository, reference)
			}
		}
		inner.ServeHTTP(w, r)
	})
}

func manifestOf(path string) (repository, reference string, ok bool) {
	rest, found := strings.CutPrefix(path, "/v2/")
	at := strings.LastIndex(rest, "/manifests/")
	if !found || at < 0 {
		return "", "", false
	}
	return rest[:at], rest[at+len("/manifests/"):], true
}

func sayKept(w http.ResponseWriter, r *http.Request) error {
	body, err := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	var manifest struct {
		Subject struct {
			Digest string `json:"digest"`
		} `json:"subject"`
	}
	if json.Unmarshal(body, &manifest) == nil && manifest.Subject.Digest != "" {
		w.Header().Set("OCI-Subject", manifest.Subject.Digest)
	}
	return nil
}

func dropTags(inner http.Handler, repository, digest string) {
	ask := func(method, path string) *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		inner.ServeHTTP(answer, httptest.NewRequest(method, "/v2/"+repository+path, nil))
		return answer
	}
	var list struct {
		Tags []string `json:"tags"`
	}
	_ = json.Unmarshal(ask(http.MethodGet, "/tags/list").Body.Bytes(), &list)
	for _, tag := range list.Tags {
		if ask(http.MethodHead, "/manifests/"+tag).Header().Get("Docker-Content-Digest") == digest {
			ask(http.MethodDelete, "/manifests/"+tag)
		}
	}
}
