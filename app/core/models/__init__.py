"""Records that the rooms pass to each other, one module per noun: frozen, with no behavior beyond what follows from their fields."""
