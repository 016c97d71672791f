"""The JSON API: a module for each noun, with its table of operations at its end. Each handler asks the store once, and shows what came."""
