"""Pages: what a run did, as a person opens it in a browser, and an index over the runs."""
