"""Pages about studies inside the MLflow server: ``mlflow server --app-name mlbench``.

:mod:`mlbench.dashboard.app` is what MLflow starts, :mod:`mlbench.dashboard.site` answers requests, and what it shows is
read through :mod:`mlbench.tracking`. The pages load nothing from another host, and change nothing except on the page
of a promotion, after a confirmation.
"""
