"""SGLang's module paths of the backends, which are in `lang.backends`."""
