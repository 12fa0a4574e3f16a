"""Ingestion: the job queue and the pipeline that extracts, chunks, embeds and indexes documents."""
