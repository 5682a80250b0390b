"""HTTP: the native routes, the OpenAI-compatible ones, errors and limits."""
