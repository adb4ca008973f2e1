"""Doors: one small module for each thing that eats tokens."""
