"""What MLflow finds by entry points and calls in its own commands. Each module is light to import."""
