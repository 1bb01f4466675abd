-- Where results of all boards land in PostgreSQL 13 or later. `landing` takes what Telegraf copies, duplicates too, and
-- keeps nothing of it: a trigger puts each row into `results` once, by its identifier.

CREATE SCHEMA landing;
CREATE SCHEMA results;

CREATE TABLE results.verdict (
    site text NOT NULL,
    device text NOT NULL,
    id text NOT NULL,
    camera text NOT NULL,
    epoch bigint NOT NULL,
    frame bigint NOT NULL,
    time timestamptz NOT NULL,
    decision text NOT NULL,
    product text,
    distance double precision,
    radius double precision,
    score double precision,
    p_value double precision,
    threshold double precision,
    reject_rate double precision NOT NULL,
    unrated boolean NOT NULL,
    model text NOT NULL,
    model_version text NOT NULL,
    model_sha256 text NOT NULL,
    latency_ms double precision NOT NULL,
    inference_ms double precision,
    origin text,
    reason text,
    shortened boolean NOT NULL,
    PRIMARY KEY (site, device, id)
);

CREATE TABLE results.unjudged (
    site text NOT NULL,
    device text NOT NULL,
    id text NOT NULL,
    camera text NOT NULL,
    epoch bigint NOT NULL,
    first_frame bigint NOT NULL,
    last_frame bigint NOT NULL,
    frames bigint NOT NULL,
    time timestamptz NOT NULL,
    disposition text NOT NULL,
    reason text NOT NULL,
    shortened boolean NOT NULL,
    PRIMARY KEY (site, device, id)
);

CREATE TABLE landing.verdict (LIKE results.verdict);
CREATE TABLE landing.unjudged (LIKE results.unjudged);

CREATE FUNCTION landing.verdict_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO results.verdict VALUES (NEW.*) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE FUNCTION landing.unjudged_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO results.unjudged VALUES (NEW.*) ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$;

CREATE TRIGGER once BEFORE INSERT ON landing.verdict FOR EACH ROW EXECUTE FUNCTION landing.verdict_once();
CREATE TRIGGER once BEFORE INSERT ON landing.unjudged FOR EACH ROW EXECUTE FUNCTION landing.unjudged_once();

-- Whether all frames of a numbering are there: `missing` is 0 up to the last one that came, or a gap was told.
CREATE VIEW results.account AS
SELECT site, device, camera, epoch, max(last) AS last_frame, sum(frames) AS frames, max(last) - sum(frames) AS missing
FROM (
    SELECT site, device, camera, epoch, frame AS last, 1 AS frames FROM results.verdict
    UNION ALL
    SELECT site, device, camera, epoch, last_frame, frames FROM results.unjudged
) AS ends
GROUP BY site, device, camera, epoch;
