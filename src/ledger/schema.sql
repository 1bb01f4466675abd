-- The ledger's tables, version 1. Times are microseconds since 1970, UTC.

-- One numbering of one camera.
CREATE TABLE lane (
    id INTEGER PRIMARY KEY,
    camera TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    opened_us INTEGER NOT NULL,
    -- Numbers up to this one may have been given.
    reserved_to INTEGER NOT NULL,
    -- Numbers up to this one have a disposition.
    settled_to INTEGER NOT NULL,
    -- Rows up to this number are no longer kept.
    forgotten_to INTEGER NOT NULL DEFAULT 0,
    -- The last number given; NULL while the numbering goes on.
    closed_to INTEGER,
    UNIQUE (camera, epoch)
);

CREATE TABLE product (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE model (
    id INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    UNIQUE (sha256, name, version)
);

-- A frame with a verdict, `fault` among them.
CREATE TABLE verdict (
    lane INTEGER NOT NULL REFERENCES lane,
    number INTEGER NOT NULL,
    time_us INTEGER NOT NULL,
    decision TEXT NOT NULL CHECK (decision IN ('pass', 'fail', 'unknown-product', 'fault')),
    model INTEGER NOT NULL REFERENCES model,
    product INTEGER REFERENCES product,
    distance REAL,
    radius REAL,
    score REAL,
    p_value REAL,
    threshold REAL,
    reject_rate REAL NOT NULL,
    unrated INTEGER NOT NULL CHECK (unrated IN (0, 1)),
    latency_us INTEGER NOT NULL,
    inference_us INTEGER,
    file TEXT,
    reason TEXT,
    PRIMARY KEY (lane, number)
) WITHOUT ROWID;

-- Frames without a verdict, as runs of numbers.
CREATE TABLE unjudged (
    lane INTEGER NOT NULL REFERENCES lane,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL CHECK (last >= first),
    disposition TEXT NOT NULL CHECK (disposition IN ('dropped', 'faulted', 'unrecorded')),
    reason TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    PRIMARY KEY (lane, first)
) WITHOUT ROWID;

-- What happened beside the frames: starts, ends, models, gaps, what operators did.
CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time_us INTEGER NOT NULL,
    kind TEXT NOT NULL,
    who TEXT NOT NULL,
    subject TEXT NOT NULL,
    detail TEXT NOT NULL
);
