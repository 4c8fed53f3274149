"""Wiring of the project above, its shared floor (`apex.common`) below. Nothing is loaded with the name alone."""
