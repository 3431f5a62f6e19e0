"""One module per suite, each with `run(bench, report)`."""
