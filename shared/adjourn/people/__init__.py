"""Tasks that people start: what they are (`callables`), their parameters, and who is answered."""
