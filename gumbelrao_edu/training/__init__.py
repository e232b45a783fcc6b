"""The training loop, grids of runs that resume, and the files that both write."""

MAX_JOBS = 1000  # processes that a command may ask for
BACKENDS = ("joblib", "dask", "ray")  # what runs them
