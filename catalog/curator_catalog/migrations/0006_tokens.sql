CREATE TABLE tokenizers (measure VARCHAR PRIMARY KEY, tokenizer VARCHAR, sha256 VARCHAR, final VARCHAR, vocab_size UINTEGER, end_token VARCHAR, end_id UINTEGER, created TIMESTAMP);
COMMENT ON TABLE tokenizers IS 'Tokenizers that counted the tokens of documents';
COMMENT ON COLUMN tokenizers.measure IS 'Where its counts are stored, in the schema measures';
COMMENT ON COLUMN tokenizers.tokenizer IS 'Name of the file or folder that it was read from';
COMMENT ON COLUMN tokenizers.sha256 IS 'sha256 of its tokenizer.json, a copy of which is in models/tokenizers';
COMMENT ON COLUMN tokenizers.final IS 'The final texts that were counted: a table of the schema measures';
COMMENT ON COLUMN tokenizers.vocab_size IS 'One more than its largest id';
COMMENT ON COLUMN tokenizers.end_token IS 'The token that ends a document';
COMMENT ON COLUMN tokenizers.end_id IS 'Its id';
COMMENT ON COLUMN tokenizers.created IS 'When it first counted, UTC';

ALTER TABLE export_documents ADD COLUMN doc_key UUID;
COMMENT ON COLUMN export_documents.doc_key IS 'As it is in documents, also once the document is gone from there';
ALTER TABLE export_documents ADD COLUMN text_hash UUID;
COMMENT ON COLUMN export_documents.text_hash IS 'xxh3-128 of the text that was exported';
ALTER TABLE export_documents ADD COLUMN epoch UINTEGER;
COMMENT ON COLUMN export_documents.epoch IS 'How often it stands before in a blended stream; 0 elsewhere';
ALTER TABLE export_documents ADD COLUMN place UBIGINT;
COMMENT ON COLUMN export_documents.place IS 'Its number, from 0, among the documents of its component (in a blended export: of the stream) that are trained on, or held out';
ALTER TABLE export_documents ADD COLUMN token_start UBIGINT;
COMMENT ON COLUMN export_documents.token_start IS 'First of its tokens in the payload; NULL without a tokenizer';
ALTER TABLE export_documents ADD COLUMN token_stop UBIGINT;
COMMENT ON COLUMN export_documents.token_stop IS 'Where its tokens stop, the end token included';
UPDATE export_documents SET doc_key = d.doc_key, epoch = 0 FROM store.documents d WHERE d.doc_id = export_documents.doc_id;

COMMENT ON COLUMN store.settings.name IS 'schema_version, root (folder the views name), decision_set (whose decisions documents shows), tokenizer (sha256 of the one that n_tokens is of), forgetting (there while curator forget is not done)';
