"""The rule-based model: tool choice and answers without a language model."""
