CREATE TABLE models (model VARCHAR, kind VARCHAR, path VARCHAR, hash VARCHAR, query VARCHAR, labels VARCHAR[], scores JSON, created TIMESTAMP);
COMMENT ON TABLE models IS 'Classifiers trained from this corpus';
COMMENT ON COLUMN models.model IS 'Its name';
COMMENT ON COLUMN models.kind IS 'What it classifies: domain';
COMMENT ON COLUMN models.path IS 'Where it was written';
COMMENT ON COLUMN models.hash IS 'xxh3-128 of the file, as in the fingerprint of steps that use it';
COMMENT ON COLUMN models.query IS 'The query that gave texts and labels';
COMMENT ON COLUMN models.labels IS 'The labels it knows';
COMMENT ON COLUMN models.scores IS 'Documents, precision, recall and F1 of each label on the held-out fifth';
COMMENT ON COLUMN models.created IS 'When it was trained, UTC';

CREATE TABLE mixtures (mixture VARCHAR, fingerprint VARCHAR, definition JSON, plan JSON, created TIMESTAMP);
COMMENT ON TABLE mixtures IS 'Mixtures that were planned or exported';
COMMENT ON COLUMN mixtures.mixture IS 'Its name';
COMMENT ON COLUMN mixtures.fingerprint IS 'Hash of the definition and of the documents that it chose';
COMMENT ON COLUMN mixtures.definition IS 'The mixture file, resolved';
COMMENT ON COLUMN mixtures.plan IS 'Documents, tokens, shares and epochs of each component';
COMMENT ON COLUMN mixtures.created IS 'When, UTC';

CREATE TABLE exports (export_id INTEGER PRIMARY KEY, mixture VARCHAR, fingerprint VARCHAR, decision_set VARCHAR, path VARCHAR, format VARCHAR, documents UBIGINT, manifest_hash VARCHAR, created TIMESTAMP);
COMMENT ON TABLE exports IS 'What was written for training; immutable';
COMMENT ON COLUMN exports.export_id IS 'Number of the export';
COMMENT ON COLUMN exports.mixture IS 'The mixture';
COMMENT ON COLUMN exports.fingerprint IS 'Its fingerprint';
COMMENT ON COLUMN exports.decision_set IS 'The decision set in force when it was made';
COMMENT ON COLUMN exports.path IS 'Its folder';
COMMENT ON COLUMN exports.format IS 'Layout of the files';
COMMENT ON COLUMN exports.documents IS 'Documents in it, held-out ones included';
COMMENT ON COLUMN exports.manifest_hash IS 'xxh3-128 of manifest.json, which has the hash of every file';
COMMENT ON COLUMN exports.created IS 'When, UTC';

CREATE TABLE export_documents (export_id INTEGER, doc_id UBIGINT, component VARCHAR, held_out BOOLEAN);
COMMENT ON TABLE export_documents IS 'Which documents are in which export';
COMMENT ON COLUMN export_documents.export_id IS 'The export';
COMMENT ON COLUMN export_documents.doc_id IS 'A document';
COMMENT ON COLUMN export_documents.component IS 'The component of the mixture that it is in';
COMMENT ON COLUMN export_documents.held_out IS 'True if it is never trained on, in this and every later export';
