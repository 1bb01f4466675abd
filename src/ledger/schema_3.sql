-- Version 3: pictures of frames, which the archive keeps.

-- Whether every refused frame of the numbering has a row in `evidence`.
ALTER TABLE lane ADD COLUMN archived INTEGER NOT NULL DEFAULT 0 CHECK (archived IN (0, 1));

-- What became of a frame's pictures. Where they are is said by camera, epoch and number: `camera/epoch/number` in the archive.
CREATE TABLE evidence (
    lane INTEGER NOT NULL REFERENCES lane,
    number INTEGER NOT NULL,
    -- When the frame was captured.
    time_us INTEGER NOT NULL,
    decision TEXT NOT NULL CHECK (decision IN ('pass', 'fail', 'unknown-product')),
    state TEXT NOT NULL CHECK (state IN ('kept', 'missing', 'removed')),
    -- Why they are not there.
    reason TEXT CHECK ((reason IS NULL) = (state = 'kept')),
    -- Which pixels were kept, and what they take of the disk.
    resolution TEXT CHECK (resolution IN ('full', 'model')),
    bytes INTEGER,
    -- When this came to be so.
    changed_us INTEGER NOT NULL,
    PRIMARY KEY (lane, number)
) WITHOUT ROWID;

-- Refused frames are few, and each must have its evidence: they are found without reading those that passed.
CREATE INDEX verdict_refused ON verdict (lane, number) WHERE decision IN ('fail', 'unknown-product');
