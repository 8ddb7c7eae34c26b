package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/aquasecurity/trivy-db/pkg/db"
	"github.com/aquasecurity/trivy-db/pkg/metadata"
	"github.com/aquasecurity/trivy-db/pkg/types"
	bolt "go.etcd.io/bbolt"
)

// far is when the databases are to be refreshed: long after any test.
const far = 10 * 365 * 24 * time.Hour

func buildVulnerabilities(f file, out string) error {
	dir := filepath.Join(out, "trivy-db")
	if err := db.Init(dir); err != nil {
		return err
	}
	err := db.Config{}.BatchUpdate(func(tx *bolt.Tx) error {
		for _, s := range f.Sources {
			if err := putSource(tx, s); err != nil {
				return fmt.Errorf("%s: %w", s.Bucket, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	now := time.Now().UTC()
	return metadata.NewClient(dir).Update(metadata.Metadata{
		Version: db.SchemaVersion, UpdatedAt: now, NextUpdate: now.Add(far),
	})
}

func putSource(tx *bolt.Tx, s source) error {
	about := types.DataSource{ID: types.SourceID(s.ID), Name: s.Name, URL: s.URL}
	if err := (db.Config{}).PutDataSource(tx, s.Bucket, about); err != nil {
		return err
	}
	for _, a := range s.Advisories {
		if err := putAdvisory(tx, s, a); err != nil {
			return fmt.Errorf("%s: %w", a.ID, err)
		}
	}
	return nil
}

func putAdvisory(tx *bolt.Tx, s source, a advisory) error {
	severity, err := types.NewSeverity(a.Severity)
	if err != nil {
		return err
	}
	entry := types.Advisory{
		FixedVersion: a.Fixed, VulnerableVersions: a.Vulnerable, PatchedVersions: a.Patched,
	}
	if a.Fixed == "" && len(a.Patched) == 0 {
		entry.Status = types.StatusAffected
	}
	dbc := db.Config{}
	if err := dbc.PutAdvisory(tx, []string{s.Bucket, a.Package}, a.ID, &entry); err != nil {
		return err
	}
	if err := dbc.PutVulnerabilityID(tx, a.ID); err != nil {
		return err
	}
	return dbc.PutVulnerability(tx, a.ID, vulnerability(s, a, severity))
}

func vulnerability(s source, a advisory, severity types.Severity) types.Vulnerability {
	published := a.Published
	v := types.Vulnerability{
		Title: a.Title, Description: a.Title, CweIDs: a.CWE, References: a.References,
		VendorSeverity: types.VendorSeverity{types.SourceID(s.ID): severity, "nvd": severity},
		PublishedDate:  &published, LastModifiedDate: &published,
	}
	if a.CVSS.Vector != "" {
		v.CVSS = types.VendorCVSS{"nvd": {V3Vector: a.CVSS.Vector, V3Score: a.CVSS.Score}}
	}
	return v
}
