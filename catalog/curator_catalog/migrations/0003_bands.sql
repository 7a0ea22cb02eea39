-- RefinedWeb's MinHash has 450 bands
ALTER TABLE store.truncated_buckets ALTER band TYPE USMALLINT;
