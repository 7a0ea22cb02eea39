-- The catalog's tables. What SQL users rely on stands in main; `store` and `measures` are behind its views.
CREATE SCHEMA store;
CREATE SCHEMA measures;
CREATE SCHEMA signals;
CREATE SCHEMA decided;

CREATE TABLE store.settings (name VARCHAR PRIMARY KEY, value VARCHAR);
COMMENT ON TABLE store.settings IS 'Facts about this catalog file';
COMMENT ON COLUMN store.settings.name IS 'schema_version, root (folder the views name), decision_set (whose decisions documents shows)';
COMMENT ON COLUMN store.settings.value IS 'Its value';

CREATE TABLE store.documents (
    doc_id UBIGINT, part UINTEGER, doc_key UUID, source VARCHAR, source_key VARCHAR, url VARCHAR, host VARCHAR,
    title VARCHAR, published TIMESTAMP, retrieved TIMESTAMP, license VARCHAR, declared_domain VARCHAR,
    metadata JSON, content_hash UUID);
COMMENT ON TABLE store.documents IS 'Documents in force, without text; the view documents adds what was measured and decided';
COMMENT ON COLUMN store.documents.doc_id IS 'Shard number times 2^32 plus row number; never reused';
COMMENT ON COLUMN store.documents.part IS 'Ordinal of the part of its split that it was read from';
COMMENT ON COLUMN store.documents.doc_key IS 'xxh3-128 of source name and source_key; the same in every corpus';
COMMENT ON COLUMN store.documents.source IS 'Name of the source in the recipe';
COMMENT ON COLUMN store.documents.source_key IS 'The source''s own id: record id, URL, or file#row';
COMMENT ON COLUMN store.documents.url IS 'Address the document came from';
COMMENT ON COLUMN store.documents.host IS 'Host of the address, in lower case';
COMMENT ON COLUMN store.documents.title IS 'Title, as the source gives it';
COMMENT ON COLUMN store.documents.published IS 'When it was published, UTC';
COMMENT ON COLUMN store.documents.retrieved IS 'When it was fetched, UTC';
COMMENT ON COLUMN store.documents.license IS 'Licence of the record, else of the source';
COMMENT ON COLUMN store.documents.declared_domain IS 'Domain that the source states';
COMMENT ON COLUMN store.documents.metadata IS 'Every field of the record that no column took';
COMMENT ON COLUMN store.documents.content_hash IS 'xxh3-128 of the text as read';

CREATE TABLE store.measures (
    table_name VARCHAR PRIMARY KEY, plugin VARCHAR, version VARCHAR, fingerprint VARCHAR, options JSON,
    wide BOOLEAN, created TIMESTAMP);
COMMENT ON TABLE store.measures IS 'What is stored in the schema measures: one table for each plugin and fingerprint';
COMMENT ON COLUMN store.measures.table_name IS 'Name of the table in the schema measures';
COMMENT ON COLUMN store.measures.plugin IS 'Plugin that measured';
COMMENT ON COLUMN store.measures.version IS 'Its version';
COMMENT ON COLUMN store.measures.fingerprint IS 'Hash of all that the values depend on';
COMMENT ON COLUMN store.measures.options IS 'Its measure options';
COMMENT ON COLUMN store.measures.wide IS 'True if its columns lie in shard files';
COMMENT ON COLUMN store.measures.created IS 'When it was first stored, UTC';

CREATE TABLE store.decision_sets (
    decision_set VARCHAR PRIMARY KEY, recipe JSON, steps JSON, decided TIMESTAMP, fingerprint VARCHAR);
COMMENT ON TABLE store.decision_sets IS 'The recipes whose decisions are stored';
COMMENT ON COLUMN store.decision_sets.decision_set IS 'Name of the recipe';
COMMENT ON COLUMN store.decision_sets.recipe IS 'The recipe, resolved';
COMMENT ON COLUMN store.decision_sets.steps IS 'Its steps: name, table of the measures, columns';
COMMENT ON COLUMN store.decision_sets.decided IS 'When, UTC';
COMMENT ON COLUMN store.decision_sets.fingerprint IS 'Hash of steps and rules with their options';

CREATE TABLE sources (source VARCHAR PRIMARY KEY, plugin VARCHAR, options JSON, license VARCHAR, declared_domain VARCHAR);
COMMENT ON TABLE sources IS 'Where documents come from';
COMMENT ON COLUMN sources.source IS 'Its name in the recipe';
COMMENT ON COLUMN sources.plugin IS 'The plugin that reads it';
COMMENT ON COLUMN sources.options IS 'Its options, without secrets';
COMMENT ON COLUMN sources.license IS 'Licence of records that state none';
COMMENT ON COLUMN sources.declared_domain IS 'Domain of records that state none';

CREATE TABLE splits (split_id UINTEGER PRIMARY KEY, source VARCHAR, state VARCHAR, size UBIGINT, error VARCHAR, planned TIMESTAMP);
COMMENT ON TABLE splits IS 'What one task reads';
COMMENT ON COLUMN splits.split_id IS 'Number of the split and of the shard that it becomes';
COMMENT ON COLUMN splits.source IS 'Its source';
COMMENT ON COLUMN splits.state IS 'planned, done, failed or superseded';
COMMENT ON COLUMN splits.size IS 'Expected bytes of text';
COMMENT ON COLUMN splits.error IS 'Why it failed';
COMMENT ON COLUMN splits.planned IS 'When it was planned, UTC';

CREATE TABLE parts (split_id UINTEGER, ordinal UINTEGER, source VARCHAR, uri VARCHAR, start BIGINT, stop BIGINT, signature VARCHAR, size UBIGINT, state VARCHAR);
COMMENT ON TABLE parts IS 'The pieces of files, tables or feeds that make up a split, in order';
COMMENT ON COLUMN parts.split_id IS 'The split';
COMMENT ON COLUMN parts.ordinal IS 'Place in the split, from 0';
COMMENT ON COLUMN parts.source IS 'Its source';
COMMENT ON COLUMN parts.uri IS 'File or address';
COMMENT ON COLUMN parts.start IS 'First unit (byte, row group, key); NULL is the beginning';
COMMENT ON COLUMN parts.stop IS 'Unit after the last; NULL is the end';
COMMENT ON COLUMN parts.signature IS 'Changes when the content does';
COMMENT ON COLUMN parts.size IS 'Expected bytes of text';
COMMENT ON COLUMN parts.state IS 'present, outdated (its file has changed and is being read again), superseded or vanished';

CREATE TABLE shards (shard_id UINTEGER, measure VARCHAR, path VARCHAR, rows UBIGINT, bytes UBIGINT, hash VARCHAR, run_id INTEGER, committed TIMESTAMP);
COMMENT ON TABLE shards IS 'Registered files: immutable, named uniquely to the attempt that wrote them';
COMMENT ON COLUMN shards.shard_id IS 'Number of the shard, which is that of its split';
COMMENT ON COLUMN shards.measure IS 'text, or the table of the measures that the file holds';
COMMENT ON COLUMN shards.path IS 'Path below the corpus folder';
COMMENT ON COLUMN shards.rows IS 'Rows in the file';
COMMENT ON COLUMN shards.bytes IS 'Size of the file';
COMMENT ON COLUMN shards.hash IS 'xxh3-128 of the file';
COMMENT ON COLUMN shards.run_id IS 'Run that committed it';
COMMENT ON COLUMN shards.committed IS 'When, UTC';

CREATE TABLE runs (run_id INTEGER PRIMARY KEY, recipe VARCHAR, resolved JSON, versions JSON, started TIMESTAMP, finished TIMESTAMP, state VARCHAR, counts JSON, seconds JSON);
COMMENT ON TABLE runs IS 'Every curator run and decide';
COMMENT ON COLUMN runs.run_id IS 'Number of the run';
COMMENT ON COLUMN runs.recipe IS 'Name of the recipe';
COMMENT ON COLUMN runs.resolved IS 'The recipe, resolved';
COMMENT ON COLUMN runs.versions IS 'Versions of curator and of the libraries that matter';
COMMENT ON COLUMN runs.started IS 'When it started, UTC';
COMMENT ON COLUMN runs.finished IS 'When it finished, UTC; NULL if it was interrupted';
COMMENT ON COLUMN runs.state IS 'running, done or stopped';
COMMENT ON COLUMN runs.counts IS 'Documents read, kept, dropped, pending, quarantined';
COMMENT ON COLUMN runs.seconds IS 'CPU seconds of each step';

CREATE TABLE quarantine (split_id UINTEGER, source VARCHAR, uri VARCHAR, position VARCHAR, step VARCHAR, doc_id UBIGINT, reason VARCHAR, detail VARCHAR, seen TIMESTAMP);
COMMENT ON TABLE quarantine IS 'What could not be read or measured; never lost silently';
COMMENT ON COLUMN quarantine.split_id IS 'Split in which it stood';
COMMENT ON COLUMN quarantine.source IS 'Its source';
COMMENT ON COLUMN quarantine.uri IS 'File or address';
COMMENT ON COLUMN quarantine.position IS 'Place in it: byte, row or key';
COMMENT ON COLUMN quarantine.step IS 'Step that failed on a document; NULL when reading failed';
COMMENT ON COLUMN quarantine.doc_id IS 'The document, when a step failed on it';
COMMENT ON COLUMN quarantine.reason IS 'What is wrong';
COMMENT ON COLUMN quarantine.detail IS 'The error, or the beginning of the record';
COMMENT ON COLUMN quarantine.seen IS 'When, UTC';

CREATE TABLE rules (decision_set VARCHAR, rule_index USMALLINT, step_index USMALLINT, step VARCHAR, rule VARCHAR, reason VARCHAR, expression VARCHAR, options JSON);
COMMENT ON TABLE rules IS 'The rules of every decision set, in order';
COMMENT ON COLUMN rules.decision_set IS 'Name of the recipe';
COMMENT ON COLUMN rules.rule_index IS 'Place among all rules of the recipe, from 0';
COMMENT ON COLUMN rules.step_index IS 'Place of the step in the recipe, from 0';
COMMENT ON COLUMN rules.step IS 'The step';
COMMENT ON COLUMN rules.rule IS 'The rule';
COMMENT ON COLUMN rules.reason IS 'step.rule, as in documents.reason';
COMMENT ON COLUMN rules.expression IS 'SQL over the step''s signals; true drops';
COMMENT ON COLUMN rules.options IS 'The values of the $options in it';

CREATE TABLE duplicates (decision_set VARCHAR, doc_id UBIGINT, step VARCHAR, cluster_id UUID, cluster_size UINTEGER, kept_copy UBIGINT);
COMMENT ON TABLE duplicates IS 'Clusters of copies, of two documents and more';
COMMENT ON COLUMN duplicates.decision_set IS 'Name of the recipe';
COMMENT ON COLUMN duplicates.doc_id IS 'A document of the cluster';
COMMENT ON COLUMN duplicates.step IS 'The dedup step';
COMMENT ON COLUMN duplicates.cluster_id IS 'The smallest doc_key in the cluster';
COMMENT ON COLUMN duplicates.cluster_size IS 'Documents in the cluster';
COMMENT ON COLUMN duplicates.kept_copy IS 'doc_id of the one that is kept';

CREATE TABLE store.edge_sets (edge_set VARCHAR PRIMARY KEY, table_name VARCHAR, within VARCHAR, documents UBIGINT, groups UBIGINT, edges UBIGINT, truncated_buckets UBIGINT, derived TIMESTAMP);
COMMENT ON TABLE store.edge_sets IS 'Edges derived from band keys';
COMMENT ON COLUMN store.edge_sets.edge_set IS 'Name of the set';
COMMENT ON COLUMN store.edge_sets.table_name IS 'Measures that it was derived from';
COMMENT ON COLUMN store.edge_sets.within IS 'Column of documents whose values bound the pairs';
COMMENT ON COLUMN store.edge_sets.documents IS 'Documents with band keys';
COMMENT ON COLUMN store.edge_sets.groups IS 'Groups of equal signatures';
COMMENT ON COLUMN store.edge_sets.edges IS 'Edges between groups';
COMMENT ON COLUMN store.edge_sets.truncated_buckets IS 'Buckets too large to link all their pairs';
COMMENT ON COLUMN store.edge_sets.derived IS 'When, UTC';

CREATE TABLE store.edge_groups (edge_set VARCHAR, doc_id UBIGINT, group_key UBIGINT);
COMMENT ON TABLE store.edge_groups IS 'The group of equal signatures that each document with a signature is in';
COMMENT ON COLUMN store.edge_groups.edge_set IS 'One set of edges: the measure it was derived from, and its scope';
COMMENT ON COLUMN store.edge_groups.doc_id IS 'A document with a signature; documents without one are in no group';
COMMENT ON COLUMN store.edge_groups.group_key IS 'Hash of scope and band keys: the same for equal signatures';

CREATE TABLE store.edges (edge_set VARCHAR, a UBIGINT, b UBIGINT, similarity FLOAT, truncated BOOLEAN);
COMMENT ON TABLE store.edges IS 'Pairs of groups that share a bucket, each once, with a < b';
COMMENT ON COLUMN store.edges.edge_set IS 'As in edge_groups';
COMMENT ON COLUMN store.edges.a IS 'The smaller group_key';
COMMENT ON COLUMN store.edges.b IS 'The larger group_key';
COMMENT ON COLUMN store.edges.similarity IS 'Estimated Jaccard similarity; NULL where signatures are not stored';
COMMENT ON COLUMN store.edges.truncated IS 'True if a and b share truncated buckets only';

CREATE TABLE store.truncated_buckets (edge_set VARCHAR, band UTINYINT, bucket BIGINT, group_key UBIGINT);
COMMENT ON TABLE store.truncated_buckets IS 'The groups of every bucket that was too large to link all its pairs';
COMMENT ON COLUMN store.truncated_buckets.edge_set IS 'As in edge_groups';
COMMENT ON COLUMN store.truncated_buckets.band IS 'Number of the band, from 1';
COMMENT ON COLUMN store.truncated_buckets.bucket IS 'Band key, mixed with the scope';
COMMENT ON COLUMN store.truncated_buckets.group_key IS 'A group in the bucket';
