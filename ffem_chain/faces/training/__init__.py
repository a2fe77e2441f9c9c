"""Training of flows and refiner, and the figures of what came out."""
