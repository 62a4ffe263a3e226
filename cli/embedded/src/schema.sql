-- Keys are BLOBs, which SQLite compares byte by byte: the order of S3's listings.
CREATE TABLE bucket (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    name       TEXT    NOT NULL UNIQUE,
    location   TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    versioning TEXT    CHECK (versioning IN ('Enabled', 'Suspended')),
    tags       TEXT    NOT NULL
);

-- One row for each version and each delete marker; the newest of a key has the greatest seq.
CREATE TABLE version (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    bucket   INTEGER NOT NULL REFERENCES bucket (id),
    key      BLOB    NOT NULL,
    id       TEXT    NOT NULL,
    latest   INTEGER NOT NULL,
    marker   INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    etag     TEXT    NOT NULL,
    size     INTEGER NOT NULL,
    parts    INTEGER,
    meta     TEXT    NOT NULL,
    checksum TEXT    NOT NULL,
    tags     TEXT    NOT NULL
);
CREATE UNIQUE INDEX version_id ON version (bucket, key, id);
CREATE INDEX version_order ON version (bucket, key, seq DESC);
CREATE UNIQUE INDEX version_latest ON version (bucket, key) WHERE latest;

CREATE TABLE upload (
    id        TEXT    PRIMARY KEY,
    bucket    INTEGER NOT NULL REFERENCES bucket (id),
    key       BLOB    NOT NULL,
    initiated INTEGER NOT NULL,
    meta      TEXT    NOT NULL,
    tags      TEXT    NOT NULL,
    checksum  TEXT    NOT NULL
);
CREATE UNIQUE INDEX upload_order ON upload (bucket, key, id);

-- The bytes of a version or of an upload: parts in the order of their numbers, each a row of slices of content files.
-- What was put at once is one part. Completing an upload hands its parts over to a version.
CREATE TABLE part (
    id       INTEGER PRIMARY KEY,
    version  INTEGER REFERENCES version (seq) ON DELETE CASCADE,
    upload   TEXT    REFERENCES upload (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    etag     TEXT    NOT NULL,
    checksum TEXT    NOT NULL,
    modified INTEGER NOT NULL,
    CHECK ((version IS NULL) <> (upload IS NULL))
);
CREATE UNIQUE INDEX part_version ON part (version, number) WHERE version IS NOT NULL;
CREATE UNIQUE INDEX part_upload ON part (upload, number) WHERE upload IS NOT NULL;

CREATE TABLE slice (
    part     INTEGER NOT NULL REFERENCES part (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    content  TEXT    NOT NULL,
    start    INTEGER NOT NULL,
    length   INTEGER NOT NULL,
    PRIMARY KEY (part, position)
) WITHOUT ROWID;
CREATE INDEX slice_content ON slice (content);

PRAGMA user_version = 1;
