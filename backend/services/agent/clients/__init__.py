"""Everyone the agent asks: models, through LangChain, and the rag service."""
