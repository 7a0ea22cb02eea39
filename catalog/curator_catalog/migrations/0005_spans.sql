ALTER TABLE store.edge_sets ADD COLUMN buckets UBIGINT;
COMMENT ON COLUMN store.edge_sets.buckets IS 'Buckets that several groups share';

ALTER TABLE store.measures ADD COLUMN behind VARCHAR[];
COMMENT ON COLUMN store.measures.behind IS 'Measures of the corpus cleaners that changed the text before it';

CREATE TABLE store.span_sets (table_name VARCHAR PRIMARY KEY, inputs VARCHAR[], derived TIMESTAMP);
COMMENT ON TABLE store.span_sets IS 'What was found over the corpus for the steps that await it, and is up to date';
COMMENT ON COLUMN store.span_sets.table_name IS 'Measures of the step that awaits it';
COMMENT ON COLUMN store.span_sets.inputs IS 'Measures that it was found in, and that decide on the population';
COMMENT ON COLUMN store.span_sets.derived IS 'When, UTC';

CREATE TABLE store.spans (table_name VARCHAR, doc_id UBIGINT, starts UINTEGER[], stops UINTEGER[], spans UINTEGER, repeated_spans UINTEGER, repeated_bytes UINTEGER);
COMMENT ON TABLE store.spans IS 'Repeated spans of documents, found over the corpus for a step that awaits them';
COMMENT ON COLUMN store.spans.table_name IS 'As in span_sets';
COMMENT ON COLUMN store.spans.doc_id IS 'The document';
COMMENT ON COLUMN store.spans.starts IS 'Where the spans to remove, or shared anchors, start: bytes of the text at the step''s place';
COMMENT ON COLUMN store.spans.stops IS 'Where they stop';
COMMENT ON COLUMN store.spans.spans IS 'Spans that were compared';
COMMENT ON COLUMN store.spans.repeated_spans IS 'Of them, those that the corpus repeats, the first ones included';
COMMENT ON COLUMN store.spans.repeated_bytes IS 'Bytes that they cover';
