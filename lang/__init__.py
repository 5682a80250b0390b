"""What users write: `@function`, `gen`, `select`, roles; and the backends that run it."""
