-- The views SQL users rely on; views.py fills in the placeholders from the decision set in force.
CREATE OR REPLACE VIEW main.documents AS $documents;
COMMENT ON VIEW main.documents IS 'One row a document, with what was measured of it and decided about it in the decision set in force';
CREATE OR REPLACE VIEW main.texts AS $texts;
COMMENT ON VIEW main.texts IS 'The text of each document, as read and after the cleaners of the decision set in force';
COMMENT ON COLUMN main.texts.doc_id IS 'The document';
COMMENT ON COLUMN main.texts.text_read IS 'Text as read';
COMMENT ON COLUMN main.texts.text IS 'Final text';
CREATE OR REPLACE VIEW main.origins AS
    SELECT d.doc_id, d.source, p.uri, p.split_id FROM store.documents d JOIN parts p ON p.split_id = d.doc_id >> 32 AND p.ordinal = d.part;
COMMENT ON VIEW main.origins IS 'The file or address that each document was read from';
COMMENT ON COLUMN main.origins.doc_id IS 'The document';
COMMENT ON COLUMN main.origins.source IS 'Its source';
COMMENT ON COLUMN main.origins.uri IS 'File or address; a range of rows behind #';
COMMENT ON COLUMN main.origins.split_id IS 'The split that was read in one task';
CREATE OR REPLACE VIEW main.decisions AS $decisions;
COMMENT ON VIEW main.decisions IS 'What each decision set says of each document';
COMMENT ON COLUMN main.decisions.decision_set IS 'Name of the recipe';
COMMENT ON COLUMN main.decisions.doc_id IS 'The document';
COMMENT ON COLUMN main.decisions.decision IS 'kept, dropped, or pending (not yet measured by every step)';
COMMENT ON COLUMN main.decisions.kept IS 'True if kept';
COMMENT ON COLUMN main.decisions.reason IS 'The first failing rule in step order, as step.rule';
COMMENT ON COLUMN main.decisions.reasons IS 'Every failing rule';
CREATE OR REPLACE VIEW main.classifications AS $classifications;
COMMENT ON VIEW main.classifications IS 'What classifiers say of documents, in the decision set in force';
COMMENT ON COLUMN main.classifications.doc_id IS 'The document';
COMMENT ON COLUMN main.classifications.classifier IS 'The step';
COMMENT ON COLUMN main.classifications.label IS 'The label';
COMMENT ON COLUMN main.classifications.score IS 'How sure, from 0 to 1';
CREATE OR REPLACE VIEW main.token_counts AS $token_counts;
COMMENT ON VIEW main.token_counts IS 'Tokens of the final texts of the decision set in force, by the tokenizers that counted them';
COMMENT ON COLUMN main.token_counts.doc_id IS 'The document';
COMMENT ON COLUMN main.token_counts.tokenizer IS 'Name of the tokenizer''s file or folder; see tokenizers';
COMMENT ON COLUMN main.token_counts.n_tokens IS 'Tokens, the one that ends the document included';
CREATE OR REPLACE VIEW main.duplicate_edges AS $duplicate_edges;
COMMENT ON VIEW main.duplicate_edges IS 'Pairs of near copies of the decision set in force, each once';
COMMENT ON COLUMN main.duplicate_edges.a IS 'The document of the smaller doc_key';
COMMENT ON COLUMN main.duplicate_edges.b IS 'The other document';
COMMENT ON COLUMN main.duplicate_edges.step IS 'The dedup step';
COMMENT ON COLUMN main.duplicate_edges.similarity IS 'Estimated Jaccard similarity; 1 for equal signatures';
CREATE OR REPLACE VIEW main.contamination AS $contamination;
COMMENT ON VIEW main.contamination IS 'Fields of benchmark items that stand in documents, wholly or in part, in the decision set in force';
COMMENT ON COLUMN main.contamination.doc_id IS 'The document';
COMMENT ON COLUMN main.contamination.step IS 'The step that found it';
COMMENT ON COLUMN main.contamination.benchmark IS 'The benchmark, as the recipe calls it';
COMMENT ON COLUMN main.contamination.item IS 'The item: its id, or # and its line';
COMMENT ON COLUMN main.contamination.field IS 'The field of the item';
COMMENT ON COLUMN main.contamination.overlap IS 'Share of the n-grams of the field that stand in the document';
COMMENT ON COLUMN main.contamination.words IS 'Words of the document in these n-grams';
COMMENT ON COLUMN main.contamination.text IS 'The longest span, its first 200 characters';
COMMENT ON COLUMN main.contamination.spans IS 'Where these n-grams stand: characters start to stop, from 0, of the text at the place of the step';
COMMENT ON COLUMN main.contamination.reviewed IS 'drop or keep, where it was reviewed by hand';
COMMENT ON COLUMN main.contamination.verdict IS 'drop or keep; NULL where the overlap is less than min_overlap and nobody reviewed it';
CREATE OR REPLACE MACRO main.documents_in(set_name) AS TABLE $documents_in;
COMMENT ON MACRO TABLE main.documents_in IS 'documents, as another decision set sees them: FROM documents_in(''medical-web'')';
CREATE OR REPLACE MACRO main.cluster_size(document) AS coalesce((
    -- no name in here is a column of documents: an argument `doc_id` must mean the caller's
    SELECT max(in_cluster.cluster_documents)
    FROM (SELECT doc_id, cluster_size, decision_set FROM main.duplicates) in_cluster(cluster_member, cluster_documents, cluster_set)
    WHERE in_cluster.cluster_member = document
        AND in_cluster.cluster_set = (SELECT s.value FROM store.settings s WHERE s.name = 'decision_set')), 1);
COMMENT ON MACRO main.cluster_size IS 'Documents in the largest cluster of copies that a document is in, in the decision set in force: cluster_size(doc_id); 1 where it has none';
