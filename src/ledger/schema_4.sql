-- Version 4: how far a broker has acknowledged what is in the file. The rows themselves are the queue.

-- One row, as soon as somebody sends.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    begun_us INTEGER NOT NULL,
    -- Events up to this one are acknowledged.
    event INTEGER NOT NULL
);

-- Frames up to this number are acknowledged, and parts that begin at this number or before it.
ALTER TABLE lane ADD COLUMN sent_to INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lane ADD COLUMN parts_sent_to INTEGER NOT NULL DEFAULT 0;
