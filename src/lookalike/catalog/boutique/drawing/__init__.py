"""How the demo shop is drawn: curves, cloth, garments, backdrops, photographs."""
