ALTER TABLE quarantine ADD COLUMN records UBIGINT DEFAULT 1;
COMMENT ON COLUMN quarantine.records IS 'How many records the row stands for: a source may count what it leaves out, as all images of a crawl';
