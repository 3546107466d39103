"""Everything MLflow: runs, models, registry. The only package that imports mlflow."""
