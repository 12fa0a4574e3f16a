"""Tables, keyword index and vector stores of the rag service, and their queries."""
