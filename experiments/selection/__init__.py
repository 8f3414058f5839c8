"""The standing benchmark of selection strategies; README.md is its protocol."""
