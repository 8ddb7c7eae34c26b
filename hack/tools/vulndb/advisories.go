package main

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"gopkg.in/yaml.v3"
)

// file is what advisories.yaml holds.
type file struct {
	Sources []source  `yaml:"sources"`
	Java    []archive `yaml:"java"`
}

// source is one list of advisories, as a distribution or an ecosystem publishes it.
type source struct {
	Bucket     string     `yaml:"bucket"`
	ID         string     `yaml:"id"`
	Name       string     `yaml:"name"`
	URL        string     `yaml:"url"`
	Advisories []advisory `yaml:"advisories"`
}

type advisory struct {
	ID         string    `yaml:"id"`
	Package    string    `yaml:"package"`
	Fixed      string    `yaml:"fixed"`
	Vulnerable []string  `yaml:"vulnerable"`
	Patched    []string  `yaml:"patched"`
	Severity   string    `yaml:"severity"`
	Title      string    `yaml:"title"`
	CVSS       cvss      `yaml:"cvss"`
	CWE        []string  `yaml:"cwe"`
	References []string  `yaml:"references"`
	Published  time.Time `yaml:"published"`
}

type cvss struct {
	Vector string  `yaml:"vector"`
	Score  float64 `yaml:"score"`
}

// archive is a Java archive by the digest of its bytes.
type archive struct {
	Group    string `yaml:"group"`
	Artifact string `yaml:"artifact"`
	Version  string `yaml:"version"`
	SHA1     string `yaml:"sha1"`
}

func read(path string) (file, error) {
	var f file
	content, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}
