"""Examples; each is run by the tests or by a `make` target."""
