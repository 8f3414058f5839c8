"""The examples of a project: parts, embeddings, clusters."""
