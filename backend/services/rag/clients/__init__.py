"""Language and reranking models, evaluation data sets, and Prometheus metrics."""
