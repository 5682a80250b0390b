"""Where programs run. Each backend is imported when it is used."""
