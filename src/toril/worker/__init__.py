"""Running jobs: fetch, run, settle, and keep hold of them meanwhile."""
