-- Prefect's search needs it
CREATE EXTENSION IF NOT EXISTS pg_trgm;
