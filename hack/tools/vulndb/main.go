// Command vulndb makes Trivy's vulnerability and Java databases from a file of
// advisories that people can read, and pushes them to a registry as Trivy's own are
// published: so the scanner's real download and matching run without the internet.
package main

import (
	"flag"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: vulndb build|push ...")
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		log.Fatalf("vulndb: %v", err)
	}
}

func run(command string, arguments []string) error {
	flags := flag.NewFlagSet(command, flag.ExitOnError)
	advisories := flags.String("advisories", "", "build: file of advisories")
	out := flags.String("out", "", "build: folder to write")
	dir := flags.String("dir", "", "push: folder of one database")
	to := flags.String("to", "", "push: reference to push to")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if command == "push" {
		return push(*dir, *to)
	}
	file, err := read(*advisories)
	if err != nil {
		return err
	}
	if err := buildVulnerabilities(file, *out); err != nil {
		return err
	}
	return buildJava(file, *out)
}
