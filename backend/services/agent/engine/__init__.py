"""The LangGraph runtime that executes agent runs."""
