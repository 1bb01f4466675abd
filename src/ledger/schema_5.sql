-- Version 5: parts that a PLC announced, with the result that it was given.
CREATE TABLE trigger_part (
    lane INTEGER NOT NULL REFERENCES lane,
    -- The trigger's running number in this numbering.
    number INTEGER NOT NULL,
    -- The PLC's number of the part, and its code of the expected product; 0 for none.
    part INTEGER NOT NULL,
    hint INTEGER NOT NULL,
    -- The last frame before the part ended, and the frame that shows the part, where one does.
    after_frame INTEGER NOT NULL,
    frame INTEGER,
    time_us INTEGER NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('pass', 'fail', 'unknown-product', 'fault', 'late')),
    why TEXT NOT NULL,
    ended_us INTEGER NOT NULL,
    -- When the PLC had it; NULL where it never did, and the part is not passed whatever its result was.
    acknowledged_us INTEGER,
    PRIMARY KEY (lane, number)
) WITHOUT ROWID;
