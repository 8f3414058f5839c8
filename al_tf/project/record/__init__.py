"""What happened in a project, and what it adds up to."""
