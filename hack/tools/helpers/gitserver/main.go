// Command gitserver is the Git server of the local cluster: Git's own http-backend
// behind a small HTTP server. Anybody may read, a push needs the push account and
// makes the repository, and what lies below private/ is read with the read account.
package main

import (
	"crypto/subtle"
	"flag"
	"log"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// account is a user name and a password, as basic authentication carries them.
type account struct{ user, password string }

type server struct {
	root    string
	backend string
	push    account
	read    account
}

// What may name a repository: plain segments, none of which begins with a dot.
var repositoryName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,7}$`)

// The parts of the protocol that may follow a repository's name.
var protocolPath = regexp.MustCompile(`^/(.+?)(?:\.git)?/(info/refs|git-upload-pack|git-receive-pack|HEAD|objects/.+)$`)

func main() {
	root := flag.String("root", "", "folder of the repositories")
	listen := flag.String("listen", "", "address to serve HTTP on")
	listenTLS := flag.String("listen-tls", "", "address to serve HTTPS on, none when empty")
	certificate := flag.String("cert", "", "certificate for HTTPS")
	key := flag.String("key", "", "key for HTTPS")
	flag.Parse()

	s := &server{
		root:    *root,
		backend: backendPath(),
		push:    accountFrom("GIT_PUSH_ACCOUNT"),
		read:    accountFrom("GIT_READ_ACCOUNT"),
	}
	if *listenTLS != "" {
		go func() { log.Fatal(newServer(*listenTLS, s).ListenAndServeTLS(*certificate, *key)) }()
	}
	log.Printf("serving %s on %s", *root, *listen)
	log.Fatal(newServer(*listen, s).ListenAndServe())
}

func newServer(address string, handler http.Handler) *http.Server {
	return &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
}

// accountFrom reads "user:password" from an environment variable.
func accountFrom(variable string) account {
	user, password, found := strings.Cut(os.Getenv(variable), ":")
	if !found || user == "" || password == "" {
		log.Fatalf("%s must hold user:password", variable)
	}
	return account{user, password}
}

func backendPath() string {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		log.Fatalf("git --exec-path: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/healthz" {
		w.WriteHeader(http.StatusOK)
		return
	}
	parts := protocolPath.FindStringSubmatch(r.URL.Path)
	if parts == nil || !repositoryName.MatchString(parts[1]) {
		http.Error(w, "no such repository", http.StatusNotFound)
		return
	}
	name, tail := parts[1], parts[2]
	push := tail == "git-receive-pack" || r.URL.Query().Get("service") == "git-receive-pack"
	if !s.allowed(r, name, push) {
		w.Header().Set("WWW-Authenticate", `Basic realm="git"`)
		http.Error(w, "authentication required", http.StatusUnauthorized)
		return
	}
	s.serve(w, r, name, tail, push)
}

func (s *server) serve(w http.ResponseWriter, r *http.Request, name, tail string, push bool) {
	repository := filepath.Join(s.root, name+".git")
	if _, err := os.Stat(filepath.Join(repository, "HEAD")); err != nil {
		if !push {
			http.Error(w, "no such repository", http.StatusNotFound)
			return
		}
		if err := create(repository); err != nil {
			log.Printf("creating %s: %v", name, err)
			http.Error(w, "cannot create the repository", http.StatusInternalServerError)
			return
		}
	}
	r.URL.Path = "/" + name + ".git/" + tail
	s.handler().ServeHTTP(w, r)
	if push && r.Method == http.MethodPost {
		pointHeadAtABranch(repository)
	}
}

func (s *server) handler() *cgi.Handler {
	return &cgi.Handler{
		Path: s.backend,
		Env: []string{
			"GIT_PROJECT_ROOT=" + s.root,
			"GIT_HTTP_EXPORT_ALL=1",
			"REMOTE_USER=git",
			"HOME=" + s.root,
		},
		InheritEnv: []string{"PATH"},
	}
}

// allowed tells who may do what: the push account everything, the read account
// reading private repositories, everybody reading all others.
func (s *server) allowed(r *http.Request, name string, push bool) bool {
	if is(r, s.push) {
		return true
	}
	if push {
		return false
	}
	return !strings.HasPrefix(name, "private/") || is(r, s.read)
}

func is(r *http.Request, a account) bool {
	user, password, _ := r.BasicAuth()
	sameUser := subtle.ConstantTimeCompare([]byte(user), []byte(a.user))
	samePassword := subtle.ConstantTimeCompare([]byte(password), []byte(a.password))
	return sameUser&samePassword == 1
}

func create(repository string) error {
	commands := [][]string{
		{"init", "--quiet", "--bare", "--initial-branch=main", repository},
		{"-C", repository, "config", "http.receivepack", "true"},
		{"-C", repository, "config", "uploadpack.allowAnySHA1InWant", "true"},
		{"-C", repository, "config", "uploadpack.allowFilter", "true"},
	}
	for _, arguments := range commands {
		if out, err := exec.Command("git", arguments...).CombinedOutput(); err != nil {
			log.Printf("git %v: %s", arguments, out)
			return err
		}
	}
	return nil
}

// pointHeadAtABranch makes a clone work when the first push was not to main.
func pointHeadAtABranch(repository string) {
	if exec.Command("git", "-C", repository, "rev-parse", "--verify", "--quiet", "HEAD").Run() == nil {
		return
	}
	out, err := exec.Command("git", "-C", repository, "for-each-ref", "--count=1", "--format=%(refname)", "refs/heads").Output()
	branch := strings.TrimSpace(string(out))
	if err != nil || branch == "" {
		return
	}
	if err := exec.Command("git", "-C", repository, "symbolic-ref", "HEAD", branch).Run(); err != nil {
		log.Printf("HEAD of %s: %v", repository, err)
	}
}
