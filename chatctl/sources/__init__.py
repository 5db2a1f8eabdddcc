"""What `chatctl import` reads: files in several formats become sources, one for each chat."""
