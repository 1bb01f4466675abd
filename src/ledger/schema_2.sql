-- Version 2: parts, each of which several frames show.

-- A part with its verdict, or a run of parts whose frames were all dropped. The frames have rows of their own.
CREATE TABLE part (
    lane INTEGER NOT NULL REFERENCES lane,
    -- The first of its frames; a frame more than a part has makes a row of its own.
    first INTEGER NOT NULL,
    last INTEGER NOT NULL CHECK (last >= first),
    -- Its place in the numbering, and how many parts the row is about.
    part INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    time_us INTEGER NOT NULL,
    decision TEXT NOT NULL CHECK (decision IN ('pass', 'fail', 'unknown-product', 'fault')),
    product INTEGER REFERENCES product,
    model INTEGER NOT NULL REFERENCES model,
    passed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    unknown INTEGER NOT NULL,
    faulted INTEGER NOT NULL,
    missing INTEGER NOT NULL,
    reject_rate_bound REAL,
    unrated INTEGER NOT NULL CHECK (unrated IN (0, 1)),
    reason TEXT,
    PRIMARY KEY (lane, first)
) WITHOUT ROWID;
