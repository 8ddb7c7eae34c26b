-- Both databases. What these columns hold is said in src/audit/row.rs; hashes are sha256 in hex.
CREATE TABLE audit (
    seq           BIGINT NOT NULL PRIMARY KEY CHECK (seq > 0),
    id            TEXT NOT NULL UNIQUE,
    time          BIGINT NOT NULL,
    kind          TEXT NOT NULL,
    actor         TEXT NOT NULL,
    action        TEXT NOT NULL,
    resource_kind TEXT NOT NULL,
    namespace     TEXT NOT NULL,
    name          TEXT NOT NULL,
    uid           TEXT NOT NULL,
    tenant        TEXT NOT NULL,
    project       TEXT NOT NULL,
    code          TEXT NOT NULL,
    capability    TEXT NOT NULL,
    count         BIGINT NOT NULL CHECK (count > 0),
    write_key     TEXT NOT NULL,
    fold_key      TEXT NOT NULL,
    wants         TEXT NOT NULL,
    shows         TEXT NOT NULL,
    event         TEXT NOT NULL,
    prev_hash     TEXT NOT NULL,
    hash          TEXT NOT NULL
);

-- Is it there already?
CREATE INDEX audit_write ON audit (write_key, time) WHERE write_key <> '';
CREATE INDEX audit_fold ON audit (fold_key, time) WHERE fold_key <> '';
-- Is an attempt confirmed, was a confirmation attempted?
CREATE INDEX audit_wants ON audit (wants, time) WHERE wants <> '';
CREATE INDEX audit_shows ON audit (shows, time) WHERE shows <> '';
-- Lists, by the filters that leave little of the table.
CREATE INDEX audit_time ON audit (time);
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX audit_tenant ON audit (tenant, seq);
CREATE INDEX audit_resource ON audit (namespace, name, seq);
CREATE INDEX audit_code ON audit (code, seq) WHERE code <> '';
-- Counters, without reading the table itself.
CREATE INDEX audit_counts ON audit (kind, tenant, capability, code, count);

-- The chain's end: one row, and the lock that everyone who appends takes first.
CREATE TABLE chain (
    id   BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    seq  BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO chain (id, seq, hash)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- Equal denials beyond a rate, until their window is written to the chain as one entry.
CREATE TABLE folds (
    fold_key     TEXT NOT NULL,
    window_start BIGINT NOT NULL,
    sample       TEXT NOT NULL,
    count        BIGINT NOT NULL CHECK (count > 0),
    first_time   BIGINT NOT NULL,
    last_time    BIGINT NOT NULL,
    closes       BIGINT NOT NULL,
    tenant       TEXT NOT NULL,
    capability   TEXT NOT NULL,
    code         TEXT NOT NULL,
    PRIMARY KEY (fold_key, window_start)
);
CREATE INDEX folds_closes ON folds (closes);

-- Events that were folded, for as long as they may be delivered again.
CREATE TABLE folded (
    id        TEXT NOT NULL PRIMARY KEY,
    write_key TEXT NOT NULL,
    time      BIGINT NOT NULL,
    seen      BIGINT NOT NULL
);
CREATE INDEX folded_write ON folded (write_key, time) WHERE write_key <> '';
CREATE INDEX folded_seen ON folded (seen);
