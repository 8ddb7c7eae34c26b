package main

import (
	"encoding/hex"
	"path/filepath"
	"time"

	"github.com/aquasecurity/trivy-java-db/pkg/db"
	"github.com/aquasecurity/trivy-java-db/pkg/types"
	_ "modernc.org/sqlite"
)

// buildJava writes the database that names Java archives by their digest.
func buildJava(f file, out string) error {
	dir := filepath.Join(out, "trivy-java-db")
	database, err := db.New(dir)
	if err != nil {
		return err
	}
	if err := database.Init(); err != nil {
		return err
	}
	var indexes []types.Index
	for _, a := range f.Java {
		digest, err := hex.DecodeString(a.SHA1)
		if err != nil {
			return err
		}
		indexes = append(indexes, types.Index{
			GroupID: a.Group, ArtifactID: a.Artifact, Version: a.Version, SHA1: digest, ArchiveType: types.JarType,
		})
	}
	if err := database.InsertIndexes(indexes); err != nil {
		return err
	}
	if err := database.Close(); err != nil {
		return err
	}
	now := time.Now().UTC()
	client := db.NewMetadata(dir)
	return client.Update(db.Metadata{Version: db.SchemaVersion, UpdatedAt: now, NextUpdate: now.Add(far)})
}
