"""The floor: pure nouns, protocols and policy. Imports nothing of the project above it."""
