"""SGLang's paths of the few modules of its runtime that programs import."""
