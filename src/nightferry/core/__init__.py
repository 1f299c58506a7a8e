"""The nouns: values and protocols, standard library only, no I/O."""
