CREATE TABLE tombstones (doc_key UUID, content_hash UUID, url VARCHAR, source VARCHAR, doc_id UBIGINT, reason VARCHAR, forgotten TIMESTAMP);
COMMENT ON TABLE tombstones IS 'Documents that were forgotten, without their text; a run leaves out what has their key or their text';
COMMENT ON COLUMN tombstones.doc_key IS 'As it was in documents';
COMMENT ON COLUMN tombstones.content_hash IS 'xxh3-128 of the text as read; NULL where its copies were to stay';
COMMENT ON COLUMN tombstones.url IS 'Address the document came from';
COMMENT ON COLUMN tombstones.source IS 'Its source';
COMMENT ON COLUMN tombstones.doc_id IS 'As it was in documents; never used again';
COMMENT ON COLUMN tombstones.reason IS 'Why, as given to curator forget';
COMMENT ON COLUMN tombstones.forgotten IS 'When, UTC';

CREATE TABLE export_forgotten (export_id INTEGER, documents UBIGINT, forgotten TIMESTAMP);
COMMENT ON TABLE export_forgotten IS 'Exports that hold documents which were forgotten since';
COMMENT ON COLUMN export_forgotten.export_id IS 'The export';
COMMENT ON COLUMN export_forgotten.documents IS 'How many of its documents were forgotten then';
COMMENT ON COLUMN export_forgotten.forgotten IS 'When, UTC';

ALTER TABLE models ADD COLUMN forgotten TIMESTAMP;
COMMENT ON COLUMN models.forgotten IS 'When documents that it may have been trained on were forgotten, UTC; NULL: none since it was trained';

COMMENT ON COLUMN store.settings.name IS 'schema_version, root (folder the views name), decision_set (whose decisions documents shows), forgetting (there while curator forget is not done)';
