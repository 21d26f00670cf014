"""Records: what events look like to a reader."""
