"""Ways into the runtime, under SGLang's path."""
